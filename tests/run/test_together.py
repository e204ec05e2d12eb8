"""A run that many processes train: one folder, written by the first, with the weights of one process."""

import numpy as np
import pytest
from safetensors.torch import load_file

from fromnoise.common.errors import BusyError, DataError, Interrupted, OtherProcessError, UsageError, WriteError
from fromnoise.run import Run
from fromnoise.run.facts import decisions
from fromnoise.run.folder import RunFolder
from fromnoise.run.preflight import DryRun
from fromnoise.run.together import begin_together
from fromnoise.train.distributed import Group

SETTINGS = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 480,
    "train.train_batch_size": 24,
    "train.optimizer": "adamw",
    "train.learning_rate": 1e-3,
    "train.mixed_precision": "no",
    "train.previews": 1,
    "train.validations": 1,
    "train.log_every": 1,
    "train.num_threads": 1,
    "sample.steps": 2,
}


def made_of(path):
    """All weights and averages of the newest checkpoint."""
    newest = sorted((path / "checkpoints").glob("[0-9]*"))[-1]
    files = [*newest.glob("[me]*.safetensors")]
    assert len(files) == 3
    return {f"{file.name} {name}": value for file in files for name, value in load_file(file).items()}


def furthest(a, b):
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process."""
    return Run.create("digits", output_dir=tmp_path_factory.mktemp("alone") / "run", settings=SETTINGS).train()


def test_two_processes_make_the_run_of_one(tmp_path, alone, run_processes):
    def work(group):
        run = Run.create("digits", output_dir=tmp_path / "run", settings=SETTINGS)
        assert dict(decisions(run))["processes"] == "2 processes, 12 images a step each"
        run.train()

    assert run_processes(work, 2) == [0, 0]
    assert furthest(made_of(tmp_path / "run"), made_of(alone.path)) < 1e-5
    names = [{p.relative_to(path).as_posix() for p in path.rglob("*")} for path in (tmp_path / "run", alone.path)]
    assert names[0] == names[1]
    two, one = RunFolder(tmp_path / "run").read_metrics(), alone.folder.read_metrics()
    assert [line["loss"] for line in two if "step" in line] == pytest.approx(
        [line["loss"] for line in one if "step" in line], abs=1e-5
    )
    assert [line["loss"] for line in two if line.get("event") == "validation"] == pytest.approx(
        [line["loss"] for line in one if line.get("event") == "validation"], abs=1e-5
    )


def test_a_run_goes_on_in_another_number_of_processes(tmp_path, alone, run_processes):
    path = tmp_path / "run"

    def begin(group):
        steps = Run.create("digits", output_dir=path, settings=SETTINGS).steps(max_time=0.0)
        with pytest.raises(Interrupted) as raised:
            list(steps)
        assert raised.value.exit_code == 75 and raised.value.quiet == (group.rank > 0)

    assert run_processes(begin, 2) == [0, 0]
    assert [p.name for p in path.glob("checkpoints/[0-9]*")] == ["00000048"]  # the time was over after the first step
    assert run_processes(begin, 3) == [0, 0, 0]
    for step in Run.resume(path).steps():
        if step.images == 240:
            break
    assert run_processes(lambda group: Run.resume(path).train(), 2) == [0, 0]
    assert furthest(made_of(path), made_of(alone.path)) < 1e-5


def test_processes_that_were_asked_for_different_things_are_refused(tmp_path, run_processes):
    few = {"train.train_batch_size": 4}
    for number in range(2):
        np.savez(tmp_path / f"{number}.npz", images=np.full((20, 8, 8), 7 + number, np.uint8))

    def work(group):
        with pytest.raises(UsageError, match=r"train.seed: 0 in process 0, but 1 in process 1"):
            Run.create("digits", output_dir=tmp_path / "run", settings={**SETTINGS, "train.seed": group.rank})
        with pytest.raises(UsageError, match="recipe"):
            Run.create("digits", recipe=("ddpm", "edm")[group.rank], output_dir=tmp_path / "run")
        assert not (tmp_path / "run").exists()
        with pytest.raises(DataError, match="the images"):
            Run.create(tmp_path / f"{group.rank}.npz", output_dir=tmp_path / "other", settings=few)
        with pytest.raises((UsageError, OtherProcessError), match="2 processes"):
            settings = {**SETTINGS, "train.train_batch_size": 1}
            Run.create("digits", output_dir=tmp_path / "third", settings=settings)
        assert not (tmp_path / "third").exists()

    assert run_processes(work, 2) == [0, 0]


def test_copies_of_the_images_may_lie_elsewhere(tmp_path, run_processes):
    for rank in range(2):
        np.savez(tmp_path / f"{rank}.npz", images=np.arange(20 * 64).reshape(20, 8, 8).astype(np.uint8))

    def work(group):
        settings = {**SETTINGS, "train.train_batch_size": 4, "train.num_images": 8}
        Run.create(tmp_path / f"{group.rank}.npz", output_dir=tmp_path / "run", settings=settings).train()

    assert run_processes(work, 2) == [0, 0]


def test_what_stops_the_first_process_stops_the_others_with_its_exit_code(tmp_path, run_processes, monkeypatch):
    path = tmp_path / "run"

    def busy(group):
        run = Run.create("digits", output_dir=path, settings=SETTINGS)
        with pytest.raises((BusyError, OtherProcessError)) as raised:
            run.train()
        assert raised.value.exit_code == 7

    holder = Run.create("digits", output_dir=path, settings=SETTINGS)
    with holder.folder.locked():
        assert run_processes(busy, 2) == [0, 0]

    def full(group):
        def fail(*_):
            raise WriteError("no space left")

        monkeypatch.setattr("fromnoise.train.session.save_checkpoint", fail)
        settings = {**SETTINGS, "train.checkpointing_steps": 3}
        with pytest.raises((WriteError, OtherProcessError), match="no space left") as raised:
            Run.create("digits", output_dir=path, settings=settings).train()
        assert raised.value.exit_code == 6

    assert run_processes(full, 2) == [0, 0]


def test_a_dry_run_measures_all_processes_and_writes_nothing(tmp_path, run_processes):
    def work(group):
        found = DryRun.create("digits", output_dir=tmp_path / "run", settings=SETTINGS).preflight()
        assert found.cost.images == 480 and not found.cost.memory_ran_out
        assert found.cost.micro_batch == 12
        assert len(set(group.gather(found.cost.images))) == 1

    assert run_processes(work, 2) == [0, 0]
    assert not (tmp_path / "run").exists()


class Noted(Group):
    """Process 0 of two, and what it does."""

    world = 2

    def __init__(self):
        self.done = []

    def wait_for(self, seconds):
        self.done.append(seconds)


def test_how_long_to_wait_for_an_answer_holds_while_the_first_process_reads_the_images():
    group = Noted()

    def read():
        group.done.append("read")
        raise DataError("that is enough")

    with pytest.raises(DataError, match="enough"):
        begin_together(group, read, None, {"train.answer_within": "90s"})
    assert group.done == [90.0, "read"]
    with pytest.raises(DataError, match="enough"):  # what is no text, `read` refuses
        begin_together(group, read, None, {"train.answer_within": 90})
    assert group.done[2:] == ["read"]
