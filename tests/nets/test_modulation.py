"""Scaling and shifting row by row against the formula: values and derivatives of all kinds."""

import pytest
import torch

from fromnoise.nets.modulation import modulated


def inputs(dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    h = torch.randn(3, 4, 5, 6, generator=g, dtype=dtype).to(memory_format=torch.channels_last)
    return h, *(torch.randn(3, 4, generator=g, dtype=dtype) for _ in range(2))


def plain(h, scale, shift):
    return h * (1 + scale[..., None, None]) + shift[..., None, None]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_layout_are_those_of_the_formula(layout):
    h, scale, shift = inputs()
    found = modulated(h.to(memory_format=layout), scale, shift)
    torch.testing.assert_close(found, plain(h, scale, shift))
    assert found.is_contiguous(memory_format=layout)


def test_first_and_second_derivatives_are_right():
    given = [one.requires_grad_() for one in inputs()]
    assert torch.autograd.gradcheck(modulated, given) and torch.autograd.gradgradcheck(modulated, given)


def test_it_can_be_differentiated_forwards_and_mapped():
    given, tangents = inputs(), inputs()
    for ours, known in zip(
        torch.func.jvp(modulated, given, tangents), torch.func.jvp(plain, given, tangents), strict=True
    ):
        torch.testing.assert_close(ours, known)
    many = [torch.stack([one, 2 * one]) for one in given]
    torch.testing.assert_close(torch.func.vmap(modulated)(*many), torch.func.vmap(plain)(*many))
