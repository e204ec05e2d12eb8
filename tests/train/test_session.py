"""A session logs, scores, previews and saves through what it is given, and stops where that is requested."""

import json
import math
import re
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

import fromnoise
from fromnoise.common.errors import DivergedError, Interrupted
from fromnoise.common.stored_json import verified
from fromnoise.common.threads import change
from fromnoise.train.bad_batch import record_bad_batch, replay
from fromnoise.train.best_checkpoint import best_score
from fromnoise.train.budget import Budget
from fromnoise.train.checkpoint import restore_newest, restore_trainer
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint
from fromnoise.train.interrupts import StopRequest
from fromnoise.train.session import Session
from fromnoise.train.validation import ValidationLosses


@dataclass
class Store:
    """A run folder of which only the checkpoints are on disk."""

    path: Path
    lines: list = field(default_factory=list)

    @property
    def checkpoints(self):
        return self.path / "checkpoints"

    @property
    def averages(self):
        return self.path / "averages"

    def check_present(self):
        pass

    def append_metrics(self, lines):
        self.lines += lines

    def rewind_metrics(self, images):
        self.lines[:] = [line for line in self.lines if line["images"] <= images]

    @property
    def saved(self):
        return [int(path.name) for path in list_checkpoints(self.checkpoints)]

    def events(self, name):
        return [line for line in self.lines if line.get("event") == name]


class Validator:
    number = 4

    def __init__(self, *values):
        self.values = iter(values)

    def __call__(self, denoiser):
        return ValidationLosses(next(self.values), 0.0, (0.5,), (0.0,))


class Evaluator:
    count, best_by = 7, "kid"

    def __init__(self, *values):
        self.values = iter(values)

    def estimate_seconds(self, net):
        return 0.0

    def evaluate(self, net):
        return {"kid": next(self.values)}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def run(session, stop=None, **options):
    return list(session.steps(stop or StopRequest(), **options))


def test_a_session_trains_to_the_end_and_saves(make_trainer, store):
    trainer = make_trainer(log_every=1)
    steps = run(Session(trainer, store, seconds_before=50.0))
    assert len(steps) == 10 and store.saved == [80] and best_score(store.checkpoints) is None
    assert [line["step"] for line in store.lines if "step" in line] == list(range(1, 11))
    assert json.loads(read_checkpoint(store.checkpoints / "00000080")["state.json"])["seconds"] > 50
    assert run(Session(trainer, store)) == [], "nothing is left"


def test_previews_are_even_and_at_the_end(make_trainer, store):
    trainer, drawn = make_trainer(total=160, previews=3), []
    run(Session(trainer, store, preview=lambda net, images: drawn.append((net, images))))
    assert [images for _, images in drawn] == [56, 112, 160] and drawn[0][0] is trainer.best_net
    drawn.clear()
    run(Session(make_trainer(total=160, previews=0), Store(store.path / "none"), preview=lambda *_: drawn.append(1)))
    assert drawn == []


def test_the_best_checkpoint_is_by_validation_loss(make_trainer, store):
    trainer = make_trainer(total=32, validations=1, checkpoint_every="0.000001s", checkpoints_kept=1)
    run(Session(trainer, store, validator=Validator(3.0, 1.0, 2.0, 4.0)))
    assert best_score(store.checkpoints).images == 16 and store.saved == [16, 32]
    assert [event["loss"] for event in store.events("validation")] == [3.0, 1.0, 2.0, 4.0]


def test_the_best_checkpoint_is_by_evaluated_samples_where_there_are_some(make_trainer, store):
    trainer = make_trainer(total=48, validations=1, evaluate_every=16)
    run(Session(trainer, store, validator=Validator(1.0, 2.0, 3.0, 4.0), evaluator=Evaluator(0.3, 0.1, 0.2)))
    best = best_score(store.checkpoints)
    assert (best.images, best.by, best.value) == (32, "kid", 0.1) and store.saved == [32, 48]
    assert [event["images"] for event in store.events("evaluation")] == [16, 32, 48]


