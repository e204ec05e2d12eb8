"""How good after how long: rows are merged and told rightly, the clock is kept, and ours goes through on digits."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fromnoise.common.durations import process_start
from fromnoise.common.errors import UsageError

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


pytestmark = pytest.mark.usefixtures("benchmark_module")


@pytest.fixture(scope="module")
def told(benchmark_module):
    return benchmark_module("time_to_quality_page")


@pytest.fixture(scope="module")
def command(benchmark_module):
    return benchmark_module("time_to_quality")


@pytest.fixture(scope="module")
def contenders(benchmark_module):
    return benchmark_module("contenders")


@pytest.fixture(scope="module")
def harness(benchmark_module):
    return benchmark_module("peers.harness")


MACHINE = {"processor": "a chip", "cores": 2, "threads": 2, "torch": "2", "device": "cpu", "automatic_precision": "no"}


def row(contender, budget, seed, distance, *, many=None):
    scores = {"500": {"frechet_distance": distance, "ratio_to_test": distance / 2, "class_accuracy": 0.9}}
    if many:
        scores["10000"] = {"frechet_distance": many, "ratio_to_test": many, "class_accuracy": 0.9}
    for one in scores.values():
        one["copy_rate"] = 0.0
    facts = {"images_seen": 1000, "images_per_second": 50.0, "train_seconds": 0.9 * budget, "sample_seconds": 2.0}
    facts |= {"evaluations": 10, "parameters": 1234, "versions": {"torch": "2"}, "settings": "as it is"}
    return {"contender": contender, "budget": budget, "seed": seed, "sampled": 500, **facts, "scores": scores}


def found(*rows, data="mnist", machine=MACHINE, version=1):
    test = {"frechet_distance": 2.0, "class_accuracy": 0.99, "copy_rate": 0.001}
    counts = {count for one in rows for count in one["scores"]}
    measure = {count: {"version": version, "count": int(count), "features": {"weight_hash": "a"}} for count in counts}
    return {"data": data, "machine": machine, "measure": measure, "test": dict.fromkeys(counts, test), "rows": [*rows]}


def test_rows_are_merged_by_contender_budget_and_seed(told):
    kept = told.merged(None, found(row("ours", 60.0, 0, 5.0), row("ours", 60.0, 1, 6.0)))
    kept = told.merged(kept, found(row("ours", 60.0, 1, 7.0, many=1.0), row("torchcfm", 60.0, 0, 9.0)))
    reached = {told.key(one): one["scores"]["500"]["frechet_distance"] for one in kept["rows"]}
    assert reached == {("ours", 60.0, 0): 5.0, ("ours", 60.0, 1): 7.0, ("torchcfm", 60.0, 0): 9.0}
    assert kept["measure"].keys() == kept["test"].keys() == {"500", "10000"}


def test_rows_of_an_earlier_classifier_keep_their_own(told, benchmark_module):
    before, after = found(row("chapter-basic", 60.0, 0, 9.0)), found(row("ours", 60.0, 0, 5.0))
    after["measure"]["500"]["features"] = {"weight_hash": "b"}
    after["test"]["500"] = {**after["test"]["500"], "frechet_distance": 2.5}
    kept = told.merged(told.merged(before, after), found())
    chapter, ours = sorted(kept["rows"], key=told.key)
    assert "measure" not in ours and kept["measure"]["500"]["features"]["weight_hash"] == "b"
    assert (
        chapter["measure"]["500"]["features"]["weight_hash"] == "a"
        and chapter["test"]["500"]["frechet_distance"] == 2.0
    )
    assert "chapter-basic: by an earlier training" in told.budget_table(kept, 60.0, "500")
    assert "earlier training" not in told.budget_table(before, 60.0, "500")


OTHERS = {"data": {"data": "digits"}, "machine": {"machine": {**MACHINE, "threads": 1}}, "protocol": {"version": 2}}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_rows_that_are_no_comparison_are_refused(told, other):
    with pytest.raises(UsageError):
        told.merged(found(row("ours", 60.0, 0, 5.0)), found(row("ours", 60.0, 1, 5.0), **other))


def test_a_table_says_mean_spread_worst_and_how_far_from_ours(told):
    rows = [row("ours", 60.0, 0, 4.0), row("ours", 60.0, 1, 6.0), row("chapter-basic", 60.0, 0, 50.0)]
    lines = told.budget_table(found(*rows, row("ours", 180.0, 0, 1.0)), 60.0, "500").splitlines()
    cells = [dict(zip(told._COLUMNS, line.strip("| ").split(" | "), strict=False)) for line in lines[2:]]
    ours, chapter, test = cells
    assert [one["contender"] for one in cells] == ["ours", "chapter-basic", told.TEST]
    assert ours["Fréchet distance"] == "5.00 ± 1.4" and ours["worst"] == "6.00" and ours["budget used"] == "90 %"
    assert ours["FD / FD(test)"] == "2.50 ± 0.71" and ours["sampling 10,000"] == "about 40 s"
    assert chapter["relative to ours"] == "10.0" and chapter["Fréchet distance"] == "50.0"
    assert test["Fréchet distance"] == "2.00" and test["class accuracy"] == "99.0 %"


def test_the_page_has_a_table_for_each_budget_and_count(told):
    rows = [row("ours", 60.0, 0, 5.0, many=1.0), row("chapter-basic", 60.0, 0, 50.0), row("ours", 180.0, 0, 3.0)]
    page = told.page(found(*rows), "plot.png")
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert titles[:-1] == [
        "## 60 s of training, 500 samples",
        "## 180 s of training, 500 samples",
        "## 60 s of training, 10,000 samples",
    ]
    assert page.count("10.0 times as far from the data as ours after 60 s") == 1
    assert told.drawing(found(*rows)).axes[0].get_yscale() == "log"


def test_what_is_left_to_measure(command):
    args = command.flags(["--budgets", "2m,60s", "--seeds", "0,1", "--contenders", "ours,torchcfm"])
    left = command.plan(args, {("ours", 60.0, 0), ("torchcfm", 120.0, 1)})
    assert left[:3] == [("torchcfm", 60.0, 0), ("ours", 60.0, 1), ("torchcfm", 60.0, 1)] and len(left) == 6
    assert len(command.plan(command.flags(["--again", "--seeds", "0"]), {("ours", 60.0, 0)})) == 3 * 7
    again = command.flags(["--resample", "--work", "runs", "--seeds", "0"])
    assert command.plan(again, {("ours", 60.0, 0), ("torchcfm", 60.0, 0)}) == [("ours", 60.0, 0)]
    with pytest.raises(UsageError, match=r"--resample.*--work"):
        command.flags(["--resample"])
    with pytest.raises(UsageError, match=r"\bus\b.*torchcfm"):
        command.plan(command.flags(["--contenders", "us"]), set())


def test_what_was_never_kept_is_not_sampled_again(command, tmp_path):
    words = ["--data", "digits", "--resample", "--work", str(tmp_path), "--out", str(tmp_path / "nothing")]
    with pytest.raises(UsageError, match=r"nothing\.json"):
        command.main(words)
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_the_last_line(contenders):
    assert contenders.report('loading\n{"images_seen": 5}\n') == {"images_seen": 5}
    for printed in ("", "no JSON"):
        with pytest.raises(SystemExit, match=f"'{printed}'"):
            contenders.report(printed)


def test_every_peer_has_an_environment_and_a_script(contenders):
    for peer in contenders.PEERS.values():
        assert peer.environment in contenders.ENVIRONMENTS
        assert (BENCHMARKS / "peers" / f"{peer.script}.py").exists()
    for environment in contenders.ENVIRONMENTS.values():
        assert all("==" in package for package in (*environment.packages, *environment.alone))


class Grey:
    """A peer that takes 50 ms for a step and makes pictures as grey as their class."""

    package, batch_size, sample_steps, evaluations, class_conditioning, settings = "torch", 4, 3, 3, True, "none"

    def __init__(self, task):
        self.shape, self.net = task.shape, torch.nn.Linear(2, 1)

    def steps(self, batches):
        for pictures, labels in batches:
            assert pictures.shape == (4, *self.shape) and 0 <= pictures.min() <= pictures.max() <= 1
            assert labels.shape == (4,)
            time.sleep(0.05)
            yield

    def sample(self, num, labels):
        return (labels / 255).view(-1, 1, 1, 1).expand(num, *self.shape)


def test_a_peer_keeps_to_the_clock_and_leaves_samples(harness, tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (10, 6, 5, 1), dtype=np.uint8)
    np.savez(tmp_path / "train.npz", images=images, labels=np.arange(10))
    seconds = time.monotonic() - process_start() + 1.0
    words = ["--train", str(tmp_path / "train.npz"), "--seconds", str(seconds), "--num", "7"]
    harness.play(Grey, [*words, "--out", str(tmp_path / "made.npz")])
    said = json.loads(capsys.readouterr().out)
    assert said["train_seconds"] <= seconds and 0 < said["images_seen"] <= 20 * 4 and said["parameters"] == 3
    with np.load(tmp_path / "made.npz") as made:
        assert made["images"].shape == (7, 6, 5, 1) and made["images"].dtype == np.uint8
        assert (made["images"][:, 0, 0, 0] == made["labels"]).all()


def test_a_step_longer_than_the_budget_is_made_all_the_same(harness):
    peer = Grey(harness.Task((1, 5, 5), 0, 4, 3, "cpu"))
    batches = harness.endless(torch.zeros(8, 1, 5, 5, dtype=torch.uint8), torch.zeros(8), 4, "cpu")
    assert len(harness.trained(peer, batches, deadline=0.0)) == 1


@pytest.mark.alone
def test_ours_goes_through_on_digits(command, tmp_path, capsys):
    """Seconds of training on the built-in digits, scored, kept, and not trained again by the same command."""
    words = ["--data", "digits", "--contenders", "ours", "--budgets", "30s", "--seeds", "0"]
    words += ["--num", "60", "--peer_num", "40", "--out", str(tmp_path / "found"), "--work", str(tmp_path)]
    command.main(words)
    kept = json.loads((tmp_path / "found.json").read_text())
    (ours,) = kept["rows"]
    assert 0 < ours["train_seconds"] <= ours["process_seconds"]  # to the checkpoint, and to the end
    assert ours["images_seen"] > 0 and ours["sampled"] == 60 and set(ours["scores"]) == {"40", "60"}
    assert ours["scores"]["40"]["count"] == 40 and ours["scores"]["60"]["frechet_distance"] > 0
    assert (tmp_path / "found.png").stat().st_size > 0
    before = (tmp_path / "found.json").read_bytes()
    command.main(words)
    assert (tmp_path / "found.json").read_bytes() == before
    command.main([*words, "--resample"])
    (again,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert again["train_seconds"] == ours["train_seconds"]
    for count, scores in again["scores"].items():
        assert scores["frechet_distance"] == pytest.approx(ours["scores"][count]["frechet_distance"], rel=1e-3)
    assert "## 30 s of training, 60 samples" in capsys.readouterr().out
