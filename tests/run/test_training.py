"""A run measures its validation loss while training, keeps its best checkpoint, and trains as if it did neither."""

import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from fromnoise.common.errors import CheckpointError, Interrupted
from fromnoise.model.trained_model import TrainedModel
from fromnoise.report.training_curves import training_curves
from fromnoise.run import Run
from fromnoise.run.training import QuickEvaluator, where_it_goes_on
from fromnoise.train import budget, session
from fromnoise.train.best_checkpoint import Score, best_score
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint
from fromnoise.train.validation import ValidationLosses, Validator


def weights(run):
    files = read_checkpoint(run.newest_checkpoint())
    return {name: content for name, content in files.items() if name.endswith("safetensors")}


def validations(run):
    return [line for line in run.folder.read_metrics() if line.get("event") == "validation"]


def best(run):
    return best_score(run.folder.checkpoints)


@pytest.fixture
def falling(monkeypatch):
    """falling([2.0, 1.0, ...]): these are the losses that are measured, one after the other."""

    def use(values):
        left = iter(values)
        monkeypatch.setattr(
            Validator, "__call__", lambda self, denoiser: ValidationLosses(next(left), 0.0, (0.5,), (0.0,))
        )

    return use


def pictures(folder, number, test=0):
    """A folder of noise images, with a test split of `test` of them."""
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 256, (number, 8, 8), dtype=np.uint8)}
    if test:
        arrays["x_test"] = rng.integers(0, 256, (test, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "p.npz", **arrays)
    return str(folder / "p.npz")


def test_it_is_measured_evenly_and_at_the_end(tiny_run):
    events = validations(tiny_run)
    assert [event["images"] for event in events] == [256, 448, 640]
    assert all(np.isfinite([e["loss"], e["train_loss"], *e["t"], *e["by_noise"], e["seconds"]]).all() for e in events)
    assert len(events[0]["t"]) == len(events[0]["by_noise"]) == 8
    assert events[2]["loss"] < events[1]["loss"] < events[0]["loss"]


def test_the_last_score_is_that_of_the_averaged_weights_on_disk(tiny_run):
    """The event at the end is what the checkpoint's averaged weights have on the digits' own test images."""
    config = tiny_run.settings
    from fromnoise.model.build import build_objective

    model = tiny_run.denoiser()
    objective = build_objective(config.objective, model.prediction.sigma_data)
    measure = Validator(objective, model.process, tiny_run.held_out, tiny_run.data, config.train.seed)
    assert measure.number == 297
    found = measure(model)
    assert validations(tiny_run)[-1]["loss"] == pytest.approx(found.loss, rel=1e-6)
    assert validations(tiny_run)[-1]["train_loss"] == pytest.approx(found.train_loss, rel=1e-6)
    assert measure(tiny_run.denoiser(weights="raw")).loss != pytest.approx(found.loss, rel=1e-4)


@pytest.mark.parametrize("changes", [{}, {"train.use_ema": False}])
def test_measuring_changes_nothing_of_the_training(tmp_path, tiny_settings, changes):
    runs = [
        Run.create(
            "digits", output_dir=tmp_path / str(n), settings={**tiny_settings, **changes, "train.validations": n}
        )
        for n in (0, 8)
    ]
    never, often = (weights(run.train()) for run in runs)
    assert never == often
    assert [len(validations(run)) for run in runs] == [0, 9] and best(runs[0]) is None
    with pytest.raises(CheckpointError, match=r"'best'.*640"):
        runs[0].denoiser("best")


def test_resumed_is_uninterrupted_scores_and_all(tmp_path, tiny_run, tiny_settings):
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)
    with pytest.raises(Interrupted):
        for step in run.steps():
            if step.step == 4:
                signal.raise_signal(signal.SIGINT)
    stopped = [event["images"] for event in validations(run)]
    assert stopped == [256, 320] and best(run).images == 320, "a checkpoint has a score, on time or not"
    resumed = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings).train()
    assert weights(resumed) == weights(tiny_run)
    assert [event["images"] for event in validations(resumed)] == [256, 320, 448, 640]
    mine, theirs = ({e["images"]: e["loss"] for e in validations(r)} for r in (resumed, tiny_run))
    assert all(mine[images] == loss for images, loss in theirs.items())
    assert best(resumed) == best(tiny_run)


def test_the_best_checkpoint_outlives_newer_ones_and_can_be_chosen(tmp_path, tiny_settings, falling):
    settings = {**tiny_settings, "train.checkpoint_every": "0.001s", "train.validations": 1}
    run = Run.create("digits", output_dir=tmp_path / "r", settings={**settings, "train.num_images": 384})
    falling([3.0, 1.0, 2.0, 2.5, 2.2, 4.0])
    run.train()
    assert best(run) == Score(128, "validation loss", 1.0)
    assert [int(path.name) for path in list_checkpoints(run.folder.checkpoints)] == [128, 320, 384]
    first, named, last = (run.sample(num=2, checkpoint=at).images for at in ("128", "best", "last"))
    assert np.array_equal(first, named) and not np.array_equal(named, last)
    with pytest.raises(CheckpointError, match="128, 320, 384"):
        run.denoiser("7")


def test_a_kill_between_checkpoint_and_score_leaves_the_best_as_it_was(tmp_path, tiny_settings, falling, monkeypatch):
    settings = {**tiny_settings, "train.checkpoint_every": "0.001s", "train.validations": 1, "train.num_images": 256}
    falling([3.0, 1.0, 0.5, 2.0, 2.0])
    run = Run.create("digits", output_dir=tmp_path / "r", settings=settings)
    written = session.record_score

    def killed(folder, score, keep):
        if score.value == 0.5:
            raise KeyboardInterrupt
        written(folder, score, keep)

    monkeypatch.setattr(session, "record_score", killed)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert best(run).images == 128 and run.newest_checkpoint().name == "00000192"
    monkeypatch.setattr(session, "record_score", written)
    Run(run.path).train()
    assert best(run).images == 128 and (run.folder.checkpoints / "00000128").is_dir()


