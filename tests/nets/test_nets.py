"""Networks: the chapter's sizes, any image size, blind and told, one picture at a time."""

import pytest
import torch

from fromnoise.images import ImageSpec
from fromnoise.nets import build_net
from fromnoise.nets.basic_unet import BasicUNet
from fromnoise.nets.diffusers import UNet2D
from fromnoise.nets.options import NetOptions
from fromnoise.nets.unet import UNet, folding

MNIST = ImageSpec(1, 28, 28, tuple("0123456789"))
KINDS = ["unet", "basic_unet", "unet2d"]


def small(kind, **changes):
    return NetOptions(kind=kind, width=8, channels=(32, 32, 32), **changes)


def test_the_chapters_networks_have_its_parameters():
    assert sum(p.numel() for p in BasicUNet().parameters()) == 309_057
    assert sum(p.numel() for p in UNet2D(MNIST).parameters()) == 1_707_009


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 30), (4, 9, 64), (1, 5, 5)])
def test_any_size_and_channels(kind, shape):
    spec = ImageSpec(*shape, classes=("a", "b"))
    net = build_net(small(kind), spec)
    x = torch.randn(2, *shape)
    out = net(x, torch.tensor([1.0, 900.0]), torch.tensor([0, 2]))
    assert out.shape == x.shape and out.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_told_and_blind(kind):
    x, early, late = torch.randn(1, 1, 28, 28), torch.tensor([10.0]), torch.tensor([900.0])
    for told in (True, False):
        torch.manual_seed(0)
        net = build_net(small(kind, told_time=told), MNIST)
        torch.nn.init.normal_(next(p for p in reversed(list(net.parameters())) if p.ndim > 1), std=0.1)
        _stir(net)
        assert torch.equal(net(x, early), net(x, late)) != told


def _stir(net):
    """Layers that start at zero hide what lies behind them."""
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_do_not_see_each_other(kind):
    net = build_net(small(kind), MNIST).eval()
    _stir(net)
    x, code = torch.randn(3, 1, 28, 28), torch.tensor([1.0, 500.0, 999.0])
    label = torch.tensor([1, 2, 3])
    alone = net(x[1:2], code[1:2], label[1:2])
    torch.testing.assert_close(net(x, code, label)[1:2], alone, rtol=1e-4, atol=1e-5)


def test_our_unet_starts_at_zero_and_every_weight_learns():
    net = UNet(MNIST, width=8)
    x, code, label = torch.randn(2, 1, 28, 28), torch.tensor([1.0, 900.0]), torch.tensor([3, MNIST.null_label])
    assert not net(x, code, label).any()
    _stir(net)
    net(x, code, label).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_class_matters_and_no_label_is_the_null_label():
    net = UNet(MNIST, width=8)
    _stir(net)
    x, code = torch.randn(1, 1, 28, 28), torch.tensor([500.0])
    null = net(x, code, torch.tensor([MNIST.null_label]))
    assert torch.equal(net(x, code), null)
    assert not torch.equal(net(x, code, torch.tensor([3])), null)


def test_folding_keeps_the_work_at_low_resolution():
    sizes = {16: 2, 28: 2, 32: 2, 64: 4, 128: 8}
    assert {side: folding(ImageSpec(3, side, side)) for side in sizes} == sizes
