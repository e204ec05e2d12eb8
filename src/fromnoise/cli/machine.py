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
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fromnoise.common.errors import FromNoiseError

DATA_SETS = ("digits", "mnist", "fashion_mnist", "kmnist", "cifar10")
LEAST_FREE = 2**30  # bytes; a run of small images with its checkpoints stays below this
_NVIDIA_SIGNS = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1")


@dataclass(frozen=True)
class Fact:
    """One line of the report.

    ok: False where fromnoise cannot do its work. advice: what to do then; with ok True, what would make it better.
    """

    name: str
    value: str
    ok: bool = True
    advice: str = ""


def examine() -> list[Fact]:
    """All facts, in the order in which to read them; takes a few seconds, most of them for importing torch."""
    torch, broken = _imported_torch()
    facts = [_package(), _python(), Fact("system", platform.platform())]
    facts += [torch, _installed("diffusers"), _libraries()]
    if not broken:
        facts += _computing()
    return [*facts, _memory(), _disk(Path.cwd()), *_data(), *_extras()]


def _package() -> Fact:
    try:
        return Fact("fromnoise", f"{metadata.version('fromnoise')} in {Path(__file__).parent}")
    except metadata.PackageNotFoundError:
        where = f"not installed, run from {Path(__file__).parent}"
        return Fact("fromnoise", where, advice=f"install it: {sys.executable} -m pip install -e .")


def _python() -> Fact:
    return Fact("Python", f"{platform.python_version()} at {sys.executable}")


def _installed(name: str) -> Fact:
    """The version of a library, without importing it."""
    try:
        return Fact(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Fact(name, "missing", False, _pip(name))


def _pip(*names: str) -> str:
    return f"install it: {sys.executable} -m pip install {' '.join(names)}"


def _imported_torch() -> tuple[Fact, bool]:
    """(fact, whether torch is unusable): a torch that is there may still fail to load its libraries."""
    try:
        torch = importlib.import_module("torch")
        return Fact("torch", str(torch.__version__)), False
    except ModuleNotFoundError as error:
        if error.name == "torch":
            return Fact("torch", "missing", False, _pip("torch")), True
        return _unusable(error), True
    except (ImportError, OSError) as error:
        return _unusable(error), True


def _unusable(error: Exception) -> Fact:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return Fact("torch", f"cannot be imported: {said}", False, _pip("--force-reinstall", "torch"))


def _requirements() -> list[tuple[str, str]]:
    """(library, extra that wants it or "") as the installed package states them; empty where it is not installed."""
    try:
        stated = metadata.requires("fromnoise") or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in stated:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", line)
        if name:
            found.append((name[0], extra[1] if extra else ""))
    return found


def _lacking(names: list[str]) -> list[str]:
    return [name for name in names if not _installed(name).ok]


def _libraries() -> Fact:
    names = [name for name, extra in _requirements() if not extra]
    lacking = _lacking(names)
    if lacking:
        return Fact("libraries", f"missing: {', '.join(lacking)}", False, _pip(*lacking))
    return Fact("libraries", f"all {len(names)} that fromnoise needs" if names else "not listed")


def _extras() -> list[Fact]:
    """One fact for each extra that adds abilities; "dev" is for working on fromnoise itself."""
    wanted: dict[str, list[str]] = {}
    for name, extra in _requirements():
        if extra and extra != "dev":
            wanted.setdefault(extra, []).append(name)
    facts = []
    for extra, names in sorted(wanted.items()):
        lacking = _lacking(names)
        value = f"lacks {', '.join(lacking)}" if lacking else f"installed: {', '.join(names)}"
        facts.append(Fact(f"extra [{extra}]", value, advice=_pip(f'"fromnoise[{extra}]"') if lacking else ""))
    return facts


def _computing() -> list[Fact]:
    """The device and number type that training would choose, each with the reason."""
    import torch

    from fromnoise.train.hardware import choose_device, choose_precision

    try:
        device = choose_device()
        precision = choose_precision(device.name)
        memory = [_gpu_memory()] if device.name == "cuda" else []
    except (RuntimeError, OSError) as error:  # a driver that torch sees but cannot use
        return [Fact("device", f"cannot be used: {error}", False, "mend the driver, or train with --device cpu")]
    advice = ""
    if device.name == "cpu" and _has_nvidia_driver() and torch.version.cuda is None:
        advice = "there is an NVIDIA driver, but this torch is a CPU build; see pytorch.org for the CUDA build"
    return [
        Fact("device", f"{device.name}: {device.reason}", advice=advice),
        Fact("precision", f"{precision.dtype_name}: {precision.reason}"),
        *memory,
    ]


def _has_nvidia_driver() -> bool:
    return shutil.which("nvidia-smi") is not None or any(Path(sign).exists() for sign in _NVIDIA_SIGNS)


def _gpu_memory() -> Fact:
    import torch

    free, total = torch.cuda.mem_get_info()
    return Fact("GPU memory", f"{_gib(free)} free of {_gib(total)}")


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _memory() -> Fact:
    """Main memory; in a container what it may use, when that is less than the machine has."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return Fact("memory", "this system does not tell")
    try:
        allowed = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no such limit, or the word "max"
        allowed = total
    return Fact("memory", f"{_gib(min(total, allowed))}, {os.cpu_count()} processor cores")


def _disk(folder: Path) -> Fact:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        return Fact("disk", f"{_gib(free)} free in {folder}", False, f"free {_gib(LEAST_FREE)} or work elsewhere")
    return Fact("disk", f"{_gib(free)} free in {folder}")


def _data() -> list[Fact]:
    """Whether the cache can be written, and which data sets need no download."""
    try:
        from fromnoise.data.download import available, cache_dir

        facts = [_cache(cache_dir())]
        here = [name for name in DATA_SETS if available(name)]
    except (ImportError, OSError, FromNoiseError) as error:
        return [Fact("data", f"cannot be looked at: {error}", False, "mend the libraries named above first")]
    lacking = [name for name in DATA_SETS if name not in here]
    advice = f"to download: fromnoise data fetch NAME (not at hand: {', '.join(lacking)})" if lacking else ""
    return [*facts, Fact("data at hand", ", ".join(here) or "none", advice=advice)]


def _cache(folder: Path) -> Fact:
    """Tries to write where the cache is, or where it would be made; leaves nothing behind."""
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        advice = "set FROMNOISE_CACHE to a folder that can be written"
        return Fact("cache", f"{folder} cannot be written: {why}", False, advice)
    return Fact("cache", f"{folder}, can be written")
