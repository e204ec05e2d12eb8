"""The GPU's measurement: its plan keeps to the time, parts are ended and kept, the page says what is missing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fromnoise.common.errors import UsageError

CHECKOUT = Path(__file__).resolve().parent.parent


pytestmark = pytest.mark.usefixtures("benchmark_module")


@pytest.fixture(scope="module")
def gpu(benchmark_module):
    return benchmark_module("gpu")


@pytest.fixture(scope="module")
def shown(benchmark_module):
    return benchmark_module("gpu_page")


def carried_out(gpu, total, takes):
    """Names of the parts begun and those left out, where each takes `takes(part, allowed)` of `total` seconds."""
    clock = [0.0]

    def start(part, allowed):
        taken = takes(part, allowed)
        assert taken <= allowed <= part.most
        clock[0] += taken
        return gpu.Outcome([], taken)

    found = list(gpu.carried_out(gpu.PARTS, lambda: total - clock[0], start))
    assert [part for part, _ in found] == list(gpu.PARTS) and clock[0] <= max(0.0, total - gpu.RESERVE)
    left_out = [part.name for part, outcome in found if outcome.said != "done"]
    assert all(outcome.said.startswith("left out") for part, outcome in found if part.name in left_out)
    return [part.name for part, outcome in found if outcome.said == "done"], left_out


def test_a_plan_keeps_to_its_time_and_leaves_out_what_does_not_fit(gpu):
    names = [part.name for part in gpu.PARTS]
    assert carried_out(gpu, gpu.TOTAL, lambda part, allowed: part.needs) == (names, [])
    begun, left_out = carried_out(gpu, gpu.TOTAL, lambda part, allowed: allowed)
    assert begun == names[: len(begun)] and left_out  # every part takes all it may: the last ones do not fit
    assert carried_out(gpu, 20.0, lambda part, allowed: allowed) == ([], names)
    few = carried_out(gpu, 60.0, lambda part, allowed: part.needs)  # a later part may fit where an earlier one does not
    assert few == (["speed", "few_steps"], ["quality", "distilled", "compiled", "peers"])


def test_a_part_is_ended_at_its_deadline_with_its_children_and_its_rows_are_kept(gpu, tmp_path):
    pulse = tmp_path / "pulse"
    child = f"import time\nwhile True: open({str(pulse)!r}, 'a').write('x'); time.sleep(0.05)"
    words = f"import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}])\n"
    words += f"while not os.path.exists({str(pulse)!r}): time.sleep(0.05)\n"
    words += "print('loading'); print('{\"row\": 1}'); print('{\"half', end='', flush=True); time.sleep(600)"
    outcome = gpu.started([sys.executable, "-c", words], 3.0)
    assert outcome.rows == [{"row": 1}] and "deadline" in outcome.said and outcome.seconds < 60
    beats = pulse.stat().st_size
    time.sleep(0.3)
    assert pulse.stat().st_size == beats
    failed = gpu.started([sys.executable, "-c", "print('{\"row\": 2}'); raise SystemExit(3)"], 60)
    assert failed.rows == [{"row": 2}] and "exit code 3" in failed.said
    assert gpu.started([sys.executable, "-c", "print('{\"row\": 3}')"], 60).said == "done"


def test_what_is_no_gpu_goes_elsewhere_and_parts_are_known(gpu, tmp_path):
    for words in (["--device", "cpu"], ["--quick"]):
        with pytest.raises(UsageError, match="--output_dir"):
            gpu.flags(words)
        assert gpu.flags([*words, "--output_dir", str(tmp_path)]).output_dir == tmp_path
    assert [part.name for part in gpu.chosen("peers,speed")] == ["speed", "peers"]
    with pytest.raises(UsageError, match=r"\bspede\b.*quality"):
        gpu.chosen("spede")
    assert gpu.slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"


def test_parts_measured_before_stay_on_the_same_machine_only(gpu, tmp_path):
    about = {"machine": {"device": "a card"}, "quick": False, "command": "c"}
    kept = {**about, "parts": {"speed": {"rows": []}}}
    (tmp_path / "gpu-x.json").write_text(json.dumps(kept))
    assert gpu.begun(tmp_path / "gpu-x", {**about, "command": "d"}) == {**kept, "command": "d"}
    for other in ({"machine": {"device": "another"}}, {"quick": True}):
        assert gpu.begun(tmp_path / "gpu-x", {**about, **other})["parts"] == {}
    assert gpu.begun(tmp_path / "gpu-y", about)["parts"] == {}


def spread(value):
    return {"median": value, "min": 0.9 * value, "max": 1.1 * value}


def quality(budget, ratio, target=5.0):
    row = {"budget": budget, "train_seconds": budget - 1, "images_seen": 1000, "images_per_second": 99.0, "test": 0.3}
    row |= {"samples": 10_000, "frechet_distance": 0.3 * ratio, "ratio_to_test": ratio, "class_accuracy": 0.99}
    return {**row, "sample_seconds": 1.5, "target": target}


def found(**parts):
    machine = {"device": "Card 9000", "cores": 8, "processor": "a chip", "threads": 8, "torch": "2"}
    machine["automatic_precision"] = "bfloat16: units"
    about = {"command": "c", "machine": machine, "quick": False, "planned": 600.0, "seconds": 500.0}
    outcomes = {name: {"rows": rows, "seconds": 9.0, "said": "done"} for name, rows in parts.items()}
    return {**about, "parts": outcomes}


def test_the_page_has_shares_ratios_and_what_is_missing(shown):
    row = {"side": 32, "channels": 3, "batch": 1024, "parameters": 5, "type": "bfloat16", "ready_seconds": 3.0}
    row |= {"memory_mb": 2000.0, "peak_gflops": spread(400_000.0)}
    plain = {**row, "images_per_second": spread(500_000.0), "mflop_per_image": 200.0}
    fused = {**row, "images_per_second": spread(750_000.0)}
    made = found(speed=[plain], compiled=[fused], quality=[quality(15.0, 7.0), quality(30.0, 4.5)])
    made["parts"]["few_steps"] = {"rows": [], "seconds": 0.0, "said": "left out: 3 s were left"}
    page = shown.page(made)
    assert "# The default recipe on Card 9000" in page and "500 s of 600" in page and "mean nothing" not in page
    assert "| 25.0 % |" in page and "| 37.5 % |" in page and page.count("| 1.5 |") == 1  # of 400 TFLOP/s; over eager
    assert "**29 s** reach" in page and "15, 30 s tried" in page
    assert "**Not whole: left out: 3 s were left.**" in page and "## Peers\n\nNot measured." in page
    assert "mean nothing" in shown.page({**made, "quick": True})


def test_seconds_to_the_cpu_are_those_of_the_first_budget_that_is_as_good(shown):
    assert shown.reached([quality(15.0, 5.0), quality(30.0, 2.0)]).startswith("**14 s**")
    assert "None of 15, 30 s" in shown.reached([quality(15.0, 9.0), quality(30.0, 8.0)])
    assert "no figure" in shown.reached([quality(15.0, 9.0, target=None)])
    rows = json.loads((CHECKOUT / "docs" / "results" / "time-to-quality-mnist.json").read_text())["rows"]
    ratios = [
        row["scores"]["10000"]["ratio_to_test"] for row in rows if (row["contender"], row["budget"]) == ("ours", 600)
    ]
    assert shown.cpu_quality("mnist") == pytest.approx(sum(ratios) / len(ratios))
    assert shown.cpu_quality("no such images") is None


def test_a_peer_is_found_where_it_was_installed(benchmark_module, tmp_path, monkeypatch):
    contenders = benchmark_module("contenders")
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: object() if name == "torchcfm" else None)
    assert contenders.installed("torchcfm", tmp_path) == Path(sys.executable)
    assert contenders.installed("smalldiffusion", tmp_path) is None
    place = tmp_path / "torchvision"
    place.mkdir()
    (place / "installed.txt").write_text("other packages")
    assert contenders.installed("smalldiffusion", tmp_path) is None
    (place / "installed.txt").write_text(str(contenders.ENVIRONMENTS["torchvision"]))
    assert contenders.installed("smalldiffusion", tmp_path).is_relative_to(place)


@pytest.mark.slow
def test_the_whole_path_on_a_cpu(tmp_path):
    """Every part but torch.compile, which needs a compiler and a minute, with tiny networks and times."""
    words = [
        "--device",
        "cpu",
        "--quick",
        "--parts",
        "speed,quality,few_steps,distilled,peers",
        "--output_dir",
        str(tmp_path),
    ]
    command = [
        sys.executable,
        str(CHECKOUT / "benchmarks" / "gpu.py"),
        *words,
        "--environments",
        str(tmp_path / "none"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu-cpu.json", "gpu-cpu.md"]
    made, page = json.loads((tmp_path / "gpu-cpu.json").read_text()), (tmp_path / "gpu-cpu.md").read_text()
    assert {name: outcome["said"] for name, outcome in made["parts"].items()} == dict.fromkeys(
        ("speed", "quality", "few_steps", "distilled", "peers"), "done"
    )
    rows = {name: outcome["rows"] for name, outcome in made["parts"].items()}
    assert [row["side"] for row in rows["speed"]] == [8, 16] and all(row["peak_gflops"] for row in rows["speed"])
    assert 0 < rows["quality"][0]["train_seconds"] <= rows["quality"][0]["process_seconds"]
    assert rows["quality"][0]["images_seen"] > 0 and rows["quality"][0]["ratio_to_test"] > 0
    assert {1, 2, 4} < {row["steps"] for row in rows["few_steps"]} and [row["own"] for row in rows["few_steps"]].count(
        True
    ) == 1
    assert {1, 2, 4} <= {row["steps"] for row in rows["distilled"]} and rows["distilled"][0]["evaluations"] == 1
    (peer,) = rows["peers"]
    assert peer["peer"] == "diffusers" and peer["images_seen"] > 0 and peer["frechet_distance"] > 0
    assert "mean nothing" in page and "## torch.compile\n\nNot measured." in page
