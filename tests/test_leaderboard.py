"""The board: its rule of significance, entries that are refused, a command under the clock, and the committed page."""

import importlib
import json
import sys
from pathlib import Path

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
        scores = {"ratio_to_test": 1.0, "class_accuracy": 0.9, "recall": 0.8, "copy_rate": copies}
        run = {"train_seconds": took, "sample_seconds": 1.0, "sampled": 500, "images_seen": 9, "evaluations": 5}
        runs = [
            {**run, "seed": seed, "samples": "0", "scores": {"500": {"frechet_distance": one, **scores}}}
            for seed, one in enumerate(distances, start=first)
        ]
        content = {"schema": 1, "name": name, "kind": "result", "about": None, "evidence": [], "answer": None}
        content |= {"date": "2026-01-01", "code": {"address": "a", "commit": "c"}, "command": None, "runs": runs}
        content |= {"sample_command": None, "data": {"source": "mnist", "settings": {}}, "budget": 60.0}
        content |= {"clock": "measured", "machine": FAST, "hardware": "2 cores, avx2", "claim": "", "notes": []}
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
}


@pytest.mark.parametrize("what", WITHOUT_A_PLACE.values(), ids=WITHOUT_A_PLACE)
def test_what_holds_no_place(rules, made, what):
    better = made("better", **{"distances": [1.0, 1.1, 1.2], **what})
    _, first, standings = table(rules, made("holder", [5.0, 5.2, 5.4], date="2026-01-02"), better)
    assert first == ["holder"]
    assert next(one.remark for one in standings if one.entry is better)


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


def test_matrix_products_are_measured(benchmark_module):
    assert importlib.import_module("board.making").yardstick() > 0


def test_machines_of_a_class_are_alike_by_their_matrix_products(rules):
    assert rules.like_machines(FAST, {**FAST, "matmul_gflops": [11, 12]})
    assert not rules.like_machines(FAST, {**FAST, "matmul_gflops": [20, 20]})
    assert rules.like_machines(FAST, {**FAST, "matmul_gflops": None})


# -- the committed board ----------------------------------------------------------------------------------------


def test_the_page_is_in_step_with_the_entries(command):
    page = importlib.import_module("board.page")
    written = (BENCHMARKS / "LEADERBOARD.md").read_text(encoding="utf-8")
    assert written == page.page(importlib.import_module("board.entry").read_all(command.BOARD)), (
        "run python benchmarks/leaderboard.py page"
    )


def test_the_entries_are_in_step_with_the_results_they_were_converted_from(command, entries):
    known = entries.read_all(command.BOARD)
    for path in sorted(command.RESULTS.glob("time-to-quality-*.json")):
        for entry in importlib.import_module("board.kept").entries_of(path):
            assert known[entry.id].content == json.loads(json.dumps(entry.content)), (
                "run python benchmarks/leaderboard.py convert"
            )


def test_the_committed_board_has_sceptical_rows_and_a_result_that_failed(command, entries, rules):
    known = entries.read_all(command.BOARD)
    assert any(one["kind"] == "doubt" and one["evidence"] for one in known.values())
    late = [one.id for one in known.values() if one["kind"] == "result" and rules.over(one)]
    page = (BENCHMARKS / "LEADERBOARD.md").read_text(encoding="utf-8").partition("## Doubts")[2]
    assert late and all(name in page for name in late)


# -- entries that are refused -----------------------------------------------------------------------------------

_RUN = {"seed": 0, "train_seconds": 1.0, "sampled": 5}
DAMAGED = {
    "no JSON": "{",
    "another schema": {"schema": 7},
    "a distance that is none": {"runs": [{**_RUN, "scores": {"500": {"frechet_distance": "low"}}}]},
    "a doubt about nothing": {"kind": "doubt"},
    "a clock of its own": {"clock": "mine"},
}


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED)
def test_what_is_not_an_entry_is_refused(entries, made, tmp_path, change):
    path = tmp_path / "one.json"
    content = made("one", [1.0, 2.0, 3.0]).content
    path.write_text(change if isinstance(change, str) else json.dumps({**content, **change}))
    with pytest.raises(DataError, match=r"one\.json"):
        entries.read(path)


def test_an_entry_about_one_that_is_missing_is_refused(entries, made, tmp_path):
    entries.write(tmp_path, made("one", [1.0, 2.0, 3.0], about="nobody"))
    with pytest.raises(DataError, match="nobody"):
        entries.read_all(tmp_path)


def test_an_entry_is_not_replaced_by_accident(entries, made, tmp_path):
    entries.write(tmp_path, made("one", [1.0, 2.0, 3.0]))
    with pytest.raises(UsageError, match="--name"):
        entries.write(tmp_path, made("one", [1.0, 1.0, 1.0]))


ENTER = ["enter", "--name", "n", "--code", "a", "--commit", "c", "--data", "digits", "--budget", "20s", "--num", "60"]
WRONG = {
    "no place for the seed": (["--command", "true --seconds {seconds} --out {samples}"], "{seed}"),
    "no place for the samples": (["--command", "true {seconds} {seed}"], "{samples}"),
    "an open quote": (["--command", "true 'x {seconds} {seed} {samples}"], "--command"),
    "two seeds": (["--seeds", "2", "--command", "true {seconds} {seed} {samples}"], "--seeds"),
    "nothing": ([], "--command"),
    "no such program": (["--command", "no-such-program {seconds} {seed} {samples}"], "no-such-program"),
    "samples without a clock": (["--samples", "a.npz", "b.npz", "c.npz"], "--train_seconds"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_command_is_one_sentence(command, tmp_path, words, named):
    with pytest.raises(UsageError) as found:
        command.main([*ENTER, *words, "--board", str(tmp_path / "board"), "--work", str(tmp_path / "work")])
    assert named in str(found.value) and "\n" not in str(found.value)
    assert not (tmp_path / "board").exists()


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
    (board / f"{rerun.id}.json").unlink()
    with pytest.raises(DataError, match="rerun"):
        command.main(["check", "claimed", "--board", str(board), *again])
    (doubt,) = [one for one in entries.read_all(board).values() if one["kind"] == "doubt"]
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
