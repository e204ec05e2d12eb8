"""A distilled run is a run like any other: resumed, sampled, diagnosed, packed, started from; it says what it is of."""

import json
import shutil
import signal
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from fromnoise.cli import few_steps, main
from fromnoise.common.errors import BusyError, CheckpointError, Interrupted, UsageError, WriteError
from fromnoise.distillation.trajectories import make_trajectories as make
from fromnoise.run import Run, distilling
from fromnoise.run.checkpoints import newest_state
from fromnoise.train.checkpoint_files import list_checkpoints

FEW = {"budget": None, "num_images": 1280, "trajectories": 64}


@pytest.fixture(scope="module")
def distilled(tiny_run, tmp_path_factory):
    return Run.distill(tiny_run.path, tmp_path_factory.mktemp("runs") / "few", **FEW).train()


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.flatten() for p in run.denoiser().net.parameters()])


def test_it_samples_in_one_two_and_four_evaluations(distilled):
    for steps in (1, 2, 4):
        samples = distilled.sample(4, steps=steps)
        assert samples.evaluations == steps and samples.images.std() > 10
    assert distilled.sample(4).evaluations == 2
    assert not distilled.folder.trajectories.exists() and not list(distilled.path.glob("**/*.tmp"))


def test_it_says_what_it_is_of_and_no_place(distilled, tiny_run):
    made = distilled.metadata["distilled"]
    assert made["from"] == tiny_run.path.name and made["images"] == 640 and made["weights"] == "ema"
    assert len(made["sha256"]) == 64 and made["sampling"]["steps"] == 3
    assert str(tiny_run.path.parent) not in (distilled.path / "config.json").read_text()
    page = distilled.show().read_text()
    assert (
        "distilled from" in page and "64 trajectories" in page and "after 896 most, where samples are matched" in page
    )
    (last,) = list_checkpoints(distilled.folder.checkpoints)
    assert not list(last.glob("follower*"))
    (event,) = [line for line in distilled.folder.read_metrics() if line.get("event") == "trajectories"]
    assert event["count"] == 64 and event["took"] > 0
    assert not any(line.get("event") == "epoch" for line in distilled.folder.read_metrics())


def test_it_moves_towards_the_ends(distilled):
    losses = [line["loss"] for line in distilled.folder.read_metrics() if "step" in line]
    assert losses[-1] < losses[0]


def test_the_same_again_has_the_same_weights(distilled, tiny_run, tmp_path):
    again = Run.distill(tiny_run.path, tmp_path / "again", **FEW).train()
    assert torch.equal(weights(again), weights(distilled))
    assert len(list_checkpoints(distilled.folder.checkpoints)) == 1
    found = Run.distill(tiny_run.path, distilled.path, **FEW).train()
    assert len(list_checkpoints(found.folder.checkpoints)) == 1


@pytest.mark.parametrize("lost", [False, True], ids=["trajectories there", "trajectories lost"])
def test_it_goes_on_to_the_same_weights(distilled, tiny_run, tmp_path, lost):
    run = Run.distill(tiny_run.path, tmp_path / "part", **FEW)
    with pytest.raises(Interrupted) as stopped:
        for _ in run.steps():
            signal.raise_signal(signal.SIGTERM)
    assert stopped.value.exit_code == 143 and run.folder.trajectories.exists()
    if lost:
        shutil.rmtree(run.folder.trajectories)
    assert torch.equal(weights(Run.resume(run.path).train()), weights(distilled))
    assert not run.folder.trajectories.exists()


@pytest.mark.parametrize("saved", [True, False], ids=["with a checkpoint", "with none"])
@pytest.mark.parametrize("lost", [False, True], ids=["trajectories there", "trajectories lost"])
def test_the_clock_counts_trajectories_once(tiny_run, tmp_path, monkeypatch, lost, saved):
    run = Run.distill(tiny_run.path, tmp_path / "part", budget="10m", trajectories=64)
    with pytest.raises(Interrupted):
        for _ in run.steps():
            signal.raise_signal(signal.SIGTERM)
    if not saved:
        shutil.rmtree(run.folder.checkpoints)
    if lost:
        shutil.rmtree(run.folder.trajectories)
    real = distilling.stored_trajectories
    monkeypatch.setattr(distilling, "stored_trajectories", lambda f: (kept := real(f)) and replace(kept, seconds=300.0))
    monkeypatch.setattr(distilling, "make_trajectories", lambda *a, **how: replace(make(*a, **how), seconds=300.0))
    steps = Run(run.path).steps()
    left = next(steps).seconds_left
    steps.close()
    assert left == pytest.approx(600 if lost else 300, abs=60)


