"""What only a GPU can show: a captured step is the eager one, nothing in it waits, a resumed run is the same."""

import pytest
import torch

from fromnoise.data import DataOptions, load
from fromnoise.data.batches import Batches
from fromnoise.model.build import build_denoiser, build_objective
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.resolve import Request
from fromnoise.run.metadata import new_metadata
from fromnoise.train.checkpoint import restore_trainer, save_checkpoint
from fromnoise.train.checkpoint_files import read_checkpoint
from fromnoise.train.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def trainer(recipe="default", **settings):
    data = load(DataOptions("digits"))
    context = TrainingContext(data.spec, len(data), "cuda")
    config = Request("digits", recipe, {"train.num_images": 10**9, **settings}).settings(context, DataOptions())
    sigma_data = new_metadata(config, data, context)["sigma_data"]
    denoiser = build_denoiser(config, data.spec, sigma_data, torch.bfloat16).to("cuda")
    batches = Batches(data.to("cuda"), config.train.train_batch_size, 0, device="cuda")
    return Trainer(denoiser, build_objective(config.objective, 0.5), batches, config.train, total=10**9)


@pytest.fixture
def replays(monkeypatch):
    """How often a graph was replayed."""
    counted, replay = [], torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (counted.append(1), replay(graph))[1])
    return counted


def after(trainer, steps):
    for _, step in zip(range(steps), trainer.steps(), strict=False):
        assert step.step
    return torch.cat([p.detach().flatten() for p in trainer.net.parameters()])


@pytest.mark.parametrize("recipe", ["default", "ddpm"])
def test_a_captured_step_is_the_eager_one(recipe, replays):
    eager, captured = (trainer(recipe, **{"train.cuda_graph": word}) for word in ("no", "yes"))
    torch.testing.assert_close(after(eager, 40), after(captured, 40), atol=1e-3, rtol=1e-3)
    assert len(replays) > 30


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_resumed_equals_uninterrupted(tmp_path, optimizer):
    def make():
        return trainer(**{"train.optimizer": optimizer})

    whole, first, second = after(make(), 24), make(), make()
    after(first, 11)
    restore_trainer(read_checkpoint(save_checkpoint(tmp_path, first, 1.0, 2)), second)
    assert torch.equal(whole, after(second, 13))


@pytest.mark.parametrize("changes", [{}, {"train.cuda_graph": "no"}])
def test_nothing_in_a_step_waits_for_the_device(changes, monkeypatch):
    one = trainer(**changes)
    after(one, 8)
    monkeypatch.setattr(one.losses, "read", tuple)  # the one place that waits
    steps = one.steps()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_batch_of_another_size_trains_too(replays):
    one = trainer(**{"train.train_batch_size": 700})  # 1,438 images: 700, 700 and 38
    assert after(one, 12).isfinite().all()
    assert one.images == 4 * len(one.batches.data) and len(replays) == 8 - 3


def test_compiled_is_about_the_same_and_keeps_the_plain_network():
    plain, compiled = (trainer(**{"train.compile": word}) for word in ("no", "yes"))
    torch.testing.assert_close(after(plain, 12), after(compiled, 12), atol=0.02, rtol=0.02)
    assert type(compiled.net) is type(plain.net)
