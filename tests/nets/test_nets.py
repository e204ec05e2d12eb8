"""Networks: the chapter's sizes, any image size, a start at zero; tests/test_contracts.py has what all of them keep."""

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets import NETWORKS, build_net
from fromnoise.nets.basic_unet import BasicUNet
from fromnoise.nets.blocks import ResidualBlock, conditions, fold_factor, in_bounds
from fromnoise.nets.dit import DiT, positions
from fromnoise.nets.unet2d import UNet2D
from fromnoise.settings import NetOptions
from fromnoise.testing.networks import stirred

MNIST = ImageSpec(1, 28, 28, tuple("0123456789"))
UNCONDITIONAL = ImageSpec(1, 28, 28)


def small(kind, **changes):
    return NetOptions(kind=kind, width=8, channels=(32, 32, 32), **changes)


def test_the_chapters_networks_have_its_parameters():
    assert sum(p.numel() for p in BasicUNet().parameters()) == 309_057
    assert sum(p.numel() for p in UNet2D(UNCONDITIONAL).parameters()) == 1_707_009


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 30), (4, 9, 64), (1, 5, 5)])
def test_any_size_and_channels(kind, shape):
    spec = ImageSpec(*shape, classes=("a", "b"))
    net = build_net(small(kind), spec)
    x = torch.randn(2, *shape)
    out = net(x, torch.tensor([1.0, 900.0]), torch.tensor([0, 2]))
    assert out.shape == x.shape and out.isfinite().all()


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_our_networks_start_at_zero(kind):
    net = build_net(small(kind), MNIST)
    x, code, label = torch.randn(2, 1, 28, 28), torch.tensor([1.0, 900.0]), torch.tensor([3, MNIST.null_label])
    assert not net(x, code, label).any() and stirred(net)(x, code, label).any()


def test_adaln_zero_is_zero():
    """Each block of a fresh DiT gives back its tokens, bit for bit, whatever the embedding; a gate opens it."""
    net = DiT(MNIST, width=32, depth=2)
    tokens, embedding = torch.randn(2, 9, 32), torch.randn(2, 128)
    for block in net.blocks:
        assert torch.equal(block(tokens, embedding), tokens)
        assert not block.condition.weight.any() and not block.condition.bias.any()
        assert not torch.equal(stirred(block)(tokens, embedding), tokens)


def test_a_transformer_knows_where_its_tokens_are():
    net = stirred(DiT(UNCONDITIONAL, width=32, depth=1))
    x, code = torch.randn(1, 1, 28, 28), torch.tensor([500.0])
    moved = net(x.roll(2, dims=3), code).roll(-2, dims=3)
    assert not torch.allclose(net(x, code), moved, atol=1e-3)
    grid = positions(3, 5, 16, torch.device("cpu"))
    assert len(grid.unique(dim=0)) == 15 and torch.equal(grid[1, :8], grid[0, :8])
    with pytest.raises(UsageError, match=r"net\.width.*50.*32"):
        DiT(MNIST, width=50)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_without_class_conditioning_ignores_the_class(kind):
    net = stirred(build_net(small(kind, class_conditioning=False), MNIST).eval())
    x, code = torch.randn(1, 1, 28, 28), torch.tensor([500.0])
    assert torch.equal(net(x, code, torch.tensor([3])), net(x, code))
    larger, smaller = (
        sum(p.numel() for p in build_net(small(kind, class_conditioning=on), MNIST).parameters())
        for on in (True, False)
    )
    assert larger > smaller


def test_folding_keeps_the_work_at_low_resolution():
    sizes = {16: 2, 28: 2, 32: 2, 64: 4, 128: 8}
    assert {side: fold_factor(ImageSpec(3, side, side)) for side in sizes} == sizes


def test_what_is_always_black_is_predicted_at_the_bound_or_beyond_and_all_else_at_its_mean():
    images = torch.tensor([[-1.0, -1.0, 0.5, 1.0], [-1.0, 1.0, 0.5, 1.0], [-1.0, -1.0, 0.5, 1.0]])
    start = torch.tensor([-1.3, -1.3, 1.7, 1.2])
    found = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([found], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (in_bounds(found, -1, 1) - images).square().mean(0).sum().backward()
        optimizer.step()
    assert torch.equal(found[[0, 3]], start[[0, 3]]), "no error pulls them back"
    assert torch.allclose(found[[1, 2]], images.mean(0)[[1, 2]], atol=1e-3)
    with torch.no_grad():
        assert torch.equal(in_bounds(torch.tensor([-1.3, 0.2, 1.3]), -1, 1), torch.tensor([-1.0, 0.2, 1.0]))


def test_a_bounded_unet_stays_in_the_images_range():
    spec = ImageSpec(1, 8, 8, low=0.0)
    x, code = torch.randn(4, 1, 8, 8), torch.full((4,), 500.0)
    for bounded in (False, True):
        torch.manual_seed(0)
        net = stirred(build_net(small("unet", bounded=bounded), spec))
        with torch.no_grad():
            out = net(10 * x, code)
        assert (float(out.min()) >= 0 and float(out.max()) <= 1) == bounded


def test_one_product_conditions_each_block_as_its_own_layer_does():
    blocks = [stirred(ResidualBlock(width, 12)) for width in (4, 8, 4)]
    embedding = torch.randn(5, 12, requires_grad=True)
    weights = [block.condition.weight for block in blocks]
    together, apart = conditions(blocks, embedding), [block.condition(embedding) for block in blocks]
    torch.testing.assert_close(list(together), apart)
    gradients = [
        torch.autograd.grad(sum((one**2).sum() for one in found), [embedding, *weights]) for found in (together, apart)
    ]
    torch.testing.assert_close(*gradients)
