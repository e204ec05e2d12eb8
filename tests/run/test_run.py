"""A run folder from begin to end: resume, refusal, samples by seed, figures and report."""

import html
import json
import re
import signal
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.errors import BusyError, CheckpointError, DataError, Interrupted, UsageError, WriteError
from fromnoise.model.trained_model import TrainedModel
from fromnoise.run import Run, training
from fromnoise.train.checkpoint_files import read_checkpoint


def weights(run):
    files = read_checkpoint(run.newest_checkpoint())
    return {name: content for name, content in files.items() if name.endswith("safetensors")}


def test_the_folder_holds_what_it_promises(tiny_run):
    names = {path.name for path in tiny_run.path.iterdir()}
    assert {"config.toml", "config.json", "metrics.jsonl", "checkpoints", "samples"} <= names
    lines = tiny_run.folder.read_metrics()
    assert [line["step"] for line in lines if "step" in line] == list(range(1, 11))
    last = [line for line in lines if "step" in line][-1]
    assert last["images"] == 640 and last["learning_rate"] < 1e-3
    assert re.fullmatch(r"\d{8}", tiny_run.newest_checkpoint().name)
    assert tiny_run.metadata["versions"]["torch"] == torch.__version__
    assert not list(tiny_run.path.rglob(".*"))


def test_a_finished_run_has_nothing_left_to_do(tiny_run, tiny_settings):
    before = weights(tiny_run)
    again = Run.create("digits", output_dir=tiny_run.path, settings=tiny_settings)
    assert list(again.steps()) == [] and weights(again) == before


def test_another_run_in_the_same_folder_is_refused_with_the_differences(tiny_run, tiny_settings):
    with pytest.raises(UsageError, match=r"net\.width.*\b8\b.*\b16\b"):
        Run.create("digits", output_dir=tiny_run.path, settings={**tiny_settings, "net.width": 16})


def test_stopped_and_resumed_is_uninterrupted(tmp_path, tiny_run, tiny_settings):
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)
    with pytest.raises(Interrupted, match=r"\b320 images.*r\b") as stop:
        for step in run.steps():
            if step.step == 4:
                signal.raise_signal(signal.SIGINT)
    assert stop.value.exit_code == 130 and run.newest_checkpoint().name == "00000320"
    resumed = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings).train()
    assert weights(resumed) == weights(tiny_run)
    steps = [line["step"] for line in resumed.folder.read_metrics() if "step" in line]
    assert steps == list(range(1, 11))


def test_sigterm_and_max_time_save_too(tmp_path, tiny_settings):
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)
    with pytest.raises(Interrupted) as stop:
        list(run.steps(max_time=0.0))
    assert stop.value.exit_code == 75 and run.newest_checkpoint() is not None
    with pytest.raises(Interrupted) as stop:
        for _ in run.steps():
            signal.raise_signal(signal.SIGTERM)
    assert stop.value.exit_code == 143


def test_two_processes_do_not_share_a_folder(tiny_run):
    with tiny_run.folder.locked(), pytest.raises(BusyError, match="train"):
        list(Run(tiny_run.path).steps())


def test_a_budget_is_kept_and_its_plan_recorded(tmp_path, tiny_settings):
    settings = {k: v for k, v in tiny_settings.items() if k != "train.num_images"}
    run = Run.create("digits", output_dir=tmp_path / "r", settings={**settings, "train.budget": "6s"})
    totals = list(dict.fromkeys(step.total for step in run.steps() if step.total))
    assert totals, "planned at least once; how often follows from how the machine changes"
    seconds = [line["seconds"] for line in run.folder.read_metrics() if "seconds" in line][-1]
    assert 3.0 < seconds < 6 * 1.03 + 2, "the hard end is at 103 %; two seconds for a busy machine"
    files = read_checkpoint(run.newest_checkpoint())
    state = json.loads(files["state.json"])
    cut = [line for line in run.folder.read_metrics() if line.get("event") == "budget spent"]
    assert state["images"] >= state["total"]
    # A machine that slows down after the first seconds ends the plan where it stands, and says so.
    assert cut[0]["planned"] == totals[-1] and state["total"] < totals[-1] if cut else state["total"] == totals[-1]
    assert list(Run(run.path).steps()) == []


def test_previews_have_the_first_seeds_and_evaluations_while_training_others(tiny_run, monkeypatch):
    """What chooses a checkpoint is not the noise that it is measured with later."""
    real, asked = TrainedModel.sample_labelled, []

    def noted(self, seeds, labels):
        asked.append(seeds[0])
        return real(self, seeds, labels)

    monkeypatch.setattr(TrainedModel, "sample_labelled", noted)
    monkeypatch.setattr(training.QuickEvaluator, "count", 20)
    model = tiny_run.model()
    training.draw_preview(model, model.denoiser.net)
    training.QuickEvaluator(model, tiny_run.data).evaluate(model.denoiser.net)
    assert asked == [0, training.FIRST_SEED]


