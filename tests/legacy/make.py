"""Makes runs.zip: tiny run folders of formats 1 and 2, as the versions that had these formats left them half trained.

    python tests/legacy/make.py        once; what it made is part of the tests

config.json has no checksum, the averages no manifest, and the checkpoint format 1. Weights are rounded, so that a few
kilobytes hold them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from safetensors.torch import load, save

from fromnoise.run import Run

PLACE = Path(__file__).resolve().with_name("runs.zip")
RENAMED = {
    "net": {"time_conditioning": "told_time", "class_conditioning": "told_class"},
    "objective": {"time_sampling": "times"},
    "train": {"validations": "heldout"},
    "sample": {"autoguidance_scale": "autoguidance", "guide_checkpoint": "weaker"},
}
LATER = {"data": ("range", "channels"), "train": ("checkpointing_steps", "num_threads")}  # settings of format 3
STATE = ("step", "images", "total", "skipped", "seconds")
SETTINGS = {
    "net.kind": "dit",
    "net.width": 8,
    "net.depth": 1,
    "data.holdout": 0.0,
    "train.num_images": 640,
    "train.train_batch_size": 8,
    "train.previews": 0,
    "train.validations": 0,
    "train.checkpointing_steps": 20,
    "sample.grid": "few_steps",
    "sample.sampler": "mix",
    "sample.steps": 2,
}


def main() -> None:
    os.chdir(tempfile.mkdtemp())
    images = np.random.default_rng(0).integers(0, 256, (16, 4, 4), dtype=np.uint8)
    np.savez_compressed("images.npz", images=images, labels=np.arange(16) % 2)
    run = Run.create("images.npz", output_dir="format-2", settings=SETTINGS)
    for step in run.steps():
        if step.step == 41:
            break
    as_it_was(Path("format-2"))
    shutil.copytree("format-2", "format-1")
    as_format_1(Path("format-1"))
    with zipfile.ZipFile(PLACE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(Path().rglob("*")):
            if path.is_file() and path.suffix != ".lock":
                archive.write(path)


def as_it_was(path: Path) -> None:
    record = json.loads((path / "config.json").read_text())
    del record["sha256"]
    for section, names in LATER.items():
        record["settings"][section] = {k: v for k, v in record["settings"][section].items() if k not in names}
    (path / "config.json").write_text(json.dumps({**record, "format": 2}, indent=1))
    toml = (path / "config.toml").read_text()
    (path / "config.toml").write_text(toml.replace("checkpointing_steps = 20\n", ""))
    (path / "averages" / "manifest.json").unlink()
    for snapshot in (path / "averages").glob("*.safetensors"):
        snapshot.write_bytes(rounded(snapshot.read_bytes()))
    for checkpoint in (path / "checkpoints").iterdir():
        files = {file.name: rounded(file.read_bytes()) for file in checkpoint.glob("*.safetensors")}
        state = json.loads((checkpoint / "state.json").read_text())
        files["state.json"] = json.dumps({"format": 1, **{name: state[name] for name in STATE}}).encode()
        manifest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        for name, content in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            (checkpoint / name).write_bytes(content)


def as_format_1(path: Path) -> None:
    record = json.loads((path / "config.json").read_text())
    for section, names in RENAMED.items():
        for new, old in names.items():
            record["settings"][section][old] = record["settings"][section].pop(new)
    record["settings"]["sample"]["grid"] = "spread"
    record["config"], record["situation"] = record.pop("settings"), record.pop("context")
    del record["parameters"]
    (path / "config.json").write_text(json.dumps({**record, "format": 1}, indent=1))
    words = (path / "config.toml").read_text().replace("validations = 0", "heldout = 0")
    (path / "config.toml").write_text(words.replace('"few_steps"', '"spread"'))


def rounded(content: bytes) -> bytes:
    """The same tensors at few values, which take little room."""
    return save({name: (value.float() * 8).round().to(value.dtype) / 8 for name, value in load(content).items()})


if __name__ == "__main__":
    main()
