"""The sampler as tables of weights, one for each number of steps: see pipeline.py."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config


class TabulatedSampler(SchedulerMixin, ConfigMixin):
    """What scheduler_config.json holds.

    plans: steps -> the evaluations of the network and how their inputs follow from noise and predictions.
    steps, guidance_scale, guidance_rescale, clip, threshold: the model's own sampling settings.
    prior: the distribution of the noise, "normal" or "uniform" on [0, 1]. low, high: the range of the network's images.
    label_counts: training images of each class. name: the sampler that the tables are of.
    """

    @register_to_config
    def __init__(
        self,
        plans: dict[str, Any],
        steps: int,
        guidance_scale: float = 1.0,
        guidance_rescale: float = 0.0,
        clip: bool = False,
        threshold: float | None = None,
        prior: str = "normal",
        low: float = -1.0,
        high: float = 1.0,
        label_counts: tuple[int, ...] = (),
        name: str = "",
    ) -> None:
        pass

    def plan(self, steps: int | None) -> dict[str, Any]:
        """The table for `steps` steps; ValueError for a number that there is none for."""
        wanted = str(self.config.steps if steps is None else steps)
        if wanted not in self.config.plans:
            there = ", ".join(self.config.plans)
            raise ValueError(
                f"num_inference_steps is {wanted}, but the tables here are for {there} steps; give one of these"
            )
        return dict(self.config.plans[wanted])

    def rescale(self, guided: torch.Tensor, conditional: torch.Tensor) -> torch.Tensor:
        """The guided x0 brought back towards the deviation of the conditional one (Lin et al. 2024, section 3.4)."""
        if not self.config.guidance_rescale:
            return guided
        share = _deviation(conditional) / _deviation(guided)
        return guided * (1 + self.config.guidance_rescale * (share - 1))

    def keep_in_range(self, x0: torch.Tensor) -> torch.Tensor:
        """x0 clipped, or scaled into the range by its own quantile (Saharia et al. 2022), or as it is."""
        low, high = self.config.low, self.config.high
        if self.config.threshold is None:
            return x0.clamp(low, high) if self.config.clip else x0
        middle, half = (high + low) / 2, (high - low) / 2
        x0 = (x0 - middle) / half
        most = torch.quantile(x0.abs().flatten(1).float(), self.config.threshold, dim=1).clamp(min=1)
        most = most[:, None, None, None].to(x0.dtype)
        return middle + half * x0.clamp(-most, most) / most


def _deviation(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).std(1).clamp(min=1e-8)[:, None, None, None]
