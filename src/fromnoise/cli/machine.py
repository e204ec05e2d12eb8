"""What this machine offers: facts, each with what to do where something is wrong or could be better.

Nothing is changed, downloaded or trained, and a broken installation is reported instead of raised. torch is
imported only while looking.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fromnoise.common.errors import FromNoiseError
from fromnoise.common.files import check_writable
from fromnoise.common.text import count, first_line, in_bytes

LEAST_FREE = 2**30  # bytes; a run of small images with its checkpoints stays below this
_OURS = ("dev", "docs")  # extras for working on fromnoise itself
_HERE = Path(__file__).resolve().parent.parent
_INSTALL = f"{sys.executable} -m pip install"


@dataclass(frozen=True)
class Fact:
    """One line of the report.

    ok: False where fromnoise cannot do its work. advice: what to do then; with ok True, what would make it better.
    """

    name: str
    value: str
    ok: bool = True
    advice: str = ""


def here() -> Path | None:
    """The working folder, None where it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def examine() -> list[Fact]:
    """All facts, in the order in which to read them; takes a few seconds, most of them for importing torch."""
    disk = _disk(here())
    if not here():
        os.chdir(_HERE)  # without a working folder torch's libraries end the process
    torch = _torch()
    python = f"{platform.python_version()} at {sys.executable}"
    facts = [_package(), Fact("Python", python), Fact("system", platform.platform()), torch, _libraries()]
    return [*facts, *(_computing() if torch.ok else ()), disk, *_data(), *_extras()]


def _package() -> Fact:
    try:
        return Fact("fromnoise", f"{metadata.version('fromnoise')} in {_HERE}")
    except metadata.PackageNotFoundError:
        return Fact("fromnoise", f"not installed, run from {_HERE}", advice=f"install it: {_INSTALL} -e .")


def _torch() -> Fact:
    """torch's version; a torch that is there may still fail to load its libraries."""
    try:
        return Fact("torch", str(importlib.import_module("torch").__version__))
    except (ImportError, OSError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            return Fact("torch", "missing", False, f"install it: {_INSTALL} torch")
        reason = first_line(error)
        advice = f"install it again: {_INSTALL} --force-reinstall torch"
        return Fact("torch", f"cannot be imported: {reason}", False, advice)


def _missing() -> dict[str, tuple[list[str], list[str]]]:
    """Extra, "" for the core -> (its libraries, those of them that are missing), as the installed package states."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    try:
        stated = metadata.requires("fromnoise") or []
    except metadata.PackageNotFoundError:
        return found
    for line in stated:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", line)
        names, missing = found.setdefault(extra[1] if extra else "", ([], []))
        names.append(name)
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    return found


def _libraries() -> Fact:
    names, missing = _missing().get("", ([], []))
    if missing:
        advice = f"install it: {_INSTALL} {' '.join(missing)}"
        return Fact("libraries", f"missing: {', '.join(missing)}", False, advice)
    return Fact("libraries", f"all {len(names)} that fromnoise needs" if names else "not listed")


def _extras() -> list[Fact]:
    """One fact for each extra that adds abilities."""
    facts = []
    for extra, (names, missing) in sorted(_missing().items()):
        if extra not in ("", *_OURS):
            value = f"lacks {', '.join(missing)}" if missing else f"installed: {', '.join(names)}"
            advice = f"install it: {_INSTALL} {' '.join(missing)}" if missing else ""
            facts.append(Fact(f"extra [{extra}]", value, advice=advice))
    return facts


def _computing() -> list[Fact]:
    """The device and number type that training would choose, each with the reason."""
    import torch

    from fromnoise.common.threads import THREADS
    from fromnoise.train.hardware import choose_device, choose_precision

    try:
        device = choose_device()
        precision = choose_precision(device.name)
        memory = f"; {torch.cuda.mem_get_info()[1] / 2**30:.0f} GiB" if device.name == "cuda" else ""
    except (RuntimeError, OSError) as error:  # a driver that torch sees but cannot use
        return [Fact("device", f"cannot be used: {error}", False, "fix the driver, or train with --device cpu")]
    advice = ""
    if device.name == "cpu" and torch.version.cuda is None and shutil.which("nvidia-smi"):
        advice = "there is an NVIDIA driver, but this torch is a CPU build; see pytorch.org for the CUDA build"
    return [
        Fact("device", f"{device.name}: {device.reason}{memory}", advice=advice),
        Fact("precision", f"{precision.dtype_name}: {precision.reason}"),
        Fact("threads", THREADS.about()),
        _processes(),
    ]


def _processes() -> Fact:
    """How many processes may share a training here, and by what they exchange its gradient."""
    import torch
    import torch.distributed as dist

    from fromnoise.common.cpus import usable

    if not dist.is_available():
        return Fact("processes", "one: this build of torch has no torch.distributed")
    gpus, cpus = torch.cuda.device_count(), usable()
    on_cpus = f"up to {cpus} on CPUs (gloo)"
    if not gpus:
        return Fact("processes", on_cpus)
    if not dist.is_nccl_available():
        return Fact("processes", f"1 on a GPU, as this build of torch has no NCCL; {on_cpus} with --device cpu")
    return Fact("processes", f"up to {gpus} on GPUs (NCCL); {on_cpus} with --device cpu")


def _disk(folder: Path | None) -> Fact:
    if folder is None:
        return Fact("disk", "the working folder is gone", False, "change to a folder that exists")
    free = shutil.disk_usage(folder).free
    value, ok = f"{free / 2**30:.1f} GiB free in {folder}", free >= LEAST_FREE
    return Fact("disk", value, ok, "" if ok else f"free {LEAST_FREE / 2**30:.0f} GiB or work elsewhere")


def _data() -> list[Fact]:
    """Whether the cache can be written, and which data sets need no download."""
    try:
        from fromnoise.data import DATASETS, available, cache_dir

        cache = _cache(cache_dir())
        missing, stores = [name for name in DATASETS if not available(name)], _stores()
    except (ImportError, OSError, FromNoiseError) as error:
        return [Fact("data", f"cannot be looked at: {error}", False, "install the libraries named above first")]
    advice = f"to download: fromnoise data fetch NAME (not at hand: {', '.join(missing)})" if missing else ""
    here = [name for name in DATASETS if name not in missing]
    return [cache, Fact("data at hand", ", ".join(here), advice=advice), *stores]


def _stores() -> list[Fact]:
    """The stores of decoded images, where there are any."""
    from fromnoise.data.stores import list_stores

    stores = list_stores()
    if not stores:
        return []
    size = in_bytes(sum(one.bytes for one in stores))
    value = f"{count(len(stores), 'store')} of decoded images in the cache, {size}"
    begun = sum(one.unfinished for one in stores)
    interrupted = f", {begun} of them from an import that was interrupted" if begun else ""
    return [Fact("stores", value + interrupted, advice="to list: fromnoise data list; to remove: fromnoise data prune")]


def _cache(folder: Path) -> Fact:
    try:
        check_writable(folder / "file")
    except FromNoiseError:
        advice = "set FROMNOISE_CACHE to a folder that can be written"
        return Fact("cache", f"{folder} cannot be written", False, advice)
    return Fact("cache", f"{folder}, can be written")