def test_pictures_follow_from_their_seeds(tiny_run):
    together = tiny_run.sample(seeds=[3, 17, 5], keep_steps=True)
    assert together.images.shape == (3, 16, 16, 1) and together.images.dtype == np.uint8
    assert len(together.steps) == 3 and np.array_equal(together.steps[-1], together.images)
    alone = tiny_run.sample(seeds=[17])
    assert np.abs(alone.images.astype(int) - together.images[1:2]).max() <= 1
    assert alone.labels == together.labels[1:2]
    one_by_one = tiny_run.sample(seeds=[3, 17, 5], batch_size=1)
    assert np.abs(one_by_one.images.astype(int) - together.images).max() <= 1


def test_labels_follow_the_training_set_unless_asked(tiny_run):
    labels = np.array(tiny_run.sample(num=300, steps=1).labels)
    assert set(labels.tolist()) == set(range(10))
    assert tiny_run.sample(num=4, label="7").labels == [7] * 4
    with pytest.raises(UsageError, match=r"class.*'x'"):
        tiny_run.sample(num=1, label="x")


def test_a_model_that_is_not_told_the_class_has_none(tmp_path, tiny_settings):
    """The digits have labels, but this model never saw them: no labels with its samples, and none can be asked for."""
    settings = {**tiny_settings, "net.class_conditioning": False, "sample.guidance_scale": 1.0, "train.num_images": 64}
    run = Run.create("digits", output_dir=tmp_path / "r", settings=settings).train()
    assert run.spec.classes == () and run.metadata["data"]["about"] == "16x16 grey, 10 classes"
    assert run.sample(num=2).labels is None
    with pytest.raises(UsageError, match="label"):
        run.sample(num=2, label=3)
    with pytest.raises(UsageError, match="guidance_scale"):
        run.sample(num=2, guidance_scale=2.0)


def test_raw_and_averaged_weights_differ(tiny_run):
    averaged, raw = (tiny_run.sample(num=2, weights=weights).images for weights in ("ema", "raw"))
    assert not np.array_equal(averaged, raw)
    with pytest.raises(CheckpointError, match=r"'7'.*last, best or one of 640"):
        tiny_run.sample(num=1, checkpoint="7")


def test_an_earlier_checkpoint_guides(tmp_path, tiny_settings):
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)
    with pytest.raises(Interrupted):
        list(run.steps(max_time=0.0))
    early = str(int(run.newest_checkpoint().name))
    run.train()
    last = str(int(run.newest_checkpoint().name))
    plain = run.sample(num=4).images
    guided, itself = (run.sample(num=4, autoguidance_scale=2.0, guide_checkpoint=at).images for at in (early, last))
    assert not np.array_equal(plain, guided)
    assert np.abs(plain.astype(int) - itself).max() <= 1, "a model pushes nowhere from itself"


@pytest.mark.parametrize("name", ["s.png", "s.gif", "s.npz", "folder"])
def test_samples_are_written_by_their_ending(tiny_run, tmp_path, name):
    samples = tiny_run.sample(num=3, keep_steps=True)
    path = samples.save(tmp_path / "new" / name)
    if name.endswith("npz"):
        with np.load(path) as arrays:
            assert np.array_equal(arrays["images"], samples.images) and arrays["images"].dtype == np.uint8
            assert arrays["seeds"].tolist() == [0, 1, 2] and arrays["labels"].tolist() == samples.labels
    elif name == "folder":
        files = sorted(path.iterdir())
        assert len(files) == 3 and np.array_equal(np.asarray(Image.open(files[1])), samples.images[1, :, :, 0])
    else:
        with Image.open(path) as image:
            assert getattr(image, "n_frames", 1) == (3 if name.endswith("gif") else 1)
    with pytest.raises(UsageError, match=r"\.jpeg"):
        samples.save(tmp_path / "s.jpeg")


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left")], ids=["interrupted", "full"])
def test_a_folder_of_samples_that_is_not_finished_is_as_it_was(tiny_run, tmp_path, third_write, error):
    folder = tiny_run.sample(num=2, label="0", steps=1).save(tmp_path / "folder")
    before, samples = held(folder), tiny_run.sample(num=4, label="0")
    third_write(error)
    with pytest.raises((KeyboardInterrupt, WriteError)):
        samples.save(folder)
    assert held(folder) == before
    after = held(samples.save(folder))
    assert len(after) == 4 and all(after[name] != content for name, content in before.items())


