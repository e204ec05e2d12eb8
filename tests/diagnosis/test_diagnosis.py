"""Why are my samples noise: every planted error is named, and a healthy run has none."""

import hashlib
import html
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from fromnoise.cli import main
from fromnoise.common.seeds import generator
from fromnoise.data import DataOptions, load
from fromnoise.data.image_data import ArrayData
from fromnoise.diagnosis.class_accuracy import labels_and_samples
from fromnoise.diagnosis.denoising_curves import denoising_curves
from fromnoise.diagnosis.denoising_error import denoising, ema_lag, images_seen
from fromnoise.diagnosis.diagnose import diagnose
from fromnoise.diagnosis.finding import Finding, by_severity
from fromnoise.diagnosis.images import LabelledImages, choose_images, data_deviation, diagnosis_images
from fromnoise.diagnosis.memorization import near_duplicates, overfitting, repeated_images
from fromnoise.diagnosis.noise_levels import choose_levels
from fromnoise.diagnosis.pixel_range import grey_levels, sample_colour
from fromnoise.diagnosis.sample_comparison import SampleComparison, classifier_features, make_samples
from fromnoise.diagnosis.step_count import step_count
from fromnoise.diagnosis.training_history import training_history
from fromnoise.figures.encode import data_uri
from fromnoise.recipes.recipes import images_needed
from fromnoise.report.diagnosis_sections import diagnosis_sections
from fromnoise.report.html import page
from fromnoise.run import Run
from fromnoise.run.diagnosis import training_record
from fromnoise.run.report import add_predictions, write_report

LEARNS = {
    "net.width": 16,
    "net.depth": 1,
    "train.budget": None,
    "train.previews": 0,
    "train.validations": 0,
    "train.mixed_precision": "no",
}


@pytest.fixture(scope="module", autouse=True)
def constant_speed():
    """As many images on a busy computer as on an idle one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fromnoise.diagnosis.diagnose.evaluations_per_second", lambda model: 1e4)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Digits that can be read: the run in which errors are planted, in copies of it."""
    path = tmp_path_factory.mktemp("diagnosed") / "trained"
    return Run.create(
        "digits", output_dir=path, settings={**LEARNS, "train.num_images": 12_000, "sample.steps": 8}
    ).train()


@pytest.fixture(scope="module")
def healthy(trained):
    """The whole diagnosis of it."""
    return trained.diagnose()


@pytest.fixture(scope="module")
def comparison(trained):
    """256 of its samples beside real images."""
    return compare(trained, make_samples(trained.model(), 256))


def record_of(run):
    return training_record(run, "last")


def compare(run, samples):
    record = record_of(run)
    return SampleComparison(samples, record, diagnosis_images(record, 256).statistics, classifier_features(record))


def curves_of(run):
    record, models = record_of(run), {name: run.model(weights=name) for name in ("ema", "raw")}
    levels = choose_levels(models["ema"].process, data_deviation(record))
    return denoising_curves(models, "ema", levels, diagnosis_images(record, 256), record)


