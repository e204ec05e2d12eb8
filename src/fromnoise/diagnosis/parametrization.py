"""Are the network's answers read as they are meant? Every other prediction and the other range are tried.

A network trained to say velocity, read as if it said noise, makes noise. Nothing in its weights tells; but read
rightly its guesses are good ones, and read wrongly they are worse than a filter's. Some readings make a fair guess of
silence (EDM's of 0 is x_t, drawn towards 0), so a reading counts only where what the network says makes it better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.diagnosis.context import Case, Pictures, ratio, reference_of
from fromnoise.diagnosis.finding import Finding
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import PREDICTIONS

_IMAGES = 64
_FAR_BETTER, _ABOVE = 0.5, 1.25
_TELLING = (0.5, 8.0)  # strengths of noise: with less, eps and v are one and the same; with more, eps tells nothing


@dataclass(frozen=True)
class Reading:
    """The best way to read the network: its prediction, and what black is to it. wrong: the run reads it otherwise.

    error, silent, reference (L,): of the network, of one that says 0 and is read so, and of plain statistics.
    telling: bool (L,), the levels at which readings are compared.
    """

    prediction: str
    low: float
    error: Tensor
    silent: Tensor
    reference: Tensor
    telling: Tensor
    wrong: bool

    @property
    def score(self) -> float:
        """The error where readings can be told apart, in units of the reference; infinite if it is not finite."""
        times = ratio(self.error[self.telling], self.reference[self.telling])
        return times if math.isfinite(times) else math.inf

    @property
    def helps(self) -> bool:
        """Whether what the network says, read so, is far better than silence."""
        return ratio(self.error[self.telling], self.silent[self.telling]) < _FAR_BETTER


class _Silent(nn.Module):
    """A network that says nothing: 0."""

    def forward(self, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        return torch.zeros_like(x)


def best_reading(case: Case) -> Reading:
    """The run's own reading, unless that is above the reference and another has less than half its error."""
    run, own = case.run, case.run.settings.objective.prediction
    net = case.trained["raw"].net  # a cold average must not hide what the network says
    pictures = Pictures(case.test.images[:_IMAGES], _first(case.test.labels))
    found: dict[tuple[str, float], Reading] = {}
    for low in (run.spec.low, *({-1.0, 0.0} - {run.spec.low})):
        spec = replace(run.spec, low=low)
        reference, strength = reference_of(case.plain(spec, pictures)), case.levels_in(spec).strength
        telling = (strength > _TELLING[0]) & (strength < _TELLING[1])
        for name in PREDICTIONS:
            try:
                both = [_read_as(case, one, name) for one in (net, _Silent())]
            except UsageError:
                continue  # nothing could be trained so
            error, silent = (case.errors(case.asked(denoiser), pictures, spec).mean(1) for denoiser in both)
            wrong = (name, low) != (own, run.spec.low)
            found[name, low] = Reading(name, low, error, silent, reference, telling, wrong)
    mine = found[own, run.spec.low]
    best = min(found.values(), key=lambda reading: reading.score)
    far = best.score < _FAR_BETTER * mine.score and mine.score > _ABOVE
    return best if far and best.helps else mine


def _first(labels: Tensor | None) -> Tensor | None:
    return None if labels is None else labels[:_IMAGES]


def _read_as(case: Case, net: nn.Module, name: str) -> Denoiser:
    """`net` read as the prediction `name`; UsageError where that cannot be solved on the process."""
    own = case.denoiser
    prediction = PREDICTIONS[name](own.prediction.sigma_data)
    return Denoiser(net, own.process, prediction, own.spec, own.autocast).eval()


def reading_finding(case: Case, reading: Reading) -> Finding:
    """What was found, in words."""
    own = case.run.settings.objective.prediction
    numbers = {"prediction": reading.prediction, "low": reading.low}
    if not reading.wrong:
        says = f"The network's answers are read as what they are: no other reading than {own} does far better."
        return Finding("what the network says", "good", says, "", numbers)
    said = []
    if reading.prediction != own:
        said.append(f"as if it had been trained to say '{reading.prediction}', but the run says '{own}'")
    if reading.low != case.spec.low:
        said.append(f"as if black had been {reading.low:g} to it, but the run says {case.spec.low:g}")
    usual = ratio(case.curves[case.weights].mean(1), case.reference)
    says = (
        f"The network answers {' and '.join(said)}. Read so, its error is "
        f"{ratio(reading.error, reading.reference):.2f} times that of plain statistics; read as the run does, "
        f"{usual:.1f} times."
    )
    change = f"objective.prediction to '{reading.prediction}'"
    if reading.low != case.spec.low:
        change = f"process.low and spec.low to {reading.low:g}" + (f", {change}" if reading.prediction != own else "")
    do = f"config.json is not what the weights were trained with; put the old one back, or set {change} in it"
    return Finding("what the network says", "fault", says, do, numbers)
