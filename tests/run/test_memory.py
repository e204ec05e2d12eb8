"""A whole run where memory is short: it trains, is scored and sampled in parts, and says so."""

import numpy as np
import pytest
import torch

from fromnoise.cli import main
from fromnoise.common.errors import MemoryLimitError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.nets.unet import UNet
from fromnoise.run import Run
from fromnoise.run.metadata import sigma_data_of


@pytest.fixture
def room(monkeypatch):
    """room(most): from now on no more than `most` images fit through the network at once."""
    forward = UNet.forward

    def set_room(most, only=lambda: True):
        def limited(net, x, code, label=None):
            if len(x) > most and only():
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(net, x, code, label)

        monkeypatch.setattr(UNet, "forward", limited)

    return set_room


def losses(run):
    return [line["loss"] for line in run.folder.read_metrics() if "step" in line]


def test_a_run_goes_on_with_micro_batches_and_writes_that_down_once(tmp_path, tiny_run, tiny_settings, room, capsys):
    room(20)
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings).train()
    events = [line for line in run.folder.read_metrics() if line.get("event") == "out of memory"]
    assert [(line["micro_batch"], line["images"]) for line in events] == [(16, 64)]
    assert capsys.readouterr().err.count("each batch of 64") == 1
    assert losses(run) == pytest.approx(losses(tiny_run), rel=1e-3)


def test_samples_and_scores_are_the_same_in_parts(tiny_run, room):
    whole, inverted = tiny_run.sample(12, guidance_scale=2.0), tiny_run.edit().invert([0, 1, 2, 3])
    room(3)
    parts = tiny_run.sample(12, guidance_scale=2.0)
    assert np.abs(parts.images.astype(int) - whole.images.astype(int)).max() <= 1
    again = tiny_run.edit().invert([0, 1, 2, 3])
    assert np.abs(again.images.astype(int) - inverted.images.astype(int)).max() <= 1


def test_a_network_that_does_not_fit_is_refused_and_keeps_what_was_trained(tmp_path, tiny_settings, room):
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)
    steps = run.steps()
    for _ in range(3):
        next(steps)
    room(0, only=torch.is_grad_enabled)
    with pytest.raises(MemoryLimitError, match=str(tmp_path)):
        next(steps)
    assert [int(path.name) for path in (run.path / "checkpoints").iterdir() if path.name.isdigit()] == [192]
    assert main(["train", "digits", "--output_dir", str(tmp_path / "r"), *flags(tiny_settings)]) == 2


def flags(settings):
    return [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]


def test_a_preview_that_does_not_fit_is_left_out(tmp_path, tiny_settings, room, capsys):
    room(0, only=lambda: not torch.is_grad_enabled())
    settings = {**tiny_settings, "train.validations": 0, "train.num_images": 128}
    run = Run.create("digits", output_dir=tmp_path / "r", settings=settings).train()
    assert "preview" in capsys.readouterr().err and not list(run.path.glob("samples/*.png"))


def test_the_command_line_has_a_sentence_for_memory(tiny_run, room, capsys):
    room(0)
    assert main(["sample", str(tiny_run.path), "--num", "2"]) == 2
    assert capsys.readouterr().err.startswith("fromnoise: ")


class Watched:
    """Images that note how many of them are looked at at once."""

    def __init__(self, images):
        self.images, self.looks = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        found = self.images[rows]
        self.looks.append(len(found))
        return found


def test_what_follows_from_many_images_looks_at_few_of_them_at_once(monkeypatch):
    images = torch.randint(0, 256, (600, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[:200] = 0
    watched, spec = Watched(images), ImageSpec(1, 8, 8)
    data = ArrayData("noise", "train", watched, None, spec)
    assert data.flat_share == pytest.approx(float(((images == 0) | (images == 255)).double().mean()))
    assert max(watched.looks) <= 256
    watched.looks.clear()
    monkeypatch.setattr("fromnoise.run.metadata._VALUES", 100 * 64)
    assert sigma_data_of(data, spec) == pytest.approx(float(spec.encode(images).std()), rel=0.05)
    assert watched.looks == [100]
