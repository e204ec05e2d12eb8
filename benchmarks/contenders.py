"""Who competes in time_to_quality.py: our recipes by `fromnoise train`, the peers in environments of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fromnoise.data.image_data import ArrayData
from fromnoise.recipes.model_sizes import SIZES

HERE = Path(__file__).resolve().parent
Facts = dict[str, Any]
SIZED = {f"ours-{size}": f"default-{size}" for size in SIZES}  # name -> recipe, whatever the time is
OURS = {"ours": "default", "chapter-basic": "chapter-basic", "chapter-unet2d": "chapter-unet2d", **SIZED}


@dataclass(frozen=True)
class Environment:
    """What pip installs; alone: without what it names itself, much of which its training never imports."""

    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((*self.packages, *(f"{package} alone" for package in self.alone)))


# Two peers import torchvision, which wants the torch it was built for.
ENVIRONMENTS = {
    "diffusers": Environment(("torch==2.13.0", "numpy==2.4.6", "diffusers==0.42.1", "accelerate==1.15.0")),
    "torchcfm": Environment(
        ("torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1", "pot==0.9.7.post1", "torchdiffeq==0.2.5"),
        alone=("torchcfm==1.0.7",),
    ),
    "torchvision": Environment(
        (
            "torch==2.14.1",
            "torchvision==0.29.1",
            "numpy==2.4.6",
            "accelerate==1.15.0",
            "smalldiffusion==0.5.0",
            "torch-ema==0.3",
            "denoising-diffusion-pytorch==2.3.4",
        )
    ),
}


@dataclass(frozen=True)
class Peer:
    """The environment it runs in, its script in peers/, and flags of that."""

    environment: str
    script: str
    flags: tuple[str, ...] = ()


PEERS = {
    "smalldiffusion": Peer("torchvision", "smalldiffusion"),
    "smalldiffusion-1024": Peer("torchvision", "smalldiffusion", ("--batch_size", "1024")),
    "denoising-diffusion-pytorch": Peer("torchvision", "denoising_diffusion_pytorch"),
    "diffusers": Peer("diffusers", "diffusers"),
    "torchcfm": Peer("torchcfm", "torchcfm"),
}
USUAL = tuple(name for name in (*OURS, *PEERS) if name != "smalldiffusion-1024" and name not in SIZED)


@dataclass(frozen=True)
class Made:
    """Samples uint8 (N, H, W, C), their labels (N,) or None, and how they came about as plain JSON."""

    images: Any
    labels: Any | None
    facts: Facts


def ours(name: str, data: str, seconds: float, seed: int, num: int, folder: Path, again: Facts | None = None) -> Made:
    """`fromnoise train DATA --budget` at the recipe's settings, then `num` samples at its settings.

    again: what was kept of a training whose run is still in `folder`; it is sampled as the recipe samples today.
    """
    from fromnoise.recipes.recipes import recipe
    from fromnoise.run import Run
    from fromnoise.run.metadata import context_of

    path = folder / f"{name}-{seconds:g}-{seed}"
    trained = _trained(OURS[name], data, seconds, seed, path) if again is None else again
    run = Run(path)
    bf16 = run.precision.dtype_name == "bfloat16"
    at = replace(context_of(run.metadata), bf16=bf16, flat_share=run.data.flat_share)
    today = recipe(OURS[name], at)
    if today.net != run.settings.net:
        raise SystemExit(f"{path} holds another network than the recipe's of today; train it anew with --again")
    sample, began = today.sample, time.monotonic()
    samples = run.sample(num, **asdict(sample))
    guided = "" if sample.guidance_scale == 1 else f", guided by {sample.guidance_scale:g}"
    churn = f", churn {sample.churn:g}" if sample.churn else ""
    facts = {
        **{
            name: value for name, value in trained.items() if name not in ("measure", "test")
        },  # of what was scored then
        "sample_seconds": round(time.monotonic() - began, 2),
        "evaluations": samples.evaluations,
        "parameters": sum(p.numel() for p in run.new_denoiser().net.parameters()),
        "settings": f"recipe {OURS[name]} as it is, in our engine, {run.precision.dtype_name}; "
        f"{sample.sampler} in {sample.steps} steps{churn}{guided}",
        "versions": _versions(),
    }
    labels = None if samples.labels is None else np.array(samples.labels)
    return Made(samples.images, labels, facts)


def _trained(recipe: str, data: str, seconds: float, seed: int, path: Path) -> Facts:
    from fromnoise.run import Run

    shutil.rmtree(path, ignore_errors=True)  # a run that is there would be gone on with, not made anew
    words = ["--recipe", recipe, "--budget", f"{seconds:g}s", "--seed", str(seed), "--output_dir", str(path)]
    began = time.monotonic()
    if subprocess.run([sys.executable, "-m", "fromnoise", "train", data, *words], stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"{recipe} was not trained in {seconds:g} s; see above")
    ended, now, run = time.monotonic(), time.time(), Run(path)
    lines = [line for line in run.folder.read_metrics() if "step" in line]
    return {
        "images_seen": int(run.checkpoint().name),
        "images_per_second": statistics.median(line["images_per_second"] for line in lines),
        "train_seconds": round(ended - (now - run.checkpoint().stat().st_mtime) - began, 2),
        "process_seconds": round(ended - began, 2),
    }


def _versions() -> dict[str, str]:
    import fromnoise

    return {"torch": torch.__version__, "fromnoise": fromnoise.__version__}


def installed(name: str, environments: Path) -> Path | None:
    """The Python that has the peer `name`: of its environment where that was made, else this one; None without it."""
    peer = PEERS[name]
    python, note = _places(environments / peer.environment)
    if note.exists() and note.read_text() == str(ENVIRONMENTS[peer.environment]):
        return python
    return Path(sys.executable) if importlib.util.find_spec(peer.script) else None


def _places(path: Path) -> tuple[Path, Path]:
    """(the Python of an environment at `path`, the note of what was installed there)."""
    return path / ("Scripts/python.exe" if os.name == "nt" else "bin/python"), path / "installed.txt"


def environment(name: str, folder: Path) -> Path:
    """The Python of the environment `name` below `folder`, made there if it is not, or other packages are asked for."""
    wanted, path = ENVIRONMENTS[name], folder / name
    python, note = _places(path)
    if not note.exists() or note.read_text() != str(wanted):
        print(f"making {path}: {', '.join((*wanted.packages, *wanted.alone))} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(path)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *wanted.packages], check=True)
        if wanted.alone:
            subprocess.run([*install, "--no-deps", *wanted.alone], check=True)
        note.write_text(str(wanted))
    return python


def exported(data: ArrayData, folder: Path) -> Path:
    """The images as the peers' scripts read them, an .npz in `folder`; one that was made of the same is as good."""
    path = folder / f"train-{data.fingerprint[:16]}.npz"
    if not path.exists():
        arrays: dict[str, Any] = {"images": data.images[:].permute(0, 2, 3, 1).numpy()}
        np.savez(path, **(arrays if data.labels is None else {**arrays, "labels": data.labels.numpy()}))
    return path


