"""Editing with a run: images from anywhere, the right labels, files that are whole or not there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.diffusion.process import Linear
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.editing.editor import Editor
from fromnoise.editing.inputs import read_image, read_mask, training_image
from fromnoise.run import Run


@pytest.fixture(scope="module")
def editor(tiny_run):
    return tiny_run.edit()


@pytest.fixture
def region(tiny_run):
    where = np.zeros((tiny_run.spec.height, tiny_run.spec.width), bool)
    where[8:, 2:] = True
    return where


def stops(run, steps):
    return grid_named(run.settings.sample.grid, Linear())(Linear(), steps).tolist()


def label_of(run, number):
    return int(run.data.labels[number])


def png(path, pixels, mode=None):
    Image.fromarray(pixels, mode).save(path)
    return path


# -- what is given -----------------------------------------------------------------------------------------------------


def test_a_training_image_by_its_number(tiny_run, editor):
    pixels, labels = tiny_run.data.fetch(torch.tensor([7]))
    for source in (7, "7", np.int64(7)):
        given = editor.img2img(source, num=1).given[0][1]
        assert np.array_equal(given, pixels.permute(0, 2, 3, 1).numpy())
    assert training_image(7, tiny_run.data, tiny_run.spec).label == int(labels[0])
    for number in (-1, "1500"):
        with pytest.raises(UsageError, match=rf"{number}\b.* 0 to 1499"):
            editor.img2img(number)


def test_a_model_without_training_images_edits_files(tiny_run, editor, tmp_path):
    path, alone = png(tmp_path / "black.png", np.zeros((16, 16), np.uint8)), Editor(tiny_run.model())
    assert np.array_equal(alone.img2img(path, num=1).images, editor.img2img(path, num=1).images)
    with pytest.raises(UsageError, match="7"):
        alone.img2img(7)


def test_a_file_is_brought_to_the_models_shape(tiny_run, tmp_path):
    spec = tiny_run.spec
    exact = np.arange(256, dtype=np.uint8).reshape(16, 16)
    given = read_image(png(tmp_path / "exact.png", exact), spec, True)
    assert torch.equal(given.pixels[0, 0], torch.from_numpy(exact)) and given.label is None and not given.note
    wide = np.zeros((20, 40, 4), np.uint8)
    wide[..., 3] = 255
    wide[:, :10] = 0  # transparent, and cropped away
    wide[:, 20:] = (255, 255, 255, 0)  # transparent: laid over white
    given = read_image(png(tmp_path / "wide.png", wide), spec, True)
    assert given.pixels.shape == (1, 1, 16, 16) and "20x40" in given.note and "16x16" in given.note
    assert given.pixels[0, 0, 8, 2] == 0 and given.pixels[0, 0, 8, 13] == 255
    squeezed = read_image(tmp_path / "wide.png", spec, False)
    assert squeezed.pixels[0, 0, 8, 2] == 255 and squeezed.note != given.note
    assert torch.equal(read_image(exact[..., None], spec, True).pixels[0, 0], torch.from_numpy(exact))
    with pytest.raises(UsageError, match=r"\(16, 16, 1\)"):
        read_image(exact, spec, True)


def test_images_that_cannot_be_read(tiny_run, tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    for name in ("none.png", "text.png", ""):
        with pytest.raises(DataError, match=name or tmp_path.name):
            read_image(tmp_path / name, tiny_run.spec, True)
        with pytest.raises(DataError, match=name or tmp_path.name):
            read_mask(tmp_path / name, tiny_run.spec)


def test_a_mask_is_white_where_to_inpaint(tiny_run, region, tmp_path):
    spec = tiny_run.spec
    grey = np.where(region, 130, 120).astype(np.uint8)
    colour = np.repeat(np.where(region, 255, 0).astype(np.uint8)[..., None], 3, 2)
    for source in (png(tmp_path / "grey.png", grey), png(tmp_path / "colour.png", colour), region):
        assert torch.equal(read_mask(source, spec)[0, 0], torch.from_numpy(region))
    with pytest.raises(UsageError, match=r"small.png.*12x10.*16x16"):
        read_mask(png(tmp_path / "small.png", grey[:12, :10]), spec)
    with pytest.raises(UsageError, match=r"\b16\b.*16x16"):
        read_mask(region[0], spec)
    with pytest.raises(UsageError, match="mask"):
        read_mask(np.zeros((16, 16), bool), spec)


# -- what is made ------------------------------------------------------------------------------------------------------


def test_variations(tiny_run, editor):
    assert len(editor.img2img(7, 0.7, seeds=[2]).frames) == 15  # 3 steps are too coarse to go a part of the way
    editor, times = tiny_run.edit(steps=3), stops(tiny_run, 3)
    made = editor.img2img(7, 0.7, seeds=[2, 5])
    assert made.images.shape == (2, 16, 16, 1) and made.facts["t"] == times[1] and len(made.frames) == 3
    assert made.facts["classes"] == [tiny_run.spec.classes[label_of(tiny_run, 7)]] * 2
    assert [frame.t for frame in made.frames] == times[1:]
    assert np.array_equal(made.frames[-1].x, made.images)
    full = editor.img2img(7, 1.0, seeds=[2, 5], label=3)
    assert np.array_equal(full.images, tiny_run.sample(seeds=[2, 5], label=3).images)


def test_one_by_one_is_all_at_once(tiny_run, editor, region):
    single = tiny_run.edit(batch_size=1)
    for make in (
        lambda editor: editor.img2img(7, 0.7, 3),
        lambda editor: editor.inpaint(7, region, 3, resample=2),
        lambda editor: editor.interpolate(images=[7, 4], num=3),
        lambda editor: editor.invert([7, 4, 0]),
    ):
        one, all_of_them = make(single), make(editor)
        assert np.abs(one.images.astype(int) - all_of_them.images).max() <= 1
        assert len(one.frames) == len(all_of_them.frames) and one.facts.keys() == all_of_them.facts.keys()


def test_a_hole_is_painted_and_the_rest_stays(tiny_run, editor, region):
    made = editor.inpaint(7, region, 3)
    given = made.given[0][1][0]
    assert np.array_equal(made.images[:, ~region], np.stack([given[~region]] * 3))
    assert not np.array_equal(made.images[0, region], made.images[1, region])
    assert made.facts["inpainted"] == pytest.approx(region.mean()) and (made.given[1][1][0, region] == 128).all()


def test_between_seeds_and_between_images(tiny_run, editor):
    made = editor.interpolate(seeds=[3, 17], num=4)
    first = tiny_run.sample(seeds=[3])
    assert np.array_equal(made.images[0], first.images[0])
    assert made.facts["classes"] == [tiny_run.spec.classes[first.labels[0]]] * 4 and made.names[-1] == "100%"
    last = tiny_run.sample(seeds=[17], label=first.labels[0]).images[0]
    assert np.abs(made.images[-1].astype(int) - last).max() <= 1
    fine = tiny_run.edit(steps=32, sampler="heun")
    made = fine.interpolate(images=[7, 4], num=3)
    assert np.array_equal(made.images[[0, 2]], fine.interpolate(images=[7, 4], num=2).images)
    assert max(made.facts["error"]) < 20 and not made.facts["classes"]
    for wrong in ({}, {"seeds": [1]}, {"images": [1, 2, 3]}, {"seeds": [1, 2], "images": [1, 2]}):
        with pytest.raises(UsageError, match="two"):
            editor.interpolate(**wrong)
    with pytest.raises(UsageError, match="2"):
        editor.interpolate(seeds=[1, 2], num=1)


def test_inversion_comes_back_better_with_more_steps(tiny_run):
    errors = [max(tiny_run.edit(steps=steps).invert([7, 4]).facts["error"]) for steps in (8, 16, 32)]
    assert errors[2] < errors[1] / 1.6 < errors[0] / 1.6**2
    made = tiny_run.edit(steps=64, sampler="ddim").invert(7)
    off = made.images.astype(float) - made.given[0][1]
    assert made.facts["error"][0] == pytest.approx(float((off**2).mean() ** 0.5), abs=0.6)  # rounded and clipped
    assert (
        made.noise.shape == (1, 1, 16, 16)
        and made.inversion[0].t == stops(tiny_run, 64)[-2]
        and made.inversion[-1].t == 1
    )
    assert np.abs(made.frames[-2].x.astype(int) - made.inversion[0].x).max() < 48


def test_each_image_has_its_own_class(tiny_run):
    """Images 7 and 4, of two classes, on the way to noise and back."""
    heard = []
    editor = tiny_run.edit()
    editor.model.denoiser.net.register_forward_pre_hook(
        lambda module, given, named: heard.append([*given, *named.values()][2].tolist()), with_kwargs=True
    )
    both = editor.invert([7, 4])
    classes = [label_of(tiny_run, number) for number in (7, 4)]
    assert heard and len(set(classes)) == 2 and all(labels == classes for labels in heard)
    assert both.facts["classes"] == [tiny_run.spec.classes[label] for label in classes]
    assert both.facts["noise_std"][1] == pytest.approx(float(both.noise[1].std()), abs=1e-3)


def test_guidance_does_not_invert(tiny_run):
    run = Run(tiny_run.path)
    run.settings = replace(run.settings, sample=replace(run.settings.sample, guidance_scale=3.0))
    assert np.array_equal(run.edit().invert(7).images, tiny_run.edit(guidance_scale=1.0).invert(7).images)
    guided = tiny_run.edit(guidance_scale=100.0)
    for make in (lambda: guided.invert(7), lambda: guided.interpolate(images=[7, 4])):
        with pytest.raises(UsageError, match="guidance"):
            make()
    assert not np.array_equal(guided.img2img(7, num=1).images, tiny_run.edit().img2img(7, num=1).images)


def test_a_class_that_is_needed_and_not_known(tiny_run, tmp_path):
    run = Run(tiny_run.path)
    plain = replace(run.settings.sample, guidance_scale=1.0)
    run.settings = replace(run.settings, objective=replace(run.settings.objective, label_dropout=0.0), sample=plain)
    path = png(tmp_path / "p.png", np.zeros((16, 16), np.uint8))
    with pytest.raises(UsageError, match="--label"):
        run.edit().img2img(path, num=1)
    assert run.edit().img2img(path, num=1, label=3).facts["classes"] == ["3"]
    mixed = tiny_run.edit().invert([path, 7])
    assert mixed.facts["classes"][0] == "none" != mixed.facts["classes"][1]
    assert tiny_run.edit().img2img(path, num=1).facts["classes"] is None


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_figures_strips_animations_and_folders(editor, region, tmp_path):
    for name, made in {
        "img2img": editor.img2img(7, num=2),
        "inpaint": editor.inpaint(7, region, 2),
        "interpolate": editor.interpolate(seeds=[1, 2]),
        "invert": editor.invert([7, 4]),
    }.items():
        assert made.save(tmp_path / f"{name}.png") == tmp_path / f"{name}.png"
        figure, strip = (Image.open(tmp_path / f"{name}{end}.png") for end in ("", "-steps"))
        assert min(figure.size) > 80 and min(strip.size) > 200
    made.save(tmp_path / "film.gif")
    assert Image.open(tmp_path / "film.gif").n_frames == len(made.frames)
    assert made.save(tmp_path / "folder") == tmp_path / "folder"
    names = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert names == ["000-image7.png", "001-image4.png", "steps.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "folder" / names[0])), made.images[0, ..., 0])


def test_nothing_is_half_written(editor, tmp_path):
    made = editor.img2img(7, num=1)
    (tmp_path / "there.png").mkdir()  # the figure cannot take the place of a folder, its strip could be written
    with pytest.raises(WriteError):
        made.save(tmp_path / "there.png")
    with pytest.raises(UsageError, match=r"'\.jpeg'"):
        made.save(tmp_path / "x.jpeg")
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left")], ids=["interrupted", "full"])
def test_a_folder_of_an_edit_that_is_not_finished_is_as_it_was(tiny_run, tmp_path, third_write, error):
    editor = tiny_run.edit()
    folder = editor.img2img(7, num=2).save(tmp_path / "folder")
    before, made = held(folder), editor.img2img(4, num=3)
    third_write(error)
    with pytest.raises((KeyboardInterrupt, WriteError)):
        made.save(folder)
    assert held(folder) == before
    after = held(made.save(folder))
    assert len(after) == 4 and all(after[name] != content for name, content in before.items())


def test_of_many_steps_every_nth_frame_is_kept(tiny_run, monkeypatch):
    monkeypatch.setattr("fromnoise.editing.result.MOST_FRAMES", 10)
    made = tiny_run.edit(steps=15).invert(7)
    assert len(made.frames) == 9 and made.frames[-1].t == 0 and made.strip().size[0] > 200
