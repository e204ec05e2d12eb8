"""Which device, number type and memory layout, and how steps are launched: chosen by rule, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.errors import UsageError


@dataclass(frozen=True)
class Device:
    """name: "cuda", "mps" or "cpu" as torch says it; reason: why, for people."""

    name: str
    reason: str


@dataclass(frozen=True)
class Precision:
    """dtype_name: "float32" or "bfloat16", the type the network computes in; reason: why, for people."""

    dtype_name: str
    reason: str

    @property
    def autocast(self) -> Any:
        """The torch type for autocast, or None for float32."""
        import torch

        return torch.bfloat16 if self.dtype_name == "bfloat16" else None


@dataclass(frozen=True)
class Choice:
    """on: yes or no; reason: why, for people."""

    on: bool
    reason: str

    def __str__(self) -> str:
        return f"{'yes' if self.on else 'no'} ({self.reason})"


def choose_device(asked: str = "auto") -> Device:
    """CUDA if there is one, else Apple's MPS, else the CPU; or what is asked for, if it is there (UsageError)."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if asked == "auto":
        if cuda:
            return Device("cuda", f"{torch.cuda.get_device_name()} found")
        if mps:
            return Device("mps", "Apple GPU found")
        return Device("cpu", f"no GPU found; {torch.get_num_threads()} threads")
    present = {"cuda": cuda, "mps": mps, "cpu": True}
    name = asked.partition(":")[0]
    if name not in present:
        raise UsageError(f"unknown device '{asked}'; choose auto, cpu, cuda or mps")
    if not present[name]:
        raise UsageError(f"device '{asked}' was asked for, but torch finds none here; use --device auto or cpu")
    return Device(asked, "asked for")


def kind_of_device(asked: str = "auto") -> str:
    """ "cuda", "mps" or "cpu" as `choose_device` chooses, without the number of a GPU; raises what it raises."""
    return choose_device(asked).name.partition(":")[0]


def choose_precision(device: str, asked: str = "auto") -> Precision:
    """bf16 where `device` computes it faster than float32, else float32; or what is asked for."""
    if asked == "no":
        return Precision("float32", "asked for")
    if asked == "bf16":
        return Precision("bfloat16", "asked for")
    if device.startswith("cuda"):
        import torch

        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bfloat16", "this GPU has bf16 units")
        return Precision("float32", "this GPU has no bf16 units")
    if device == "mps":
        return Precision("float32", "bf16 gains nothing on Apple's GPUs at these sizes")
    found = _cpu_bf16()
    if found:
        return Precision("bfloat16", f"this CPU has {found}")
    return Precision("float32", "this CPU has no bf16 instructions (AVX512_BF16 or AMX)")


def choose_channels_last(net: str, device: str, asked: str = "auto") -> Choice:
    """Whether images and kernels of the network of kind `net` lie in memory pixel by pixel; or as asked for."""
    if asked != "auto":
        return Choice(asked == "channels_last", "asked for")
    if net == "unet2d" and device == "cpu":
        return Choice(False, "group normalisation is slower pixel by pixel on a CPU")
    return Choice(True, "convolutions read all channels of a pixel together")


def choose_graph(device: str, asked: str = "auto") -> Choice:
    """Whether a training step is recorded as a CUDA graph; UsageError where that is asked for and cannot be had."""
    if asked != "auto":
        if asked == "yes" and not device.startswith("cuda"):
            raise UsageError(f"cuda_graph was asked for, but the device is {device}; use --set train.cuda_graph=auto")
        return Choice(asked == "yes", "asked for")
    if device.startswith("cuda"):
        return Choice(True, "a step is hundreds of kernels that run faster than Python can ask for them")
    return Choice(False, f"there are none on {device}")


def choose_compile(device: str, asked: str = "auto") -> Choice:
    """Whether torch.compile fuses the network's kernels; or as asked for."""
    if asked != "auto":
        return Choice(asked == "yes", "asked for")
    if device.startswith("cuda"):
        return Choice(False, "compiling takes longer than it saves in a few minutes")
    return Choice(False, "it gains nothing on a CPU at these sizes")


def _cpu_bf16() -> str | None:
    """The name of this CPU's bf16 instructions, or None; Linux lists them in /proc/cpuinfo."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return None
    for flag in ("amx_bf16", "avx512_bf16"):
        if flag in flags:
            return flag.upper()
    return None
