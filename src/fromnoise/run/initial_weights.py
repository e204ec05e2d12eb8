"""Weights to start a new run from: another model's, as far as the new network has parameters of their shape.

`read_initial_weights` recognises where they are; another source of weights is one more case there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.options import from_dict
from fromnoise.common.text import some
from fromnoise.export.stock_reading import CHOICES
from fromnoise.run.diffusers_source import DiffusersSource, is_diffusers_folder, read_diffusers
from fromnoise.run.folder import RunFolder
from fromnoise.run.opened import OpenedRun
from fromnoise.settings import Settings

FEWEST = 0.5  # share of the network's numbers that must come from elsewhere, or it is another network


@dataclass(frozen=True)
class InitialWeights:
    """Weights by name, and how they were trained.

    Attributes:
        about: where they are from, for people.
        settings: of that training.
        sigma_data: of its images; the network's inputs and outputs are scaled by it.
    """

    about: str
    settings: Settings
    sigma_data: float
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class Fitted:
    """What a network took over: how many tensors, and the names of those that start from scratch."""

    taken: int
    scratch: tuple[str, ...]

    def __str__(self) -> str:
        rest = f"; from scratch: {some(self.scratch, 6)}" if self.scratch else ""
        return f"{self.taken:,} of {self.taken + len(self.scratch):,} tensors taken over{rest}"


def read_initial_weights(path: Path) -> InitialWeights:
    """The averaged weights of a run folder, of one of its checkpoints, or those of a folder for diffusers.

    Raises CheckpointError for anything else.
    """
    if RunFolder(path).exists():
        return _of_run(path, "last")
    if path.name.isdigit() and RunFolder(path.absolute().parent.parent).exists():
        return _of_run(path.absolute().parent.parent, str(int(path.name)))
    if is_diffusers_folder(path):
        source = _of_folder(path)
        settings = _own_sampling(source.settings, source.distilled)
        return InitialWeights(f"the weights of {path}", settings, source.sigma_data, source.weights)
    raise CheckpointError(
        f"no weights to start from in {path}; give a folder that `fromnoise train` made, one in its checkpoints/, or a "
        "folder for diffusers"
    )


def _of_folder(path: Path) -> DiffusersSource:
    """The model in a folder for diffusers; where its own scheduler has no equal here, with a sampler of ours."""
    try:
        return read_diffusers(path)
    except CheckpointError as error:
        for sampler in CHOICES:
            with suppress(CheckpointError, UsageError):  # the latter for an export of ours, which has a sampler
                return read_diffusers(path, sampler=sampler)
        raise error


def _of_run(path: Path, checkpoint: str) -> InitialWeights:
    run = OpenedRun(path, device="cpu")
    model = run.model(checkpoint)
    weights = {name: value.contiguous() for name, value in model.denoiser.net.state_dict().items()}
    about = f"the weights of {path} after {model.images:,} images"
    settings = _own_sampling(run.settings, run.metadata.get("distilled"))
    return InitialWeights(about, settings, run.metadata["sigma_data"], weights)


def _own_sampling(settings: Settings, distilled: Mapping[str, Any] | None) -> Settings:
    """`settings` with the sampling of the run that a distilled one is of: its own is for few steps alone."""
    if not distilled:
        return settings
    return replace(settings, sample=from_dict(Settings(), {"sample": distilled["sampling"]}).sample)


def fit(net: nn.Module, initial: InitialWeights) -> Fitted:
    """Put the weights that have a place in `net` there; UsageError where most of it would start from scratch."""
    own = net.state_dict()
    fitting = {name: value for name, value in initial.weights.items() if name in own and value.shape == own[name].shape}
    scratch = tuple(name for name in own if name not in fitting)
    numbers = {name: value.numel() for name, value in own.items()}
    share = sum(numbers[name] for name in fitting) / max(1, sum(numbers.values()))
    if share < FEWEST:
        raise UsageError(
            f"{initial.about} are of another network: {100 * share:.0f} % of this one's parameters are among them; "
            "leave out what was set of net, or start without --init"
        )
    net.load_state_dict({**own, **fitting})
    return Fitted(len(fitting), scratch)