def test_show_draws_everything_and_the_report_stands_alone(tiny_run):
    report = tiny_run.show().read_text(encoding="utf-8")
    drawn = {path.stem for path in tiny_run.folder.figures.glob("*.png")}
    assert drawn == {"samples", "loss", "loss-by-noise", "corruption", "predictions", "trajectory", "nearest"}
    assert report.count("data:image/png;base64") == len(drawn) and 'src="http' not in report
    assert "640 (0.4 epochs)" in report and "digits" in report


@pytest.mark.parametrize("recipe", ["ddpm", "chapter-basic", "chapter-unet2d"])
def test_every_recipe_trains_and_samples(tmp_path, recipe):
    settings = {"train.num_images": 16, "train.train_batch_size": 8, "train.previews": 0, "net.channels": (32, 32)}
    run = Run.create("digits", recipe=recipe, output_dir=tmp_path / "r", settings=settings).train()
    samples = run.sample(num=2, steps=2)
    assert samples.images.shape == (2, 16, 16, 1)
    assert (samples.labels is None) == (not run.spec.classes)


@pytest.mark.parametrize(
    "process, prediction, times",
    [
        ("linear", "velocity", "uniform"),
        ("vp", "v", "discrete"),
        ("vp", "x0", "stratified"),
        ("ve", "edm", "log_normal"),
        ("linear", "edm", "logit_normal"),
        ("ve", "eps", "log_normal"),
    ],
)
def test_any_process_with_any_prediction(tmp_path, tiny_settings, process, prediction, times):
    settings = {
        **tiny_settings,
        "train.num_images": 128,
        "process.kind": process,
        "objective.prediction": prediction,
        "objective.time_sampling": times,
        "sample.grid": "karras" if process == "ve" else "uniform",
    }
    run = Run.create("digits", output_dir=tmp_path / "r", settings=settings).train()
    losses = [line["loss"] for line in run.folder.read_metrics() if "step" in line]
    assert all(np.isfinite(losses)) and run.sample(num=2).images.std() > 0


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"objective.prediction": "eps"}, "'eps'.*alpha = 0.*'v'"),
        ({"objective.time_sampling": "discrete"}, "'discrete'.*'vp'"),
        ({"sample.sampler": "ddpm", "process.prior": "uniform"}, "Uniform.*'ddim'"),
        ({"objective.label_dropout": 0.0, "sample.guidance_scale": 2.0}, "guidance_scale.*label_dropout"),
        ({"net.kind": "unet2d", "net.channels": (30, 60)}, r"channels.*30.*\b32\b"),
        ({"train.train_batch_size": 5000}, r"train_batch_size.*\b5000\b.*\b1500\b"),
        ({"train.num_epochs": 1.0, "train.budget": "3m"}, "num_epochs.*budget"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(tmp_path, settings, named):
    with pytest.raises(UsageError, match=named):
        Run.create("digits", output_dir=tmp_path / "r", settings=settings)
    assert not (tmp_path / "r").exists()


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))):
        Run(tmp_path)
    with pytest.raises(WriteError, match=r"config\.toml"):
        (tmp_path / "file").write_text("")
        Run.create("digits", output_dir=tmp_path / "file" / "r")


def test_config_toml_says_what_was_asked_and_can_be_given_back(tmp_path, tiny_settings):
    (tmp_path / "mine.toml").write_text("[train]\nnum_images = 64\n[net]\nwidth = 8\n")
    asked = {"config_file": tmp_path / "mine.toml", "settings": {"train.seed": 3, "net.depth": 1}}
    first = Run.create("digits", output_dir=tmp_path / "a", **asked)
    written = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert written["train"] == {"num_images": 64, "seed": 3} and written["net"] == {"width": 8, "depth": 1}
    assert written["recipe"] == "default" and written["data"] == {"source": "digits"}
    again = Run.create("digits", output_dir=tmp_path / "b", config_file=tmp_path / "a" / "config.toml")
    assert again.settings == first.settings
    assert Run.create("digits", output_dir=tmp_path / "a", **asked).settings == first.settings


def test_the_images_are_named_once(tmp_path, tiny_settings):
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8))
    (tmp_path / "other.toml").write_text('[data]\nsource = "digits"\n', encoding="utf-8-sig")  # as Windows writes it
    run = Run.create(
        tmp_path / "a.npz", output_dir=tmp_path / "r", config_file=tmp_path / "other.toml", settings=tiny_settings
    )
    named = tomllib.loads((run.path / "config.toml").read_text())["data"]["source"]
    assert named == run.settings.data.source == str(tmp_path / "a.npz")
    with pytest.raises(UsageError, match=r"mnist.*digits"):
        Run.create("digits", output_dir=tmp_path / "s", settings={"data.source": "mnist"})
    assert not (tmp_path / "s").exists()


