"""Why are my samples noise: every planted fault is named, and a healthy run has none."""

import hashlib
import html
import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from fromnoise.cli import main
from fromnoise.common.options import replaced
from fromnoise.common.seeds import generator
from fromnoise.data import DataOptions, load
from fromnoise.diagnosis import diagnosis_section
from fromnoise.diagnosis.classes import labels_and_looks
from fromnoise.diagnosis.context import Case
from fromnoise.diagnosis.denoising_error import averaging, denoising, exposure
from fromnoise.diagnosis.finding import ORDER, Finding, by_weight
from fromnoise.diagnosis.history import history
from fromnoise.diagnosis.memorization import copies, overfitting
from fromnoise.diagnosis.parametrization import best_reading, reading_finding
from fromnoise.diagnosis.pixel_range import grey_levels, tint
from fromnoise.diagnosis.step_count import steps
from fromnoise.figures.encode import data_uri
from fromnoise.recipes.recipes import images_needed
from fromnoise.report.html import page
from fromnoise.report.run_figures import add_guesses
from fromnoise.report.run_report import report
from fromnoise.run import Run

FAULT, NOTE, GOOD = ORDER
LEARNS = {
    "net.width": 16,
    "net.depth": 1,
    "train.budget": None,
    "train.previews": 0,
    "train.validations": 0,
    "train.mixed_precision": "no",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Digits that can be read: the run in which faults are planted, in copies of it."""
    path = tmp_path_factory.mktemp("diagnosed") / "trained"
    return Run.create(
        "digits", output_dir=path, settings={**LEARNS, "train.num_images": 12_000, "sample.steps": 8}
    ).train()


@pytest.fixture(scope="module")
def healthy(trained):
    """The whole diagnosis of it."""
    return trained.diagnose()


def case_of(run, **settings):
    options = replaced(run.settings, {f"sample.{name}": value for name, value in settings.items()}).sample
    return Case(run, options, "last", "ema")


def copied(run, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(run.path, path)
    return path


def edit_record(path, change):
    record = json.loads((path / "config.json").read_text())
    change(record)
    (path / "config.json").write_text(json.dumps(record))
    return Run(path)


def rewrite(run, name, content):
    """Put another file into the newest checkpoint, with a manifest that says so."""
    folder = run.newest_checkpoint()
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def weights_of(run, change):
    """The weights before training, each changed."""
    return {name: change(value).contiguous() for name, value in run.new_denoiser().net.state_dict().items()}


def saved(path, images, labels=None, test=None):
    """An .npz of uint8 images (N, C, H, W), with test images or without."""
    arrays = {"x_train" if test is not None else "images": images.permute(0, 2, 3, 1).numpy()}
    if labels is not None:
        arrays["y_train" if test is not None else "labels"] = labels.numpy()
    if test is not None:
        arrays["x_test"] = test.images.permute(0, 2, 3, 1).numpy()
        if labels is not None:
            arrays["y_test"] = test.labels.numpy()
    np.savez(path, **arrays)
    return str(path)


# -- nothing wrong ------------------------------------------------------------------------------------------------


def test_a_healthy_run_has_no_fault(healthy):
    faults = [finding for finding in healthy.findings if finding.level == FAULT]
    assert not faults
    names = {finding.name for finding in healthy.findings}
    assert {"grey levels", "history", "images seen", "averaged weights", "denoising"} <= names
    assert {"over-fitting", "steps", "samples", "labels", "colour", "copies"} <= names


def test_what_was_measured_lies_in_the_run_folder(healthy, trained):
    content = json.loads((trained.path / "diagnosis.json").read_text())
    assert content["schema"] == 1 and content == json.loads(json.dumps(healthy.to_json()))
    curves = content["curves"]
    assert {"time", "strength", "ema", "raw", "linear filter", "look-up"} == set(curves)
    assert len({len(curve) for curve in curves.values()}) == 1 and len(curves["time"]) >= 8
    assert curves["strength"] == sorted(curves["strength"], reverse=True)
    assert np.allclose(np.diff(np.log(curves["strength"])), math.log(400) / -9, atol=1e-3)
    assert Image.open(trained.folder.figures / "noise-levels.png").width > 600
    sections = diagnosis_section(trained)
    written = page("t", "", sections)
    assert all(finding.name in written for finding in healthy.findings) and "<img" in written


def test_a_run_that_was_not_diagnosed_has_no_section(tmp_path, trained):
    path = copied(trained, tmp_path)
    (path / "diagnosis.json").unlink(missing_ok=True)
    assert diagnosis_section(Run(path)) == []


def test_the_report_has_the_guesses_beside_the_curves(tmp_path, healthy, trained):
    assert data_uri((trained.folder.figures / "guesses.png").read_bytes()) in trained.folder.report.read_text()
    path = copied(trained, tmp_path)
    drawn = path / "figures" / "guesses.png"
    kept = drawn.read_bytes()
    drawn.write_bytes(b"of `show`")
    add_guesses(Run(path), "last", "ema")
    assert drawn.read_bytes() == b"of `show`"
    drawn.unlink()
    add_guesses(Run(path), "last", "ema")
    assert drawn.read_bytes() == kept


@pytest.mark.parametrize(
    "content",
    [
        [],
        3,
        {},
        {"schema": 0, "findings": []},
        {"schema": 1},
        {"schema": 1, "findings": 3},
        {"schema": 1, "findings": [3]},
        {"schema": 1, "findings": [{"name": "labels"}]},
        {"schema": 1, "findings": [{"name": "labels", "level": FAULT, "says": 3}]},
        {"schema": 1, "findings": [{"name": "labels", "level": [FAULT], "says": "wrong"}]},
        {"schema": 1, "findings": [{"name": "labels", "level": FAULT, "says": "wrong", "more": 1}]},
    ],
)
def test_a_damaged_diagnosis_is_left_out(tmp_path, trained, content):
    path = copied(trained, tmp_path)
    (path / "diagnosis.json").write_text(json.dumps(content))
    assert diagnosis_section(Run(path)) == []
    assert report(Run(path)).is_file()


# -- planted faults -----------------------------------------------------------------------------------------------


def test_too_few_steps(trained):
    found = steps(case_of(trained, steps=1))
    assert found.level == FAULT and "--steps 4" in found.do
    assert found.numbers["kernel_distance"] > 2 * found.numbers["finer_kernel_distance"]


def test_a_wrong_prediction(tmp_path, trained):
    run = edit_record(copied(trained, tmp_path), lambda record: record["settings"]["objective"].update(prediction="x0"))
    case = case_of(run)
    reading = best_reading(case)
    found = reading_finding(case, reading)
    assert found.level == FAULT and "'edm'" in found.says and "'x0'" in found.says
    assert found.numbers["prediction"] == "edm"
    assert denoising(case, reading).level != FAULT, "the training is not to blame"


def test_a_wrong_range_at_sampling(tmp_path, trained):
    def change(record):
        record["settings"]["process"]["low"] = record["spec"]["low"] = 0.0

    case = case_of(edit_record(copied(trained, tmp_path), change))
    found = reading_finding(case, best_reading(case))
    assert found.level == FAULT and found.numbers["low"] == -1 and "-1" in found.says


def test_a_network_that_knows_nothing_is_not_taken_for_one_that_is_misread(tiny_run):
    case = case_of(tiny_run)
    assert not best_reading(case).wrong


@pytest.mark.parametrize(("divide", "factor"), [(255, "by 255"), (16, "by 16")])
def test_images_in_the_wrong_range(tmp_path, divide, factor):
    images = load(DataOptions("digits")).images[:64] // divide
    source = saved(tmp_path / "dark.npz", images)
    run = Run.create(source, output_dir=tmp_path / "run", settings={**LEARNS, "train.train_batch_size": 16})
    found = grey_levels(case_of(run))
    assert found.level == FAULT and factor in found.do


def test_a_cold_average(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    rewrite(run, "ema.safetensors", save(weights_of(run, torch.clone)))
    case = case_of(run)
    found = averaging(case)
    assert found.level == FAULT and "--weights raw" in found.do
    reading = best_reading(case)
    assert not reading.wrong and denoising(case, reading).level != FAULT, "the network itself has learned"


def test_shuffled_labels(tmp_path):
    data = load(DataOptions("digits"))
    order = torch.randperm(len(data), generator=generator(0, "shuffle"))
    source = saved(tmp_path / "shuffled.npz", data.images, data.labels[order])
    run = Run.create(source, output_dir=tmp_path / "run", settings=LEARNS)
    (found,) = labels_and_looks(case_of(run))
    assert found.name == "labels" and found.level == FAULT and found.numbers["accuracy"] < 0.3


def test_samples_of_other_classes_than_asked_for(trained):
    case = case_of(trained)
    made = case.samples
    case.__dict__["samples"] = type(made)(made.images, made.labels.roll(1))
    found = {finding.name: finding for finding in labels_and_looks(case)}
    assert found["samples"].level == GOOD
    assert found["labels"].level == FAULT and "--guidance_scale" in found["labels"].do
    last = labels_and_looks(case, sound=False)[-1]
    assert last.level == NOTE and "--guidance_scale" not in last.do


def test_samples_that_are_training_images(trained):
    case = case_of(trained)
    some = case.pictures(trained.data, 60).images
    fresh = case.pictures(trained.held_out, 60).images
    case.__dict__["samples"] = type(case.trained_on)(torch.cat([some.clamp(max=250), fresh]), None)
    found = copies(case)
    assert found.level == FAULT and found.numbers["copies"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
def test_fifty_images_learned_by_heart(tmp_path):
    data, test = load(DataOptions("digits")), load(DataOptions("digits"), "test")
    source = saved(tmp_path / "fifty.npz", data.images[:50], data.labels[:50], test)
    settings = {**LEARNS, "net.width": 32, "train.num_images": 30_000, "train.train_batch_size": 32}
    case = case_of(Run.create(source, output_dir=tmp_path / "run", settings=settings).train())
    found = overfitting(case)
    assert found.level == FAULT and "50 " in found.says
    assert found.numbers["held_out_to_training"] > 1.3
    assert copies(case).level == FAULT


def test_a_history_with_nan(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    lines = run.folder.read_metrics()
    lines[20]["loss"] = math.nan
    run.folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    state = json.loads((run.newest_checkpoint() / "state.json").read_text())
    rewrite(run, "state.json", json.dumps({**state, "skipped": 3}).encode())
    (found,) = history(case_of(run))
    assert found.level == FAULT and found.numbers == {"lines": 1, "skipped": 3}


def test_a_loss_that_rose_and_a_plan_cut_short(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    lines = [line for line in run.folder.read_metrics() if "step" in line]
    for line in lines[-len(lines) // 10 :]:
        line["loss"] *= 3
    event = {"event": "budget spent", "planned": 20_000, "images": 12_000, "seconds": 9}
    run.folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in [*lines, event]))
    rose, cut = history(case_of(run))
    assert rose.level == FAULT and rose.numbers["last"] > rose.numbers["lowest"]
    assert cut.level == NOTE and "60 %" in cut.says


def test_hardly_trained(tiny_run):
    case = case_of(tiny_run)
    assert exposure(case).level == FAULT
    found = denoising(case, best_reading(case))
    assert found.level == FAULT and max(found.numbers["ratio"]) > 1


def test_weights_whose_answers_are_not_finite(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    huge = weights_of(run, lambda value: torch.full_like(value, 1e30))
    for name in ("ema.safetensors", "model.safetensors"):
        rewrite(run, name, save(huge))
    case = case_of(run)
    found = denoising(case, best_reading(case))
    assert found.level == FAULT and not all(map(math.isfinite, found.numbers["ratio"]))


@pytest.mark.parametrize("name", ["ema.safetensors", "model.safetensors"])
def test_weights_that_are_not_finite_are_the_first_fault(tmp_path, trained, healthy, name):
    run = Run(copied(trained, tmp_path))
    assert (run.folder.figures / "noise-levels.png").is_file(), "of an earlier diagnosis"
    rewrite(run, name, save(weights_of(run, lambda value: torch.full_like(value, math.nan))))
    found = run.diagnose()
    assert found.findings[0].name == "weights" and "finite" in found.findings[0].says
    assert {finding.name for finding in found.findings} == {"weights", "grey levels", "history", "images seen"}
    assert "nan" not in str(found).lower()
    assert found.curves == {} and not (run.folder.figures / "noise-levels.png").exists()
    assert found.findings[0].says in html.unescape(run.folder.report.read_text())


def test_nothing_is_made_with_weights_that_are_not_finite(tmp_path, trained, capsys):
    run = Run(copied(trained, tmp_path))
    rewrite(run, "ema.safetensors", save(weights_of(run, lambda value: value / 0)))
    for command in (["sample", str(run.path), "--out", str(tmp_path / "s.png")], ["show", str(run.path)]):
        assert main(command) == 4
        assert "--checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "s.png").exists()


@pytest.mark.parametrize("what", ["noise", "mean"])
def test_samples_that_a_weak_classifier_is_sure_of(trained, what):
    """It takes everything for a class without doubt, as one with few images of many colours may."""
    case = case_of(trained)
    images = case.pictures(trained.data, 64).images
    good = labels_and_looks(case)[0]
    assert good.level == GOOD
    if what == "noise":
        made = torch.randint(0, 256, images.shape, generator=generator(0, "noise"), dtype=torch.uint8)
    else:
        made = images.double().mean(0, keepdim=True).byte().repeat(64, 1, 1, 1)
    case = case_of(trained)
    case.__dict__["samples"] = type(case.trained_on)(made, torch.arange(64) % 10)
    case.features.classifier.temperature.fill_(1e-3)
    found = labels_and_looks(case)[0]
    assert found.numbers["one_class"] > 0.9 * found.numbers["real"], "sure of nearly all"
    assert found.name == "samples" and found.level == NOTE
    assert found.numbers["kernel_distance"] > found.numbers["mean_picture_kernel_distance"] / 2 > 1


@pytest.mark.parametrize("fault", ["contrast", "brightness"])
def test_samples_of_another_colour(trained, fault):
    case = case_of(trained)
    images = case.pictures(trained.data, 64).images.float()
    made = 0.5 * images + 64 if fault == "contrast" else 0 * images + 255
    case.__dict__["samples"] = type(case.trained_on)(made.byte(), None)
    found = tint(case)
    assert found.level == NOTE
    if fault == "contrast":
        assert found.numbers["std"][0] == pytest.approx(found.numbers["reference_std"][0] / 2, rel=0.2)
        assert re.search(r"\b[45]\d %", found.says)
    else:
        assert re.search(rf"\b{255 - found.numbers['reference_mean'][0]:.0f}\b", found.says)


# -- telling ------------------------------------------------------------------------------------------------------


def test_faults_come_first_and_causes_before_what_follows():
    levels = (GOOD, FAULT, NOTE, FAULT)
    found = by_weight([Finding(str(i), level, "") for i, level in enumerate(levels)])
    assert [finding.name for finding in found] == ["1", "3", "2", "0"]


def test_needs_grow_with_pixels(trained):
    grey = load(DataOptions("digits")).spec
    large = type(grey)(3, 56, 56)
    assert images_needed("default", type(grey)(1, 28, 28)) == 12_000
    assert images_needed("default", large) == 48_000 and images_needed("default", grey) == 4_000


def test_the_command_prints_faults_first_and_the_json(tmp_path, tiny_run, capsys):
    path = copied(tiny_run, tmp_path)
    assert main(["diagnose", str(path), "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out.splitlines()
    faults = sum(line.startswith(FAULT) for line in out)
    assert faults >= 2 and out[0].startswith(f"{faults} ") and out[2].startswith(FAULT)
    assert out[-1].endswith("report.html")
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads((path / "diagnosis.json").read_text())
    good = [i for i, line in enumerate(out) if line.startswith(GOOD)]
    assert good and min(good) > max(i for i, line in enumerate(out) if line.startswith((FAULT, NOTE)))


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert main(["diagnose", str(tmp_path)]) == 4
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.slow
def test_a_healthy_run_on_mnist_has_no_fault(tmp_path, mnist_dir):
    run = Run.create("mnist", output_dir=tmp_path / "run", settings={"train.budget": None, "train.num_images": 50_000})
    found = run.train().diagnose().findings
    assert [finding.name for finding in found if finding.level == FAULT] == []
