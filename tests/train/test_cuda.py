"""What only a GPU can show: a recorded step is the plain one, nothing in it waits, and a resumed run is the same."""

import pytest
import torch

from fromnoise.data import DataOptions, load
from fromnoise.data.batches import Batches
from fromnoise.model.build import build_denoiser, build_objective
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.resolve import compose
from fromnoise.run.metadata import new_record
from fromnoise.train import checkpoint
from fromnoise.train.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def trainer(recipe="default", **settings):
    data = load(DataOptions("digits"))
    at = TrainingContext(data.spec, len(data), "cuda")
    config = compose(recipe, at, DataOptions(), None, {"train.num_images": 10**9, **settings})
    record = new_record(config, data)
    denoiser = build_denoiser(config, data.spec, record["sigma_data"], torch.bfloat16).to("cuda")
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
def test_a_recorded_step_is_the_plain_one(recipe, replays):
    plain, recorded = (trainer(recipe, **{"train.cuda_graph": word}) for word in ("no", "yes"))
    torch.testing.assert_close(after(plain, 40), after(recorded, 40), atol=1e-3, rtol=1e-3)
    assert len(replays) > 30


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_resumed_is_uninterrupted(tmp_path, optimizer):
    def make():
        return trainer(**{"train.optimizer": optimizer})

    whole, first, second = after(make(), 24), make(), make()
    after(first, 11)
    checkpoint.restore(checkpoint.read(checkpoint.write(tmp_path, first, 1.0, 2)), second)
    assert torch.equal(whole, after(second, 13))


@pytest.mark.parametrize("changes", [{}, {"train.cuda_graph": "no"}])
def test_nothing_in_a_step_waits_for_the_device(changes):
    one = trainer(**changes)
    after(one, 8)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            one._one_step()
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
