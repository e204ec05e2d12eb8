"""What the benchmarks share: the machine in words, numbers from repeats, Markdown tables, and where results go."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def processor() -> str:
    """The processor's name and what it has for bf16; only Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name, flags = said.get("model name", platform.machine()), said.get("flags", "").split()
    return f"{name}, {', '.join(flag for flag in ('avx2', 'avx512_bf16', 'amx_bf16') if flag in flags)}"


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the numbers were measured on."""
    import torch

    from fromnoise.train.hardware import choose_precision

    auto = choose_precision(device)
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "automatic_precision": f"{auto.dtype_name}: {auto.reason}",
    }


def in_words(found: dict[str, Any]) -> str:
    """A `machine` as part of a sentence."""
    gpu = "" if found["device"] == "cpu" else f"{found['device']}, beside "
    threads = f"{found['threads']} thread{'' if found['threads'] == 1 else 's'}"
    return (
        f"{gpu}{found['cores']} cores of {found['processor']}; torch {found['torch']}, {threads}; "
        f"precision `auto` is {found['automatic_precision']}"
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median of repeats, and the least and most of them."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """The spread of above / below, round by round: what slows a round down slows both."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def short(value: float, digits: int = 3) -> str:
    """Three digits that count, thousands parted: 1,234, 123, 12.3, 1.23."""
    rounded = float(f"{value:.{digits}g}") if abs(value) < 10 ** (digits - 1) else round(value)
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"


def with_range(found: dict[str, float]) -> str:
    """A `spread` for a table: the median, and behind it least to most."""
    return f"{short(found['median'])} ({short(found['min'])}–{short(found['max'])})"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    first, *others = (f"| {' | '.join(line)} |" for line in (heading, *rows))
    return "\n".join([first, f"|{'---|' * len(heading)}", *others])


def write(stem: Path, found: dict[str, Any], page: str) -> None:
    """Write `found` to stem.json and `page` to stem.md."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(page, encoding="utf-8")


def keep(stem: Path, found: dict[str, Any], page: str) -> None:
    """`write`, and print the page."""
    write(stem, found, page)
    print(page)
