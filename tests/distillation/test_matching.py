"""Distribution matching, on normal images: a student of one step comes to have the teacher's mean and spread."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from fromnoise.common.errors import MemoryLimitError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.time_sampling import UniformTimes
from fromnoise.diffusion.vp import VPLinear
from fromnoise.diffusion.weighting import Unit
from fromnoise.distillation import matching, training
from fromnoise.distillation.matching import EvenLevels, Follower, MatchingUpdate
from fromnoise.distillation.training import PointBatches, PointTrainer
from fromnoise.distillation.trajectories import Trajectories
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import SampleOptions, TrainOptions
from fromnoise.testing import Gaussian
from fromnoise.testing.networks import Affine
from fromnoise.train.budget import Budget

OPTIONS = TrainOptions(
    learning_rate=0.02,
    lr_warmup_images=0,
    lr_schedule="linear",
    use_ema=False,
    max_grad_norm=None,
    train_batch_size=128,
)
OBJECTIVE = Objective(Unit(), UniformTimes())


class Normal(nn.Module):
    """E[x0 | x_t] on the straight path for normal images of this mean and spread, which can be learned."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.log_std = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(std).log())

    def forward(self, x, code, label=None):
        t = (code / 1000)[:, None, None, None]
        variance, alpha = (2 * self.log_std).exp(), 1 - t
        return self.mean + alpha * variance * (x - alpha * self.mean) / (alpha**2 * variance + t**2)


def normal_model(mean: float, std: float) -> TrainedModel:
    oracle = Gaussian(Linear(), mean=mean, std=std)
    denoiser = Denoiser(Normal(mean, std), oracle.process, X0(), oracle.spec)
    return TrainedModel(denoiser, SampleOptions(sampler="ddim", grid="uniform", steps=8, clip=False))


def begun(teacher: TrainedModel, student: Denoiser, options: TrainOptions = OPTIONS, images: int | None = 128 * 300):
    """A trainer of `student` that matches from its first step on."""
    oracle, process = Gaussian(Linear()), teacher.process
    stops = torch.tensor([0.5, 0.0], dtype=torch.float64).repeat(512, 1)
    noise = torch.randn(512, *oracle.spec.shape, generator=torch.Generator().manual_seed(0))
    points = PointBatches(process, 128, seed=0)
    ends = torch.stack([noise, 0 * noise, 0.5 * noise, 0 * noise], dim=1)
    points.trajectories = Trajectories(ends, 1.0, stops, None, 0.0)
    return PointTrainer(student, points, options, images, None, teacher=(teacher, OBJECTIVE), matched=1.0)


def one_step_student(scale: float, shift: float) -> Denoiser:
    """Its samples of one step have this spread and mean."""
    oracle, net = Gaussian(Linear()), Affine()
    net.terms.data[:, 0] = torch.tensor([scale, shift])
    return Denoiser(net, oracle.process, X0(), oracle.spec)


