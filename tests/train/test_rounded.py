"""Weights rounded at once give the gradients that autocast gives, bit for bit."""

import torch
from torch import nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets.unet import UNet
from fromnoise.train.rounded import Rounded

SPEC = ImageSpec(1, 8, 8, ("a", "b"))


def gradients(net, computed, x):
    with torch.autocast("cpu", torch.bfloat16):
        out = computed(x, torch.full((len(x),), 500.0), torch.arange(len(x)) % 2)
    ((out.float() - x) ** 2).mean().backward()
    return net


def test_gradients_are_those_of_autocast_and_add_up():
    torch.manual_seed(0)
    plain, net = UNet(SPEC, 16, 1), UNet(SPEC, 16, 1)
    for weight in plain.parameters():
        nn.init.normal_(weight, std=0.1)
    rounded = Rounded(net, torch.bfloat16)
    net.load_state_dict(plain.state_dict())  # as a checkpoint's are, after it was built
    rounded.refresh()
    for part in torch.randn(2, 3, 1, 8, 8):
        gradients(plain, plain, part)
        gradients(net, rounded.net, part)
        rounded.hand_over()
    for name, weight in plain.named_parameters():
        assert torch.equal(weight.grad, net.get_parameter(name).grad), name


def test_the_copy_follows_its_network():
    net = UNet(SPEC, 16, 1)
    rounded = Rounded(net, torch.bfloat16)
    assert rounded.net.embed.label.weight is net.embed.label.weight
    assert rounded.net.embed.time.frequencies is net.embed.time.frequencies
    net.eval()
    with torch.no_grad():
        net.enter.weight.add_(1)
    rounded.net.enter.weight.grad = torch.ones_like(rounded.net.enter.weight)  # of an attempt that ran out of memory
    rounded.refresh()
    rounded.hand_over()
    assert not rounded.net.training and net.enter.weight.grad is None
    assert torch.equal(rounded.net.enter.weight, net.enter.weight.bfloat16())
