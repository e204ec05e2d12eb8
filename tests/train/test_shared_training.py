"""One process, many, and micro-batches: the same weights, averages and losses, whatever a training goes on with."""

from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch import nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.batches import Batches
from fromnoise.data.image_data import ArrayData
from fromnoise.model.build import build_denoiser, build_objective
from fromnoise.settings import NetOptions, ObjectiveOptions, ProcessOptions, Settings, TrainOptions
from fromnoise.train.distributed import ALONE
from fromnoise.train.trainer import Trainer
from fromnoise.train.votes import checksum

BATCH, IMAGES, STEPS = 12, 41, 50  # epochs of 12, 12, 12 and 5 images: each process has its share of each
SPEC = ImageSpec(1, 8, 8, ("a", "b", "c"))
RECIPES = {  # what differs in how noise, times, labels and errors enter
    "flow": (ProcessOptions(), ObjectiveOptions(prediction="x0", time_sampling="logit_normal")),
    "ddpm": (ProcessOptions("vp"), ObjectiveOptions("eps", time_sampling="discrete", label_dropout=0.3)),
    "edm": (ProcessOptions("ve"), ObjectiveOptions("edm", "edm", "log_normal")),
}
EXACT, CLOSE = 1e-10, 1e-5


def make(group=ALONE, *, dtype=torch.float64, net="unet", recipe="flow", optimizer="muon", parts=1):
    """A trainer of 50 steps of a tiny network on random images, mirrored at random."""
    torch.manual_seed(0)
    process, objective = RECIPES[recipe]
    train = TrainOptions(
        train_batch_size=BATCH, lr_warmup_images=60, optimizer=optimizer, gradient_accumulation_steps=parts
    )
    settings = Settings(net=NetOptions(net, width=16, depth=1), process=process, objective=objective, train=train)
    denoiser = build_denoiser(settings, SPEC, 0.5)
    denoiser.net.to(dtype)
    g = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (IMAGES, 1, 8, 8), generator=g, dtype=torch.uint8)
    batches = Batches(ArrayData("n", "train", images, torch.arange(IMAGES) % 3, SPEC), BATCH, 0, random_flip=True)
    objective = build_objective(settings.objective, denoiser.prediction.sigma_data)
    return Trainer(denoiser, objective, batches, train, total=batches.images_before(STEPS), group=group)


@contextmanager
def computing_in(dtype):
    """Inside, what training computes in float32 is computed in `dtype`."""
    encode = ImageSpec.encode
    with pytest.MonkeyPatch.context() as patch:
        if dtype == torch.float64:
            patch.setattr(torch.Tensor, "float", torch.Tensor.double)
            patch.setattr(ImageSpec, "encode", lambda self, images: encode(self, images).double())
        yield


def weights(trainer):
    """All weights and averages, by name."""
    nets = {"raw": trainer.net, "ema": trainer.averages.ema.net}
    nets |= {f"ema-{length}": average.net for length, average in trainer.averages.others.items()}
    return {f"{kind} {name}": v.clone() for kind, net in nets.items() for name, v in net.state_dict().items()}


def furthest(a, b):
    """The largest difference of any weight."""
    assert a.keys() == b.keys() and len({name.split()[0] for name in a}) == 3
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def trained(group, **options):
    """(weights after 50 steps, their losses)."""
    with computing_in(options.get("dtype", torch.float64)):
        trainer = make(group, **options)
        before = weights(trainer)
        losses = [entry.loss for step in trainer.steps() for entry in step.read]
    assert furthest(before, weights(trainer)) > 1e-3 and len(losses) == STEPS
    return weights(trainer), losses


@cache
def trained_alone(**options):
    return trained(ALONE, **options)


def compare_with_one(group, cases, tolerance):
    """The weights and losses of each case in this group are those of one process."""
    for case in cases:
        parts = case.pop("parts", 1)
        found, losses = trained(group, parts=parts, **case)
        expected, expected_losses = trained_alone(**case)
        assert furthest(found, expected) < tolerance, case
        assert torch.allclose(torch.tensor(losses), torch.tensor(expected_losses), rtol=0, atol=10 * tolerance)
        assert len(set(group.gather(checksum(*(nn.ParameterList(v for v in found.values()),))))) == 1


def exact_cases():
    """In float64: all optimizers, networks and recipes."""
    return [
        {"recipe": recipe, "optimizer": optimizer, "net": net}
        for recipe, optimizer, net in [
            ("flow", "muon", "unet"),
            ("flow", "adamw", "dit"),
            ("ddpm", "adamw", "unet"),
            ("ddpm", "muon", "dit"),
            ("edm", "adam", "unet"),
        ]
    ]


def close_cases():
    """In float32."""
    return [{"dtype": torch.float32, "optimizer": one, "net": net} for one in ("adamw", "muon") for net in ("unet",)]


def test_micro_batches_give_the_same_weights():
    compare_with_one(ALONE, [{**case, "parts": 3} for case in exact_cases()[:3]], EXACT)
    compare_with_one(ALONE, [{**case, "parts": 5} for case in close_cases()], CLOSE)


@pytest.mark.parametrize(("world", "parts"), [(2, 1), (2, 2), (4, 1)])
def test_many_processes_give_the_weights_of_one(world, parts, run_processes):
    for case in (*exact_cases(), *close_cases()):
        trained_alone(**case)  # before the processes are forked, so that each has them
    cases = [{**case, "parts": parts} for case in exact_cases()], [{**case, "parts": parts} for case in close_cases()]

    def work(group):
        compare_with_one(group, cases[0], EXACT)
        compare_with_one(group, cases[1], CLOSE)

    assert run_processes(work, world) == [0] * world
