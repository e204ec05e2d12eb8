"""Evaluations: what is written and shown, what real images and external samples score, what is refused."""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.errors import BusyError, DataError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data import DataOptions, load
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.evaluate import EvaluationSpec, evaluate
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.extended import left_out, measure_extended
from fromnoise.evaluation.notes import notes_on
from fromnoise.evaluation.samples import SampleSet
from fromnoise.evaluation.scores import QuickScores, Scores
from fromnoise.evaluation.summary import MEASURES, evaluation_table, format_measure, format_number, verdict
from fromnoise.evaluation.sweep import Sweep, SweepPoint, parse_axes, sweep_figures, sweep_table
from fromnoise.report.evaluation_sections import sweep_sections
from fromnoise.run import Run
from fromnoise.run.evaluations import evaluate_files


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluated") / "tiny"
    shutil.copytree(tiny_run.path, path)
    return Run(path)


@pytest.fixture(scope="module")
def evaluation(run):
    return run.evaluate(60)


def npz(path, images, **more):
    np.savez(path, images=np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()), **more)
    return str(path)


def test_everything_is_written_with_its_protocol(run, evaluation):
    content = json.loads(run.folder.evaluation.read_text())
    assert Evaluation.from_json(content) == evaluation
    assert set(content) == {
        "schema",
        "sha256",
        "metrics",
        "reference_rows",
        "ratio_to_test",
        "ratio_interval",
        "protocol",
        "statistics",
        "extended",
        "notes",
    }
    assert set(content["reference_rows"]) == {"test", "train_halves", "noise"}
    assert set(content["metrics"]) == set(content["reference_rows"]["noise"]) == set(Scores.__dataclass_fields__)
    measure, sampling = content["protocol"]["measure"], content["protocol"]["sampling"]
    assert measure["count"] == 60 and measure["features"]["weight_hash"] and measure["test"]["split"] == "test"
    assert sampling["steps"] == 3 and sampling["evaluations"] == 4 and sampling["seeds"] == [0, 59]
    assert sampling["checkpoint"] == 640 and sampling["weights"] == "ema"


def test_the_report_shows_it(run, evaluation):
    report = run.folder.report.read_text()
    assert MEASURES["frechet_distance"] in report
    assert evaluation.protocol["measure"]["features"]["weight_hash"] in report
    assert (run.folder.figures / "closest.png").stat().st_size > 1000
    run.show()
    assert MEASURES["frechet_distance"] in run.folder.report.read_text()  # showing again keeps it


def test_real_images_are_better_than_a_hardly_trained_model_and_that_than_noise(evaluation):
    rows = evaluation.reference_rows
    assert rows["test"].frechet_distance < evaluation.metrics.frechet_distance < rows["noise"].frechet_distance
    assert rows["train_halves"].class_accuracy > 0.95 > evaluation.metrics.class_accuracy
    assert rows["noise"].precision < 0.4 and rows["test"].precision > 0.8
    assert evaluation.ratio_to_test == pytest.approx(
        evaluation.metrics.frechet_distance / rows["test"].frechet_distance, rel=1e-9
    )
    assert evaluation.metrics.count == rows["test"].count == rows["noise"].count == 60


def test_the_table_and_the_verdict_hold_the_figures(evaluation):
    table = evaluation_table(evaluation)
    assert table[0] == ["", "samples", "test", "train halves", "noise"]
    shown = [about for key, about in MEASURES.items() if key != "frechet_infinite"]
    assert [row[0] for row in table[1:]] == shown, "60 samples are too few for FD∞"
    low, high = evaluation.ratio_interval
    assert low < evaluation.ratio_to_test < high
    assert format_number(evaluation.ratio_to_test, 2) in verdict(evaluation)


def test_the_limit_is_shown_with_its_error(evaluation):
    scores = replace(evaluation.metrics, frechet_infinite=-0.5, frechet_infinite_stderr=0.74)
    assert format_measure("frechet_infinite", scores) == "0 ± 0.7"
    assert format_measure("frechet_infinite", evaluation.metrics) == "-"


def test_a_note_warns_of_fewer_samples_than_dimensions(evaluation):
    assert any("60" in note and "128" in note for note in evaluation.notes)


def test_it_is_the_same_the_next_time(run, evaluation):
    again = run.evaluate(60)
    assert again.metrics == evaluation.metrics and again.reference_rows == evaluation.reference_rows


