"""An optimizer's state as safetensors: moments and step counts, by parameter number ("12.exp_avg")."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from fromnoise.common.errors import CheckpointError

_ADAM, _MUON = {"step", "exp_avg", "exp_avg_sq"}, {"momentum"}  # what is kept of one parameter


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state by parameter number and name, on the CPU."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value.detach().cpu().contiguous() for i, row in state.items() for name, value in row.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, content: bytes, file: str = "optimizer.safetensors") -> None:
    """Put the state that the safetensors file `file` holds into `optimizer`; CheckpointError where it does not fit."""
    groups = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in groups for number in group["params"]]
    try:
        state = _rows(load(content), dict(zip(numbers, parameters, strict=True)))
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (SafetensorError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(
            f"the checkpoint's {file} does not fit the network of config.json ({reason}); use another checkpoint"
        ) from error
    for parameter, row in optimizer.state.items():
        for name, value in row.items():
            if value.shape == parameter.shape:
                # The fused kernels walk memory, so moments must be laid out as their parameter is (channels last).
                row[name] = torch.empty_like(parameter).copy_(value)


def _rows(tensors: dict[str, Tensor], parameters: dict[int, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The state by parameter number; ValueError for what no optimizer of ours keeps of such parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        if not number.isascii() or not number.isdecimal() or int(number[:9]) not in parameters:
            raise ValueError(f"it holds {key[:60]!r}")
        shape = torch.Size() if name == "step" else parameters[int(number)].shape
        if value.shape != shape or not bool(value.isfinite().all()):
            raise ValueError(f"{key[:60]!r} has shape {list(value.shape)} or values that are not finite")
        state.setdefault(int(number), {})[name] = value
    for place, row in state.items():
        if set(row) not in (_ADAM, _MUON):
            raise ValueError(f"of parameter {place} it holds {', '.join(sorted(row))[:80]}")
    return state