def test_what_a_config_starts_from_is_a_path(tmp_path):
    (tmp_path / "mine.toml").write_text("init = 3\n")
    with pytest.raises(UsageError, match=r"init is 3.*path"):
        Run.create("digits", output_dir=tmp_path / "r", config_file=tmp_path / "mine.toml")


def test_somebodys_config_is_not_written_over(tmp_path):
    own = tmp_path / "exp" / "config.toml"
    own.parent.mkdir()
    own.write_text("# mine\n[train]\nnum_images = 64\n")
    with pytest.raises(UsageError, match=r"config\.toml.*--output_dir"):
        Run.create("digits", output_dir=own.parent, config_file=own)
    assert own.read_text().startswith("# mine") and len(list(own.parent.iterdir())) == 1
    own.write_text("train = 3\n")
    with pytest.raises(UsageError, match=r"train.*\[train\]"):
        Run.create("digits", output_dir=tmp_path / "r", config_file=own)


def test_a_record_with_missing_parts_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"format": 1}')
    with pytest.raises(CheckpointError, match=r"config\.json"):
        Run(tmp_path)


def test_the_last_images_are_in_the_metrics(tmp_path, tiny_settings):
    """1,500 digits in batches of 64 end an epoch with 28: the last step passes the total, and is written down."""
    settings = {**tiny_settings, "train.num_images": 1510, "train.log_every": 50}
    run = Run.create("digits", output_dir=tmp_path / "r", settings=settings).train()
    seen = [line["images"] for line in run.folder.read_metrics() if "step" in line]
    assert seen[-1] == int(run.newest_checkpoint().name) == 1564
    previews = sorted(path.name for path in run.folder.samples.iterdir())
    assert previews[-1] == "preview-00001564.png"


def test_changed_images_are_noticed(tmp_path, tiny_settings):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(80):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / f"{i}.png")
    run = Run.create(str(folder), output_dir=tmp_path / "r", settings=tiny_settings)
    run.train()
    (folder / "0.png").unlink()
    assert run.spec.classes == () and run.sample(num=2).labels is None
    with pytest.raises(DataError, match=f"'{re.escape(str(folder))}'.*{re.escape(str(run.path))}") as caught:
        _ = Run(run.path).data
    Run(run.path).show()
    assert not (run.folder.figures / "nearest.png").exists()
    assert str(caught.value) in html.unescape(run.folder.report.read_text())


@pytest.mark.parametrize("name", ["pictures", "./pictures"])
def test_images_that_are_gone_are_asked_back(tmp_path, monkeypatch, tiny_settings, name):
    """A bare name is no misspelt data set: the run was trained on it."""
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for i in range(80):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(f"pictures/{i}.png")
    run = Run.create(name, output_dir="r", settings=tiny_settings).train()
    Path("pictures").rename("elsewhere")
    with pytest.raises(DataError, match=rf"\br\b.*'{re.escape(name)}'") as caught:
        _ = Run("r").data
    assert caught.value.exit_code == 3
    Run("r").show()
    assert {path.stem for path in run.folder.figures.glob("*.png")} == {
        "samples",
        "loss",
        "loss-by-noise",
        "trajectory",
    }
    said, command = str(caught.value).rstrip("`").split("`")
    assert f"{said}<code>{command}</code>" in html.unescape(run.folder.report.read_text())


def test_a_folder_that_one_stands_in_is_trained_on_twice(tmp_path, tiny_settings, monkeypatch):
    """What the first command wrote into the folder is no data for the second."""
    place = tmp_path / "photos"
    for i in range(40):
        (place / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 6 * i, np.uint8)).save(place / "ab"[i % 2] / f"{i}.png")
    monkeypatch.chdir(place)
    settings = {**tiny_settings, "train.num_images": 64, "train.train_batch_size": 32}
    with pytest.raises(UsageError, match="output_dir"):
        Run.create(".", output_dir=place, settings=settings)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="output_dir"):
        Run.create("~/photos", output_dir=place, settings=settings)
    run = Run.create(".", settings=settings).train()
    run.sample(4).save(place / "samples")
    again = Run.create(".", settings=settings)
    assert run.path.name == "photos-default-s0" and again.path == run.path
    assert not list(again.steps()) and again.spec.classes == ("a", "b")


def test_data_may_be_a_path(tmp_path):
    with pytest.raises(DataError, match=r"\./nothing"):
        Run.create(Path("nothing"), output_dir=tmp_path / "run")