def test_a_sweep_measures_every_combination(run):
    axes = parse_axes(["steps=2,4", "sampler=euler,heun"])
    swept = run.sweep(axes, 40, guidance_scale=1.0)
    points = swept.points
    assert [point.settings for point in points] == [
        {"steps": steps, "sampler": sampler} for steps in (2, 4) for sampler in ("euler", "heun")
    ]
    assert [point.evaluations for point in points] == [2, 3, 4, 7]
    assert Sweep.from_json(json.loads(run.folder.sweep.read_text())) == swept and swept.count == 40
    assert swept.floor.frechet_distance < min(point.frechet_distance for point in points)
    report = run.folder.report.read_text()
    assert all(cell in report for row in sweep_table(swept) for cell in row)
    assert (run.folder.figures / "sweep-seconds.png").exists()


def test_fewer_test_images_than_samples_are_no_bound_of_a_sweep(run):
    points = tuple(SweepPoint({"steps": n}, n, 0.01 * n, 4.0 / n, 0.1, 0.01, 0.9) for n in (2, 4))
    floor = QuickScores(6.0, 0.0, 0.01, 1.0)
    equal, fewer = (Sweep(400, 640, points, floor, count) for count in (400, 97))
    assert sweep_table(equal)[-1][0] == "test images" and sweep_table(fewer)[-1][0] == "97 test images"
    assert curves(equal) == curves(fewer) + 1, "a line of test images only where they are as many"
    assert "97 test images" in sweep_sections(fewer, None, None)[0].text
    assert run.sweep(parse_axes(["steps=2"]), len(run.held_out) + 3).floor_count == len(run.held_out)


def curves(swept):
    (axes,) = sweep_figures(swept)["sweep"].axes
    return len(axes.get_lines())


def test_a_sweep_takes_times_by_hand_in_brackets():
    assert parse_axes(["grid=[1,0.5,0],auto"]) == {"grid": ["1,0.5,0", "auto"]}


def test_a_sweep_takes_pairs_in_brackets():
    axes = parse_axes(["guidance_interval=[0.2,0.8],[0.3,0.9]", "steps=2"])
    assert axes == {"guidance_interval": [(0.2, 0.8), (0.3, 0.9)], "steps": [2]}


@pytest.mark.parametrize(
    ("words", "named"),
    [(["steps"], "--sweep steps"), (["stepps=1"], "stepps.*steps"), (["steps=0"], r"steps.*\b0\b.*\b1\b"),
     (["steps=2", "steps=3"], r"\bsteps\b"), (["sampler=hein"], "'hein'.*'heun'"), (["eta=0.1"], "eta.*'ddim'")],
)  # fmt: skip
def test_a_sweep_that_cannot_be_is_refused_before_any_work(run, words, named):
    with pytest.raises(UsageError, match=named):
        run.sweep(parse_axes(words), 40)


def test_steps_of_a_grid_that_has_its_own_are_refused(run):
    with pytest.raises(UsageError, match=r"steps is 5, but grid '1,0\.6,0\.3,0' has 3"):
        run.sweep(parse_axes(["steps=3,5"]), 40, grid="1,0.6,0.3,0")


def test_images_from_a_file_are_measured_as_samples_are(run, evaluation, tmp_path):
    samples = run.sample(60)
    path = samples.save(tmp_path / "samples.npz")
    found, page = evaluate_files(str(path), "digits", output_dir=tmp_path / "out")
    assert found.metrics == evaluation.metrics  # the same images, labels and reference
    assert page == tmp_path / "out" / "report.html" and MEASURES["frechet_distance"] in page.read_text()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["schema"] == 2


def test_copies_are_distinguished_from_unseen_real_images(tmp_path):
    train, test = load(DataOptions("digits")), load(DataOptions("digits"), "test")
    fresh, _ = evaluate_files(npz(tmp_path / "fresh.npz", test.images[:150]), "digits")
    stolen, _ = evaluate_files(npz(tmp_path / "stolen.npz", train.images[:150]), "digits")
    assert fresh.metrics.copy_rate < 0.05 and stolen.metrics.copy_rate == 1.0
    assert abs(fresh.metrics.copy_z) < 3 < -stolen.metrics.copy_z
    sentences = {without_numbers(found) for found in (fresh, stolen)}
    assert len(sentences) == 2 and "100 %" in verdict(stolen) and "100 %" not in verdict(fresh)
    assert len(stolen.notes) > len(fresh.notes)
    assert fresh.metrics.class_accuracy is None  # no labels came with them


def without_numbers(found):
    return re.sub(r"[\d.,]+", "", verdict(found))


