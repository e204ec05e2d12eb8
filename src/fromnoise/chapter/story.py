"""The chapter from its first section to its last, and the two files that hold what was found."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fromnoise.chapter import words
from fromnoise.chapter.corruption import corruption, ddpm_corruption, first_batch
from fromnoise.chapter.networks import Trained
from fromnoise.chapter.parts import Parts
from fromnoise.chapter.quality import quality_by_steps
from fromnoise.chapter.teaching import basic_unet, sampling, unet2d
from fromnoise.chapter.telling import Telling, tabled
from fromnoise.chapter.told import held_out, told_the_time
from fromnoise.chapter.words import filled
from fromnoise.common.durations import format_duration
from fromnoise.common.errors import DataError
from fromnoise.common.files import write_bytes
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import describe, load
from fromnoise.report.html import Section, page, write_page
from fromnoise.settings import DataOptions
from fromnoise.train.hardware import choose_device


def tell(folder: Path, source: str, parts: Parts, seed: int, device: str = "auto") -> Path:
    """Tell the chapter on `source` into `folder`; returns the path of chapter.html. Raises what `run_chapter` does."""
    began = time.time()
    chosen = choose_device(device)
    data = _images(source)
    spec = replace(data.spec, low=0.0, high=1.0)
    telling = Telling(folder, parts, source, data, spec, seed, chosen)
    print(f"the {_mode(telling)} chapter on {source}, into {folder}", flush=True)
    x = first_batch(telling)
    corruption(telling, x)
    basic = basic_unet(telling, x)
    sampling(telling, basic)
    larger = unet2d(telling)
    ddpm_corruption(telling, x)
    unseen = held_out(telling)
    told_the_time(telling, basic, unseen)
    quality_by_steps(telling, basic, larger, unseen)
    seconds = time.time() - began
    telling.say(f"the whole chapter took {format_duration(seconds)}")
    _write_numbers(telling, basic, seconds)
    return _write_page(telling, basic, seconds)


def _images(source: str) -> ArrayData:
    try:
        return load(DataOptions(source=source))
    except DataError as error:
        if source != "mnist":
            raise
        raise DataError(
            f"{error}\n`fromnoise chapter --data digits` does the same steps at once, without the comparison"
        ) from error


def _mode(telling: Telling) -> str:
    return "quick" if telling.parts.quick else "whole"


def _write_numbers(telling: Telling, basic: Trained, seconds: float) -> None:
    """chapter.json: every quantity, and what is needed to judge or repeat them."""
    numbers = {
        "mode": "quick" if telling.parts.quick else "full",
        "data": telling.source,
        "images": len(telling.data),
        "seed": telling.seed,
        "seconds": round(seconds, 1),
        "machine": _machine(telling),
        "versions": basic.run.metadata["versions"],
        "trained": telling.trained,
        "quantities": telling.listed(),
    }
    write_bytes(telling.folder / "chapter.json", json.dumps(numbers, indent=1).encode())


def _machine(telling: Telling) -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": telling.device.name,
        "reason": telling.device.reason,
    }


def _processor() -> str:
    """The processor's name; only Linux writes it into a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _write_page(telling: Telling, basic: Trained, seconds: float) -> Path:
    """chapter.html: how it was run, the sections, all numbers, and how to go on."""
    beside = ", and its numbers stand beside the published ones" if telling.compared else ""
    lead = [filled(words.LEAD, numbers=beside)]
    if telling.parts.quick:
        lead.append(filled(words.QUICK))
    if not telling.compared:
        lead.append(filled(words.OTHER_DATA, data=describe(telling.data)))
    sections = [
        Section("What was run", table=_facts(telling, seconds)),
        *telling.sections,
        *_comparison(telling),
        Section("How to go on", filled(words.GO_ON), code=_commands(telling, basic)),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in basic.run.metadata["versions"].items())
    title = "From noise to digits" if telling.compared or telling.source == "digits" else "From noise to images"
    html = page(title, "\n\n".join(lead), sections, f"Made by {versions}.")
    return write_page(telling.folder / "chapter.html", html)


def _comparison(telling: Telling) -> list[Section]:
    chosen = [quantity for quantity in telling.quantities if quantity.published is not None]
    return [Section("Published and ours", filled(words.PUBLISHED), table=tabled(chosen))] if chosen else []


def _facts(telling: Telling, seconds: float) -> list[tuple[str, str]]:
    """(what, how) rows, the first a heading."""
    trained = [
        (one["network"], f"{one['part']}, {format_duration(one['seconds'])}, {one['images_per_second']:,.0f} images/s")
        for one in telling.trained
    ]
    return [
        ("", "value"),
        ("mode", f"{_mode(telling)} chapter, seed {telling.seed}"),
        ("images", describe(telling.data)),
        ("device", f"{telling.device.name} ({telling.device.reason})"),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        *trained,
        ("time", format_duration(seconds)),
    ]


def _commands(telling: Telling, basic: Trained) -> str:
    lines = [
        f"fromnoise show {basic.run.path}",
        f"fromnoise sample {basic.run.path} --steps 40 --seeds 0-15 --out film.gif",
        f"fromnoise train {telling.source}",
    ]
    return "\n".join(lines)
