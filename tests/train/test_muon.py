"""Muon: the orthogonal step against its singular values, torch's own Muon, and a step that must change nothing."""

import torch
from torch import nn

from fromnoise.nets.modulation import Vectors
from fromnoise.train.muon import Muon, orthogonal


def test_an_orthogonal_step_keeps_the_singular_vectors_and_evens_the_values():
    """Short sides that are alike go together, whichever side it is."""
    g = torch.Generator().manual_seed(0)
    stacks = [torch.randn(shape, generator=g) for shape in [(3, 16, 144), (2, 64, 24), (1, 32, 32), (2, 40, 16)]]
    for matrices, found in zip(stacks, orthogonal(stacks), strict=True):
        left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
        x = values / values.norm(dim=1, keepdim=True)
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
        torch.testing.assert_close(found.double(), left @ torch.diag_embed(x) @ right, atol=1e-4, rtol=0)
        large = values > 0.02 * values.norm(dim=1, keepdim=True)  # five steps cannot lift what is nearly nothing
        assert x[large].min() > 0.6 and x.max() < 1.25


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 32), nn.Linear(32, 32), nn.Linear(32, 48), nn.Linear(48, 4))


def train(net, optimizers, steps=10):
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in net.parameters():
            p.grad = torch.randn(p.shape, generator=g)
        for optimizer in optimizers:
            optimizer.step()


def test_it_moves_weights_as_torch_does():
    """Matrices of hidden channels by torch's Muon, the rest by its AdamW; torch orthogonalises in bfloat16."""
    ours, theirs = net(), net()
    train(ours, [Muon(ours, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)])
    hidden = [theirs[1].weight, theirs[2].weight]
    rest = [p for p in theirs.parameters() if all(p is not q for q in hidden)]
    options = {"lr": 0.01, "weight_decay": 0.1}
    muon = torch.optim.Muon(hidden, momentum=0.95, adjust_lr_fn="match_rms_adamw", **options)
    train(theirs, [muon, torch.optim.AdamW(rest, betas=(0.9, 0.99), **options)])
    for start, a, b in zip(net().parameters(), ours.parameters(), theirs.parameters(), strict=True):
        assert (a - b).norm() < 0.05 * (b - start).norm()


def test_a_layer_of_several_vectors_moves_as_that_many_layers():
    torch.manual_seed(0)
    whole, parts = Vectors(32, 24, pieces=2), nn.ModuleList([nn.Linear(32, 24), nn.Linear(32, 24)])
    for half, part in zip(whole.weight.chunk(2), parts, strict=True):
        part.weight.data.copy_(half)
    for gradient in torch.randn(3, 48, 32):
        whole.weight.grad = gradient
        for half, part in zip(gradient.chunk(2), parts, strict=True):
            part.weight.grad = half.clone()
        for layer in (whole, parts):
            layer.optimizer = getattr(layer, "optimizer", None) or Muon(layer, 0.01, (0.9, 0.99), weight_decay=0.1)
            layer.optimizer.step()
    torch.testing.assert_close(whole.weight, torch.cat([part.weight for part in parts]), atol=1e-6, rtol=0)


def test_kernels_are_matrices_and_their_memory_layout_does_not_matter():
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 24, 3)
    gradient = torch.randn_like(conv.weight)
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        one = nn.Conv2d(16, 24, 3)
        one.load_state_dict(conv.state_dict())
        one.to(memory_format=layout)
        one.weight.grad = gradient.to(memory_format=layout)
        Muon(one, lr=0.1, betas=(0.9, 0.99), weight_decay=0.0).step()
        moved.append((one.weight - conv.weight).detach())
        assert one.weight.is_contiguous(memory_format=layout)
    torch.testing.assert_close(moved[0], moved[1])
    values = torch.linalg.svdvals(moved[0].flatten(1)) / (0.1 * 0.2 * 144**0.5)
    assert values.min() > 0.6 and values.max() < 1.25


def everything(net, optimizer):
    return [*net.parameters(), *(value for row in optimizer.state.values() for value in row.values())]


def test_a_step_flagged_as_not_finite_changes_nothing():
    one = net()
    optimizer = Muon(one, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    train(one, [optimizer], steps=2)
    kept = [tensor.clone() for tensor in everything(one, optimizer)]
    for p in one.parameters():
        p.grad.fill_(float("nan"))
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(kept, everything(one, optimizer), strict=True))
    optimizer.found_inf = torch.zeros(())
    train(one, [optimizer], steps=1)
    assert all(not torch.equal(a, b) for a, b in zip(kept, everything(one, optimizer), strict=True))


def test_a_matrix_without_a_gradient_rests_and_keeps_its_momentum():
    whole, parted = net(), net()
    optimizers = [Muon(one, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1) for one in (whole, parted)]
    train(whole, optimizers[:1], steps=1)
    train(parted, optimizers[1:], steps=1)
    before = [weight.clone() for weight in parted.parameters()]
    parted[1].weight.grad = None
    optimizers[1].step()
    assert torch.equal(parted[1].weight, before[2]) and not torch.equal(parted[2].weight, before[4])
    optimizers[0].step()
    parted[1].weight.grad = whole[1].weight.grad
    optimizers[1].step()
    torch.testing.assert_close(parted[1].weight, whole[1].weight)


def test_a_matrix_that_is_no_layers_weight_moves_as_one_that_is():
    torch.manual_seed(0)
    layer = nn.Linear(48, 32, bias=False)
    alone = nn.ParameterList([layer.weight.detach().clone()])
    gradient = torch.randn(32, 48)
    for net, weight in ((layer, layer.weight), (alone, alone[0])):
        weight.grad = gradient.clone()
        Muon(net, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1).step()
    assert torch.equal(alone[0], layer.weight)