@pytest.mark.parametrize("seed", range(3))
def test_a_few_test_images_make_no_copies_of_samples_that_are_none(tmp_path, seed):
    draw = torch.Generator().manual_seed(seed)
    parts = [torch.randint(0, 256, (count, 1, 8, 8), generator=draw, dtype=torch.uint8) for count in (800, 50, 400)]
    train, test, samples = (part.permute(0, 2, 3, 1) for part in parts)
    np.savez(tmp_path / "real.npz", x_train=train, x_test=test)
    sentences = []
    for copied in (0, 200):
        np.savez(tmp_path / "made.npz", images=torch.cat([train[:copied], samples[copied:]]))
        made, real = str(tmp_path / "made.npz"), str(tmp_path / "real.npz")
        found, _ = evaluate_files(made, real, EvaluationSpec("pixels"))
        assert found.reference_rows["test"].count == 50 and found.metrics.copy_rate >= copied / 400
        sentences.append(without_numbers(found))
    assert sentences[0] != sentences[1]


def test_without_a_test_row_no_rates_of_test_images_are_said(evaluation):
    rows = {**evaluation.reference_rows, "test": None}
    alone = replace(evaluation, reference_rows=rows, ratio_to_test=None, ratio_interval=None)
    assert verdict(alone).count("%") == 2 and verdict(evaluation).count("%") == 4


def test_missing_classes_are_named(tmp_path):
    train = load(DataOptions("digits"))
    ones = train.images[train.labels == 1]
    found, _ = evaluate_files(npz(tmp_path / "ones.npz", torch.cat([ones, ones])), "digits")
    assert any("9 of 10 classes" in note for note in found.notes)
    assert found.metrics.duplicate_rate > 0.9 and found.metrics.recall < 0.5


def noted(evaluation, data, classifier=None, **scores):
    """The notes on samples with such scores, beside a test row whose classes are seldom known again."""
    row = replace(evaluation.reference_rows["test"], class_accuracy=0.5)
    reference = SimpleNamespace(features=SimpleNamespace(dim=1, classifier=classifier), data=data)
    return list(notes_on(replace(evaluation.metrics, **scores), {"test": row, "noise": None}, reference, data, None))


def test_a_weak_classifier_is_noted_where_its_features_are_measured_in(evaluation, run):
    own, other = (noted(evaluation, run.data, classifier) for classifier in (object(), None))
    assert any("50 %" in note for note in own) and not any("50 %" in note for note in other)


@pytest.mark.parametrize(("rare", "missing"), [(20, False), (40, True)])
def test_a_class_is_missing_where_20_samples_of_it_were_due(evaluation, rare, missing):
    labels = (torch.arange(2000) < rare).long()
    data = ArrayData("two", "train", torch.zeros(2000, 1, 4, 4).byte(), labels, ImageSpec(1, 4, 4, ("often", "rare")))
    found = [note for note in noted(evaluation, data, count=1000, classes=(1.0, 0.0)) if "rare" in note]
    assert [note.partition(" missing")[0] for note in found] == ["1 of 2 classes is"] * missing


@pytest.fixture
def learned_of(monkeypatch):
    """The sets of images that a classifier was to learn of."""
    seen = []
    for name in ("_two_sample", "_bits_per_dimension"):
        monkeypatch.setattr(f"fromnoise.evaluation.extended.{name}", lambda *_: {})
    score = "fromnoise.evaluation.extended.classification_accuracy_score"
    monkeypatch.setattr(score, lambda data, test: seen.append(data) or 0.5)
    return seen


@pytest.mark.parametrize("count", [30, 90])
def test_a_classifier_learns_of_as_many_samples_as_real_images(learned_of, count):
    data, some = load(DataOptions("digits")).subset(torch.arange(60)), torch.arange(count) % 60
    found = measure_extended(None, data, data, SampleSet(data.images[some], data.labels[some], {}))
    assert [len(one) for one in learned_of] == [min(count, 60)] * 2 and found["real_count"] == min(count, 60)


def test_of_one_class_alone_nothing_is_learned(learned_of):
    data = load(DataOptions("digits")).subset(torch.arange(60))
    alone = replace(data, labels=torch.zeros_like(data.labels))
    for images, made in ((alone, data), (data, alone)):
        assert measure_extended(None, images, data, SampleSet(made.images[:30], made.labels[:30], {})) == {}
    assert learned_of == []


def test_extended_measures_that_could_not_be_taken_are_noted(run, monkeypatch):
    bits = {"bits_per_dimension": 3.0, "bits_per_dimension_stderr": 0.1}
    monkeypatch.setattr("fromnoise.run.evaluations.measure_extended", lambda *_: bits)
    found = run.evaluate(60, extended=True)
    assert "two-sample" in found.notes[-1] and "bits" not in found.notes[-1]
    assert Evaluation.from_json(json.loads(run.folder.evaluation.read_text())) == found
    assert left_out({**bits, "classification_accuracy": 0.5, "two_sample_accuracy": 0.5}) == ""