@pytest.mark.parametrize(("scale", "shift"), [(0.7, -0.3), (0.1, 0.6)], ids=["too wide", "too narrow"])
def test_samples_of_one_step_come_to_have_the_mean_and_spread_of_the_teachers(monkeypatch, scale, shift):
    """The trajectories all end at 0, so that it is the matching alone that knows of the images. Two networks that
    move each other need many steps of the follower to come to rest."""
    for name, value in {"END_WEIGHT": 0.0, "STUDENT_RATE": 0.25, "FOLLOWER_RATE": 6.0}.items():
        monkeypatch.setattr(matching, name, value)
    monkeypatch.setattr(training, "MATCHED_AT_NOISE", 1.0)
    teacher, student = normal_model(0.4, 0.3), one_step_student(scale, shift)
    trainer = begun(teacher, student, replace(OPTIONS, learning_rate=0.005), images=128 * 1000)
    before = copy.deepcopy(teacher.denoiser.net.state_dict())
    for _ in trainer.steps():
        pass
    noise = torch.randn(2000, *student.spec.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        samples = student(noise, torch.ones(2000, dtype=torch.float64)).x0
    assert float(samples.mean()) == pytest.approx(0.4, abs=0.02)
    assert float(samples.std()) == pytest.approx(0.3, abs=0.02)
    followed = trainer.follower.net.requires_grad_(False)
    assert float(followed.mean) == pytest.approx(0.4, abs=0.02), "the follower has learned the student's samples"
    assert float(followed.log_std.exp()) == pytest.approx(0.3, abs=0.02)
    assert all(torch.equal(value, before[name]) for name, value in teacher.denoiser.net.state_dict().items())


def test_the_end_of_a_trajectory_has_a_little_weight_and_what_is_logged_is_its_distance(monkeypatch):
    monkeypatch.setattr(training, "MATCHED_AT_NOISE", 1.0)
    trainer = begun(normal_model(0.0, 0.5), one_step_student(0.5, 0.0))
    trainer.more_state["matching_from"] = 0
    x0, label, noise = trainer.pairs(0, slice(None))
    update = trainer._matching_update()
    monkeypatch.setattr(update, "_matched", lambda samples, label, noise: torch.zeros(len(samples)))
    ordinary = PointTrainer(one_step_student(0.5, 0.0), trainer.points, OPTIONS, 128, None).update
    update._noise = noise
    _, matched = update._gradient(x0, label, noise, len(x0))
    _, losses = ordinary._gradient(x0, label, noise, len(x0))
    torch.testing.assert_close(matched, losses)
    pull, whole = trainer.net.terms.grad, ordinary.net.terms.grad
    torch.testing.assert_close(pull, matching.END_WEIGHT * whole)
    assert float(whole.abs().max()) > 0.1


@pytest.mark.parametrize("process", [Linear(), VPLinear(), VE()], ids=["linear", "vp", "ve"])
def test_levels_are_even_on_any_process(process):
    times = EvenLevels(0.2, 0.98).sample(4000, process, generator(0, "test", 0))
    alpha, sigma = process.scales(times)
    level = sigma / (alpha + sigma)
    assert times.dtype == torch.float64 and bool((times <= process.t_max).all())
    assert float(level.min()) == pytest.approx(0.2, abs=0.01) and float(level.max()) == pytest.approx(0.98, abs=0.01)
    assert float(level.quantile(0.5)) == pytest.approx(0.59, abs=0.03)


class Labelled(nn.Module):
    """Another constant for each label."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([1.0, 2.0, -1.0]))

    def forward(self, x, code, label=None):
        return self.value[label][:, None, None, None] + 0 * x


def test_the_teacher_is_guided_at_the_times_of_its_guidance_each_by_itself(monkeypatch):
    """x0 = own + (w - 1) (own - none) inside of the interval, own outside, whatever else is in the batch."""
    monkeypatch.setattr(matching, "GUIDED", 0.5)
    spec = ImageSpec(1, 2, 2, classes=("a", "b"))
    denoiser = Denoiser(Labelled(), Linear(), X0(), spec)
    sampling = SampleOptions(
        sampler="ddim", grid="uniform", steps=4, clip=False, guidance_scale=3.0, guidance_interval=(0.3, 0.6)
    )
    teacher = TrainedModel(denoiser, sampling)
    follower = Follower(teacher, OBJECTIVE, OPTIONS)
    student = denoiser.with_net(copy.deepcopy(denoiser.net))
    update = MatchingUpdate(student, OBJECTIVE, torch.optim.SGD(student.net.parameters()), OPTIONS, teacher, follower)
    t = torch.tensor([0.1, 0.3, 0.5, 0.6, 0.9], dtype=torch.float64)
    label = torch.tensor([0, 1, 0, 1, 1])
    x0 = update._wanted(torch.zeros(5, 1, 2, 2), t, label)[:, 0, 0, 0]
    assert x0.tolist() == [1.0, 2 + 3, 1 + 2, 2 + 3, 2.0]
    there = follower.estimator(torch.zeros(5, 1, 2, 2), t, label).x0[:, 0, 0, 0]
    assert there.tolist() == [1.0, 2.0, 1.0, 2.0, 2.0]  # of its own samples, which guidance has made already


def test_what_is_left_is_dearer_than_what_was_measured_until_the_matching():
    """Of 1,000 images 200 cost 4.5: as much as 1,700 of before, wherever one asks."""
    trainer = begun(normal_model(0.0, 0.5), one_step_student(0.5, 0.0))
    trainer.matched, dear = 0.2, training.MATCHED_COST - 1
    whole = 1000 * (1 + 0.2 * dear)
    for seen in (0, 300, 700):
        trainer.images = seen
        assert (whole - seen) / trainer.cost_ahead(whole - seen) == pytest.approx(1000 - seen)
    trainer.images = 900  # more than the plan has before the matching: all that is left is dear
    assert trainer.cost_ahead(100.0) == training.MATCHED_COST
    trainer.more_state["matching_from"] = 800
    assert trainer.cost_ahead(100.0) == 1


def test_a_budget_is_planned_with_the_matching_in_it():
    """A point at 1/1000 s: of 100 s so many fit that a fifth of them may cost 4.5 times as much."""
    clock = [0.0]
    trainer = begun(normal_model(0.0, 0.5), one_step_student(0.5, 0.0), images=None)
    trainer.matched, trainer.budget = 0.2, Budget(0.0, 100.0, now=lambda: clock[0])
    for _ in range(100):
        clock[0] += 0.128
        trainer.timer.record(1, 0.128)
        trainer.images += 128
    trainer._replan()
    seconds = 1e-3 * trainer.total * (0.8 + 0.2 * training.MATCHED_COST)
    assert seconds == pytest.approx(100 - 0.03 * 87.2 - 1, abs=1.5)  # what is not kept in reserve


def test_micro_batches_make_the_same_step():
    steps = []
    for size in (128, 50):
        student = one_step_student(0.7, -0.3)
        trainer = begun(normal_model(0.4, 0.3), student, replace(OPTIONS, optimizer="adam"), images=128 * 3)
        trainer.update.micro_batch = size
        for _ in trainer.steps():
            pass
        steps.append(student.net.terms.detach().clone())
    torch.testing.assert_close(*steps, rtol=1e-4, atol=1e-6)


def test_where_the_teacher_does_not_fit_beside_the_gradient_fewer_images_go_through_at_once(monkeypatch):
    trainer = begun(normal_model(0.4, 0.3), one_step_student(0.7, -0.3), images=128 * 2)
    trainer.more_state["matching_from"] = 0
    update = trainer._matching_update()
    real = update._matched

    def tight(samples, label, noise):
        if len(samples) > 40:
            raise MemoryLimitError("not even one image fits")
        return real(samples, label, noise)

    monkeypatch.setattr(update, "_matched", tight)
    for _ in trainer.steps():
        pass
    assert trainer.step == 2 and update.micro_batch == trainer.follower.update.micro_batch == 32


def test_a_follower_whose_loss_is_not_finite_is_seen_in_the_losses():
    trainer = begun(normal_model(0.4, 0.3), one_step_student(0.7, -0.3), images=128 * 50)
    assert bool(trainer.advance(0.001).isfinite().all())
    trainer.follower.net.mean.data.fill_(float("nan"))
    student = trainer.net.terms.detach().clone()
    assert not bool(trainer.advance(0.001).isfinite().any()) and torch.equal(trainer.net.terms, student)


def test_weights_are_those_of_no_step_until_both_networks_have_moved(monkeypatch):
    trainer = begun(normal_model(0.4, 0.3), one_step_student(0.7, -0.3), images=128 * 50)
    trainer.advance(0.001)
    assert not trainer.update.moving

    def fails(*_):
        raise MemoryLimitError("not even one image fits")

    monkeypatch.setattr(trainer.follower, "follow", fails)
    with pytest.raises(MemoryLimitError):
        trainer.advance(0.001)
    assert trainer.update.moving


def test_the_follower_begins_as_the_teacher_whatever_a_later_checkpoint_made_of_it():
    teacher = normal_model(0.4, 0.3)
    trainer = begun(teacher, one_step_student(0.7, -0.3), images=128 * 50)
    trainer.follower.net.mean.data.fill_(9.0)
    trainer.advance(0.0)
    assert float(trainer.follower.net.mean.detach()) == pytest.approx(0.4, abs=1e-6)


def test_batches_before_the_matching_stay_what_they_were():
    trainer = begun(normal_model(0.4, 0.3), one_step_student(0.7, -0.3), images=128 * 50)
    before = trainer.pairs(3, slice(None))[2].t
    trainer.more_state["matching_from"] = 128 * 4
    assert torch.equal(trainer.pairs(3, slice(None))[2].t, before)
    later = trainer.pairs(4, slice(None))[2].t
    assert float((later == 1).double().mean()) == pytest.approx(training.MATCHED_AT_NOISE, abs=0.12)


def test_a_finished_training_keeps_no_follower():
    trainer = begun(normal_model(0.4, 0.3), one_step_student(0.7, -0.3), images=128 * 2)
    found = [set(trainer.companions) for _ in trainer.steps()]
    assert found == [{"follower"}, set()]