@pytest.fixture(scope="module")
def half_matched(tiny_run, tmp_path_factory):
    """A distillation that was stopped in the matching."""
    run = Run.distill(tiny_run.path, tmp_path_factory.mktemp("runs") / "half", **FEW)
    with pytest.raises(Interrupted) as stopped:
        for step in run.steps():
            if step.step == 8:  # it stops after the next one
                signal.raise_signal(signal.SIGINT)
    assert stopped.value.exit_code == 130
    return run


def test_it_goes_on_in_the_matching_to_the_same_weights(half_matched, distilled, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(half_matched.path, folder)
    (checkpoint,) = list_checkpoints(folder / "checkpoints")
    files = {path.name: path for path in checkpoint.iterdir()}
    assert json.loads(files["state.json"].read_text())["more"] == {"matching_from": 896}
    there = load_file(files["follower.safetensors"])
    teacher = load_file(folder / "init.safetensors")
    assert set(there) == set(teacher) and not all(torch.equal(there[name], teacher[name]) for name in there)
    size = sum(path.stat().st_size for path in files.values())
    assert size == pytest.approx(half_matched.metadata["bytes"]["checkpoint"], rel=0.05)
    assert torch.equal(weights(Run.resume(folder).train()), weights(distilled))


@pytest.mark.parametrize("name", ["follower", "follower-optimizer"])
@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_follower_that_is_lost_is_named_and_not_begun_anew(half_matched, tmp_path, name, content):
    folder = tmp_path / "half"
    shutil.copytree(half_matched.path, folder)
    (checkpoint,) = list_checkpoints(folder / "checkpoints")
    file = checkpoint / f"{name}.safetensors"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"\b{file.name}\b"):
        Run.resume(folder).train()


def test_a_checkpoint_with_a_follower_is_not_for_who_knows_of_none(half_matched, distilled):
    """Version 2 would go on without it, to other weights."""
    assert newest_state(half_matched.folder)["format"] == 3 and newest_state(distilled.folder)["format"] == 2