def copied(run, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(run.path, path)
    return path


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


def test_a_healthy_run_has_no_error(healthy):
    assert [finding.name for finding in healthy.findings if finding.level == "error"] == []
    names = {finding.name for finding in healthy.findings}
    assert {"grey levels", "history", "images seen", "EMA weights", "denoising", "overfitting"} <= names
    assert {"steps", "samples", "class accuracy", "colour", "near-duplicates"} <= names


def test_a_diagnosis_lies_in_the_run_folder(healthy, trained):
    content = json.loads((trained.path / "diagnosis.json").read_text())
    assert content["schema"] == 2 and content == healthy.to_json()
    curves = content["curves"]
    assert {"time", "strength", "ema", "raw", "linear filter", "look-up"} == set(curves)
    assert len({len(curve) for curve in curves.values()}) == 1 and len(curves["time"]) >= 8
    assert curves["strength"] == sorted(curves["strength"], reverse=True)
    assert np.allclose(np.diff(np.log(curves["strength"])), math.log(400) / -9, atol=1e-3)
    assert Image.open(trained.folder.figures / "noise-levels.png").width > 600
    written = page("t", "", diagnosis_sections(content, (trained.folder.figures / "noise-levels.png").read_bytes()))
    assert all(finding.name in written for finding in healthy.findings) and "<img" in written


def test_the_verb_writes_what_the_diagnosis_returns(healthy, trained):
    """Diagnosed without a run folder, the same model gives the same values."""
    models = {name: trained.model(weights=name) for name in ("ema", "raw")}
    before = sorted(path.stat().st_mtime_ns for path in trained.path.rglob("*"))
    found = diagnose(models, "ema", record_of(trained))
    assert found.to_json() == healthy.to_json()
    assert sorted(path.stat().st_mtime_ns for path in trained.path.rglob("*")) == before


def test_the_report_has_the_predictions_beside_the_curves(tmp_path, healthy, trained):
    assert data_uri((trained.folder.figures / "predictions.png").read_bytes()) in trained.folder.report.read_text()
    run = Run(copied(trained, tmp_path))
    drawn = run.folder.figures / "predictions.png"
    kept = drawn.read_bytes()
    drawn.write_bytes(b"of `show`")
    add_predictions(run, run.model())
    assert drawn.read_bytes() == b"of `show`"
    drawn.unlink()
    add_predictions(run, run.model())
    assert drawn.read_bytes() == kept


def test_a_damaged_diagnosis_is_ignored_by_the_report(tmp_path, trained):
    path = copied(trained, tmp_path)
    (path / "diagnosis.json").write_text('{"schema": 2, "findings": 3}')
    assert write_report(Run(path)).is_file()


# -- planted errors -----------------------------------------------------------------------------------------------


def test_too_few_steps(trained):
    model = trained.model(steps=1)
    found = step_count(model, compare(trained, make_samples(model, 256)), 1e4, affordable=True)
    assert found.level == "error" and "--steps 4" in found.advice
    assert found.numbers["kernel_distance"] > 2 * found.numbers["finer_kernel_distance"]


@pytest.mark.parametrize(("divide", "high"), [(255, 1), (16, 15)])
def test_images_in_the_wrong_range(tmp_path, divide, high):
    images = load(DataOptions("digits")).images[:64] // divide
    source, settings = saved(tmp_path / "dark.npz", images), {**LEARNS, "train.train_batch_size": 16}
    for values, level, named in (("auto", "ok", "full"), ("full", "error", f"0-{high}")):
        place = tmp_path / values
        run = Run.create(source, output_dir=place, settings={**settings, "data.range": values})
        (said,) = [note for note in run.data.notes if note.startswith("range:")]
        found = grey_levels(run.data)
        assert found.level == level and said in found.message and f"--set data.range={named} " in said
        assert (int(run.data.images.max()) == 255) == (values == "auto")
        assert run.metadata["data"]["range"] == found.numbers["range"] == (f"0-{high}" if values == "auto" else "full")


def test_a_cold_average(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    rewrite(run, "ema.safetensors", save(weights_of(run, torch.clone)))
    curves = curves_of(run)
    found = ema_lag(curves, "ema")
    assert found.level == "error" and found.numbers["ema_to_raw"] > 2 and "--weights raw" in found.advice
    assert ema_lag(curves, "raw").level == "warning"
    assert denoising(curves, record_of(run)).level != "error", "the network itself has learned"


def test_shuffled_labels(tmp_path):
    data = load(DataOptions("digits"))
    order = torch.randperm(len(data), generator=generator(0, "shuffle"))
    source = saved(tmp_path / "shuffled.npz", data.images, data.labels[order])
    run = Run.create(source, output_dir=tmp_path / "run", settings=LEARNS)
    nothing = LabelledImages(torch.zeros(0, 1, 16, 16, dtype=torch.uint8), None)
    (found,) = labels_and_samples(compare(run, nothing), 1.0)
    assert found.name == "labels" and found.level == "error" and found.numbers["accuracy"] < 0.2


def test_samples_of_other_classes_than_requested(comparison):
    samples = comparison.samples
    rolled = replace(comparison, samples=replace(samples, labels=samples.labels.roll(1)))
    found = {finding.name: finding for finding in labels_and_samples(rolled, 1.5)}
    assert found["samples"].level == "ok"
    assert found["class accuracy"].level == "error" and "--guidance_scale 3" in found["class accuracy"].advice
    last = labels_and_samples(rolled, 1.5, network_is_sound=False)[-1]
    assert last.name == "class accuracy" and last.level == "warning"


def test_samples_that_are_training_images(trained):
    some = choose_images(trained.data, 60).images
    fresh = choose_images(trained.held_out, 60).images
    found = near_duplicates(torch.cat([some.clamp(max=250), fresh]), trained.data, trained.held_out)
    assert found.level == "error" and found.numbers["near_duplicates"] == pytest.approx(0.5, abs=0.02)
    alone = near_duplicates(torch.cat([some.clamp(max=250), fresh]), trained.data, None)
    assert alone.level == "error" and alone.numbers["held_out"] < 0.05


@pytest.mark.parametrize("held_out", [True, False])
def test_mirrored_training_images_are_copies_where_those_were_trained_on(trained, held_out):
    apart = trained.held_out if held_out else None
    some = choose_images(trained.data, 60).images.clamp(max=250).flip(3)
    assert near_duplicates(some, trained.data, apart, mirrored=True).level == "error"
    assert near_duplicates(some, trained.data, apart).numbers["near_duplicates"] < 0.3


def test_training_images_that_are_one_and_the_same(trained):
    one = trained.data.subset(torch.zeros(100, dtype=torch.int64))
    assert repeated_images(one).numbers == {"different_images": 1, "training_images": 100}
    assert near_duplicates(one.images[:3], one, one).level == "error"
    two = trained.data.subset(torch.arange(2))
    assert near_duplicates(two.images.clamp(max=250), two, None).numbers["near_duplicates"] == 1
    assert repeated_images(two) is None
    both = replace(two, images=torch.cat([two.images, two.images.flip(3)]), labels=None)
    assert repeated_images(both) is None and repeated_images(both, mirrored=True).level == "warning"


@pytest.mark.slow
def test_fifty_images_are_memorised(tmp_path):
    data, test = load(DataOptions("digits")), load(DataOptions("digits"), "test")
    source = saved(tmp_path / "fifty.npz", data.images[:50], data.labels[:50], test)
    settings = {**LEARNS, "net.width": 32, "train.num_images": 30_000, "train.train_batch_size": 32}
    run = Run.create(source, output_dir=tmp_path / "run", settings=settings).train()
    found = overfitting(curves_of(run), "ema", len(run.data))
    assert found.level == "error" and found.numbers["training_images"] == 50
    assert found.numbers["held_out_to_training"] > 1.3
    assert near_duplicates(make_samples(run.model(), 256).images, run.data, run.held_out).level == "error"


def test_a_history_with_nan(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    lines = run.folder.read_metrics()
    lines[20]["loss"] = math.nan
    run.folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    state = json.loads((run.newest_checkpoint() / "state.json").read_text())
    rewrite(run, "state.json", json.dumps({**state, "skipped": 3}).encode())
    (found,) = training_history(record_of(run))
    assert found.level == "error" and found.numbers == {"lines": 1, "skipped": 3}


def test_a_loss_that_rose_and_a_plan_cut_short(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    lines = [line for line in run.folder.read_metrics() if "step" in line]
    for line in lines[-len(lines) // 10 :]:
        line["loss"] *= 3
    event = {"event": "budget spent", "planned": 20_000, "images": 12_000, "seconds": 9}
    run.folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in [*lines, event]))
    rose, cut = training_history(record_of(run))
    assert rose.level == "error" and rose.numbers["last"] > 2 * rose.numbers["lowest"]
    assert cut.level == "warning" and cut.numbers == {"images": 12_000, "planned": 20_000}


def test_hardly_trained(tiny_run):
    record = record_of(tiny_run)
    assert images_seen(record).level == "error"
    found = denoising(curves_of(tiny_run), record)
    assert found.level == "error" and max(found.numbers["ratio"]) > 1.25


def test_without_held_out_images_training_images_are_denoised(trained):
    record = replace(record_of(trained), held_out=None)
    images = diagnosis_images(record, 256)
    assert images.training is None and len(images.test.images) == 256
    assert len(images.statistics) == len(trained.data) - 256, "none of those that are denoised"
    levels = choose_levels(trained.model().process, data_deviation(record))
    curves = denoising_curves({"raw": trained.model(weights="raw")}, "raw", levels, images, record)
    assert overfitting(curves, "raw", len(trained.data)).level == "warning" and ema_lag(curves, "raw") is None
    assert "training images" in denoising(curves, record).message


def test_labels_are_left_out_on_both_sides_where_held_out_images_have_none(tiny_run):
    record = record_of(tiny_run)
    assert diagnosis_images(record, 8).training.labels is not None
    images = diagnosis_images(replace(record, held_out=replace(record.held_out, labels=None)), 8)
    assert images.test.labels is None and images.training.labels is None


def test_statistics_are_of_as_many_images_as_memory_holds(tiny_run, monkeypatch):
    monkeypatch.setattr("fromnoise.diagnosis.images._VALUES", 40 * 16 * 16)
    fetched, fetch = [], ArrayData.fetch
    monkeypatch.setattr(ArrayData, "fetch", lambda data, rows: fetched.append(len(rows)) or fetch(data, rows))
    record = record_of(tiny_run)
    assert 0.5 < data_deviation(record) < 1 and fetched == [40]
    assert len(diagnosis_images(record, 8).statistics) == 40


def test_imported_and_fine_tuned_runs_were_trained_elsewhere_too(tiny_run, tmp_path):
    settings = {"train.num_images": 64, "train.train_batch_size": 32}
    tuned = Run.create("digits", output_dir=tmp_path / "tuned", settings=settings, init=tiny_run.path)
    imported = Run(tiny_run.path)
    imported.metadata["imported"] = {"from": "somewhere"}
    assert [record_of(run).elsewhere for run in (tiny_run, tuned, imported)] == [False, True, True]


def test_weights_whose_predictions_are_not_finite(tmp_path, trained):
    run = Run(copied(trained, tmp_path))
    huge = weights_of(run, lambda value: torch.full_like(value, 1e30))
    for name in ("ema.safetensors", "model.safetensors"):
        rewrite(run, name, save(huge))
    found = denoising(curves_of(run), record_of(run))
    assert found.level == "error" and not any(map(math.isfinite, found.numbers["ratio"]))
    run.settings = replace(run.settings, net=replace(run.settings.net, bounded=True))
    found = denoising(curves_of(run), record_of(run))
    assert found.level == "error" and min(found.numbers["ratio"]) > 5, "what is bounded is white"


@pytest.mark.parametrize("name", ["ema.safetensors", "model.safetensors"])
def test_weights_that_are_not_finite_are_the_first_error(tmp_path, trained, healthy, name):
    run = Run(copied(trained, tmp_path))
    assert (run.folder.figures / "noise-levels.png").is_file(), "of an earlier diagnosis"
    rewrite(run, name, save(weights_of(run, lambda value: torch.full_like(value, math.nan))))
    found = run.diagnose()
    assert found.findings[0].name == "weights" and found.findings[0].level == "error"
    assert {finding.name for finding in found.findings} == {"weights", "grey levels", "history", "images seen"}
    assert "nan" not in str(found).lower()
    assert found.curves == {} and not (run.folder.figures / "noise-levels.png").exists()
    assert found.findings[0].message in html.unescape(run.folder.report.read_text())


def test_nothing_is_made_with_weights_that_are_not_finite(tmp_path, trained, capsys):
    run = Run(copied(trained, tmp_path))
    rewrite(run, "ema.safetensors", save(weights_of(run, lambda value: value / 0)))
    for command in (["sample", str(run.path), "--out", str(tmp_path / "s.png")], ["show", str(run.path)]):
        assert main(command) == 4
        assert "--checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "s.png").exists()


@pytest.mark.parametrize("what", ["noise", "mean"])
def test_samples_that_a_weak_classifier_is_confident_of(trained, comparison, what):
    """It assigns everything to a class with confidence, as one with few images of many colours may."""
    images = choose_images(trained.data, 64).images
    assert labels_and_samples(comparison, 1.0)[0].level == "ok"
    if what == "noise":
        made = torch.randint(0, 256, images.shape, generator=generator(0, "noise"), dtype=torch.uint8)
    else:
        made = images.double().mean(0, keepdim=True).byte().repeat(64, 1, 1, 1)
    planted = compare(trained, LabelledImages(made, torch.arange(64) % 10))
    planted.features.classifier.temperature.fill_(1e-3)
    found = labels_and_samples(planted, 1.0)[0]
    assert found.numbers["one_class"] > 0.9 * found.numbers["real"], "confident of nearly all"
    assert found.name == "samples" and found.level == "warning"
    assert found.numbers["kernel_distance"] > found.numbers["mean_image_kernel_distance"] / 2 > 1


def test_samples_have_the_classes_of_the_training(trained):
    model = replace(trained.model(), label_counts=(30, 10, *[0] * 8))
    assert make_samples(model, 8).labels.tolist().count(0) == 6


def test_samples_of_another_colour(trained):
    images = choose_images(trained.data, 64).images.float()
    pale = sample_colour((0.5 * images + 64).byte(), trained.data)
    assert pale.level == "warning"
    assert pale.numbers["std"][0] == pytest.approx(pale.numbers["reference_std"][0] / 2, rel=0.2)
    white = sample_colour((0 * images + 255).byte(), trained.data)
    assert white.level == "warning" and f"{255 - white.numbers['reference_mean'][0]:.0f}" in white.message


# -- printing -----------------------------------------------------------------------------------------------------


def test_errors_come_first_and_causes_before_effects():
    levels = ("ok", "error", "warning", "error")
    found = by_severity([Finding(str(i), level, "") for i, level in enumerate(levels)])
    assert [finding.name for finding in found] == ["1", "3", "2", "0"]


def test_needs_grow_with_pixels(trained):
    grey = load(DataOptions("digits")).spec
    large = type(grey)(3, 56, 56)
    assert images_needed("default", type(grey)(1, 28, 28)) == 12_000
    assert images_needed("default", large) == 48_000 and images_needed("default", grey) == 4_000


def test_the_command_prints_errors_first_and_the_json(tmp_path, tiny_run, capsys):
    path = copied(tiny_run, tmp_path)
    assert main(["diagnose", str(path), "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out.splitlines()
    content = json.loads((tmp_path / "out.json").read_text())
    assert content == json.loads((path / "diagnosis.json").read_text())
    levels = [line.split()[0] for line in out if line.startswith(("error", "warning", "ok"))]
    assert levels == [finding["level"] for finding in content["findings"]]
    assert levels == sorted(levels, key=["error", "warning", "ok"].index) and levels.count("error") >= 2
    assert out[-1].endswith("report.html")


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main(["diagnose", str(tmp_path)]) == 4
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.slow
def test_a_healthy_run_on_mnist_has_no_error(tmp_path, mnist_dir):
    run = Run.create("mnist", output_dir=tmp_path / "run", settings={"train.budget": None, "train.num_images": 50_000})
    found = run.train().diagnose().findings
    assert [finding.name for finding in found if finding.level == "error"] == []
