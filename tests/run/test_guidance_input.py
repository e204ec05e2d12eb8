"""A run whose network takes the guidance scale as an input: trained, gone on with, sampled, distilled, and refused."""

from __future__ import annotations

import json
import signal

import pytest
import torch

from fromnoise.cli import main
from fromnoise.common.errors import Interrupted, UsageError
from fromnoise.common.image_spec import GuidanceInput
from fromnoise.run import Run

INPUT = {
    "objective.guidance_input": 2.5,
    "sample.guidance_scale": 2.0,
    "sample.guidance_interval": (0.2, 0.7),
    "sample.sampler": "unipc_2",
    "sample.steps": 6,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_settings):
    path = tmp_path_factory.mktemp("runs") / "guided"
    return Run.create("digits", output_dir=path, settings={**tiny_settings, **INPUT}).train()


def test_guided_sampling_takes_one_evaluation_a_step(run):
    guided, plain = run.sample(4, keep_steps=True), run.sample(4, guidance_scale=1)
    assert guided.evaluations == plain.evaluations == 6
    assert (guided.images != plain.images).any()  # the input has learned something
    assert json.loads((run.path / "config.json").read_text())["spec"]["guidance_input"]["interval"] == [0.2, 0.7]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--guidance_scale", "3"], "1 to 2.5"),
        (["--guidance_scale", "0.5"], "1 to 2.5"),
        (["--guidance_interval", "0.2,0.9"], "0.2 to 0.7"),
        (["--guidance_interval", "none"], "0.2 to 0.7"),
        (["--guidance_rescale", "0.5"], "guidance_rescale"),
    ],
)
def test_what_was_not_trained_is_refused(flags, words, run, capsys):
    assert main(["sample", str(run.path), "--num", "1", *flags]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"net.kind": "basic_unet"},
        {"net.class_conditioning": False, "sample.guidance_scale": 1.0},
        {"objective.label_dropout": 0.0},
        {"sample.guidance_scale": 3.0},
    ],
)
def test_what_cannot_learn_it_is_refused_and_leaves_nothing(changes, tmp_path, tiny_settings):
    with pytest.raises(UsageError):
        Run.create("digits", output_dir=tmp_path / "run", settings={**tiny_settings, **INPUT, **changes})
    assert not (tmp_path / "run").exists()


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.flatten() for p in run.denoiser().net.parameters()])


def test_a_training_that_stopped_goes_on_to_the_same_weights(run, tmp_path, tiny_settings):
    again = Run.create("digits", output_dir=tmp_path / "again", settings={**tiny_settings, **INPUT})
    with pytest.raises(Interrupted):
        for step in again.steps():
            if step.step == 4:
                signal.raise_signal(signal.SIGINT)
    resumed = Run.create("digits", output_dir=again.path, settings={**tiny_settings, **INPUT}).train()
    assert torch.equal(weights(resumed), weights(run))


def test_another_interval_of_samples_leaves_that_of_the_training(tmp_path, tiny_settings):
    settings = {**tiny_settings, **INPUT, "train.num_images": 128}
    run = Run.create("digits", output_dir=tmp_path / "run", settings=settings)
    narrow = Run.create("digits", output_dir=run.path, settings={**settings, "sample.guidance_interval": (0.3, 0.6)})
    assert narrow.spec.guidance_input == run.spec.guidance_input == GuidanceInput(2.5, (0.2, 0.7))
    with pytest.raises(UsageError, match=r"0\.2 to 0\.7"):
        Run.create("digits", output_dir=run.path, settings={**settings, "sample.guidance_interval": (0.1, 0.6)})


def test_edits_and_a_distillation_take_it(run, tmp_path):
    image, (_, label) = run.data.images[0].permute(1, 2, 0).numpy(), run.data.fetch(torch.arange(1))
    there_and_back = run.edit(steps=20).invert(image, label=str(int(label)))
    assert there_and_back.images.std() > 10
    halves = run.edit(steps=20).img2img(image, num=2, strength=0.5, label=str(int(label)))
    unguided = run.edit(steps=20, guidance_scale=1).img2img(image, num=2, strength=0.5, label=str(int(label)))
    assert (halves.images != unguided.images).any()
    few = Run.distill(run.path, tmp_path / "few", budget=None, num_images=640, trajectories=64).train()
    assert few.sample(2, steps=1).evaluations == 1
    with pytest.raises(UsageError, match="distilled"):
        few.sample(2, guidance_scale=2)
