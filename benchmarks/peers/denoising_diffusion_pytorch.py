"""denoising-diffusion-pytorch: its Unet and GaussianDiffusion, its Trainer's update without the Trainer's folder."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from ema_pytorch import EMA
from peers.harness import Task, play
from torch import Tensor, nn


class DenoisingDiffusionPytorch:
    """See `peers.harness.Peer`."""

    package, batch_size, sample_steps = "denoising-diffusion-pytorch", 128, 50
    class_conditioning = False

    def __init__(self, task: Task) -> None:
        self.evaluations = task.sample_steps
        self.net = Unet(dim=32, dim_mults=(1, 2, 4), channels=task.shape[0])
        self.diffusion = GaussianDiffusion(
            self.net, image_size=task.shape[1:], timesteps=1000, sampling_timesteps=task.sample_steps
        ).to(task.device)
        self.ema = EMA(self.diffusion, beta=0.995, update_every=10)
        self.settings = (
            "Unet(dim=32, dim_mults=(1, 2, 4)), GaussianDiffusion at its defaults, the Trainer's betas 0.9/0.99, "
            f"clipping at 1 and EMA; batch {task.batch_size} and rate 1e-3 of The Annotated Diffusion Model's "
            f"Fashion-MNIST (the Trainer's 1e-4 is for 100,000 steps); DDIM in {task.sample_steps} steps"
        )

    def steps(self, batches: Iterator[tuple[Tensor, Tensor | None]]) -> Iterator[None]:
        """The loss is the library's own."""
        optimizer = torch.optim.Adam(self.diffusion.parameters(), lr=1e-3, betas=(0.9, 0.99))
        for pictures, _ in batches:
            self.diffusion(pictures).backward()
            nn.utils.clip_grad_norm_(self.diffusion.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            self.ema.update()
            yield

    @torch.no_grad()
    def sample(self, num: int, labels: Tensor | None) -> Tensor:
        """The averaged model's own sampling."""
        self.ema.ema_model.eval()
        return self.ema.ema_model.sample(batch_size=num)


if __name__ == "__main__":
    play(DenoisingDiffusionPytorch)