@pytest.mark.parametrize("how", ["signal", "deadline"])
def test_a_stop_saves_and_a_new_session_continues(make_trainer, store, how):
    whole = make_trainer()
    run(Session(whole, Store(store.path / "whole")))
    first, stop = make_trainer(), StopRequest()
    steps = Session(first, store).steps(stop, deadline=0.0 if how == "deadline" else None)
    stop.received = signal.SIGTERM if how == "signal" else None
    with pytest.raises(Interrupted) as caught:
        next(steps)
    assert caught.value.exit_code == {"signal": 143, "deadline": 75}[how] and str(store.path) in str(caught.value)
    assert store.saved == [8]
    second = make_trainer()
    restore_trainer(read_checkpoint(store.checkpoints / "00000008"), second)
    store.lines.append({"images": 9, "step": 99})  # of a step that no checkpoint holds
    run(Session(second, store))
    assert torch.equal(second.net.layer.weight, whole.net.layer.weight) and {"images": 9, "step": 99} not in store.lines


def test_losses_read_at_a_checkpoint_belong_to_its_step(make_trainer, store):
    trainer = make_trainer(total=80, checkpoint_every="0.000001s")
    trainer.timer.window = 50
    steps = run(Session(trainer, store))
    assert [[entry.step for entry in step.read] for step in steps] == [[n] for n in range(1, 11)]


def test_an_exhausted_budget_ends_the_plan(make_trainer, store):
    now = [0.0]
    trainer = make_trainer(total=None, budget=Budget(0.0, 100.0, now=lambda: now[0]))
    for step in Session(trainer, store).steps(StopRequest()):
        if step.step == 2:
            trainer.total, now[0] = 800, 103.0
    assert store.saved == [16] and trainer.total == 16
    assert [(e["planned"], e["images"]) for e in store.events("budget spent")] == [(800, 16)]


def bad_from(trainer, first, last=10**9):
    """Let the batches of the steps `first` to `last`, from 1, hold what is not a number."""
    good = trainer.batches.batch

    def batch(step, slots=slice(None)):
        images, label = good(step, slots)
        return (torch.full_like(images, math.nan, dtype=torch.float32) if first <= step + 1 <= last else images), label

    trainer.batches.batch = batch


def test_no_checkpoint_is_written_while_losses_are_not_finite(make_trainer, store):
    trainer = make_trainer(total=160, checkpoint_every="0.000001s", checkpoints_kept=100)
    bad_from(trainer, 5, 8)
    list(Session(trainer, store).steps(StopRequest()))
    assert store.saved == [8 * step for step in (*range(1, 5), *range(9, 21))] and trainer.losses.skipped == 4
    record = verified(json.loads((store.path / "bad_batch.json").read_text()))
    assert (record["step"], record["images"], record["loss"], record["seed"]) == (5, 40, "nan", 0)


def test_weights_that_are_not_finite_never_take_the_place_of_a_checkpoint(make_trainer, store):
    trainer = make_trainer(total=160, checkpoint_every="0.000001s")
    session = Session(trainer, store).steps(StopRequest())
    for step in session:
        if step.step == 6:
            break
    with torch.no_grad():
        trainer.net.layer.weight[0, 0, 0, 0] = math.nan
    with pytest.raises(DivergedError, match=r"48 images stays") as caught:
        list(session)
    assert caught.value.exit_code == 5 and store.saved == [40, 48]
    assert f"--resume {store.path}" in str(caught.value) and "--output_dir" not in str(caught.value)
    again = make_trainer(total=160)
    restore_newest(store.checkpoints, again)
    assert again.images == 48 and bool(again.net.layer.weight.isfinite().all())


def test_the_record_of_a_bad_batch_gives_its_losses_again(tmp_path, make_trainer):
    trainer = make_trainer()
    bad_from(trainer, 3)
    for step in trainer.steps():
        if step.step == 4:
            break
    trainer.read_losses()
    path = record_bad_batch(tmp_path, trainer, trainer.losses.streak[0])
    step = verified(json.loads(path.read_text()))["step"]
    assert step == 3 and replay(trainer, step).isnan().all() and replay(trainer, step - 1).isfinite().all()
    other = make_trainer()
    read = next(other.steps()).read or other.read_losses()
    assert float(replay(make_trainer(), 1).mean()) == pytest.approx(read[0].loss, rel=1e-6)


