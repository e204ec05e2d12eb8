"""Device, precision, memory format, CUDA graph and compilation: chosen by rule, each with its reason, or requested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.common.errors import UsageError
from fromnoise.common.threads import THREADS

if TYPE_CHECKING:
    from fromnoise.train.distributed import Group


@dataclass(frozen=True)
class Device:
    """name: a torch device such as "cuda", "cuda:1", "mps" or "cpu". reason: for people."""

    name: str
    reason: str


@dataclass(frozen=True)
class Precision:
    """dtype_name: "float32" or "bfloat16", the type the network computes in. reason: for people."""

    dtype_name: str
    reason: str

    @property
    def autocast(self) -> Any:
        """The torch type for autocast, or None for float32."""
        import torch

        return torch.bfloat16 if self.dtype_name == "bfloat16" else None


@dataclass(frozen=True)
class Choice:
    """on: yes or no. reason: for people."""

    on: bool
    reason: str

    def __str__(self) -> str:
        return f"{'yes' if self.on else 'no'} ({self.reason})"


def choose_device(requested: str = "auto") -> Device:
    """CUDA if there is one, else Apple's MPS, else the CPU; or the requested one, UsageError where it is missing."""
    import torch

    from fromnoise.train.distributed import current

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    group = current()  # a GPU each
    if cuda and group.world > 1 and requested in ("auto", "cuda"):
        return _own_gpu(group)
    if requested == "auto":
        if cuda:
            return Device("cuda", f"{torch.cuda.get_device_name()} found")
        if mps and group.world == 1:  # whose memory processes cannot share their gradients from
            return Device("mps", "Apple GPU found")
        return Device("cpu", f"no GPU found; threads: {THREADS.start()}")
    present = {"cuda": cuda, "mps": mps, "cpu": True}
    name = requested.partition(":")[0]
    if name not in present:
        raise UsageError(f"unknown device '{requested}'; choose auto, cpu, cuda or mps")
    if name == "mps" and group.world > 1:
        raise UsageError(f"device 'mps' was requested for {group.world} processes, but it is for one; use --device cpu")
    if not present[name]:
        raise UsageError(f"device '{requested}' was requested, but torch finds none here; use --device auto or cpu")
    number, there = requested.partition(":")[2], torch.cuda.device_count()
    if number and group.local_world > 1:
        raise UsageError(
            f"device '{requested}' was requested for {group.local_world} processes, but it is one GPU; use --device "
            "cuda, and each takes its own"
        )
    if name == "cuda" and number and not (number.isdecimal() and int(number) < there):
        raise UsageError(f"device '{requested}' was requested, but the GPUs here are cuda:0 to cuda:{there - 1}")
    return Device(requested, f"requested; threads: {THREADS.start()}" if name == "cpu" else "requested")


def _own_gpu(group: Group) -> Device:
    """The GPU of this process, of the many that train together; UsageError where there are fewer than processes."""
    import torch

    there = torch.cuda.device_count()
    if group.local_world > there:
        raise UsageError(
            f"there are {group.local_world} processes on this machine, but {there} GPUs; start at most {there}, or use "
            "--device cpu"
        )
    torch.cuda.set_device(group.local_rank)
    return Device(f"cuda:{group.local_rank}", f"a GPU for each process, {torch.cuda.get_device_name()} for the first")


def kind_of_device(requested: str = "auto") -> str:
    """ "cuda", "mps" or "cpu" as `choose_device` chooses, without the number of a GPU; raises what it raises."""
    return choose_device(requested).name.partition(":")[0]


def choose_precision(device: str, requested: str = "auto") -> Precision:
    """bf16 where `device` computes it faster than float32, else float32; or the requested type."""
    if requested == "no":
        return Precision("float32", "requested")
    if requested == "bf16":
        return Precision("bfloat16", "requested")
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


def choose_channels_last(net: str, device: str, requested: str = "auto") -> Choice:
    """Whether images and kernels of a network of kind `net` are laid out in memory pixel by pixel; or as requested."""
    if requested != "auto":
        return Choice(requested == "channels_last", "requested")
    if net == "unet2d" and device == "cpu":
        return Choice(False, "group normalisation is slower pixel by pixel on a CPU")
    return Choice(True, "convolutions read all channels of a pixel together")


def choose_graph(device: str, requested: str = "auto") -> Choice:
    """Whether a training step is captured as a CUDA graph; UsageError where that is requested on another device."""
    if requested != "auto":
        if requested == "yes" and not device.startswith("cuda"):
            raise UsageError(f"cuda_graph was requested, but the device is {device}; use --set train.cuda_graph=auto")
        return Choice(requested == "yes", "requested")
    if device.startswith("cuda"):
        return Choice(True, "a step is hundreds of kernels that run faster than Python can launch them")
    return Choice(False, f"there are none on {device}")


def choose_compile(device: str, requested: str = "auto") -> Choice:
    """Whether torch.compile fuses the network's kernels; or as requested."""
    if requested != "auto":
        return Choice(requested == "yes", "requested")
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
