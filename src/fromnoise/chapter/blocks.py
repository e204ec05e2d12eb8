"""The lines of code that the page shows, filled in with what was really run; together they are one script that runs."""

from __future__ import annotations

import json
from typing import Any

FIRST_BATCH = """
import torch
from fromnoise.data import Batches, DataOptions, load

digits = load(DataOptions({source}))  # bytes, (N, C, H, W)
images, labels = Batches(digits, batch_size={batch}, seed={seed}).batch(0)
x = images.float() / 255
print(x.shape, labels)
"""

CORRUPT = """
from fromnoise import corrupt

amount = torch.linspace(0, 1, len(x))
mixed = corrupt(x, amount)  # x * (1 - amount) + noise * amount
"""

TRAIN_BY_HAND = """
from fromnoise import BasicUNet

net = BasicUNet({channels}, {channels})
batches = Batches(digits, batch_size={batch_size}, seed={seed})
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
for step in range({steps}):
    clean = batches.batch(step)[0].float() / 255
    amount = torch.rand(len(clean))
    loss = torch.nn.functional.mse_loss(net(corrupt(clean, amount)), clean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

TRAIN_AS_RUN = """
from fromnoise import Run

run = Run.create(
    {source},
    recipe={recipe},
    output_dir={place},
    settings={{
{settings}
    }},
)
net = run.train().denoiser().net.cpu()
"""

SAMPLE = """
from fromnoise import sample_with_step

x = torch.rand(8, {channels}, {height}, {width})
x, inputs, predictions = sample_with_step(net, x, n_steps=5)
"""

SAMPLE_BY_HAND = """
n_steps = 5
with torch.no_grad():
    for i in range(n_steps):
        prediction = net(x)
        m = 1 / (n_steps - i)
        x = x * (1 - m) + prediction * m
"""

UNET2D = """
from diffusers import UNet2DModel

UNet2DModel(
    sample_size={side},
    in_channels={channels},
    out_channels={channels},
    layers_per_block=2,
    block_out_channels=(32, 64, 64),
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
)
"""

DDPM = """
from diffusers import DDPMScheduler
from fromnoise.diffusion.vp import VPLinear

x = 2 * images.float() / 255 - 1
noise, k = torch.randn(x.shape), torch.linspace(0, 999, len(x)).long()
ours = VPLinear().corrupt(x, noise, k + 1)
theirs = DDPMScheduler(num_train_timesteps=1000).add_noise(x, noise, k)
print((ours - theirs).abs().max())
"""

STEPS = """
for n in {counts}:
    run.sample({num}, steps=n).save(f"{{n}}-steps.png")
"""


def block(template: str, **values: Any) -> str:
    """`template` with its values as Python writes them, without the blank lines around it."""
    written = {name: _settings(value) if isinstance(value, dict) else literal(value) for name, value in values.items()}
    return template.format(**written).strip("\n")


def literal(value: Any) -> str:
    """`value` as Python source, strings in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _settings(settings: dict[str, Any]) -> str:
    return "\n".join(f"        {literal(name)}: {literal(value)}," for name, value in settings.items())
