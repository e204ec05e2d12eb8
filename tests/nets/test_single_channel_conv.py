"""The convolution to one channel is torch's own, in training too."""

import pytest
import torch
from torch import nn

from fromnoise.nets.single_channel_conv import SingleChannelConv2d


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pair(kernel, dtype):
    ours, torchs = SingleChannelConv2d(6, kernel).to(dtype), nn.Conv2d(6, 1, kernel, padding=kernel // 2).to(dtype)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def out_and_gradients(layer, x):
    x = x.clone().requires_grad_()
    out = layer(x)
    out.float().square().sum().backward()
    return [out, x.grad, layer.weight.grad, layer.bias.grad]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_same_numbers_and_gradients(kernel, layout):
    x = torch.randn(3, 6, 9, 7, dtype=torch.float64).to(memory_format=layout)
    for ours, torchs in zip(*(out_and_gradients(layer, x) for layer in pair(kernel, torch.float64)), strict=True):
        assert ours.shape == torchs.shape and ours.dtype == torchs.dtype
        torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=1e-6)  # the sum of squares is taken in float32


def test_in_bf16_as_near_to_float32_as_torchs():
    ours, torchs = pair(5, torch.float32)
    x = torch.randn(4, 6, 8, 8)
    exact = out_and_gradients(torchs, x)
    torchs.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        low, torchs_low = out_and_gradients(ours, x), out_and_gradients(torchs, x)
    assert low[0].dtype == torchs_low[0].dtype == torch.bfloat16 and ours.weight.grad.dtype == torch.float32
    for one, other, truth in zip(low, torchs_low, exact, strict=True):
        allowed = 2 * (other - truth).abs().max() + 2**-7 * truth.abs().max()  # bf16 keeps eight bits
        assert (one - truth).abs().max() <= allowed


def test_where_nothing_is_trained_it_is_torchs_own():
    ours, torchs = pair(5, torch.float32)
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(ours.eval()(x), torchs(x))


def test_what_is_sliced_empty_or_needs_no_gradient_goes_through():
    ours, torchs = pair(3, torch.float32)
    x = torch.randn(4, 8, 10, 10)
    for part in (x[:, 1:7, 2:, :5], x[:0, :6]):
        out = ours(part)
        torch.testing.assert_close(out, torchs(part))
        assert out.is_contiguous()
        out.add_(1).sum().backward()


def test_it_can_be_derived_twice():
    ours, _ = pair(3, torch.float64)
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, x) and torch.autograd.gradgradcheck(ours, x)