def theirs(
    name: str, python: Path, train: Path, seconds: float, seed: int, num: int, folder: Path, flags: Sequence[str] = ()
) -> Made:
    """A peer's script by a Python that has the peer, on the images in the .npz `train`; flags: more of the script's."""
    peer, out = PEERS[name], folder / f"{name}-{seconds:g}-{seed}.npz"
    command = [str(python), "-m", f"peers.{peer.script}"]
    places = (str(HERE.parent / "src"), os.environ.get("PYTHONPATH", ""))
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    # Once without the clock: the first import of a library reads it from the disk and compiles it.
    subprocess.run([*command, "--help"], cwd=HERE, env=around, check=True, stdout=subprocess.DEVNULL)
    words = ["--train", str(train), "--seconds", f"{seconds:g}", "--seed", str(seed), "--num", str(num)]
    done = subprocess.run(
        [*command, *words, "--out", str(out), *peer.flags, *flags], cwd=HERE, env=around, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}; rows before it are kept:\n{done.stderr[-3000:]}")
    facts, device = report(done.stdout), "cuda" if torch.cuda.is_available() else "cpu"
    if facts["device"] != device:
        raise SystemExit(f"{name} trained on {facts['device']} and not on {device}; its torch does not find the device")
    with np.load(out) as file:
        return Made(file["images"], file.get("labels"), facts)


def report(printed: str) -> dict[str, Any]:
    """The JSON in the last line that a peer's script printed."""
    lines = printed.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        raise SystemExit(f"a peer's script printed no report, but: {printed[-1000:]!r}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