def test_samples_of_another_shape_colour_or_range_are_refused(tmp_path):
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(40, 3, 16, 16)
    masks = torch.eye(16, dtype=torch.uint8).expand(40, 1, 16, 16)
    for images, named in ((red, "colour"), (torch.zeros(40, 1, 20, 16), "20x16"), (masks, "range.* 0 to 1 ")):
        with pytest.raises(DataError, match=named):
            evaluate_files(npz(tmp_path / "others.npz", images.to(torch.uint8)), "digits")


def test_grey_samples_in_colour_and_of_another_size_measure_as_grey_ones_do(tmp_path):
    spec, grey = EvaluationSpec("pixels"), load(DataOptions("digits")).images[:40]
    plain, _ = evaluate_files(npz(tmp_path / "grey.npz", grey), "digits", spec)
    coloured = grey.expand(40, 3, 16, 16)
    found, _ = evaluate_files(npz(tmp_path / "colour.npz", coloured), "digits", spec)
    assert found.metrics.kid == pytest.approx(plain.metrics.kid) and any("RGB" in note for note in found.notes)
    large = npz(tmp_path / "large.npz", grey.repeat_interleave(2, 2).repeat_interleave(2, 3))
    found, _ = evaluate_files(large, "digits", spec)
    assert found.metrics.frechet_distance == pytest.approx(plain.metrics.frechet_distance, rel=0.2)
    assert any("32x32" in note and "16x16" in note for note in found.notes)
    found, _ = evaluate_files(large, "digits", spec, settings={"resolution": "8"})
    assert found.protocol["measure"]["reference"]["fingerprint"] == load("digits", resolution="8").fingerprint[:16]


def test_large_images_that_are_measured_smaller_are_named(tmp_path):
    large = npz(tmp_path / "large.npz", torch.randint(0, 256, (40, 1, 300, 300)).byte())
    found, _ = evaluate_files(large, large, EvaluationSpec("pixels"))
    said = [note for note in found.notes if "300x300" in note and "64x64" in note]
    assert len(said) == 2 and all("--resolution" in note for note in said)


def test_labels_of_other_classes_are_not_used_and_numbers_are(tmp_path):
    images = load(DataOptions("digits")).images[:40]
    labels = np.arange(40) % 2
    cats = npz(tmp_path / "cats.npz", images, labels=labels, classes=np.array(["cat", "dog"]))
    found, _ = evaluate_files(cats, "digits")
    assert found.metrics.class_accuracy is None and any("cat, dog" in note for note in found.notes)
    found, _ = evaluate_files(npz(tmp_path / "numbers.npz", images, labels=labels), "digits")
    assert found.metrics.class_accuracy is not None


def test_data_without_a_test_split_and_without_labels(tmp_path):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (60, 3, 8, 8), generator=generator, dtype=torch.uint8)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    found, _ = evaluate_files(npz(tmp_path / "made.npz", pictures[:30].flip(3)), str(folder))
    assert any("6 of 60 images" in note for note in found.notes)
    assert found.reference_rows["test"] is None and found.metrics.classes == () and found.ratio_to_test is None
    assert any("6 test images" in note for note in found.notes) and found.metrics.copy_rate is not None
    assert "4 " in found.protocol["measure"]["features"]["about"]


def test_statistics_travel_as_mu_and_sigma(run, evaluation, tmp_path):
    path = tmp_path / "train.npz"
    run.evaluate(60, statistics_to=path)
    with np.load(path) as kept:
        assert kept["mu"].shape == (128,) and kept["sigma"].shape == (128, 128)
    again = run.evaluate(60, spec=EvaluationSpec(statistics=path))
    assert again.statistics["frechet_distance"] == pytest.approx(evaluation.metrics.frechet_distance, rel=1e-9)
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"train\.npz"):
        run.evaluate(60, spec=EvaluationSpec(statistics=path))


def test_unknown_features_are_refused(run):
    with pytest.raises(UsageError, match=r"'pixel'.*'pixels'"):
        run.evaluate(10, spec=EvaluationSpec(features="pixel"))


def test_the_order_of_samples_does_not_matter(tmp_path):
    train = load(DataOptions("digits"))
    order = train.labels[:600].argsort()
    by_class, _ = evaluate_files(npz(tmp_path / "sorted.npz", train.images[:600][order]), "digits")
    mixed, _ = evaluate_files(npz(tmp_path / "mixed.npz", train.images[:600]), "digits")
    assert by_class.metrics.frechet_distance == pytest.approx(mixed.metrics.frechet_distance, rel=1e-6)
    assert by_class.ratio_to_test == pytest.approx(mixed.ratio_to_test, rel=0.7)  # other random parts of the same
    assert any("600" in note for note in mixed.notes)


