"""Networks: the chapter's sizes, any image size, blind and told, one picture at a time."""

from typing import get_args, get_type_hints

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets import build_net
from fromnoise.nets.basic_unet import BasicUNet
from fromnoise.nets.blocks import fold_factor
from fromnoise.nets.dit import DiT, positions
from fromnoise.nets.unet2d import UNet2D
from fromnoise.settings import NetOptions

MNIST = ImageSpec(1, 28, 28, tuple("0123456789"))
BLIND = ImageSpec(1, 28, 28)
KINDS = list(get_args(get_type_hints(NetOptions)["kind"]))


def small(kind, **changes):
    return NetOptions(kind=kind, width=8, channels=(32, 32, 32), **changes)


def test_the_chapters_networks_have_its_parameters():
    assert sum(p.numel() for p in BasicUNet().parameters()) == 309_057
    assert sum(p.numel() for p in UNet2D(BLIND).parameters()) == 1_707_009


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
        net = build_net(small(kind, time_conditioning=told), MNIST)
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


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_our_networks_start_at_zero_and_every_weight_learns(kind):
    net = build_net(small(kind), MNIST)
    x, code, label = torch.randn(2, 1, 28, 28), torch.tensor([1.0, 900.0]), torch.tensor([3, MNIST.null_label])
    assert not net(x, code, label).any()
    _stir(net)
    net(x, code, label).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_adaln_zero_is_zero():
    """Each block of a fresh DiT gives back its tokens, bit for bit, whatever the embedding says; a gate opens it."""
    net = DiT(MNIST, width=32, depth=2)
    tokens, embedding = torch.randn(2, 9, 32), torch.randn(2, 128)
    for block in net.blocks:
        assert torch.equal(block(tokens, embedding), tokens)
        assert not block.condition.weight.any() and not block.condition.bias.any()
        _stir(block)
        assert not torch.equal(block(tokens, embedding), tokens)


def test_a_transformer_knows_where_its_tokens_are():
    net = DiT(BLIND, width=32, depth=1)
    _stir(net)
    x, code = torch.randn(1, 1, 28, 28), torch.tensor([500.0])
    moved = net(x.roll(2, dims=3), code).roll(-2, dims=3)
    assert not torch.allclose(net(x, code), moved, atol=1e-3)
    grid = positions(3, 5, 16, torch.device("cpu"))
    assert len(grid.unique(dim=0)) == 15 and torch.equal(grid[1, :8], grid[0, :8])
    with pytest.raises(UsageError, match=r"net\.width.*50.*32"):
        DiT(MNIST, width=50)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_is_not_told_the_class_ignores_it(kind):
    net = build_net(small(kind, class_conditioning=False), MNIST).eval()
    _stir(net)
    x, code = torch.randn(1, 1, 28, 28), torch.tensor([500.0])
    assert torch.equal(net(x, code, torch.tensor([3])), net(x, code))
    told, blind = (
        sum(p.numel() for p in build_net(small(kind, class_conditioning=t), MNIST).parameters()) for t in (1, 0)
    )
    assert told > blind


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_matters_and_no_label_is_the_null_label(kind):
    net = build_net(small(kind), MNIST).eval()
    _stir(net)
    x, code = torch.randn(1, 1, 28, 28), torch.tensor([500.0])
    null = net(x, code, torch.tensor([MNIST.null_label]))
    assert torch.equal(net(x, code), null)
    assert not torch.equal(net(x, code, torch.tensor([3])), null)


def test_folding_keeps_the_work_at_low_resolution():
    sizes = {16: 2, 28: 2, 32: 2, 64: 4, 128: 8}
    assert {side: fold_factor(ImageSpec(3, side, side)) for side in sizes} == sizes
