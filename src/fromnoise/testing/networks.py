"""What every network and every set of images has to keep."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import with_guidance
from fromnoise.data.image_data import ImageData
from fromnoise.testing.expect import expect, expect_close


class Affine(nn.Module):
    """A network of eight weights: a(t) x + b(t), with cubics of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.terms = nn.Parameter(torch.zeros(2, 4))

    def forward(self, x: Tensor, code: Tensor, label: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) and the times' codes (B,), 0 to 1000; labels make no difference."""
        powers = torch.stack([(code / 1000) ** i for i in range(4)])
        a, b = (self.terms @ powers)[:, :, None, None, None]
        moved: Tensor = a * x + b
        return moved


def check_network(net: nn.Module, spec: ImageSpec, *, time_conditioning: bool = True) -> None:
    """AssertionError where `net`, made for images of `spec`, breaks a promise of the call net(x, code, label).

    It keeps shapes of any size, images do not see each other, every weight learns, time and class matter where the
    network is conditioned on them, and no label means spec.null_label.

    Arguments:
        net: the network; it is not changed.
        spec: the images it was made for.
        time_conditioning: whether it uses its time code.
    """
    name, net = type(net).__name__, stirred(net)
    for shape in ((2, *spec.shape), (1, spec.channels, spec.height + 3, spec.width + 5), (1, spec.channels, 5, 9)):
        x = _pixels(*shape)
        before = x.clone()
        out = net(x, *_conditions(len(x), spec))
        expect(out.shape == x.shape, f"{name}: {tuple(shape)} becomes {tuple(out.shape)}; the shape must stay")
        expect(bool(out.isfinite().all()), f"{name}: values that are not finite for {tuple(shape)}")
        expect(torch.equal(x, before), f"{name}: must not write into its input")
    x = _pixels(3, *spec.shape)
    code, label = _conditions(3, spec)
    together = net(x, code, label)
    alone = torch.cat([net(x[i : i + 1], code[i : i + 1], None if label is None else label[[i]]) for i in range(3)])
    scale = float(together.detach().abs().max()) + 1e-12
    expect_close(together / scale, alone / scale, 1e-4, f"{name}: an image depends on its neighbours in the batch")
    _check_conditioning(net, spec, name, time_conditioning)
    net(x, code, label).square().mean().backward()
    idle = [key for key, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    expect(not idle, f"{name}: no gradient reaches {', '.join(idle[:3])}")


def stirred(net: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose weights that start at zero, and hide what lies behind them, are random."""
    net, random = copy.deepcopy(net).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=random))
    return net


def _pixels(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _conditions(count: int, spec: ImageSpec) -> tuple[Tensor, Tensor | None]:
    code = torch.tensor([10.0, 500.0, 990.0])[:count]
    label = torch.arange(count) % (len(spec.classes) + 1) if spec.classes else None
    if spec.guidance_input is None:
        return code, label
    scale = torch.full((count,), spec.guidance_input.most)
    return code, with_guidance(torch.zeros(count) if label is None else label, scale, len(spec.conditions))


def _check_conditioning(net: nn.Module, spec: ImageSpec, name: str, time_conditioning: bool) -> None:
    x, early, late = _pixels(1, *spec.shape), torch.tensor([10.0]), torch.tensor([900.0])
    differs = not torch.equal(net(x, early), net(x, late))
    expect(
        differs == time_conditioning, f"{name}: the time makes a difference: {differs}; expected: {time_conditioning}"
    )
    if not spec.classes:
        return
    none, null, first = (net(x, early, label) for label in (None, torch.tensor([spec.null_label]), torch.tensor([0])))
    expect(torch.equal(none, null), f"{name}: no label must mean the null label {spec.null_label}")
    expect(not torch.equal(first, null), f"{name}: the class makes no difference")


def check_dataset(data: ImageData) -> None:
    """AssertionError where `data` breaks a promise of ImageData: shapes, types, labels, order, and no side effects."""
    name, spec, count = type(data).__name__, data.spec, len(data)
    expect(count >= 1, f"{name}: holds no image")
    chosen = torch.tensor([count - 1, 0, count // 2, 0])
    images, labels = data.fetch(chosen)
    expect(images.dtype == torch.uint8, f"{name}: images are {images.dtype}, expected uint8")
    expect(
        images.shape == (4, *spec.shape), f"{name}: images are {tuple(images.shape)}, expected (4, C, H, W) of {spec}"
    )
    expect(torch.equal(images[1], images[3]), f"{name}: the same index gives different images")
    single, _ = data.fetch(chosen[:1])
    expect(torch.equal(single[0], images[0]), f"{name}: an image depends on what it is fetched with")
    expect((labels is not None) == bool(spec.classes), f"{name}: labels and spec.classes must come together")
    if labels is not None:
        expect(labels.dtype == torch.int64 and labels.shape == (4,), f"{name}: labels are int64 (B,)")
        expect(bool(((labels >= 0) & (labels < len(spec.classes))).all()), f"{name}: a label is outside of its classes")
    kept = images.clone()
    images.zero_()
    expect(torch.equal(data.fetch(chosen)[0], kept), f"{name}: writing into fetched images changes the data")