def test_it_goes_on_with_another_length(half_matched, tiny_run, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(half_matched.path, folder)
    longer = {**FEW, "num_images": 2560}
    assert Run.distill(tiny_run.path, folder, **longer).train().model().images == 2560


def test_without_a_length_it_keeps_its_own(half_matched, tiny_run, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(half_matched.path, folder)
    settings = Run.distill(tiny_run.path, folder, trajectories=64).settings.train
    assert (settings.num_images, settings.budget) == (1280, None)
    timed = Run.distill(tiny_run.path, tmp_path / "timed", trajectories=64)
    assert (timed.settings.train.num_images, timed.settings.train.budget) == (None, "60s")


def stopped_at_once(source, folder, **how):
    """A distillation that was killed before its first checkpoint: trajectories are all that it leaves."""
    run = Run.distill(source, folder, **how)
    with pytest.raises(Interrupted):
        for _ in run.steps():
            signal.raise_signal(signal.SIGTERM)
    shutil.rmtree(run.folder.checkpoints)
    return run


def test_before_the_first_checkpoint_it_keeps_its_length_and_what_it_has_made(tiny_run, tmp_path):
    run = stopped_at_once(tiny_run.path, tmp_path / "few", budget="20s")
    for length in ({}, {"budget": "20"}):
        again = Run.distill(tiny_run.path, run.path, **length)
        assert again.settings.train.budget in ("20s", *length.values()) and again.folder.trajectories.exists()
    other = Run.distill(tiny_run.path, run.path, budget="25s")
    assert other.settings.train.budget == "25s"
    assert not other.folder.trajectories.exists(), "they are as many as another length had time for"


def test_a_budget_in_which_no_point_was_seen_is_an_error(tiny_run, tmp_path, monkeypatch, capsys):
    run = stopped_at_once(tiny_run.path, tmp_path / "few", budget="20s")
    real = distilling.stored_trajectories
    monkeypatch.setattr(distilling, "stored_trajectories", lambda f: (kept := real(f)) and replace(kept, seconds=25.0))
    assert main(["distill", str(tiny_run.path), "--output_dir", str(run.path)]) == 2
    said = capsys.readouterr()
    assert "the budget of 20s was over before a point was seen" in said.err and "next:" not in said.out


def test_a_distillation_has_no_epochs(half_matched, tmp_path, capsys):
    folder = shutil.copytree(half_matched.path, tmp_path / "half")
    assert main(["train", "--resume", str(folder), "--num_epochs", "2"]) == 2
    assert "trajectories, which have no epochs; give --budget or --num_images" in capsys.readouterr().err


def test_a_bundle_goes_on_in_the_matching(half_matched, distilled, tmp_path):
    packed = half_matched.pack(tmp_path / "half.fromnoise.zip", resumable=True)
    opened = Run.unpack(packed, tmp_path / "unpacked")
    assert torch.equal(weights(Run.resume(opened.path).train()), weights(distilled))
    small = half_matched.pack(tmp_path / "small.fromnoise.zip")
    names = zipfile.ZipFile(small).namelist()
    assert not any("follower" in name for name in names)


def test_other_numbers_of_steps_work_and_guidance_is_built_in(distilled):
    assert distilled.sample(2, steps=3, sampler="ddim").evaluations == 3
    with pytest.raises(UsageError, match="guidance"):
        distilled.sample(1, guidance_scale=2.0)


def test_it_edits(distilled):
    assert len(distilled.edit().interpolate(seeds=(1, 2), num=3).images) == 3
    assert len(distilled.edit().img2img("0", num=2).images) == 2


def test_it_is_diagnosed(distilled):
    found = distilled.diagnose()
    assert {finding.name for finding in found.findings} >= {"denoising", "steps"}
    assert any(finding.advice for finding in found.findings)  # it has hardly been trained
    assert not any("guidance" in finding.advice for finding in found.findings)


def test_its_samplers_are_not_compared_with_a_reference_that_it_has_not(distilled):
    with pytest.raises(UsageError, match="distilled"):
        distilled.compare_samplers(["euler"], [2])


def test_it_is_advised_what_helps_any_run_where_its_samples_are_not_the_cause(distilled, monkeypatch):
    monkeypatch.setattr("fromnoise.diagnosis.diagnose.too_slow_to_sample", lambda *_: True)
    (found,) = [finding for finding in distilled.diagnose().findings if finding.name == "samples"]
    assert "Not checked" in found.message and "fewer --steps" in found.advice


def test_what_cannot_be_distilled_is_refused(distilled, tiny_run, tmp_path):
    with pytest.raises(UsageError, match="distilled already"):
        Run.distill(distilled.path, tmp_path / "x")
    with pytest.raises(UsageError, match="ddpm"):
        Run.distill(tiny_run.path, tmp_path / "x", sampler="ddpm")
    with pytest.raises(UsageError, match=r"t = 0\.9.*t = 1"):
        Run.distill(tiny_run.path, tmp_path / "x", grid="0.9,0.5,0")
    with pytest.raises(UsageError, match="not distilled"):
        Run.distill(tiny_run.path, tiny_run.path)
    with pytest.raises(UsageError, match="another distillation"):
        Run.distill(tiny_run.path, distilled.path, guidance_scale=3.0, **FEW)
    with pytest.raises(UsageError, match=r"finished.*--output_dir") as caught:
        Run.distill(tiny_run.path, distilled.path, budget="1m", trajectories=64)
    assert "--init" not in str(caught.value), "a run from its weights would not be distilled"
    with pytest.raises(CheckpointError):
        Run.distill(tmp_path / "nowhere")
    assert not (tmp_path / "x").exists()


def test_a_run_that_is_not_finished_is_refused(tiny_settings, tmp_path):
    run = Run.create("digits", output_dir=tmp_path / "run", settings=tiny_settings)
    with pytest.raises(CheckpointError):
        Run.distill(run.path)
    with pytest.raises(Exception, match="max_time"):
        list(run.steps(max_time=0.0))
    with pytest.raises(UsageError, match="not finished"):
        Run.distill(run.path)


def test_a_budget_that_trajectories_alone_take_is_refused(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(distilling, "TOO_MUCH", 0.0)
    with pytest.raises(UsageError, match="--budget"):
        Run.distill(tiny_run.path, tmp_path / "short", budget="2s").train()
    monkeypatch.undo()
    run = Run.distill(tiny_run.path, tmp_path / "short", budget="3s").train()
    assert run.settings.train.budget == "3s" and run.newest_checkpoint() is not None


def test_max_time_holds_while_trajectories_are_made(tiny_run, tmp_path):
    run = Run.distill(tiny_run.path, tmp_path / "few", **FEW)
    with pytest.raises(Interrupted, match="max_time") as stopped:
        list(run.steps(max_time=0.0))
    assert stopped.value.exit_code == 75 and not run.folder.trajectories.exists()


def test_one_that_is_at_work_keeps_its_settings(tiny_run, tmp_path):
    run = Run.distill(tiny_run.path, tmp_path / "few", **FEW)
    with run.folder.locked(), pytest.raises(BusyError):
        Run.distill(tiny_run.path, run.path, budget="9s", trajectories=64)
    assert Run(run.path).settings.train.num_images == FEW["num_images"]


def test_a_full_disk_is_found_before_and_leaves_nothing(tiny_run, tmp_path, monkeypatch):
    run = Run.distill(tiny_run.path, tmp_path / "full", **FEW)
    with monkeypatch.context() as patch:
        patch.setattr(distilling.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
        with pytest.raises(WriteError, match="64 trajectories"):
            run.train()
    assert not run.folder.trajectories.exists()


def test_ctrl_c_while_trajectories_are_made_leaves_a_run_that_begins_again(tiny_run, tmp_path, monkeypatch, distilled):
    run = Run.distill(tiny_run.path, tmp_path / "stopped", **FEW)
    real = distilling.make_trajectories

    def interrupted(*arguments, **how):
        signal.raise_signal(signal.SIGINT)
        return real(*arguments, **how)

    with monkeypatch.context() as patch:
        patch.setattr(distilling, "make_trajectories", interrupted)
        with pytest.raises(Exception, match="0 trajectories") as stopped:
            run.train()
    assert stopped.value.exit_code == 130 and not run.folder.trajectories.exists()
    assert torch.equal(weights(Run.distill(tiny_run.path, run.path, **FEW).train()), weights(distilled))


def test_it_is_packed_and_a_new_run_starts_from_it(distilled, tmp_path):
    packed = distilled.pack(tmp_path / "few.fromnoise.zip")
    opened = Run.unpack(packed, tmp_path / "unpacked")
    assert (opened.sample(2, steps=1).images == distilled.sample(2, steps=1).images).all()
    settings = {"train.num_images": 64, "net.width": 8, "train.previews": 0}
    new = Run.create("digits", output_dir=tmp_path / "new", init=distilled.path, settings=settings).train()
    assert new.metadata.get("distilled") is None and new.sample(2, steps=2, guidance_scale=1.0).images.shape[0] == 2


def test_a_run_that_starts_from_it_samples_as_the_trajectories_were_made(tmp_path, tiny_settings):
    """Without classes the way of sampling is taken over with the weights: that of few steps would not do."""
    own = {**tiny_settings, "net.class_conditioning": False, "sample.guidance_scale": 1.0, "sample.steps": 4}
    source = Run.create("digits", output_dir=tmp_path / "run", settings=own).train()
    few = Run.distill(source.path, tmp_path / "few", **FEW).train()
    new = Run.create("digits", output_dir=tmp_path / "new", init=few.path, settings={"train.num_images": 64})
    made = few.metadata["distilled"]["sampling"]
    assert new.settings.sample.steps == 4
    assert new.settings.sample.sampler == made["sampler"] != few.settings.sample.sampler


def test_it_needs_its_run_no_more(distilled, tiny_run, tmp_path):
    copied = tmp_path / "source"
    shutil.copytree(tiny_run.path, copied)
    run = Run.distill(copied, tmp_path / "few", **FEW)
    shutil.rmtree(copied)
    assert torch.equal(weights(run.train()), weights(distilled))


def test_the_command_line_says_how_long_it_took(tiny_run, tmp_path, capsys):
    words = ["distill", str(tiny_run.path), "--num_images", "640", "--trajectories", "64"]
    assert main([*words, "--output_dir", str(tmp_path / "few")]) == 0
    said = capsys.readouterr().out
    assert "trajectories included" in said and said.splitlines()[-1] == str(tmp_path / "few")
    record = json.loads((tmp_path / "few" / "config.json").read_text())
    assert record["settings"]["sample"]["grid"] == "levels"


TINY = ["--set", "net.width=8", "--set", "net.depth=1", "--set", "sample.steps=2", "--previews", "0"]


def test_training_for_few_steps_distils_what_it_trained(tmp_path, monkeypatch, capsys):
    real, asked = Run.distill, []

    def distill(source, **how):
        asked.append(how["budget"])
        return real(source, **FEW)

    monkeypatch.setattr(Run, "distill", distill)
    words = ["train", "digits", "--few_steps", "--num_images", "640", *TINY, "--output_dir", str(tmp_path / "run")]
    for moved in (True, False):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert ("trained and distilled in" in said) == moved
        assert said.splitlines()[-1] == str(tmp_path / "run-distilled")
    assert asked == [None, None] and Run(tmp_path / "run-distilled").sample(2, steps=1).evaluations == 1


@pytest.mark.parametrize(("given", "trained"), [("4m", "180s"), ("20", "15s")])
def test_a_quarter_of_the_budget_is_for_few_steps(given, trained, tmp_path):
    taken = {"train.budget": trained}
    assert few_steps.few_steps_changes(None, {"train.budget": given, "train.seed": 1}, None) == taken
    assert few_steps.few_steps_changes(1, {"train.seed": 1}, None) == {}
    file = tmp_path / "budget.toml"
    file.write_text(f'[train]\nbudget = "{given}"\n')
    assert few_steps.few_steps_changes(1, {"train.seed": 1}, str(file)) == taken
    assert few_steps.few_steps_changes(1, {"train.num_images": 640}, str(file)) == {}


def test_training_for_few_steps_refuses_what_cannot_be_distilled(tmp_path, capsys):
    words = ["train", "digits", "--few_steps", "--output_dir", str(tmp_path / "run")]
    assert main([*words, "--set", "objective.prediction=eps", "--set", "process.kind=vp"]) == 2
    assert "--few_steps" in capsys.readouterr().err
    assert main([*words, "--num_processes", "2"]) == 2
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_there_is_looked_at_before_it_goes_on(tmp_path, tiny_settings, capsys):
    changes = {**tiny_settings, "objective.prediction": "eps", "process.kind": "vp"}
    run = Run.create("digits", output_dir=tmp_path / "run", settings=changes)
    with pytest.raises(Interrupted):
        list(run.steps(max_time=0.0))
    for words in (["digits", "--output_dir", str(run.path)], ["--resume", str(run.path)]):
        assert main(["train", *words, "--few_steps"]) == 2
        assert "--few_steps distils the run" in capsys.readouterr().err


def test_a_distilled_run_is_not_distilled_again_after_it_goes_on(half_matched, tmp_path, capsys):
    folder = shutil.copytree(half_matched.path, tmp_path / "half")
    assert main(["train", "--resume", str(folder), "--few_steps"]) == 2
    assert "this one is distilled already" in capsys.readouterr().err


def test_few_steps_of_a_finished_run_with_a_budget_are_distilled_by_themselves(tmp_path, capsys):
    own = {"net.width": 8, "net.depth": 1, "sample.steps": 2, "train.previews": 0, "train.budget": "4s"}
    path, words = str(tmp_path / "run"), [*TINY, "--budget", "4s"]
    Run.create("digits", output_dir=path, settings=own).train()
    for place in (["--resume", path], ["digits", "--output_dir", path]):
        assert main(["train", *place, *words, "--few_steps"]) == 2
        assert f"`fromnoise distill {path}`" in capsys.readouterr().err


def test_another_distillation_in_the_way_is_found_before_the_training(distilled, tmp_path, capsys):
    shutil.copytree(distilled.path, tmp_path / "run-distilled")
    words = ["train", "digits", "--few_steps", "--num_images", "640", *TINY, "--output_dir", str(tmp_path / "run")]
    assert main(words) == 2
    assert f"{tmp_path}/run-distilled is there" in capsys.readouterr().err
    assert Run(tmp_path / "run").newest_checkpoint() is None


def test_a_dry_run_of_a_distillation_is_refused(distilled, capsys):
    assert main(["train", "--resume", str(distilled.path), "--dry_run"]) == 2
    assert "distilled from trajectories" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["--budget", "1m", "--num_images", "9"], ["--num_images", "9"], ["--budget", "soon"], ["--trajectories", "0"]],
)
def test_flags_that_do_not_go_together_are_refused(tiny_run, words):
    assert main(["distill", str(tiny_run.path), *words]) == 2


def test_a_budget_beside_a_number_of_images_is_refused_from_python(tiny_run, tmp_path):
    with pytest.raises(UsageError, match="budget and --num_images"):
        Run.distill(tiny_run.path, tmp_path / "few", budget="1m", num_images=9, trajectories=9)
    assert not list(tmp_path.iterdir())
