"""Interpolation between images that are conditioned on a class and on numbers, of a model that was not trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import Condition, ImageSpec
from fromnoise.common.labels import joined
from fromnoise.common.options import replaced
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.editing.editor import Editor
from fromnoise.model.build import build_denoiser
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import Settings

NUMBERS = torch.tensor([[0.0, 1.0], [1.0, torch.nan], [0.5, 2.0]])
LEAN, SIZE = (Condition(name, 0.0, 1.0, -1.0, 2.0) for name in ("lean", "size"))
SPEC = ImageSpec(1, 8, 8, ("a", "b"), conditions=(LEAN, SIZE))


@pytest.fixture(scope="module")
def data() -> ArrayData:
    """Two images of class a and one of class b; the second one's size is not known."""
    images = torch.randint(0, 256, (3, 1, 8, 8), generator=generator(0, "images"), dtype=torch.uint8)
    return ArrayData("some", "train", images, torch.tensor([0, 0, 1]), SPEC, conditions=NUMBERS)


@pytest.fixture(scope="module")
def editor(data: ArrayData) -> Editor:
    settings = replaced(Settings(), {"net.width": 8, "net.depth": 1, "sample.steps": 3})
    denoiser = build_denoiser(settings, SPEC, 0.5).eval()
    rows = joined(data.labels, NUMBERS)
    model = TrainedModel(denoiser, settings.sample, (2, 1), sees_unlabelled=False, label_rows=rows)
    return Editor(model, lambda: data)


def test_two_images_of_a_class_keep_it_and_their_numbers_go_from_one_to_the_other(editor: Editor) -> None:
    heard: list[torch.Tensor] = []
    hook = editor.model.denoiser.net.register_forward_pre_hook(
        lambda module, given, named: heard.append([*given, *named.values()][2]), with_kwargs=True
    )
    made = editor.interpolate(images=[0, 1], num=3)
    hook.remove()
    assert made.facts["classes"] == ["a"] * 3
    assert made.facts["conditions"] == {"lean": [0.0, 0.5, 1.0], "size": [None] * 3}
    assert heard[0][:, 1].tolist() == [0.0, 1.0], "each image is inverted with its own"
    assert heard[-1][:, 1].tolist() == [0.0, 0.5, 1.0]


def test_images_of_two_classes_have_none_in_common(editor: Editor) -> None:
    with pytest.raises(UsageError, match="--label"):
        editor.interpolate(images=[0, 2], num=3)
    seen = replace(editor, model=replace(editor.model, sees_unlabelled=True))
    assert seen.interpolate(images=[0, 2], num=3).facts["classes"] is None
    made = editor.interpolate(images=[0, 2], num=3, label="b").facts
    assert made["classes"] == ["b"] * 3 and made["conditions"] == {"lean": [0.0, 0.25, 0.5], "size": [1.0, 1.5, 2.0]}


def test_a_number_that_is_asked_for_is_that_of_all(editor: Editor) -> None:
    made = editor.interpolate(images=[0, 1], num=3, conditions={"size": 0.5}).facts
    assert made["classes"] == ["a"] * 3 and made["conditions"] == {"lean": [0.0, 0.5, 1.0], "size": [0.5] * 3}


def test_the_classes_of_images_do_not_matter_to_a_model_of_numbers_alone(editor: Editor) -> None:
    settings = replaced(Settings(), {"net.width": 8, "net.depth": 1, "net.class_conditioning": False})
    denoiser = build_denoiser(settings, replace(SPEC, classes=()), 0.5).eval()
    rows = editor.model.label_rows
    numbers = replace(editor, model=TrainedModel(denoiser, settings.sample, sees_unlabelled=False, label_rows=rows))
    made = numbers.img2img(2, num=2)
    assert made.facts["classes"] is None and made.facts["conditions"] == {"lean": [0.5] * 2, "size": [2.0] * 2}
    assert not any(note.startswith("class") for note in made.notes)
    assert numbers.interpolate(images=[0, 2], num=3, conditions={"size": 1.0}).facts["classes"] is None
