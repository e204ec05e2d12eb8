"""The board: its rule of significance, entries that are refused, a command under the clock, and the committed page."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fromnoise.common.errors import DataError, UsageError
from fromnoise.data import DataOptions, load

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
FAST = {"processor": "a chip, avx2", "cores": 2, "threads": 2, "torch": "2", "device": "cpu", "matmul_gflops": [10, 10]}
FAST |= {"automatic_precision": "no"}
# A Gaussian in pixel space for each class: a model that trains in a blink, and needs NumPy alone.
MODEL = """
import argparse, json, numpy as np
flags = argparse.ArgumentParser()
for name in ("--train", "--seconds", "--seed", "--num", "--out", "--spread"):
    flags.add_argument(name)
args = flags.parse_args()
print(json.dumps({"stage": "imported"}), flush=True)
data = np.load(args.train)
images, labels = data["images"].astype(float), data["labels"]
print(json.dumps({"stage": "trained", "images_seen": len(images)}), flush=True)
g = np.random.default_rng(int(args.seed))
drawn = g.choice(labels, int(args.num))
made = np.stack([images[labels == one].mean(0) for one in drawn])
made += float(args.spread) * g.standard_normal(made.shape) * images.std(0)
np.savez(args.out, images=made.clip(0, 255).round().astype(np.uint8), labels=drawn)
print(json.dumps({"evaluations": 1}))
"""


pytestmark = pytest.mark.usefixtures("benchmark_module")


@pytest.fixture(scope="module")
def command(benchmark_module):
    """leaderboard.py, on a machine whose speed does not depend on what else runs here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("board.making"), "yardstick", lambda: 100.0)
        yield importlib.import_module("leaderboard")


@pytest.fixture(scope="module")
def rules(benchmark_module):
    return benchmark_module("board.rules")


@pytest.fixture(scope="module")
def entries(benchmark_module):
    return benchmark_module("board.entry")


@pytest.fixture
def made(entries):
    """made(name, distances, ...): an entry with these distances at 500 samples."""

    def make(name, distances, *, weights="a", copies=0.0, took=59.0, first=0, **other):
        measure = {"version": 1, "count": 500, "reference": {"name": "mnist", "fingerprint": "f"}}
        measure["features"] = {"name": "domain", "recipe_hash": "r", "weight_hash": weights}
        scores = {
            "ratio_to_test": 1.0,
            "class_accuracy": 0.9,
            "recall": 0.8,
            "copy_rate": copies,
            "test_copy_rate": 0.0,
        }
        run = {"train_seconds": took, "sample_seconds": 1.0, "sampled": 500, "images_seen": 9, "evaluations": 5}
        runs = [
            {**run, "seed": seed, "samples": "0", "scores": {"500": {"frechet_distance": one, **scores}}}
            for seed, one in enumerate(distances, start=first)
        ]
        content = {"schema": 1, "name": name, "kind": "result", "about": None, "evidence": [], "answer": None}
        content |= {"date": "2026-01-01", "code": {"address": "a", "commit": "c"}, "runs": runs}
        content |= {"command": "train {seed} {samples}", "sample_command": None}
        content |= {"data": {"source": "mnist", "settings": {}}, "budget": 60.0, "clock": "measured"}
        content |= {"machine": FAST, "hardware": "2 cores, avx2", "claim": "", "notes": []}
        content |= {"measure": {"500": measure}, "test": {"500": {"frechet_distance": 2.0, "copy_rate": 0.001}}}
        return entries.Entry(name, {**content, **other})

    return make


def table(rules, *rows):
    """The names in the order of the table, and whose place is the first."""
    everything = {one.id: one for one in rows}
    (found,) = rules.tables(everything.values()).values()
    standings = rules.standings(found, "500", everything)
    return [one.entry.id for one in standings], [one.entry.id for one in standings if one.first], standings


# -- the rule ---------------------------------------------------------------------------------------------------