def test_a_divergence_leaves_the_last_checkpoint(make_trainer, store, monkeypatch):
    trainer = make_trainer(total=800)
    steps = Session(trainer, store).steps(StopRequest())
    next(steps)
    monkeypatch.setattr(trainer.batches, "batch", lambda *_: (torch.full((8, 1, 4, 4), math.nan), None))
    with pytest.raises(DivergedError, match="--output_dir") as caught:
        list(steps)
    assert store.saved == [] and "--resume" not in str(caught.value) and "delete" not in str(caught.value)


def test_after_a_divergence_training_goes_on_from_the_last_checkpoint(make_trainer, store):
    trainer = make_trainer(total=800, checkpoint_every="0.000001s")
    bad_from(trainer, 5)
    with pytest.raises(DivergedError, match=r"32 images.*--resume .* --learning_rate") as caught:
        list(Session(trainer, store).steps(StopRequest()))
    assert store.saved[-1] == 32
    assert not any(word in str(caught.value) for word in ("delete", "--output_dir"))


@pytest.mark.parametrize("step_back", [3600.0, -3600.0])
def test_a_system_clock_that_is_moved_changes_nothing(make_trainer, store, monkeypatch, step_back):
    """Checkpoints come as often, and the training time stays what it was."""
    trainer = make_trainer(total=48, checkpoint_every="0.000001s", checkpoints_kept=100)
    session, real = Session(trainer, store), time.time
    monkeypatch.setattr(time, "time", lambda: real() - step_back)
    run(session)
    assert store.saved == [8, 16, 24, 32, 40, 48] and 0 <= session.seconds() < 3600


def test_nothing_measures_an_interval_by_the_system_clock():
    """A clock that is set back would stop checkpoints, budgets and time limits.

    Files are dated by it, and what other processes wrote can be compared with nothing else; only for people to read.
    """
    source = Path(fromnoise.__file__).parent
    using = {
        p.relative_to(source).as_posix()
        for p in source.rglob("*.py")
        if re.search(r"\btime\.time\b|datetime\.now", p.read_text())
    }
    assert using == {"data/stores.py", "run/status.py", "studio/summary.py"}


def test_a_change_of_threads_is_written_and_the_speed_measured_again(make_trainer, tmp_path, monkeypatch):
    trainer, adapted = make_trainer(total=80), iter([3, 3, 1, 1, 1, 1, 1, 1, 1, 1])

    class Changing:
        """Three threads, and one from the third step on."""

        number, fixed, shared, changes = 3, False, False, []

        def adapt(self, step_seconds):
            before, self.number = self.number, next(adapted)
            if before != self.number:
                self.changes.append(change(before, self.number, 0.5))

        def take_changes(self):
            taken, self.changes = self.changes, []
            return taken

    threads = Changing()
    for module in ("trainer", "session", "checkpoint"):
        monkeypatch.setattr(f"fromnoise.train.{module}.THREADS", threads)
    restarted = []
    monkeypatch.setattr(trainer.timer, "restart", lambda: restarted.append(trainer.step))
    trainer._threads = 3
    store = Store(tmp_path)
    list(Session(trainer, store).steps(StopRequest()))
    assert [(line["images"], line["threads"], line["before"]) for line in store.events("threads")] == [(24, 1, 3)]
    assert restarted == [3]
    assert json.loads((list_checkpoints(store.checkpoints)[-1] / "state.json").read_text())["threads"] == 1


@pytest.mark.parametrize(("latest", "drawn"), [(0.1, [80]), (60.0, [])])
def test_a_last_preview_that_would_end_beyond_the_budget_is_left_out(make_trainer, tmp_path, latest, drawn):
    trainer = make_trainer(total=80, budget=Budget(time.monotonic(), 100.0, plans=6), previews=1)
    seen = []
    session = Session(trainer, Store(tmp_path), preview=lambda net, images: seen.append(images))
    list(trainer.steps())
    trainer.timer.record(1, latest)
    session._finish()
    assert seen == drawn
