"""One process, many, and micro-batches: the same weights, averages and losses, whatever a training goes on with."""

from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch import nn

from fromnoise.common.errors import (
    DataError,
    DivergedError,
    Interrupted,
    OtherProcessError,
    ProcessError,
    UsageError,
)
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.batches import Batches
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.process import Linear
from fromnoise.diffusion.time_sampling import UniformTimes
from fromnoise.diffusion.weighting import Unit
from fromnoise.model.build import build_denoiser, build_objective
from fromnoise.settings import NetOptions, ObjectiveOptions, ProcessOptions, Settings, TrainOptions
from fromnoise.train import update as update_module
from fromnoise.train.budget import Budget
from fromnoise.train.checkpoint import restore_trainer, save_checkpoint, share_state, state_files
from fromnoise.train.checkpoint_files import read_checkpoint
from fromnoise.train.distributed import ALONE
from fromnoise.train.following import follow
from fromnoise.train.interrupts import StopRequest
from fromnoise.train.muon import orthogonal
from fromnoise.train.shared_muon import shared_orthogonal, shares
from fromnoise.train.shared_update import check_shares
from fromnoise.train.trainer import Trainer
from fromnoise.train.votes import SAVE, STOP, Votes, checksum

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


def test_a_checkpoint_goes_on_in_any_number_of_processes(tmp_path, run_processes):
    """One process saves after 13 steps, two after 26, four after 37, one ends: as if one had trained all along."""
    turns = [(1, 13), (2, 26), (4, 37), (1, STEPS)]
    expected, _ = trained_alone(recipe="ddpm", optimizer="muon")

    def turn(group, until):
        with computing_in(torch.float64):
            trainer = make(group, recipe="ddpm", optimizer="muon")
            saved = sorted((tmp_path / "run").glob("*")) if group.rank == 0 else []
            if saved:
                restore_trainer(read_checkpoint(saved[-1]), trainer)
            share_state(trainer, 0.0)
            for step in trainer.steps():
                if step.step == until:
                    break
            if group.rank == 0:
                save_checkpoint(tmp_path / "run", trainer, 0.0, keep=9)
            if until == STEPS:
                assert furthest(weights(trainer), expected) < EXACT

    for world, until in turns:
        if world == 1:
            turn(ALONE, until)
        else:
            assert run_processes(turn, world, until) == [0] * world
    assert len(list((tmp_path / "run").glob("*"))) == len(turns)


def test_a_checkpoint_does_not_depend_on_the_number_of_processes(tmp_path, run_processes):
    def work(group):
        trainer = make(group, dtype=torch.float32)
        next(trainer.steps())
        content = state_files(trainer, 0.0)
        assert len({content["state.json"] for content in group.gather(content)}) == 1
        if group.rank == 0:
            (tmp_path / f"names-{group.world}").write_text(" ".join(sorted(content)))

    work(ALONE)
    assert run_processes(work, 2) == [0, 0]
    assert (tmp_path / "names-1").read_text() == (tmp_path / "names-2").read_text()


class Branches(nn.Module):
    """`unused` never has a gradient, `rare` for images of class 1 only, which may be in one process alone."""

    def __init__(self):
        super().__init__()
        self.layer, self.unused, self.rare = (nn.Conv2d(1, 1, 3, padding=1) for _ in range(3))

    def forward(self, x, code, label=None):
        out = self.layer(x)
        for one in torch.nonzero(label == 1).flatten().tolist():
            out = out + torch.nn.functional.pad(self.rare(x[one : one + 1]), (0, 0, 0, 0, 0, 0, one, len(x) - one - 1))
        return out


def test_weights_without_a_gradient_move_as_in_one_process(run_processes):
    """AdamW shrinks what has a gradient of zero, and leaves alone what has none."""

    def train(group):
        torch.manual_seed(0)
        denoiser = Denoiser(Branches().double(), Linear(), X0(), ImageSpec(1, 4, 4, ("a", "b")))
        labels = torch.zeros(24, dtype=torch.int64)
        labels[5] = 1
        images = torch.arange(24 * 16).reshape(24, 1, 4, 4).to(torch.uint8)
        batches = Batches(ArrayData("n", "train", images, labels, denoiser.spec), 6, 0)
        options = TrainOptions(train_batch_size=6, weight_decay=0.5, lr_warmup_images=1, learning_rate=0.05)
        trainer = Trainer(denoiser, Objective(Unit(), UniformTimes()), batches, options, total=72, group=group)
        with computing_in(torch.float64):
            list(trainer.steps())
        return weights(trainer)

    expected = train(ALONE)

    def work(group):
        assert furthest(train(group), expected) < EXACT

    assert run_processes(work, 2) == run_processes(work, 3)[:2] == [0, 0]


def test_memory_that_runs_out_in_one_process_changes_nothing(run_processes, monkeypatch):
    expected, _ = trained_alone()
    loss = update_module.training_loss

    def work(group):
        def short(denoiser, objective, x0, *others):
            if group.rank == 1 and len(x0) > 2:
                raise torch.OutOfMemoryError("no room")
            return loss(denoiser, objective, x0, *others)

        monkeypatch.setattr(update_module, "training_loss", short)
        found, _ = trained(group)
        assert furthest(found, expected) < EXACT

    assert run_processes(work, 2) == [0, 0]


