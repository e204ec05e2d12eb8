"""Editing with a run: pictures from anywhere, the right labels, files that are whole or not there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.diffusion.process import Linear
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.editing.inputs import mask, picture
from fromnoise.run import Run
from fromnoise.testing import Gaussian


@pytest.fixture(scope="module")
def editor(tiny_run):
    return tiny_run.edit()


@pytest.fixture
def hole(tiny_run):
    where = np.zeros((tiny_run.spec.height, tiny_run.spec.width), bool)
    where[8:, 2:] = True
    return where


def stops(run, steps):
    return grid_named(run.settings.sample.grid, Linear())(Linear(), steps).tolist()


def png(path, pixels, mode=None):
    Image.fromarray(pixels, mode).save(path)
    return path


# -- what is given -----------------------------------------------------------------------------------------------------


def test_a_training_picture_by_its_number(tiny_run):
    pixels, labels = tiny_run.data.fetch(torch.tensor([7]))
    for source in (7, "7", np.int64(7)):
        given = picture(tiny_run, source)
        assert torch.equal(given.pixels, pixels) and given.label == int(labels[0])
    for number in (-1, "1500"):
        with pytest.raises(UsageError, match="numbered 0 to 1499"):
            picture(tiny_run, number)


def test_a_file_is_brought_to_the_models_shape(tiny_run, tmp_path):
    exact = np.arange(256, dtype=np.uint8).reshape(16, 16)
    given = picture(tiny_run, png(tmp_path / "exact.png", exact))
    assert torch.equal(given.pixels[0, 0], torch.from_numpy(exact)) and given.label is None and not given.note
    wide = np.zeros((20, 40, 4), np.uint8)
    wide[..., 3] = 255
    wide[:, :10] = 0  # transparent, and cropped away
    wide[:, 20:] = (255, 255, 255, 0)  # transparent: laid over white
    given = picture(tiny_run, png(tmp_path / "wide.png", wide))
    assert given.pixels.shape == (1, 1, 16, 16) and "20x40: resized and centre cropped to 16x16" in given.note
    assert given.pixels[0, 0, 8, 2] == 0 and given.pixels[0, 0, 8, 13] == 255
    assert torch.equal(picture(tiny_run, exact[..., None]).pixels[0, 0], torch.from_numpy(exact))
    with pytest.raises(UsageError, match=r"uint8 \(16, 16, 1\) is needed"):
        picture(tiny_run, exact)


def test_pictures_that_cannot_be_read(tiny_run, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name, said in (("none.png", "cannot be opened"), ("text.png", "it is no PNG"), ("", "cannot be opened")):
        for opened in (picture, mask):
            with pytest.raises(DataError, match=said):
                opened(tiny_run, tmp_path / name)


def test_a_mask_is_white_where_to_paint(tiny_run, hole, tmp_path):
    grey = np.where(hole, 130, 120).astype(np.uint8)
    colour = np.repeat(np.where(hole, 255, 0).astype(np.uint8)[..., None], 3, 2)
    for source in (png(tmp_path / "grey.png", grey), png(tmp_path / "colour.png", colour), hole):
        assert torch.equal(mask(tiny_run, source)[0, 0], torch.from_numpy(hole))
    with pytest.raises(UsageError, match=r"the mask small.png is 12x10, but the pictures are 16x16"):
        mask(tiny_run, png(tmp_path / "small.png", grey[:12, :10]))
    with pytest.raises(UsageError, match="is 16, but"):
        mask(tiny_run, hole[0])
    with pytest.raises(UsageError, match="no white"):
        mask(tiny_run, np.zeros((16, 16), bool))


# -- what is made ------------------------------------------------------------------------------------------------------


def test_variations(tiny_run, editor):
    assert len(editor.img2img(7, 0.7, seeds=[2]).moments) == 15  # 3 steps are too coarse to go a part of the way
    editor, times = tiny_run.edit({"steps": 3}), stops(tiny_run, 3)
    made = editor.img2img(7, 0.7, seeds=[2, 5])
    assert made.images.shape == (2, 16, 16, 1) and made.facts["t"] == times[1] and len(made.moments) == 3
    assert made.facts["classes"] == [tiny_run.spec.classes[picture(tiny_run, 7).label]] * 2
    assert [moment.t for moment in made.moments] == times[1:]
    assert np.array_equal(made.moments[-1].x, made.images)
    full = editor.img2img(7, 1.0, seeds=[2, 5], label=3)
    assert np.array_equal(full.images, tiny_run.sample(seeds=[2, 5], label=3).images)


def test_one_by_one_is_all_at_once(tiny_run, editor, hole):
    single = tiny_run.edit({"batch_size": 1})
    for make in (
        lambda editor: editor.img2img(7, 0.7, 3),
        lambda editor: editor.inpaint(7, hole, 3, resample=2),
        lambda editor: editor.interpolate(images=[7, 4], num=3),
        lambda editor: editor.invert([7, 4, 0]),
    ):
        one, all_of_them = make(single), make(editor)
        assert np.abs(one.images.astype(int) - all_of_them.images).max() <= 1
        assert len(one.moments) == len(all_of_them.moments) and one.facts.keys() == all_of_them.facts.keys()


def test_a_hole_is_painted_and_the_rest_stays(tiny_run, editor, hole):
    made = editor.inpaint(7, hole, 3)
    given = made.given[0][1][0]
    assert np.array_equal(made.images[:, ~hole], np.stack([given[~hole]] * 3))
    assert not np.array_equal(made.images[0, hole], made.images[1, hole])
    assert made.facts["painted"] == pytest.approx(hole.mean()) and (made.given[1][1][0, hole] == 128).all()


def test_between_seeds_and_between_pictures(tiny_run, editor):
    made = editor.interpolate(seeds=[3, 17], num=4)
    first = tiny_run.sample(seeds=[3])
    assert np.array_equal(made.images[0], first.images[0])
    assert made.facts["classes"] == [tiny_run.spec.classes[first.labels[0]]] * 4 and made.names[-1] == "100%"
    last = tiny_run.sample(seeds=[17], label=first.labels[0]).images[0]
    assert np.abs(made.images[-1].astype(int) - last).max() <= 1
    fine = tiny_run.edit({"steps": 16, "sampler": "heun"})
    made = fine.interpolate(images=[7, 4], num=3)
    assert np.array_equal(made.images[[0, 2]], fine.interpolate(images=[7, 4], num=2).images)
    assert max(made.facts["error"]) < 20 and not made.facts["classes"]
    for wrong in ({}, {"seeds": [1]}, {"images": [1, 2, 3]}, {"seeds": [1, 2], "images": [1, 2]}):
        with pytest.raises(UsageError, match="two seeds or two pictures"):
            editor.interpolate(**wrong)
    with pytest.raises(UsageError, match="at least 2"):
        editor.interpolate(seeds=[1, 2], num=1)


def test_inversion_comes_back_better_with_more_steps(tiny_run):
    errors = [max(tiny_run.edit({"steps": steps}).invert([7, 4]).facts["error"]) for steps in (8, 16, 32)]
    assert errors[2] < errors[1] / 1.6 < errors[0] / 1.6**2
    made = tiny_run.edit({"steps": 16, "sampler": "ddim"}).invert(7)
    off = made.images.astype(float) - made.given[0][1]
    assert made.facts["error"][0] == pytest.approx(float((off**2).mean() ** 0.5), abs=0.6)  # rounded and clipped
    assert made.noise.shape == (1, 1, 16, 16) and made.up[0].t == stops(tiny_run, 16)[-2] and made.up[-1].t == 1
    assert np.abs(made.moments[-2].x.astype(int) - made.up[0].x).max() < 48


def test_each_picture_has_its_own_class(tiny_run, editor):
    """Pictures 7 and 4, of two classes, on the way up and down."""
    heard = []

    class Listening(Gaussian):
        def __call__(self, xt, t, label=None):
            heard.append(label.tolist())
            return super().__call__(xt, t, label)

    listening = replace(editor, denoiser=Listening(editor.denoiser.process, tiny_run.spec))
    both = listening.invert([7, 4])
    classes = [picture(tiny_run, number).label for number in (7, 4)]
    assert len(set(classes)) == 2 and all(labels == classes for labels in heard)
    assert both.facts["classes"] == [tiny_run.spec.classes[label] for label in classes]
    assert both.facts["noise_std"][1] == pytest.approx(float(both.noise[1].std()), abs=1e-3)


def test_guidance_does_not_invert(tiny_run):
    run = Run(tiny_run.path)
    run.settings = replace(run.settings, sample=replace(run.settings.sample, guidance_scale=3.0))
    assert np.array_equal(run.edit().invert(7).images, tiny_run.edit({"guidance_scale": 1.0}).invert(7).images)
    guided = tiny_run.edit({"guidance_scale": 3.0})
    for make in (lambda: guided.invert(7), lambda: guided.interpolate(images=[7, 4])):
        with pytest.raises(UsageError, match="inverted without it"):
            make()
    assert not np.array_equal(guided.img2img(7, num=1).images, tiny_run.edit().img2img(7, num=1).images)


def test_a_class_that_is_needed_and_not_known(tiny_run, tmp_path):
    run = Run(tiny_run.path)
    plain = replace(run.settings.sample, guidance_scale=1.0)
    run.settings = replace(run.settings, objective=replace(run.settings.objective, label_dropout=0.0), sample=plain)
    path = png(tmp_path / "p.png", np.zeros((16, 16), np.uint8))
    with pytest.raises(UsageError, match="give --label"):
        run.edit().img2img(path, num=1)
    assert run.edit().img2img(path, num=1, label=3).facts["classes"] == ["3"]
    mixed = tiny_run.edit().invert([path, 7])
    assert mixed.facts["classes"][0] == "none" != mixed.facts["classes"][1]
    assert tiny_run.edit().img2img(path, num=1).facts["classes"] is None


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_figures_strips_films_and_folders(editor, hole, tmp_path):
    for name, made in {
        "img2img": editor.img2img(7, num=2),
        "inpaint": editor.inpaint(7, hole, 2),
        "interpolate": editor.interpolate(seeds=[1, 2]),
        "invert": editor.invert([7, 4]),
    }.items():
        assert made.save(tmp_path / f"{name}.png") == tmp_path / f"{name}.png"
        figure, strip = (Image.open(tmp_path / f"{name}{end}.png") for end in ("", "-steps"))
        assert min(figure.size) > 80 and min(strip.size) > 200
    made.save(tmp_path / "film.gif")
    assert Image.open(tmp_path / "film.gif").n_frames == len(made.moments)
    assert made.save(tmp_path / "folder") == tmp_path / "folder"
    names = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert names == ["000-picture7.png", "001-picture4.png", "steps.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "folder" / names[0])), made.images[0, ..., 0])


def test_nothing_is_half_written(editor, tmp_path):
    made = editor.img2img(7, num=1)
    (tmp_path / "there.png").mkdir()  # the figure cannot take the place of a folder, its strip could be written
    with pytest.raises(WriteError):
        made.save(tmp_path / "there.png")
    with pytest.raises(UsageError, match=r"cannot write an edit as '\.jpeg'"):
        made.save(tmp_path / "x.jpeg")
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]


def test_of_a_long_walk_every_so_many_th_moment_is_kept(tiny_run, monkeypatch):
    monkeypatch.setattr("fromnoise.editing.result.KEPT", 10)
    made = tiny_run.edit({"steps": 15}).invert(7)
    assert len(made.moments) == 9 and made.moments[-1].t == 0 and made.strip().size[0] > 200
