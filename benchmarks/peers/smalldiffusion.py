"""smalldiffusion as its Fashion-MNIST example with the U-Net has it; the batch is 128 unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from peers.harness import Task, play
from smalldiffusion import Scaled, ScheduleLogLinear, Unet, samples, training_loop
from torch import Tensor
from torch_ema import ExponentialMovingAverage


class SmallDiffusion:
    """See `peers.harness.Peer`."""

    package, batch_size, sample_steps = "smalldiffusion", 128, 20
    class_conditioning = False

    def __init__(self, task: Task) -> None:
        self.evaluations = self.sample_steps = task.sample_steps
        channels, side, _ = task.shape
        half = (side // 2,)
        self.net = Scaled(Unet)(side, channels, channels, ch=64, ch_mult=(1, 1, 2), attn_resolutions=half)
        self.net.to(task.device)
        self.ema = ExponentialMovingAverage(self.net.parameters(), decay=0.999)
        self.schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
        self.settings = (
            "its Fashion-MNIST example: Unet(ch=64, ch_mult=(1, 1, 2)), log-linear sigmas, AdamW 7e-4, EMA 0.999; "
            f"batch {task.batch_size} (the example: 1,024); no flips; samples(gam=1.6) in {task.sample_steps} steps"
        )

    def steps(self, batches: Iterator[tuple[Tensor, Tensor | None]]) -> Iterator[None]:
        """The library's own loop, which yields before each update: the first yield is none of ours."""
        loader = (2 * pictures - 1 for pictures, _ in batches)
        loop = training_loop(loader, self.net, self.schedule, epochs=1, lr=7e-4)
        next(loop)
        for _ in loop:
            self.ema.update()
            yield

    @torch.no_grad()
    def sample(self, num: int, labels: Tensor | None) -> Tensor:
        """The accelerated sampler with the averaged weights."""
        with self.ema.average_parameters():
            *_, x0 = samples(self.net, self.schedule.sample_sigmas(self.sample_steps), gam=1.6, batchsize=num)
        return (x0 + 1) / 2


if __name__ == "__main__":
    play(SmallDiffusion)
