"""How large the loss is at each noise level, measured while training: what draws by importance go by.

    m_i <- running mean of loss^2 in part i of the times;   p_i = (1 - even) sqrt(m_i) / sum_j sqrt(m_j) + even / bins

Nichol & Dhariwal 2021, eq. 18. Until every part has been met ten times, all are drawn alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fromnoise.diffusion.objective import LossTerms
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.time_sampling import Importance

ENOUGH = 10  # hits of every part before the measured losses are trusted
MEMORY = 0.99  # what a part keeps of its mean at each hit


class LossMemory:
    """moment: mean loss^2 of each part (bins,); hits: how often each was met (bins,). Both on `device`."""

    def __init__(self, law: Importance, process: Process, device: torch.device) -> None:
        self.law, self.process = law, process
        self.moment = torch.zeros(law.bins, dtype=torch.float64, device=device)
        self.hits = torch.zeros(law.bins, dtype=torch.float64, device=device)

    def chances(self) -> Tensor:
        """How often each part is to be drawn, float64 (bins,), summing to 1; made without waiting for the device."""
        root = self.moment.sqrt()
        measured = (1 - self.law.even) * root / root.sum().clamp(min=1e-30) + self.law.even / self.law.bins
        alike = torch.full_like(measured, 1 / self.law.bins)
        return torch.where(self.hits.min() >= ENOUGH, measured / measured.sum(), alike)

    @torch.no_grad()
    def update(self, terms: LossTerms, counts: Tensor | None) -> None:
        """Take in a batch's losses per image, freed of what they count; those that are not finite are left out."""
        where = self.moment.device  # the CPU for MPS, which has no float64
        loss = terms.per_image.detach().to(where).double()
        loss = loss if counts is None else loss / counts.to(where)
        part, finite = self.law.part(terms.t.to(where), self.process), loss.isfinite()
        hits = torch.zeros_like(self.hits).index_add_(0, part, finite.double())
        total = torch.zeros_like(self.moment).index_add_(0, part, torch.where(finite, loss**2, 0.0))
        mean = total / hits.clamp(min=1)
        # The first hits are a plain mean; later ones fade what came before.
        keep = torch.where(self.hits < 1 / (1 - MEMORY), self.hits / (self.hits + hits).clamp(min=1), MEMORY**hits)
        self.moment = torch.where(hits > 0, keep * self.moment + (1 - keep) * mean, self.moment)
        self.hits += hits

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"moment": self.moment.cpu(), "hits": self.hits.cpu()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up where a checkpoint left off."""
        self.moment, self.hits = (tensors[name].to(self.moment.device) for name in ("moment", "hits"))