def test_validation_images_of_a_folder_are_not_trained_on(tmp_path, tiny_settings):
    run = Run.create(pictures(tmp_path, 100), output_dir=tmp_path / "r", settings=tiny_settings).train()
    assert run.metadata["data"]["count"] == len(run.data) == 90 and len(run.held_out) == 10
    assert "10 of 100" in run.metadata["data"]["notes"][-1]
    assert len(validations(run)) == 3
    seen = {image.numpy().tobytes() for image in run.data.images}
    assert not seen & {image.numpy().tobytes() for image in run.held_out.images}
    assert len(Run(run.path).held_out) == 10, "found again from the folder alone"


def test_without_validation_images_nothing_is_measured(tmp_path, tiny_settings, capsys):
    settings = {**tiny_settings, "train.num_images": 128, "data.holdout": 0.0}
    run = Run.create(pictures(tmp_path, 100), output_dir=tmp_path / "r", settings=settings).train()
    assert run.held_out is None and validations(run) == [] and best(run) is None
    assert capsys.readouterr().err == ""


def test_a_test_split_that_does_not_fit_is_reported_and_not_used(tmp_path, tiny_settings, capsys):
    settings = {**tiny_settings, "train.num_images": 128}
    run = Run.create(pictures(tmp_path, 100, test=5), output_dir=tmp_path / "r", settings=settings).train()
    assert validations(run) == [] and run.newest_checkpoint() is not None
    assert "p has 8x8 grey" in capsys.readouterr().err


def test_a_short_budget_is_not_spent_on_validations(tmp_path, tiny_settings, monkeypatch):
    """Measurements that cost more than their share are left out, and the plan is kept."""
    made = []
    monkeypatch.setattr(budget, "VALIDATION_COST", 1e6)
    monkeypatch.setattr(Validator, "__call__", lambda self, denoiser: made.append(1))
    settings = {k: v for k, v in tiny_settings.items() if k != "train.num_images"}
    run = Run.create("digits", output_dir=tmp_path / "r", settings={**settings, "train.budget": "2s"}).train()
    assert not made and best(run) is None and run.newest_checkpoint() is not None


def test_the_curve_shows_both_losses(tiny_run):
    found = training_curves(tiny_run.folder.read_metrics())
    assert set(found) == {"loss", "loss-by-noise"}
    axes = found["loss"].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]
    assert axes.lines[-1].get_xdata().tolist() == [256, 448, 640]
    assert axes.lines[-1].get_ydata().tolist() == [event["loss"] for event in validations(tiny_run)]


def test_the_record_of_the_best_is_plain_json(tiny_run):
    content = json.loads((tiny_run.folder.checkpoints / "best.json").read_text())
    assert content.pop("sha256") and content == {
        "images": 640,
        "by": "validation loss",
        "value": validations(tiny_run)[-1]["loss"],
    }


def test_samples_are_evaluated_on_the_way_and_the_best_checkpoint_is_by_their_kid(tiny_settings, tmp_path, capsys):
    settings = {**tiny_settings, "train.evaluate_every": 256, "train.checkpoints_kept": 2, "train.validations": 1}
    run = Run.create("digits", output_dir=tmp_path / "run", settings=settings).train()
    assert "1,000 samples every 256 images" in capsys.readouterr().err
    found = [line for line in run.folder.read_metrics() if line.get("event") == "evaluation"]
    assert [line["images"] for line in found] == [256, 512, 640]
    assert all(line["count"] == 1000 and line["frechet_distance"] > 0 and line["kid_stderr"] > 0 for line in found)
    best = min(found, key=lambda line: line["kid"])
    assert int(run.checkpoint("best").name) == best["images"] and run.newest_checkpoint().name.endswith("640")
    assert json.loads((run.folder.checkpoints / "best.json").read_text())["by"] == "kid"


def test_an_evaluation_that_fails_leaves_the_network_in_training_mode(tiny_run, monkeypatch):
    monkeypatch.setattr(TrainedModel, "sample_labelled", lambda *_: 1 / 0)
    model = tiny_run.new_model()
    net = model.denoiser.net.train()
    with pytest.raises(ZeroDivisionError):
        QuickEvaluator(model, tiny_run.data).evaluate(net)
    assert net.training


def test_quick_evaluations_are_drawn_over_images_seen():
    lines = [
        {"event": "evaluation", "images": n, "count": 1000, "frechet_distance": d} for n, d in ((10, 9.0), (20, 4.0))
    ]
    axes = training_curves(lines)["progress"].axes[0]
    assert axes.lines[0].get_xdata().tolist() == [10, 20] and "1,000 samples" in axes.get_title(loc="left")
    assert training_curves(lines[:1]) == {}


def test_validation_losses_of_runs_made_before_are_drawn():
    """Their events have the former name."""
    lines = [{"step": 1, "images": 8, "loss": 1.0}, {"event": "heldout", "images": 8, "loss": 0.5}]
    assert training_curves(lines)["loss"].axes[0].lines[-1].get_ydata().tolist() == [0.5]


def test_a_run_that_its_budget_ended_is_not_said_to_have_followed_its_plan():
    said = where_it_goes_on(SimpleNamespace(done=True, images=7000, total=7000))
    assert "7,000" in said and "finished" in said and "plan" not in said
