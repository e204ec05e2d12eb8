"""torchcfm as its notebook of class-conditional MNIST has it; sampled by a midpoint rule instead of dopri5."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from peers.harness import Task, play
from torch import Tensor
from torchcfm.conditional_flow_matching import ConditionalFlowMatcher
from torchcfm.models.unet import UNetModel
from torchdiffeq import odeint


class TorchCFM:
    """See `peers.harness.Peer`."""

    package, batch_size, sample_steps = "torchcfm", 128, 20

    def __init__(self, task: Task) -> None:
        self.task, self.evaluations = task, 2 * task.sample_steps
        self.class_conditioning = task.classes > 0
        told = {"num_classes": task.classes, "class_cond": True} if self.class_conditioning else {}
        self.net = UNetModel(dim=task.shape, num_channels=32, num_res_blocks=1, **told).to(task.device)
        self.settings = (
            f"its MNIST notebook: UNetModel of 32 channels, 1 block, {'told' if told else 'no'} classes; "
            f"ConditionalFlowMatcher(sigma=0), Adam 1e-3, batch {task.batch_size}; {task.sample_steps} midpoint steps "
            "of torchdiffeq (the notebook: dopri5 at 1e-4)"
        )

    def steps(self, batches: Iterator[tuple[Tensor, Tensor | None]]) -> Iterator[None]:
        """Flow matching from noise to pictures in [-1, 1]."""
        optimizer, matcher = torch.optim.Adam(self.net.parameters()), ConditionalFlowMatcher(sigma=0.0)
        for pictures, labels in batches:
            target = 2 * pictures - 1
            t, xt, velocity = matcher.sample_location_and_conditional_flow(torch.randn_like(target), target)
            loss = (self.net(t, xt, labels) - velocity).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield

    @torch.no_grad()
    def sample(self, num: int, labels: Tensor | None) -> Tensor:
        """Solve the flow's equation from t = 0 to 1."""
        self.net.eval()
        noise = torch.randn(num, *self.task.shape, device=self.task.device)
        times = torch.linspace(0, 1, self.task.sample_steps + 1, device=self.task.device)
        return (odeint(lambda t, x: self.net(t, x, labels), noise, times, method="midpoint")[-1] + 1) / 2


if __name__ == "__main__":
    play(TorchCFM)