def test_welch_is_that_of_a_table(rules):
    # Student's t of 2.353 with three degrees of freedom is p = 0.05; here t = -6 / 2.55 and Welch's degrees are 4.
    assert rules.p_lower([1.0, 2.0, 3.0], [7.0, 8.0, 9.0]) == pytest.approx(0.0009, abs=0.0003)
    assert rules.p_lower([7.0, 8.0, 9.0], [1.0, 2.0, 3.0]) == pytest.approx(0.9991, abs=0.0003)
    assert rules.p_lower([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(0.5)
    assert rules.p_lower([1.0], [1.0, 2.0]) is None
    assert rules.p_lower([1.0, 1.0], [2.0, 2.0]) == 0.0 and rules.p_lower([1.0, 1.0], [1.0, 1.0]) == 1.0


def test_a_place_is_taken_by_a_lower_mean_that_is_significant_alone(rules, made):
    holder = made("holder", [5.0, 5.2, 5.4])
    clear, close = made("clear", [4.0, 4.1, 4.2], date="2026-01-02"), made("close", [4.2, 5.1, 6.2], date="2026-01-02")
    assert table(rules, holder, clear)[:2] == (["clear", "holder"], ["clear"])
    order, first, standings = table(rules, holder, close)
    assert first == ["holder"] and order == ["holder", "close"]
    assert standings[1].remark and 0.05 < standings[1].p < 0.95
    lower = made("lower", [5.0, 5.1, 5.2], date="2026-01-02")
    assert table(rules, holder, lower)[1] == ["holder"]


def test_classifiers_with_other_weights_need_a_margin(rules, made):
    holder = made("holder", [5.00, 5.01, 5.02])
    near = {"date": "2026-01-02", "distances": [4.90, 4.91, 4.92]}
    assert table(rules, holder, made("near", **near))[1] == ["near"]
    assert table(rules, holder, made("near", **near, weights="b"))[1] == ["holder"]


WITHOUT_A_PLACE = {
    "too few seeds": {"distances": [1.0, 1.1]},
    "over the clock": {"took": 60.5},
    "reported": {"clock": "reported"},
    "a faster machine": {"machine": {**FAST, "matmul_gflops": [20, 20]}, "date": "2026-01-03"},
    "picked seeds": {"first": 1},
    "copies": {"copies": 0.5},
    "copies that are not stated": {"copies": None},
    "no machine": {"machine": {}},
    "hardware of another class": {"machine": {**FAST, "cores": 64}},
    "no date": {"date": None},
}


@pytest.mark.parametrize("what", WITHOUT_A_PLACE.values(), ids=WITHOUT_A_PLACE)
def test_what_holds_no_place(rules, made, what):
    better = made("better", **{"distances": [1.0, 1.1, 1.2], **what})
    _, first, standings = table(rules, made("holder", [5.0, 5.2, 5.4], date="2026-01-02"), better)
    assert first == ["holder"]
    assert next(one.remark for one in standings if one.entry is better)


def test_copies_of_test_images_were_not_counted_before_there_was_a_board(rules, made, entries):
    kept = made("kept", [1.0, 1.1, 1.2], date=None, notes=[f"{entries.CONVERTED}time-to-quality-mnist.json"])
    for entry in (kept, made("made", [1.0, 1.1, 1.2])):
        for run in entry.runs:
            del run["scores"]["500"]["test_copy_rate"]
        assert rules.unranked(entry, "500", {}) == ("" if entry is kept else "copies not stated")


def test_of_one_day_the_lower_comes_first(rules, made):
    rows = made("a", [5.0, 5.1, 5.2]), made("b", [4.9, 5.0, 5.1])
    assert table(rules, *rows)[1] == ["b"]


def test_other_hardware_and_other_protocols_are_other_tables(rules, made):
    measure = made("x", [1.0])["measure"]["500"]
    other = {"500": {**measure, "version": 2}}
    rows = [made("a", [1.0]), made("b", [1.0], hardware="H200"), made("c", [1.0], measure=other)]
    assert len(rules.tables(rows)) == 3


def test_a_rerun_that_is_farther_takes_the_place_away(rules, made):
    claimed, runner = made("claimed", [1.0, 1.1, 1.2]), made("runner", [5.0, 5.2, 5.4], date="2026-01-02")
    doubt = {"kind": "doubt", "about": "claimed", "claim": "it did not come there again"}
    assert table(rules, claimed, runner, made("doubt", [2.0, 2.1, 2.2], **doubt))[1] == ["runner"]
    assert table(rules, claimed, runner, made("doubt", [1.0, 1.2, 1.3], **doubt))[1] == ["claimed"]
    assert table(rules, claimed, runner, made("doubt", [2.0, 2.1, 2.2], hardware="H200", **doubt))[1] == ["claimed"]


UNFAIR = {
    "a reported clock": {"clock": "reported"},
    "another command": {"command": "train --badly {seed} {samples}"},
    "another sampling": {"sample_command": "sample {samples}"},
    "other code": {"code": {"address": "a", "commit": "d"}},
    "other data": {"data": {"source": "mnist", "settings": {"resolution": 14}}},
    "too long": {"took": 61.0},
    "a seed left out": {"seeds": (3, 5, 6)},
}


@pytest.mark.parametrize("change", UNFAIR.values(), ids=UNFAIR)
def test_another_training_takes_no_place_away_and_reproduces_nothing(rules, made, change):
    claimed, seeds = made("claimed", [1.0, 1.1, 1.2]), change.get("seeds", (3, 4, 5))
    change = {name: value for name, value in change.items() if name != "seeds"}
    for kind, distances, counts in (
        ("doubt", [2.0, 2.1, 2.2], rules.overturns),
        ("result", [1, 1.1, 1], rules.reproduces),
    ):
        one = {"kind": kind, "about": "claimed", "claim": "again", "first": 3}
        assert counts(made("fair", distances, **one), claimed)
        unfair = made("unfair", distances, **one, **change)
        for run, seed in zip(unfair.runs, seeds, strict=True):
            run["seed"] = seed
        assert not counts(unfair, claimed)


def test_the_page_says_reproduced_where_the_rules_do(command, made):
    page = importlib.import_module("board.page")
    again = {"about": "claimed", "first": 3}
    rows = [
        made("claimed", [1.0, 1.1, 1.2]),
        made("near", [1.0, 1.1, 1.1], **again),
        made("far", [2.0, 2.1, 2.2], **again),
        made("few", [1.0], **again),
        made("gpu", [1.0, 1.1, 1.2], hardware="H200", machine={**FAST, "device": "H200"}, **again),
    ]
    said = page.page({one.id: one for one in rows})
    assert "reproduced: [near]" in said and all(f"rerun: [{name}]" in said for name in ("far", "few", "gpu"))


def test_matrix_products_are_measured(benchmark_module):
    assert importlib.import_module("board.making").yardstick() > 0


def test_machines_of_a_class_are_alike_by_their_matrix_products(rules):
    assert rules.like_machines(FAST, {**FAST, "matmul_gflops": [11, 12]})
    assert not rules.like_machines(FAST, {**FAST, "matmul_gflops": [20, 20]})
    assert rules.like_machines(FAST, {**FAST, "matmul_gflops": None})


# -- the committed board ----------------------------------------------------------------------------------------

DOUBTED = {
    "doubt-20s-nvidia-h200-recall-beside-torchcfm",
    "doubt-30s-2-cores-avx512_bf16-wide-spread",
    "doubt-600s-2-cores-avx2-seeds-of-two-recipes",
    "doubt-60s-2-cores-avx512_bf16-another-size",
    "doubt-60s-2-cores-avx512_bf16-one-seed-of-each-peer",
}


def test_the_page_is_in_step_with_the_entries(command):
    page = importlib.import_module("board.page")
    written = (BENCHMARKS / "LEADERBOARD.md").read_text(encoding="utf-8")
    assert written == page.page(importlib.import_module("board.entry").read_all(command.BOARD)), (
        "run python benchmarks/leaderboard.py page"
    )


def test_the_entries_are_in_step_with_the_results_they_were_converted_from(command, entries):
    known, kept = entries.read_all(command.BOARD), importlib.import_module("board.kept")
    found = [one for path in command.RESULTS.glob("time-to-quality-*.json") for one in kept.entries_of(path)]
    for entry in found:
        assert known[entry.id].content == json.loads(json.dumps(entry.content)), (
            "run python benchmarks/leaderboard.py convert"
        )
    undated = {one.id for one in known.values() if one["date"] is None}
    assert undated == {entry.id for entry in found}, "remove what is not converted any more, or give it its date"


def test_the_committed_board_has_sceptical_rows_and_a_result_that_failed(command, entries, rules):
    known = entries.read_all(command.BOARD)
    assert any(one["kind"] == "doubt" and one["evidence"] for one in known.values())
    assert known.keys() >= DOUBTED, "a doubt is answered, not removed"
    late = [one.id for one in known.values() if one["kind"] == "result" and rules.over(one)]
    page = (BENCHMARKS / "LEADERBOARD.md").read_text(encoding="utf-8").partition("## Doubts")[2]
    assert late and all(name in page for name in late)


# -- entries that are refused -----------------------------------------------------------------------------------

DAMAGED = {
    "another schema": ("schema", 7),
    "a claim that is none": ("claim", 5),
    "a date that is no day": ("date", "soon"),
    "a day written otherwise": ("date", "20260101"),
    "an unknown score": ("score", "beauty"),
    "a note that is none": ("notes", [5]),
    "a doubt about nothing": ("kind", "doubt"),
    "a clock of its own": ("clock", "mine"),
    "no command": ("command", ...),
    "no sample_command": ("sample_command", ...),
    "data without a source": ("data.source", ...),
    "a machine of unknown speed": ("machine.matmul_gflops", ...),
    "a machine without a device": ("machine.device", ...),
    "a speed that is none": ("machine.matmul_gflops", ["fast"]),
    "no budget": ("budget", 0),
    "no version": ("measure.500.version", ...),
    "a reference without a name": ("measure.500.reference.name", ...),
    "a reference without a fingerprint": ("measure.500.reference.fingerprint", ...),
    "features without a name": ("measure.500.features.name", ...),
    "no recipe": ("measure.500.features.recipe_hash", ...),
    "no weights": ("measure.500.features.weight_hash", ...),
    "no features": ("measure.500.features", "domain"),
    "test images without a distance": ("test.500.frechet_distance", ...),
    "no runs": ("runs", []),
    "no seed": ("runs.1.seed", ...),
    "no images_seen": ("runs.1.images_seen", ...),
    "no evaluations": ("runs.1.evaluations", ...),
    "no sample_seconds": ("runs.1.sample_seconds", ...),
    "trained in no time": ("runs.1.train_seconds", 0.0),
    "trained for no number": ("runs.1.train_seconds", float("nan")),
    "no samples": ("runs.1.sampled", 0),
    "no scores": ("runs.1.scores", {}),
    "scores without a protocol": ("runs.1.scores", {"60": {"frechet_distance": 1.0}}),
    "no distance": ("runs.1.scores.500.frechet_distance", ...),
    "a distance that is none": ("runs.1.scores.500.frechet_distance", "low"),
    "a distance below 0": ("runs.1.scores.500.frechet_distance", -1.0),
    "a distance beyond all": ("runs.1.scores.500.frechet_distance", float("inf")),
    "a share above 1": ("runs.1.scores.500.recall", 80.0),
    "copies below 0": ("runs.1.scores.500.copy_rate", -1.0),
}


@pytest.mark.parametrize(("path", "value"), DAMAGED.values(), ids=DAMAGED)
def test_what_is_not_an_entry_is_refused(entries, made, tmp_path, path, value):
    content = json.loads(json.dumps(made("one", [1.0, 2.0, 3.0]).content))
    at, (*way, last) = content, path.split(".")
    for step in way:
        at = at[int(step) if isinstance(at, list) else step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    (tmp_path / "one.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"one\.json is not an entry") as found:
        entries.read(tmp_path / "one.json")
    assert last.split("_")[0].removesuffix("s") in str(found.value) and "\n" not in str(found.value)


def test_a_file_that_is_no_json_is_refused(entries, tmp_path):
    (tmp_path / "one.json").write_text("{")
    with pytest.raises(DataError, match=r"one\.json"):
        entries.read(tmp_path / "one.json")


def test_an_entry_about_one_that_is_missing_is_refused(entries, made, tmp_path):
    entries.write(tmp_path, made("one", [1.0, 2.0, 3.0], about="nobody"))
    with pytest.raises(DataError, match="nobody"):
        entries.read_all(tmp_path)


def test_an_entry_is_not_replaced_by_accident(entries, made, tmp_path):
    entries.write(tmp_path, made("one", [1.0, 2.0, 3.0]))
    with pytest.raises(UsageError, match="--name"):
        entries.write(tmp_path, made("one", [1.0, 1.0, 1.0]))
    with pytest.raises(DataError, match="train_seconds"):
        entries.write(tmp_path, made("two", [1.0, 1.0, 1.0], took=0.0))


ENTER = ["enter", "--name", "n", "--code", "a", "--commit", "c", "--data", "digits", "--budget", "20s", "--num", "60"]
WRONG = {
    "no place for the seed": (["--command", "true --seconds {seconds} --out {samples}"], "{seed}"),
    "no place for the samples": (["--command", "true {seconds} {seed}"], "{samples}"),
    "an open quote": (["--command", "true 'x {seconds} {seed} {samples}"], "--command"),
    "two seeds": (["--seeds", "2", "--command", "true {seconds} {seed} {samples}"], "--seeds"),
    "nothing": ([], "--command"),
    "no such program": (["--command", "no-such-program {seconds} {seed} {samples}"], "no-such-program"),
    "samples without a clock": (["--samples", "a.npz", "b.npz", "c.npz"], "--train_seconds"),
    "samples of no time": (["--samples", *"abc", "--hardware", "H200", "--train_seconds", *"101"], "--train_seconds"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_command_is_one_sentence(command, tmp_path, words, named):
    with pytest.raises(UsageError) as found:
        command.main([*ENTER, *words, "--board", str(tmp_path / "board"), "--work", str(tmp_path / "work")])
    assert named in str(found.value) and "\n" not in str(found.value)
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_name_that_is_taken_is_refused_before_anything_is_trained(command, entries, tmp_path, monkeypatch, elsewhere):
    monkeypatch.setattr(command, "Scorer", lambda *_: pytest.fail("the data was read"))
    words = [*ENTER, "--command", "true {seconds} {seed} {samples}"]
    hardware = "H200" if elsewhere else importlib.import_module("board.making").hardware_here()
    if elsewhere:
        words = [*ENTER, "--samples", *"abc", "--train_seconds", *"111", "--hardware", hardware]
    (tmp_path / f"{entries.id_of('digits', 20.0, hardware, 'n')}.json").touch()
    with pytest.raises(UsageError, match="--name"):
        command.main([*words, "--board", str(tmp_path)])


def test_a_seed_finds_nothing_of_an_earlier_attempt(command, tmp_path, monkeypatch):
    making, seen = importlib.import_module("board.making"), []

    def trained(*given):
        seen.extend(path.name for path in given[2]["folder"].iterdir() if path.name != making.MARK)
        (given[2]["folder"] / "run").mkdir()
        return {}

    monkeypatch.setattr(making, "scored_runs", lambda *_: {})
    monkeypatch.setattr(making, "trained_and_sampled", trained)
    (tmp_path / "seed-1").mkdir()  # an empty folder is nobody's work
    for _ in range(2):
        making.run_seeds(making.Task("train", None, 20.0, 60, tmp_path), range(3), None)
        assert not seen and (tmp_path / "seed-1" / "run").exists()


@pytest.mark.parametrize("name", ["seed-2/run/checkpoint", "seed-2"])
def test_what_is_not_of_the_board_is_not_removed(command, tmp_path, monkeypatch, name):
    making = importlib.import_module("board.making")
    monkeypatch.setattr(making, "trained_and_sampled", lambda *_: pytest.fail("seed 0 was trained"))
    kept = tmp_path / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("a training of the user")
    with pytest.raises(UsageError, match=r"seed-2 .*--work") as found:
        making.run_seeds(making.Task("train", None, 20.0, 60, tmp_path), range(3), None)
    assert "\n" not in str(found.value) and kept.read_text() == "a training of the user"
    assert [path.name for path in tmp_path.iterdir()] == ["seed-2"]


# -- the clock --------------------------------------------------------------------------------------------------


def script(code):
    """A command whose program is `code`, with every place that a command must have."""
    return f"{sys.executable} -c '{code}' {{samples}} {{seed}} {{seconds}}"


def timed(tmp_path, code, budget=30.0, sample=None):
    clock = importlib.import_module("board.clock")
    places = {"samples": tmp_path / "samples.npz", "seed": 3, "seconds": "1", "num": 1, "train": "", "folder": tmp_path}
    return clock.trained_and_sampled(script(code), sample and script(sample), places, budget)


WRITES = 'open(sys.argv[1], "w").close()'


def test_stages_are_stamped_by_the_clock_of_the_board(tmp_path):
    said = 'print("{\\"stage\\": \\"trained\\", \\"images_seen\\": 5, \\"train_seconds\\": 0}", flush=True)'
    run = timed(tmp_path, f"import sys, time; time.sleep(0.5); {said}; time.sleep(0.3); {WRITES}")
    assert run["seed"] == 3 and run["images_seen"] == 5
    assert (
        run["train_seconds"] >= 0.5 and run["sample_seconds"] >= 0.3
    )  # what the command says of its time is not heard


def test_without_a_stage_all_is_training_and_a_second_command_is_sampling(tmp_path):
    run = timed(tmp_path, f"import sys, time; time.sleep(0.3); {WRITES}")
    assert run["train_seconds"] >= 0.3 and run["sample_seconds"] is None
    run = timed(tmp_path, "pass", sample=f"import sys, time; time.sleep(0.3); {WRITES}")
    assert run["sample_seconds"] >= 0.3 > 0 < run["train_seconds"]


def test_a_command_that_fails_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"\b3\b.*out of luck") as found:
        timed(tmp_path, 'import sys; print("a\\nout of luck", file=sys.stderr); sys.exit(3)')
    assert "\n" not in str(found.value)
    with pytest.raises(DataError, match=r"samples\.npz"):
        timed(tmp_path, "pass")


def test_a_training_without_end_is_stopped(tmp_path, monkeypatch):
    clock = importlib.import_module("board.clock")
    monkeypatch.setattr(clock, "GRACE", 0.3)
    with pytest.raises(DataError, match="trained"):
        timed(tmp_path, "import time; time.sleep(60)", budget=0.2)


# -- what a check finds -----------------------------------------------------------------------------------------


@pytest.fixture
def checking(command):
    return importlib.import_module("board.checking")


def said(findings):
    """Whether each finding is good, by what it is about."""
    return {one.about: one.good for one in findings}


def test_an_entry_alone_shows_where_its_date_and_its_machine_are_not_known(checking, made, entries):
    three = [1.0, 2.0, 3.0]
    assert set(said(checking.by_itself(made("one", three))).values()) == {True}
    found = said(checking.by_itself(made("one", three, date=None, machine={}, copies=None)))
    assert found["date"] is False and found["machine"] is False and found["copies"] is None
    assert said(checking.by_itself(made("one", three, hardware="H200")))["machine"] is False
    assert said(checking.by_itself(made("one", three, date=None, notes=[f"{entries.CONVERTED}x"])))["date"] is True


def measured(entry, checking, *, weights="a", test=(), off=1.0, **scores):
    """What `against_samples` finds where the samples of `entry` score as it states, but for these.

    off: how many times the stated distance each seed has.
    """
    measure = {**entry["measure"]["500"]}
    measure["features"] = {**measure["features"], "weight_hash": weights}
    row = {**entry["test"]["500"], **dict(test)}
    files = [Path(f"{run['seed']}.npz") for run in entry.runs]
    found = {}
    for path, run in zip(files, entry.runs, strict=True):
        one = {"copy_rate": 0.0, "test_copy_rate": 0.0, **run["scores"]["500"], **scores}
        one["frechet_distance"] *= off
        found[path] = checking.Scored("0", path.name, 500, measure, row, one)
    return said(checking.against_samples(entry, files, SimpleNamespace(score=found.get)))


def test_copies_are_found_whatever_the_entry_states(checking, made):
    entry = made("one", [1.0, 2.0, 3.0])
    assert set(measured(entry, checking).values()) == {True}
    silent = made("silent", [1.0, 2.0, 3.0])
    for run in silent.runs:
        del run["scores"]["500"]["copy_rate"], run["scores"]["500"]["test_copy_rate"]
    for one in ("copy_rate", "test_copy_rate"):
        assert measured(silent, checking, **{one: 0.5})["copies measured"] is False
        assert measured(entry, checking, weights="b", **{one: 0.015})["scores of seed 0"] is False
    # As many copies as the entry says of test images would be too many beside those that are measured.
    lenient = made("lenient", [1.0, 2.0, 3.0], test={"500": {"frechet_distance": 2.0, "copy_rate": 0.2}}, copies=0.5)
    found = measured(lenient, checking, test={"copy_rate": 0.001})
    assert found["copies measured"] is False and found["scores of test images"] is False


@pytest.mark.parametrize(("off", "good"), [(1.03, True), (1.1, None), (1.3, False)])
def test_what_other_weights_may_explain_is_not_known(checking, made, off, good):
    entry = made("one", [1.0, 2.0, 3.0])
    assert measured(entry, checking, weights="b", off=off)["scores of seed 1"] is good
    assert measured(entry, checking, off=off)["scores of seed 1"] is False


@pytest.mark.parametrize("weights", ["a", "b"])
def test_other_weights_explain_nothing_in_pixels(checking, made, weights):
    entry = made("one", [1.0, 2.0, 3.0])
    for run in entry.runs:
        run["scores"]["500"]["frechet_pixels"] = 2.0
    for off, good in ((1.005, True), (1.03, False), (1.1, False)):
        found = measured(entry, checking, weights=weights, frechet_pixels=2.0 * off)
        assert found["scores of seed 1"] is good


def test_numbers_of_samples_without_files_are_said_to_be_so(checking, made):
    entry = made("one", [1.0, 2.0, 3.0])
    for run in entry.runs:
        run["scores"]["10000"] = {"frechet_distance": 0.5}
    assert measured(entry, checking)["10,000 samples"] is None


@pytest.fixture
def rerun(checking, made, monkeypatch):
    """rerun(entry, distances, ...): `run_again` where the command gives these distances."""

    run_again = checking.run_again

    def run(entry, distances, known=(), **other):
        def seeds(task, chosen, scorer):
            again = made("again", distances, **{"first": chosen[0], **other})
            return {name: again[name] for name in ("runs", "measure", "test", "machine", "hardware")}

        monkeypatch.setattr(checking, "run_seeds", seeds)
        scorer = SimpleNamespace(protocol=lambda count: entry["measure"][str(count)])
        return run_again(entry, len(distances), scorer, Path(), {one.id: one for one in known})

    return run


VERDICTS = {
    "as near": ({}, True),
    "farther": ({"distances": [2.0, 2.1, 2.2]}, False),
    "two seeds": ({"distances": [2.0, 2.1]}, None),
    "over the clock": ({"distances": [2.0, 2.1, 2.2], "took": 61.0}, None),
    "other hardware": ({"hardware": "H200", "machine": {**FAST, "device": "H200"}}, None),
    "a faster machine": ({"machine": {**FAST, "matmul_gflops": [20, 20]}}, None),
}


@pytest.mark.parametrize(("change", "good"), VERDICTS.values(), ids=VERDICTS)
def test_a_rerun_is_a_doubt_where_the_verdict_says_so_alone(rerun, made, change, good):
    again, found = rerun(made("one", [1.0, 1.1, 1.2]), **{"distances": [1.0, 1.1, 1.3], **change})
    assert (found[-1].about, found[-1].good) == ("rerun", good)
    assert again["kind"] == ("doubt" if good is False else "result")
    assert all(one.about.startswith("rerun's ") and one.good is not False for one in found[:-1])


@pytest.mark.parametrize("near", [True, False])
def test_a_rerun_that_copies_takes_the_place_away(rules, rerun, made, near):
    entry, runner = made("one", [1.0, 1.1, 1.2]), made("runner", [5.0, 5.2, 5.4], date="2026-01-02")
    again, found = rerun(entry, [1.0, 1.1, 1.3] if near else [2.0, 2.1, 2.2], copies=0.5)
    assert [one.about for one in found if one.good is False] == ["rerun's copies", "rerun"]
    assert again["kind"] == "doubt" and "50.0 % copies of training images" in again["claim"]
    everything = {one.id: one for one in (entry, runner, again)}
    (rows,) = rules.tables(everything.values()).values()
    standings = {one.entry.id: one for one in rules.standings(rows, "500", everything)}
    assert standings["runner"].first and standings["one"].remark == f"copies in a rerun: {again.id}"
    page = importlib.import_module("board.page").page(everything)
    assert again["claim"] in page and "place taken away" in page


def test_copies_in_a_rerun_count_whatever_it_was_kept_as(rules, made):
    entry, runner = made("one", [1.0, 1.1, 1.2]), made("runner", [5.0, 5.2, 5.4], date="2026-01-02")
    again = {"distances": [1.0, 1.1, 1.2], "about": "one", "first": 3, "copies": 0.5}
    assert table(rules, entry, runner, made("again", **again))[1] == ["runner"]
    assert table(rules, entry, runner, made("again", **{**again, "copies": 0.01}))[1] == ["one"]
    for change in UNFAIR.values():
        if "seeds" not in change:
            assert table(rules, entry, runner, made("again", **again, **change))[1] == ["one"]


def test_a_rerun_by_another_protocol_is_refused_before_it_is_trained(checking, made, monkeypatch):
    monkeypatch.setattr(checking, "run_seeds", lambda *_: pytest.fail("it was trained"))
    entry = made("one", [1.0, 1.1, 1.2])
    scorer = SimpleNamespace(protocol=lambda count: {**entry["measure"][str(count)], "version": 2})
    with pytest.raises(UsageError, match="version"):
        checking.run_again(entry, 3, scorer, Path(), {})


def test_what_is_kept_of_reruns(command, rerun, made, entries, checking, tmp_path, monkeypatch, capsys):
    entry, board = made("one", [1.0, 1.1, 1.2]), tmp_path / "leaderboard"
    entries.write(board, entry)
    monkeypatch.setattr(command, "Scorer", lambda *_: None)
    words = ["check", "one", "--rerun", "--keep", "--board", str(board)]

    def check(**change):
        def again(entry, number, scorer, folder, known):
            return rerun(entry, [1.0, 1.1, 1.3], known.values(), **change)

        with monkeypatch.context() as patch:
            patch.setattr(checking, "run_again", again)
            command.main(words)

    check(took=61.0)
    assert entries.read_all(board).keys() == {"one"} and "not kept" in capsys.readouterr().out
    check()
    check()
    kept = {one["name"]: [run["seed"] for run in one.runs] for one in entries.read_all(board).values()}
    assert kept == {"one": [0, 1, 2], "one again": [3, 4, 5], "one again 2": [6, 7, 8]}
    (board / "one.json").rename(tmp_path / "one.json")
    for path in board.glob("*again*"):
        path.unlink()
    with pytest.raises(UsageError, match="--keep"):
        command.main([words[0], str(tmp_path / "one.json"), *words[2:]])


def test_copies_of_test_images_are_those_of_the_rule_for_training_images(command):
    scorer = importlib.import_module("board.scorer").Scorer("digits", {})
    images = scorer.test.images[:][:20]
    images = images.float().sub(128).mul(0.98).add(128).round().to(images.dtype)  # near, and not the same
    samples, real = SimpleNamespace(images=images), SimpleNamespace(baseline=SimpleNamespace(copy_below=0.0))
    assert scorer._copies_of_test(samples, real) == 1.0


# -- a stranger's entry, made and checked -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def entered(command, tmp_path_factory):
    """(board, id, the three files of samples): digits, by the Gaussian model, under the clock."""
    folder = tmp_path_factory.mktemp("board")
    (folder / "model.py").write_text(MODEL)
    flags = "--train {train} --seconds {seconds} --seed {seed} --num {num} --out {samples} --spread 0.4"
    words = [
        *ENTER,
        "--command",
        f"{sys.executable} {folder / 'model.py'} {flags}",
        "--board",
        str(folder / "leaderboard"),
    ]
    command.main([*words, "--work", str(folder / "work")])
    (path,) = (folder / "leaderboard").glob("*.json")
    return folder / "leaderboard", path.stem, [folder / "work" / f"seed-{seed}" / "samples.npz" for seed in range(3)]


@pytest.mark.alone
def test_an_entry_is_made_checked_and_made_again(command, entered, entries, tmp_path, capsys):
    """Digits, a model of NumPy alone: the entry, its samples, other seeds, and a training made worse than claimed."""
    board, name, files = entered
    entry = entries.read(board / f"{name}.json")
    assert [run["seed"] for run in entry.runs] == [0, 1, 2] and len(set(entry.values("60"))) == 3
    assert all(run["import_seconds"] <= run["train_seconds"] < 20 and run["images_seen"] for run in entry.runs)
    assert f"[n](leaderboard/{name}.json)" in (board.parent / "LEADERBOARD.md").read_text(encoding="utf-8")

    capsys.readouterr()
    again = ["--rerun", "--keep", "--work", str(tmp_path / "again")]
    command.main(["check", name, "--board", str(board), "--samples", *map(str, files), *again])
    assert "FAILED" not in (said := capsys.readouterr().out) and "rerun" in said
    (rerun,) = [one for one in entries.read_all(board).values() if one["about"] == name]
    assert rerun["kind"] == "result" and [run["seed"] for run in rerun.runs] == [3, 4, 5]

    content = json.loads((board / f"{name}.json").read_text())
    content["command"] = content["command"].replace("--spread 0.4", "--spread 3")
    (board / "claimed.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="rerun"):
        command.main(["check", "claimed", "--board", str(board), *again])
    (doubt,) = [one for one in entries.read_all(board).values() if one["kind"] == "doubt"]
    assert doubt["name"] == "n again 2" and [run["seed"] for run in doubt.runs] == [3, 4, 5]
    assert doubt["about"] == "claimed" and doubt.mean("60") > entry.mean("60")
    assert doubt.id in (board.parent / "LEADERBOARD.md").read_text(encoding="utf-8").partition("## Doubts")[2]


@pytest.mark.alone
def test_tampered_entries_and_samples_fail_their_check(command, entered, tmp_path, capsys):
    board, name, files = entered
    content = json.loads((board / f"{name}.json").read_text())
    content["runs"][1]["scores"]["60"]["frechet_distance"] *= 0.9
    (tmp_path / "lower.json").write_text(json.dumps(content))
    command.main(["check", str(tmp_path / "lower.json"), "--board", str(board)])  # it cannot be seen without samples
    with pytest.raises(DataError, match="scores of seed 1"):
        command.main(["check", str(tmp_path / "lower.json"), "--board", str(board), "--samples", *map(str, files)])

    def check(*given):
        command.main(["check", name, "--board", str(board), "--samples", *map(str, given)])

    with np.load(files[0]) as archive:
        images, labels = archive["images"].copy(), archive["labels"]
    images[0] = 255 - images[0]
    np.savez(tmp_path / "other.npz", images=images, labels=labels)
    with pytest.raises(DataError, match=r"other\.npz"):
        check(tmp_path / "other.npz", *files[1:])
    with pytest.raises(DataError, match="samples of its own"):
        check(files[0], files[0], files[2])
    with pytest.raises(UsageError, match="3 seeds"):
        check(files[0])


@pytest.mark.alone
@pytest.mark.parametrize(("split", "images"), [("train", "training"), ("test", "test")])
def test_copies_hold_no_place(command, tmp_path, capsys, split, images):
    real = load(DataOptions(source="digits"), split)
    files = [tmp_path / f"{seed}.npz" for seed in range(3)]
    for seed, path in enumerate(files):
        part = real.images[60 * seed : 60 * (seed + 1)].permute(0, 2, 3, 1).numpy()
        np.savez(path, images=part)
    words = ["--samples", *map(str, files), "--train_seconds", "1", "1", "1", "--hardware", "H200"]
    command.main([*ENTER, *words, "--board", str(tmp_path / "entries")])
    said = capsys.readouterr().out
    assert f"copies of {images} images" in said and "not first" in said and "reported" in said
