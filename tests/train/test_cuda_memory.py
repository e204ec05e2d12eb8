"""What only a GPU can show of memory that runs out: a captured step in micro-batches, and samples in parts."""

import gc

import pytest
import torch

from fromnoise.common.memory import memory_limit, release_memory
from fromnoise.data import DataOptions, load
from fromnoise.data.batches import Batches
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.model.build import build_denoiser, build_objective
from fromnoise.settings import NetOptions, Settings, TrainOptions
from fromnoise.train import update
from fromnoise.train.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
BATCH = 1024


@pytest.fixture
def limit():
    """limit(number): from now on torch may hold so many bytes beside what it holds; returns what that is in all."""

    def set_limit(number):
        whole = held() + number
        torch.cuda.set_per_process_memory_fraction(whole / torch.cuda.mem_get_info()[1])
        return whole

    yield set_limit
    torch.cuda.set_per_process_memory_fraction(1.0)
    release_memory()


def held():
    """Bytes that nothing can free now, such as those of graphs that other tests captured."""
    gc.collect()
    release_memory()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_reserved()


def settings(graph="auto"):
    train = TrainOptions(train_batch_size=BATCH, cuda_graph=graph, mixed_precision="no")
    return Settings(net=NetOptions(width=48), train=train)


def trainer(graph="auto"):
    data, chosen = load(DataOptions("digits")), settings(graph)
    denoiser = build_denoiser(chosen, data.spec, 0.5).to("cuda")
    batches = Batches(data.to("cuda"), BATCH, 0, device="cuda")
    return Trainer(denoiser, build_objective(chosen.objective, 0.5), batches, chosen.train, total=10**9)


def after(one, steps):
    read = []
    for _, step in zip(range(steps), one.steps(), strict=False):
        read += step.read
    return [entry.loss for entry in (*read, *one.read_losses())]


def peak(graph):
    """Bytes that ten steps hold at most."""
    before = held()
    after(trainer(graph), 10)
    return torch.cuda.max_memory_reserved() - before


@pytest.mark.parametrize("graph", ["yes", "no"])
def test_a_batch_that_does_not_fit_is_trained_in_micro_batches(graph, limit):
    whole = after(trainer(graph), 10)
    limit(int(0.4 * peak(graph)))
    short = trainer(graph)
    assert after(short, 10) == pytest.approx(whole, rel=0.02)
    assert short.update.micro_batch < BATCH and all(p.isfinite().all() for p in short.net.parameters())


@pytest.mark.parametrize(("most", "micro_batch"), [(BATCH - 1, BATCH // 2), (0, BATCH // 8)])
def test_a_capture_that_runs_out_of_memory_is_taken_again(most, micro_batch, monkeypatch):
    """most: images that a captured step may hold; every fourth full batch, so every eighth step, is a capture."""
    loss, whole, captures = update.training_loss, after(trainer("no"), 24), []

    def limited(denoiser, objective, x0, label, noise):
        terms = loss(denoiser, objective, x0, label, noise)
        if torch.cuda.is_current_stream_capturing():
            captures.append(len(x0))
            if len(x0) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return terms

    monkeypatch.setattr(update, "training_loss", limited)
    one, stream = trainer("yes"), torch.cuda.current_stream()
    assert after(one, 24) == pytest.approx(whole, rel=0.02)
    assert captures[0] == BATCH and one.update.micro_batch == micro_batch
    assert torch.cuda.current_stream() == stream


def test_a_batch_of_samples_that_does_not_fit_is_evaluated_in_parts(limit):
    data = load(DataOptions("digits"))
    denoiser = build_denoiser(settings(), data.spec, 0.5).to("cuda").eval()
    x = start_noise(denoiser.process, data.spec.shape, range(2 * BATCH)).to("cuda")
    t = torch.full((len(x),), 0.5, dtype=torch.float64, device="cuda")
    with torch.no_grad():
        before = held()
        whole = denoiser(x, t).x0
        limit(int(0.6 * (torch.cuda.max_memory_reserved() - before)))
        parts = denoiser(x, t).x0
    assert denoiser.limit.most is not None and denoiser.limit.most < len(x)
    torch.testing.assert_close(parts, whole, atol=1e-3, rtol=1e-3)


def test_the_limit_of_a_process_is_known(limit):
    whole = limit(10**9)
    assert memory_limit("cuda") == pytest.approx(whole, rel=0.01)
