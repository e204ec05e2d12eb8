"""What the benchmarks make of their numbers, and that a turn of each can be taken."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name):
    return importlib.import_module(name)


def test_numbers_for_a_table():
    common = module("common")
    assert common.spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert common.ratios([4.0, 9.0, 8.0], [2.0, 3.0, 8.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert [common.short(v) for v in (1234.4, 123.4, 12.34, 1.234, 0.01234)] == [
        "1,234",
        "123",
        "12.3",
        "1.23",
        "0.0123",
    ]
    assert common.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_powers_are_found_and_steep_ones_named():
    scaling = module("scaling")
    x = [1.0, 2.0, 4.0, 8.0]
    assert scaling.exponent(x, [3 * v**1.5 for v in x]) == pytest.approx(1.5)
    attends = next(name for name, one in scaling.SERIES.items() if one.attends)
    grown = [
        {"series": name, "axis": axis, "time": {"all": 1.0, "last": last}}
        for name, axis, last in ((attends, "pixels", 1.8), ("default", "batch", 0.9), ("default", "width", 1.9))
    ]
    said = scaling.steep(grown)
    assert f"{attends} with pixels (power 1.80)" in said and f"attention ({attends})" in said and "w squared" in said
    assert "batch" not in said and "no step" in scaling.steep(grown[1:2])


def test_a_step_costs_on_a_line_and_the_longest_floor_binds():
    estimate = module("estimate")
    cost = estimate.Cost(20.0, 200.0, 7.0).at(estimate.Cost(40.0, 300.0, 7.0), 10)
    assert cost == estimate.Cost(100.0, 600.0, 7.0)
    least = estimate.floors(estimate.Cost(2e12, 1e9, 1000.0), tflops=1000, gbytes=1000, launch_us=5)
    assert least == pytest.approx({"arithmetic": 2.0, "memory": 1.0, "launches": 5.0})
    row = estimate.row("default", 100, estimate.Cost(2e12, 1e9, 1000.0), least)
    assert row["binds"] == "launches" and row["images_per_second_at_most"] == pytest.approx(20_000)
    assert row["images_per_second_without_launches"] == pytest.approx(50_000)


def test_every_contender_takes_its_turn():
    throughput = module("throughput")
    names = ["loop-basic", "engine-basic-auto", "default"]
    found = throughput.measure(names, "digits", "cpu", rounds=2, seconds=0.01)
    assert set(found["contenders"]) == set(names) and "engine-basic-auto / loop-basic" in found["ratios"]
    for one in found["contenders"].values():
        assert one["images_per_second"]["median"] > 0 and one["mflop_per_image"] > 1 and one["steps_timed"] >= 2
        assert one["peak_mb"] > one["before_mb"] > 0
    about = {"command": "c", "data": "digits", "rounds": 2, "seconds": 0.01}
    machine = module("common").machine()
    page = throughput.page({**about, "machine": machine, **found})
    assert all(one["label"] in page for one in found["contenders"].values())


def test_a_contender_that_ends_early_is_said_to_and_the_others_are_ended():
    turns = module("turns")
    alive = "import json, sys; print(json.dumps({'label': 'a'}), flush=True); [print(1, flush=True) for _ in sys.stdin]"
    with (
        pytest.raises(SystemExit, match=r"\bb\b.*\b3\b"),
        turns.waiting({"a": [sys.executable, "-c", alive], "b": [sys.executable, "-c", "raise SystemExit(3)"]}),
    ):
        raise AssertionError("b was never ready")
    once = "import sys; print(0, flush=True); raise SystemExit(4)"
    with (
        pytest.raises(SystemExit, match=r"\bc\b.*\b4\b"),
        turns.waiting({"c": [sys.executable, "-c", once]}) as contenders,
    ):
        contenders["c"].process.wait()
        contenders["c"](0.5)
    with turns.waiting({"a": [sys.executable, "-c", alive]}) as contenders:
        assert contenders["a"].about == {"label": "a"} and contenders["a"](0.5) == 1
    assert contenders["a"].process.returncode == 0


def test_rows_of_other_recipes_stay_unless_they_were_measured_in_other_features():
    quality = module("quality")

    def row(recipe, seed, features="a"):
        return {"recipe": recipe, "seed": seed, "evaluation": {"protocol": {"measure": {"features": features}}}}

    kept = [row("ddpm", 0), row("default", 0), row("default", 1)]
    found = quality.merged(kept, [row("default", 2)])
    assert [(one["recipe"], one["seed"]) for one in found] == [("ddpm", 0), ("default", 2)]
    with pytest.raises(SystemExit, match="features"):
        quality.merged(kept, [row("default", 2, "b")])


def test_a_search_says_what_differs_and_keeps_the_newest(tmp_path):
    search = module("search")
    changes, times = search.settings_of("optimizer=adamw,net.width=24,images*1.5")
    assert changes == {"train.optimizer": "adamw", "net.width": 24} and times == 1.5
    row = {"variant": "v", "seed": 0, "plan": 10, "images": 10, "parameters": 5, "cpu_seconds": 1.0, "loss": 0.1}
    rows = [{**row, "seed": seed, "frechet_distance": 3.0 + seed, "class_accuracy": 0.9} for seed in (0, 1)]
    kept = search.merged(rows, [{**rows[0], "frechet_distance": 9.0}])
    assert sorted(one["frechet_distance"] for one in kept) == [4.0, 9.0]
    page = search.page("mnist", {"num": 100, "processor": "a chip", "rows": kept})
    assert "| v | 2 | 10 | 5 | 1 (1–1) | 0.1 (0.1–0.1) | 6.5 (4–9) | 90 (90–90) |" in page


def test_a_search_trains_and_scores(capsys, monkeypatch):
    search = module("search")
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)  # it would stay so for the tests after this one
    monkeypatch.setattr(
        sys, "argv", ["search.py", "--data", "digits", "--images", "64", "--num", "40", "--one", "3", "net.width=8"]
    )
    search.main()
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["seed"] == 3 and row["images"] == 64 and row["frechet_distance"] > 0


def test_an_all_reduce_takes_the_slower_of_its_two_parts_and_no_time_alone():
    scale_out = module("scale_out")
    fast, slow = scale_out.FABRICS["InfiniBand"], scale_out.FABRICS["Ethernet 10"]
    assert scale_out.all_reduce(1e9, 1, fast) == 0
    within = 2 * 7 / 8 * 1e9 / (0.8 * 450e9) + 3 * 2 * 5e-6
    assert scale_out.all_reduce(1e9, 8, slow) == pytest.approx(within)
    between = 2 * 7 / 8 * 1e9 / 8 / (0.8 * 50e9) + 3 * 2 * 1e-5
    assert scale_out.all_reduce(1e9, 64, fast) == pytest.approx(within + between)
    one = scale_out.NETWORKS[0]
    assert one.step(1, fast) == pytest.approx(one.measured)
    assert one.step(8, fast) < one.step(1, fast) < 8 * one.step(8, fast)
    assert scale_out.bytes_in_words(516_317_376) == "516 MB" and scale_out.bytes_in_words(2e9) == "2 GB"


def test_the_noise_scale_of_known_gradients():
    """Gradients of mean 1 and variance 4 in one weight: 4 images make a step as much noise as direction."""
    import torch

    scale_out, stepping = module("scale_out"), module("stepping")
    trainer = stepping.engine(
        stepping.random_images(512, 1, 8), "default-tiny", {"net.width": 8, "net.depth": 1}, "cpu"
    )
    drawn = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(1))
    trainer.net = torch.nn.Module()
    trainer.net.weight = weight

    class Loss:
        def mean(self):
            return weight.sum() * (1 + 2 * torch.randn(8, generator=drawn)).mean()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fromnoise.diffusion.objective.training_loss", lambda *_: Loss())
        assert scale_out.noise_scale(trainer, parts=2000, part=8) == pytest.approx(4, rel=0.1)


def test_the_page_on_scaling_out_holds_the_tables_that_are_computed():
    scale_out = module("scale_out")
    page = scale_out.PAGE.read_text(encoding="utf-8")
    assert scale_out.filled(page) == page
    assert all(made in page for made in scale_out.tables().values())


def test_processes_are_started_timed_and_shown(tmp_path):
    processes = module("processes")
    one = {"ms_per_step": 8.0, "images_per_second": 1000.0, "communication": 0.25}
    row = {name: {"median": value, "min": value, "max": value} for name, value in one.items()}
    rows = [{"kind": "same", "processes": 1, "batch": 64, "threads": 2, "times": 1.0, **row}]
    shown = processes.page({"command": "c", "machine": module("common").machine(), "rows": rows})
    assert "25 %" in shown and "gloo" in shown and "1,000" in shown
    found = processes.started(2, 16, "cpu", 0.05)
    assert found["processes"] == 2 and found["batch"] == 16 and 0 < found["communication"]["median"] < 1


@pytest.mark.slow
def test_a_store_is_measured_and_holds_little_memory(tmp_path, monkeypatch):
    store = module("store")
    words = ["--images", "20000", "--resident", "5000", "--pictures", "500", "--steps", "60"]
    words += ["--rounds", "1", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["store.py", *words, "--to", str(tmp_path / "store")])
    store.main()
    found = json.loads((tmp_path / "store.json").read_text())
    assert found["store"]["images"] == found[".npy"]["images"] == 18_000 and found["bytes"] > 240_000_000
    assert max(found[name]["anonymous_of_batches"] for name in (".npy", "store")) < found["bytes"] / 4
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["store.json", "store.md"]


def test_what_a_tracker_takes_is_compared_pair_by_pair():
    tracking, common = module("tracking"), module("common")
    turns = [
        {name: {"speed": speed, "seconds": 100 / speed, "lines": 7} for name, speed in zip(tracking.WAYS, both)}
        for both in ((200.0, 190.0), (100.0, 90.0), (50.0, 50.0))
    ]
    page = tracking.page({"command": "it", "machine": common.machine(), "images": 100, "turns": turns})
    assert "speed 0.95 (0.9–1)" in page and "| alone | 100 (50–200) |" in page


def test_the_page_of_trackers_is_of_what_was_measured():
    place = Path(__file__).resolve().parents[1] / "docs" / "results" / "tracking"
    found = json.loads(place.with_suffix(".json").read_text())
    assert module("tracking").page(found) == place.with_suffix(".md").read_text()


def test_a_change_of_training_counts_as_lower_by_the_rule():
    optimizers = module("optimizers")
    base = {seed: 0.2 + 0.01 * seed for seed in range(10)}

    def verdict(gains):
        rows = [{"seed": seed, "loss": base[seed] * (1 - gain)} for seed, gain in enumerate(gains)]
        return optimizers.paired(rows, base)[-1] != "–"

    assert verdict([0.1, *[0.001] * 7]) and verdict([-0.05, 0.3, *[0.001] * 8])
    assert not verdict([0.001] * 7) and not verdict([-0.05, 0.3, *[0.001] * 6]) and not verdict([-0.01] * 8)
    assert verdict([-0.001, *[0.01, 0.011, 0.009, 0.012, 0.01, 0.011, 0.01]])