@pytest.mark.parametrize("change", [{"metrics": 3}, {"protocol": {}}, {"schema": 7}, {"reference_rows": {}}])
def test_a_damaged_evaluation_is_left_out_of_the_report_and_refused_when_it_is_needed(
    run, evaluation, tmp_path, change
):
    damaged = tmp_path / "damaged"
    shutil.copytree(run.path, damaged)
    (damaged / "evaluation.json").write_text(json.dumps({**evaluation.to_json(), **change}))
    (damaged / "sweep.json").write_text('{"schema": 1}')
    assert MEASURES["frechet_distance"] not in Run(damaged).show().read_text()


def test_statistics_of_other_features_are_refused_before_the_work(run, tmp_path):
    path = tmp_path / "pixels.npz"
    run.evaluate(60, spec=EvaluationSpec("pixels"), statistics_to=path)
    with pytest.raises(DataError, match=r"64 .*128|128 .*64"):
        run.evaluate(60, spec=EvaluationSpec(statistics=path))


def test_two_evaluations_of_one_run_do_not_mix(run):
    with run.folder.locked("evaluate"), pytest.raises(BusyError, match="evaluate"):
        run.evaluate(60)


def test_every_setting_of_sampling_is_in_the_protocol(run):
    about = run.evaluate(20, clip=True, guidance_interval=(0.2, 0.8)).protocol["sampling"]
    assert about["clip"] is True and list(about["guidance_interval"]) == [0.2, 0.8] and about["device"] == run.device
    assert set(vars(run.settings.sample)) - {"batch_size"} <= set(about)


def test_too_few_samples_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="at least 10"):
        run.evaluate(9)
    with pytest.raises(DataError, match="at least 10"):
        evaluate_files(npz(tmp_path / "few.npz", torch.zeros(5, 1, 16, 16, dtype=torch.uint8)), "digits")


def test_an_evaluation_of_schema_1_still_opens(evaluation):
    old = json.loads(json.dumps(evaluation.to_json()))
    old |= {"schema": 1, "deep": old.pop("extended")}
    for scores in (old["metrics"], *old["reference_rows"].values()):
        scores["label_agreement"] = scores.pop("class_accuracy")
        del scores["frechet_infinite_stderr"]
    assert Evaluation.from_json(old) == evaluation


def test_an_evaluation_from_before_the_spectrum_was_measured_still_opens(evaluation):
    old = json.loads(json.dumps(evaluation.to_json()))
    for scores in (old["metrics"], *old["reference_rows"].values()):
        for name in ("spectrum", "spectrum_colour", "spectrum_deviation", "grain"):
            del scores[name]
    opened = Evaluation.from_json(old)
    assert opened.metrics.spectrum == () and opened.metrics.kid == evaluation.metrics.kid
    assert MEASURES["grain"] not in {row[0] for row in evaluation_table(opened)} and "dB" not in verdict(opened)


@pytest.mark.parametrize("level", [0, 120])
def test_a_grain_of_single_pixels_is_named_with_its_power(tmp_path, level):
    images = load(DataOptions("digits")).images[:400].float()
    noise = level * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    made = (images + noise).round().clamp(0, 255).byte()
    found, _ = evaluate_files(npz(tmp_path / "made.npz", made), "digits", EvaluationSpec("pixels"))
    assert found.metrics.grain == found.metrics.spectrum[-1]
    assert abs(found.metrics.spectrum_deviation) == max(map(abs, found.metrics.spectrum))
    assert (found.metrics.grain > 3) is (level > 0)
    assert (f"{found.metrics.grain:+.1f} dB" in verdict(found)) is (level > 0)


def test_a_sweep_of_schema_1_still_opens():
    scores = {"frechet_distance": 2.0, "kid": 0.1, "kid_stderr": 0.01, "label_agreement": 0.9}
    point = {"settings": {"steps": 2}, "evaluations": 2, "seconds": 1.0, **scores}
    swept = Sweep.from_json({"schema": 1, "count": 40, "checkpoint": 640, "points": [point], "floor": scores})
    assert swept.points[0].class_accuracy == swept.floor.class_accuracy == 0.9


def test_evaluating_writes_nothing(run, evaluation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    measured = evaluate(run.model(), run.data, run.held_out, 60)
    assert measured.evaluation.metrics == evaluation.metrics and len(measured.samples.images) == 60
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before and not list(tmp_path.iterdir())
