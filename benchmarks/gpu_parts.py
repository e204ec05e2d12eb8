"""The parts of gpu.py, each a generator of rows: speed, quality against time, few steps, torch.compile, peers."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import spread
from contenders import PEERS, Made, environment, exported, installed, ours, theirs
from gpu_page import cpu_quality
from stepping import Step, engine, flops_per_image, matmul, random_images, stepper, timed, wait

from fromnoise.common.errors import UsageError
from fromnoise.data import DataOptions, load, unseen
from fromnoise.evaluation.reference import build_reference
from fromnoise.evaluation.scores import quick_scores
from fromnoise.metrics.frechet import frechet_distance, statistics

Rows = Iterator[dict[str, Any]]
WARM = 8  # steps that are not timed: a GPU's are recorded in the first ones
AROUND = 12.0  # seconds that a training takes beside its budget: the process's end, sampling, scoring


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Arguments:
        sides: pixels; the smallest is grey as MNIST is, the others in colour.
        images: of random ones that are trained on for their speed. settings: over the recipe's, there.
        turn: seconds of a turn, of which there are `turns`.
        data, budgets: what is trained on, and seconds, rising; until one reaches what a CPU does in 600 s.
        steps: of sampling, of the run and of the one distilled from it in distill_seconds.
        peers: names, each with peer_seconds of training, peer_num samples and peer_flags.
    """

    sides: tuple[int, ...] = (28, 32, 64, 128)
    images: int = 49_152  # fewer, and the recipe would take a smaller batch or network
    settings: Mapping[str, Any] = field(default_factory=dict)
    turn: float = 2.0
    turns: int = 3
    data: str = "mnist"
    budgets: tuple[float, ...] = (15.0, 30.0, 60.0)
    steps: tuple[int, ...] = (1, 2, 4)
    distill_seconds: float = 20.0
    peers: tuple[str, ...] = ("torchcfm", "diffusers", "smalldiffusion")
    peer_seconds: float = 20.0
    peer_num: int = 500
    peer_flags: tuple[str, ...] = ()


FULL = Extent()
QUICK = Extent(
    sides=(8, 16),
    images=64,
    settings={"net.width": 8, "net.depth": 1, "train.train_batch_size": 8},
    turn=0.05,
    data="digits",
    budgets=(12.0,),  # on a busy machine less is over before the imports are
    distill_seconds=12.0,
    peers=("diffusers",),
    peer_seconds=4.0,
    peer_num=16,
    peer_flags=("--batch_size", "8", "--sample_steps", "2"),
)


@dataclass(frozen=True)
class Job:
    """Where a part works, and until when, on the clock of `time.monotonic`."""

    device: str
    extent: Extent
    folder: Path
    environments: Path
    deadline: float

    def allows(self, seconds: float) -> bool:
        """Whether so many seconds are left."""
        return time.monotonic() + seconds < self.deadline

    def run(self, seconds: float) -> Path:
        """The folder of the run that was trained for `seconds`, as `contenders.ours` names it."""
        return self.folder / f"ours-{seconds:g}-0"


class Ruler:
    """The Fréchet distance of `fromnoise evaluate`, of as many samples as there are test images, over the latter's."""

    def __init__(self, data: str) -> None:
        options = DataOptions(data)
        self.train = load(options)
        test = unseen(options, self.train)
        assert test is not None, f"{data} has no test images"
        self.reference, self.num = build_reference(self.train), len(test)
        embedded = self.reference.features.of(test.images)
        self.test = frechet_distance(statistics(embedded), self.reference.statistics)

    def measured(self, made: Made) -> dict[str, Any]:
        """Distance, ratio and class accuracy of samples; the ratio is only of as many as there are test images."""
        images = torch.from_numpy(made.images).permute(0, 3, 1, 2).contiguous()
        labels = None if made.labels is None else torch.from_numpy(made.labels)
        found = quick_scores(images, labels, self.reference)
        ratio = found.frechet_distance / self.test if len(images) == self.num else None
        scores = {"frechet_distance": found.frechet_distance, "ratio_to_test": ratio}
        return {"samples": len(images), **scores, "class_accuracy": found.class_accuracy}


def speed(job: Job, compiled: bool = False) -> Rows:
    """A row a size: images per second, in turns with matrix multiplications in the type that training computes in."""
    for number, side in enumerate(job.extent.sides):
        if job.allows(45 if compiled else 15) or not number:
            yield {"side": side, **steps_of(job, side, 1 if side == min(job.extent.sides) else 3, compiled)}


def compiled(job: Job) -> Rows:
    """The same with torch.compile: its first steps take most of a minute."""
    return speed(job, compiled=True)


