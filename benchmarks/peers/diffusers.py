"""diffusers: the loop of its unconditional training example, at the size of the UNet2DModel that its course trains."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from peers.harness import Task, play
from torch import Tensor, nn


class Diffusers:
    """See `peers.harness.Peer`."""

    package, batch_size, sample_steps = "diffusers", 64, 50
    class_conditioning = False

    def __init__(self, task: Task) -> None:
        self.task, self.evaluations = task, task.sample_steps
        self.net = UNet2DModel(
            sample_size=task.shape[1:],
            in_channels=task.shape[0],
            out_channels=task.shape[0],
            layers_per_block=2,
            block_out_channels=(32, 64, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        ).to(task.device)
        self.ema = EMAModel(self.net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4)
        self.scheduler = DDPMScheduler(num_train_timesteps=1000)
        self.settings = (
            "train_unconditional.py's loop (DDPMScheduler, AdamW 0.95/0.999, clipping at 1, EMAModel) with the "
            f"course's UNet2DModel for MNIST (32, 64, 64), rate 4e-4 and batch {task.batch_size}; no flips and no "
            f"warm-up, since 500 steps would be the whole time; DDIMScheduler in {task.sample_steps} steps"
        )

    def steps(self, batches: Iterator[tuple[Tensor, Tensor | None]]) -> Iterator[None]:
        """Say the noise in pictures of [-1, 1]."""
        self.ema.to(self.task.device)
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=4e-4, betas=(0.95, 0.999), weight_decay=1e-6)
        for pictures, _ in batches:
            clean = 2 * pictures - 1
            noise = torch.randn_like(clean)
            times = torch.randint(self.scheduler.config.num_train_timesteps, (len(clean),), device=clean.device)
            said = self.net(self.scheduler.add_noise(clean, noise, times), times).sample
            nn.functional.mse_loss(said, noise).backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            self.ema.step(self.net.parameters())
            yield

    @torch.no_grad()
    def sample(self, num: int, labels: Tensor | None) -> Tensor:
        """DDIM with the averaged weights."""
        self.ema.copy_to(self.net.parameters())
        self.net.eval()
        sampler = DDIMScheduler.from_config(self.scheduler.config)
        sampler.set_timesteps(self.task.sample_steps)
        x = torch.randn(num, *self.task.shape, device=self.task.device)
        for t in sampler.timesteps:
            x = sampler.step(self.net(x, t).sample, t, x).prev_sample
        return (x + 1) / 2


if __name__ == "__main__":
    play(Diffusers)
