"""The tutorial's training loop as it stands there, to be timed beside ours: plain layers, a DataLoader, float32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fromnoise import BasicUNet, corrupt
from fromnoise.data.image_data import ArrayData

BATCH = 128


class _OneByOne(Dataset[Tensor]):
    """Images as the tutorial reads them: torchvision's MNIST makes a picture of each, and ToTensor numbers of that."""

    def __init__(self, data: ArrayData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Tensor:
        picture = Image.fromarray(self.data.images[index].permute(1, 2, 0).squeeze(-1).numpy())
        values = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        values = values.view(picture.height, picture.width, -1).permute(2, 0, 1).contiguous()
        return values.to(torch.float32).div(255)


def chapter_loop(data: ArrayData, recipe: str, device: str) -> tuple[nn.Module, Iterator[int]]:
    """(the network, its steps): the tutorial's loop as it stands there, float32 and a DataLoader."""
    net = (_basic(data) if recipe == "chapter-basic" else _unet2d(data)).to(device)
    loader = DataLoader(_OneByOne(data), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def steps() -> Iterator[int]:
        losses = []
        while True:
            for x in loader:
                x = x.to(device)
                amount = torch.rand(x.shape[0]).to(device)
                noisy = corrupt(x, amount)
                out = net(noisy) if recipe == "chapter-basic" else net(noisy, 0).sample
                loss = nn.functional.mse_loss(out, x)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                yield len(x)

    return net, steps()


def _basic(data: ArrayData) -> nn.Module:
    """BasicUNet of plain layers, as the chapter has it: ours ends in one that trains faster on a CPU."""
    net = BasicUNet(data.spec.channels, data.spec.channels)
    net.up_layers[-1] = nn.Conv2d(32, data.spec.channels, kernel_size=5, padding=2)
    return net


def _unet2d(data: ArrayData) -> nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=data.spec.height,
        in_channels=data.spec.channels,
        out_channels=data.spec.channels,
        layers_per_block=2,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )
