"""Single findings about few images, constant channels and steps, each from values made for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.diagnosis import step_count as steps_module
from fromnoise.diagnosis.denoising_curves import DenoisingCurves
from fromnoise.diagnosis.denoising_error import images_seen
from fromnoise.diagnosis.memorization import near_duplicates, overfitting
from fromnoise.diagnosis.noise_levels import choose_levels
from fromnoise.diagnosis.pixel_range import sample_colour
from fromnoise.diagnosis.step_count import step_count
from fromnoise.diagnosis.training_history import training_history
from fromnoise.diagnosis.training_record import TrainingRecord
from fromnoise.diffusion.process import Linear, Process
from fromnoise.diffusion.samplers import SAMPLERS
from fromnoise.diffusion.vp import VPLinear
from fromnoise.model.build import check_sampling
from fromnoise.settings import SampleOptions, Settings

SPEC = ImageSpec(1, 4, 4)
Commands = Callable[..., list[str]]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """commands(process, **options): those that are advised where samples in four times the steps are far better."""
    made = SimpleNamespace(images=torch.zeros(32, 1))
    monkeypatch.setattr(steps_module, "make_samples", lambda model, count: made)
    monkeypatch.setattr(steps_module, "kernel_distance", lambda *given: SimpleNamespace(value=0.1))
    monkeypatch.setattr(steps_module, "kernel_difference", lambda *given: SimpleNamespace(stderr=0.01))
    far: Any = SimpleNamespace(
        samples=made,
        features=SimpleNamespace(of=lambda images: images),
        distance=SimpleNamespace(value=1.0),
        reference=None,
        of_samples=None,
        held_out_distance=None,
    )

    def advised(process: Process, **options: Any) -> list[str]:
        sampling = SampleOptions(**options)
        model: Any = SimpleNamespace(sampling=sampling, process=process, with_sampling=lambda **changes: None)
        found = step_count(model, far, 1e4, affordable=True)
        assert found.level == "error"
        words = re.findall("`(.*?)`", found.advice)
        for command in words:
            (counts,) = re.findall(r"--steps ([\d,]+)", command)
            grid = next(iter(re.findall(r"--grid (\S+)", command)), sampling.grid)
            for count in map(int, counts.split(",")):
                check_sampling(replace(sampling, steps=count, grid=grid), process, SPEC)
        return words

    return advised


def test_steps_of_a_grid_that_was_written_out_come_with_another_grid(commands: Commands) -> None:
    assert all("--grid auto" in command for command in commands(Linear(), grid="1,0.5,0", steps=2))
    assert not any("--grid" in command for command in commands(Linear(), grid="uniform", steps=5))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_only_samplers_without_noise_are_to_be_compared(commands: Commands, sampler: str) -> None:
    words = commands(Linear(), sampler=sampler, steps=8)
    assert any("--compare" in command for command in words) is not SAMPLERS[sampler].stochastic
    assert "--steps 32" in words[0]


def test_samplers_that_churn_are_not_to_be_compared(commands: Commands) -> None:
    assert len(commands(Linear(), sampler="dpmpp_2m", churn=3.0, steps=8)) == 1


def test_no_more_steps_are_advised_than_a_table_has(commands: Commands) -> None:
    sample, compare = commands(VPLinear(steps=200), grid="trailing", steps=150)
    assert sample.endswith("--steps 200") and compare.endswith("--steps 150,200")


@pytest.mark.parametrize("counts", [(64, 1), (1, 64), (1, 1)])
def test_one_image_shows_no_overfitting(counts: tuple[int, int]) -> None:
    levels = choose_levels(Linear(), 0.5)
    training, held_out = (torch.ones(len(levels.times), count) for count in counts)
    found = overfitting(DenoisingCurves(levels, {"ema": 2 * held_out}, {}, training), "ema", 64)
    assert found.level == "warning" and not found.numbers and "nan" not in found.message
    assert all(f"{count} " in found.message for count in counts)


def test_a_channel_that_is_constant_in_the_data_has_no_contrast() -> None:
    images = torch.randint(0, 256, (64, 3, 8, 8), generator=generator(0, "images"), dtype=torch.uint8)
    images[:, 2] = 30
    data = ArrayData("yellow", "train", images, None, ImageSpec(3, 8, 8))
    nearly = images.clone()
    nearly[:, 2, ::2] += 3
    for same in (images, nearly):
        assert sample_colour(same, data).level == "ok"
    pale = images // 2 + 64
    assert "50 %" in sample_colour(pale, data).message
    grey = replace(data, images=torch.full_like(images, 30))
    assert sample_colour(grey.images, grey).level == "ok"


def noise(count: int, seed: int) -> ArrayData:
    images = torch.randint(0, 256, (count, 1, 6, 6), generator=generator(seed, "images", count), dtype=torch.uint8)
    return ArrayData("noise", "train", images, None, ImageSpec(1, 6, 6))


def test_ten_held_out_images_make_no_near_duplicates_of_samples_that_are_none() -> None:
    levels = []
    for seed in range(10):
        data, held_out = noise(500, seed), noise(10, seed)
        levels.append(near_duplicates(noise(256, seed).images, data, held_out).level)
        assert near_duplicates(data.images[:256] ^ 1, data, held_out).level == "error"
    assert levels.count("ok") >= 9


def test_of_a_network_that_was_trained_elsewhere_too_nobody_knows_how_many_images_it_saw() -> None:
    data = noise(64, 0)
    record = TrainingRecord(Settings(), data.spec, data, None, images_seen=640, images_needed=12_000)
    assert images_seen(record).level == "error"
    found = images_seen(replace(record, elsewhere=True))
    assert found.level == "ok" and "640" in found.message and not found.advice


def test_a_history_without_lines_is_not_checked() -> None:
    data = noise(64, 0)
    (found,) = training_history(TrainingRecord(Settings(), data.spec, data, None, 640, 12_000))
    assert found.level == "ok" and "Not checked" in found.message