def test_an_error_in_one_process_stops_all_before_weights_move(run_processes):
    def work(group):
        trainer = make(group, dtype=torch.float32)
        kind = DataError if group.rank == 1 else OtherProcessError
        batch = trainer.batches.batch

        def gone(step, slots):
            if step == 5 and group.rank == 1:
                raise DataError("image 7 is gone")
            return batch(step, slots)

        trainer.batches.batch = gone
        with pytest.raises(kind, match="image 7 is gone") as raised, trainer.votes.until_all_leave():
            for _ in trainer.steps():
                before = weights(trainer)
        assert raised.value.exit_code == 3 and raised.value.quiet == (group.rank > 0)
        assert trainer.step == 5 and furthest(before, weights(trainer)) == 0
        assert not trainer.update.moving

    assert run_processes(work, 3) == [0, 0, 0]


def test_losses_that_stay_nan_in_one_process_end_all_at_the_same_step(run_processes):
    def work(group):
        trainer = make(group, dtype=torch.float32)
        batch = trainer.batches.batch

        def broken(step, slots):
            images, label = batch(step, slots)
            return (images.float() * (float("nan") if step > 7 and group.rank == 1 else 1.0)), label

        trainer.batches.batch = broken
        with pytest.raises(DivergedError), trainer.votes.until_all_leave():
            list(trainer.steps())
        assert group.gather(trainer.step) == [18, 18]
        assert all(value.isfinite().all() for value in weights(trainer).values())

    assert run_processes(work, 2) == [0, 0]


@pytest.mark.parametrize("rank", [0, 1])
def test_all_stop_and_save_at_the_step_that_one_asks_for(rank, run_processes):
    def work(group):
        trainer = make(group, dtype=torch.float32)
        steps = []
        with trainer.votes.until_all_leave():
            for step in trainer.steps():
                if trainer.votes.ask(SAVE, group.rank == rank and step.step in (3, 9)):
                    steps.append(step.step)
                    trainer.votes.put(SAVE, 0)
                if code := trainer.votes.ask(STOP, 143 if group.rank == rank and step.step >= 20 else 0):
                    steps.append((step.step, code))
                    break
        assert group.gather(steps) == [[4, 10, (21, 143)]] * 2

    assert run_processes(work, 2) == [0, 0]


def test_a_following_process_stops_where_a_signal_or_the_time_says(run_processes):
    def work(group):
        trainer = make(group, dtype=torch.float32)
        with pytest.raises(Interrupted) as raised, trainer.votes.until_all_leave():
            for _ in follow(trainer, StopRequest(), deadline=0.0 if group.rank else None):
                pass
        assert raised.value.exit_code == 75 and trainer.step == 2

    assert run_processes(work, 2) == [0, 0]


def test_a_budget_is_planned_by_one_and_ends_for_all(run_processes):
    def work(group):
        now = [10.0 * group.rank]  # clocks that differ
        trainer = make(group, dtype=torch.float32)
        trainer.total, trainer.budget = None, Budget(0.0, 1000.0, now=lambda: now[0])
        trainer.timer.record(100 + group.rank, 100.0)
        with trainer.votes.until_all_leave():
            for step in trainer.steps():
                if step.step == 4:
                    assert len(set(group.gather(trainer.total))) == 1 and trainer.total > 0
                    now[0] = 2000.0 * group.rank  # the time is over for one of them
        assert group.gather(trainer.step) == [5, 5]

    assert run_processes(work, 2) == [0, 0]


def test_weights_that_are_not_the_same_are_an_error(run_processes):
    def work(group):
        trainer = make(group, dtype=torch.float32)
        if group.rank == 2:
            with torch.no_grad():
                next(iter(trainer.net.parameters())).flatten()[3] += 1.0
        with pytest.raises(ProcessError, match="process 2 are not"), trainer.votes.until_all_leave():
            list(trainer.steps())
        assert trainer.step == 0

    assert run_processes(work, 3) == [0, 0, 0]


def test_a_process_that_leaves_early_ends_the_others(run_processes):
    def work(group):
        trainer = make(group, dtype=torch.float32)
        if group.rank == 1:
            with trainer.votes.until_all_leave():
                next(trainer.steps())
        else:
            with pytest.raises(ProcessError, match="left the training"), trainer.votes.until_all_leave():
                list(trainer.steps())

    assert run_processes(work, 2) == [0, 0]


def test_each_matrix_is_made_orthogonal_by_one_process(run_processes):
    torch.manual_seed(0)
    shapes = [(3, 16, 144), (1, 32, 16), (2, 64, 64)]
    stacks = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    for world in (1, 2, 5, 9):
        found = shares(shapes, world)
        for i, (number, *_) in enumerate(shapes):
            assert sorted(n for one in found for n in one[i]) == list(range(number))

    def work(group):
        found = shared_orthogonal(group, stacks)
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(found, orthogonal(stacks), strict=True))

    assert run_processes(work, 2) == [0, 0] and run_processes(work, 4) == [0] * 4


def test_more_processes_or_micro_batches_than_images_are_refused():
    check_shares(TrainOptions(train_batch_size=4, gradient_accumulation_steps=2), 2)
    with pytest.raises(UsageError, match="5 processes"):
        check_shares(TrainOptions(train_batch_size=4), 5)
    with pytest.raises(UsageError, match="gradient_accumulation_steps is 3"):
        check_shares(TrainOptions(train_batch_size=4, gradient_accumulation_steps=3), 2)


def test_a_process_alone_agrees_with_itself():
    votes = Votes(ALONE)
    assert votes.ask(STOP, 143) == 143 and votes.ask(STOP, 0) == 0
    votes.agree()
    with pytest.raises(DataError):
        votes.agree(DataError("gone"))