def steps_of(job: Job, side: int, channels: int, compiled: bool) -> dict[str, Any]:
    """What a training step of the recipe costs on images of side x side pixels."""
    extent, device = job.extent, job.device
    if device != "cpu":
        gc.collect()  # the trainer before it, with its graph
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    data = random_images(extent.images * min(extent.sides) ** 2 // side**2, channels, side)
    settings = {**extent.settings, "train.compile": "yes" if compiled else "no"}
    began = time.monotonic()
    trainer = engine(data, "default", settings, device)
    step = stepper(trainer)
    about: dict[str, Any] = {"mflop_per_image": flops_per_image(step) / 1e6} if not compiled else {}
    for _ in range(WARM):
        step()
    wait(device)
    about["ready_seconds"] = round(time.monotonic() - began, 2)
    dtype = trainer.denoiser.autocast or torch.float32
    memory = None if device == "cpu" else torch.cuda.max_memory_allocated() / 1e6  # of steps, not of the product below
    images, peak = _in_turns(step, matmul(dtype, device), extent, device)
    return {
        **about,
        "channels": channels,
        "batch": trainer.options.train_batch_size,
        "parameters": sum(p.numel() for p in trainer.net.parameters()),
        "type": str(dtype).removeprefix("torch."),
        "images_per_second": spread(images),
        "peak_gflops": spread(peak),
        "memory_mb": memory,
    }


def _in_turns(step: Step, top: tuple[Step, int], extent: Extent, device: str) -> tuple[list[float], list[float]]:
    """(images/s of a step, GFLOP/s of the matrix multiplication) in each turn."""
    images, peak = [], []
    product, work = top
    for _ in range(extent.turns):
        turn = timed(step, extent.turn, device)
        images.append(turn["images"] / turn["seconds"])
        turn = timed(product, min(0.5, extent.turn), device)
        peak.append(turn["steps"] * work / turn["seconds"] / 1e9)
    return images, peak


def quality(job: Job) -> Rows:
    """A row a budget, rising, until one reaches what a CPU does in 600 s; each is a training from nothing."""
    ruler, target = Ruler(job.extent.data), cpu_quality(job.extent.data)
    for number, seconds in enumerate(job.extent.budgets):
        if number and not job.allows(seconds + AROUND):
            return
        made = ours("ours", job.extent.data, seconds, 0, ruler.num, job.folder)
        row = {"budget": seconds, **made.facts, **ruler.measured(made), "test": ruler.test, "target": target}
        yield row
        if target is not None and row["ratio_to_test"] <= target:
            return


def few_steps(job: Job) -> Rows:
    """A row a number of steps, of the longest run that `quality` left."""
    budget = _longest(job)
    for row in _sampled(job.run(budget), job.extent.steps, Ruler(job.extent.data)):
        yield {"budget": budget, **row}


def distilled(job: Job) -> Rows:
    """The same of the run that `fromnoise distill` makes of that one, whose seconds stand in every row."""
    budget, path = _longest(job), job.folder / "distilled"
    words = [str(job.run(budget)), "--budget", f"{job.extent.distill_seconds:g}s", "--output_dir", str(path)]
    shutil.rmtree(path, ignore_errors=True)  # that of another run would be gone on with
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "fromnoise", "distill", *words], stdout=subprocess.DEVNULL, check=True)
    took = time.monotonic() - began
    for row in _sampled(path, job.extent.steps, Ruler(job.extent.data)):
        yield {"budget": budget, "distill_seconds": took, **row}


def _longest(job: Job) -> float:
    """The largest budget of which `quality` left a run."""
    there = [seconds for seconds in job.extent.budgets if (job.run(seconds) / "checkpoints").exists()]
    if not there:
        raise UsageError("there is no run of `quality` to sample; measure it too, with --parts quality,few_steps")
    return max(there)


def _sampled(path: Path, steps: tuple[int, ...], ruler: Ruler) -> Rows:
    """A row a number of steps, and one of the run's own: seconds of a second sampling, and what it is worth."""
    from fromnoise.run import Run

    run = Run(path)
    model, own = run.model(), run.settings.sample.steps
    for number in sorted({*steps, own}):
        model.sample(ruler.num, steps=number)  # kernels are chosen, memory is taken
        began = time.monotonic()
        samples = model.sample(ruler.num, steps=number)
        seconds = time.monotonic() - began  # they are in the CPU's memory, so the device is done
        labels = None if samples.labels is None else np.array(samples.labels)
        about = {"steps": number, "own": number == own, "evaluations": samples.evaluations, "seconds": seconds}
        yield {**about, **ruler.measured(Made(samples.images, labels, {}))}


def peers(job: Job) -> Rows:
    """A row a peer that is installed, trained on the same images by the same clock; a sentence for every other."""
    ruler, extent = Ruler(job.extent.data), job.extent
    train = exported(ruler.train, job.folder)
    for name in extent.peers:
        python = installed(name, job.environments)
        if python is None:
            yield {"peer": name, "left_out": "it is not installed here (`python benchmarks/gpu.py --prepare`)"}
        elif not job.allows(extent.peer_seconds + AROUND):
            yield {"peer": name, "left_out": "too little of the time was left"}
        else:
            yield {"peer": name, "budget": extent.peer_seconds, **_peer(name, python, train, ruler, job)}


def _peer(name: str, python: Path, train: Path, ruler: Ruler, job: Job) -> dict[str, Any]:
    extent = job.extent
    try:
        made = theirs(name, python, train, extent.peer_seconds, 0, extent.peer_num, job.folder, extent.peer_flags)
    except (SystemExit, subprocess.CalledProcessError) as error:
        return {"left_out": str(error).splitlines()[0]}
    return {**made.facts, **ruler.measured(made)}


def prepare(extent: Extent, environments: Path) -> None:
    """Have the data, the classifier that scores, and the peers' environments ready."""
    Ruler(extent.data)
    for name in extent.peers:
        environment(PEERS[name].environment, environments)


WORK: dict[str, Callable[[Job], Rows]] = {
    "speed": speed,
    "quality": quality,
    "few_steps": few_steps,
    "distilled": distilled,
    "compiled": compiled,
    "peers": peers,
}
