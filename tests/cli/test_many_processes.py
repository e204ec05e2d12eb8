"""`--num_processes` and torchrun: real processes, signals to them, and the exit code that comes out."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load_file

from fromnoise.cli import main
from fromnoise.run import Run

SETTINGS = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 1500,
    "train.train_batch_size": 20,
    "train.optimizer": "adamw",
    "train.learning_rate": 1e-3,
    "train.mixed_precision": "no",
    "train.previews": 0,
    "train.validations": 0,
    "train.log_every": 1,
    "train.num_threads": 1,
    "train.checkpointing_steps": 20,
}
TRAIN = [
    "train",
    "digits",
    "--output_dir",
    "run",
    *(w for s in SETTINGS.items() for w in ("--set", "{}={}".format(*s))),
]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
NUMBER = [sys.executable, "-m", "fromnoise", *TRAIN, "--num_processes"]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """start(command): begins it in tmp_path; whatever is left of it at the end is killed."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    begun = []

    def start(command):
        path = tmp_path / f"output-{len(begun)}.txt"
        with path.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        begun.append(process)
        process.said = path.read_text
        return process

    yield start
    for process in begun:
        for pid in [process.pid, *ranks_of(process)] if process.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def children(pid):
    tasks = Path(f"/proc/{pid}/task")
    try:
        return [int(c) for task in tasks.iterdir() for c in (task / "children").read_text().split()]
    except OSError:
        return []


def ranks_of(process):
    """The processes that train, by rank: those below torchrun."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        pytest.skip("this kernel does not list the children of a process")
    found, wanted = [process.pid], []
    while found:
        pid = found.pop(0)
        below = children(pid)
        found += below
        try:
            environment = dict(
                entry.partition("=")[::2] for entry in Path(f"/proc/{pid}/environ").read_text().split("\0") if entry
            )
        except OSError:
            continue
        if "LOCAL_RANK" in environment:
            wanted.append((int(environment["RANK"]), pid))
    return [pid for _, pid in sorted(wanted)]


def wait_for_lines(number, process, seconds=90):
    """Until metrics.jsonl has so many lines."""
    deadline = time.monotonic() + seconds
    path = Path("run/metrics.jsonl")
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_text().count("\n") >= number:
            return
        time.sleep(0.02)
    raise AssertionError(f"{number} steps were not seen: {process.poll()} {process.said()}")


def weights(path):
    newest = sorted((Path(path) / "checkpoints").glob("[0-9]*"))[-1]
    assert newest.name == "00001500"
    return {f"{f.name} {n}": v for f in newest.glob("[me]*.safetensors") for n, v in load_file(f).items()}


def same_as_alone(path):
    """The run at `path` has the weights that one process makes."""
    alone = Run.create("digits", output_dir="alone", settings=SETTINGS).train()
    expected, found = weights(alone.path), weights(path)
    assert expected.keys() == found.keys()
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-5


def test_a_signal_stops_all_and_torchrun_goes_on(start):
    process = start([*NUMBER, "2"])
    wait_for_lines(5, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143, process.said()
    said = process.said()
    assert "processes: 2 processes, 10 images a step each" in said and said.count("saved in run") == 1
    process = start([*TORCHRUN, "--nproc-per-node=2", "-m", "fromnoise", *TRAIN])
    assert process.wait(90) == 0, process.said()
    assert process.said().count("going on at") == 1
    same_as_alone("run")


def test_a_process_that_is_killed_ends_the_others_with_a_sentence(start):
    process = start([*NUMBER, "2"])
    wait_for_lines(5, process)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    assert process.wait(60) == 9, process.said()
    assert process.said().count("fromnoise: process 0 of 2") == 1 and "Traceback" not in process.said()
    assert main(TRAIN) == 0
    same_as_alone("run")


def test_an_error_that_all_make_is_said_once_with_its_exit_code(start):
    process = start([*NUMBER, "2", "--set", "train.train_batch_size=1"])
    assert process.wait(90) == 2
    assert process.said().count("fromnoise: ") == 1 and not Path("run").exists()


def test_what_cannot_be_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for number in ("0", "3"):
        assert main(["train", "digits", "--num_processes", number]) == 2
        assert "--num_processes" in capsys.readouterr().err


def test_who_kills_the_launcher_ends_the_processes(start):
    process = start([*NUMBER, "2"])
    wait_for_lines(3, process)
    ranks = ranks_of(process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in ranks):
        assert time.monotonic() < deadline, process.said()
        time.sleep(0.05)
    assert "saved in run" in process.said()


@pytest.mark.alone
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_hangs_does_not_hold_the_launcher(rank, start, monkeypatch):
    process = start([*NUMBER, "2", "--set", "train.answer_within=15s"])
    wait_for_lines(5, process)
    os.kill(ranks_of(process)[rank], signal.SIGSTOP)
    if rank == 0:  # it may yet save, so it has ten minutes
        time.sleep(25)
        os.kill(ranks_of(process)[0], signal.SIGCONT)
    assert process.wait(120) == 9, process.said()
    assert main(TRAIN) == 0
    same_as_alone("run")


@pytest.mark.alone
def test_torchrun_that_is_killed_is_said(start):
    process = start([*NUMBER, "2"])
    wait_for_lines(5, process)
    (torchrun,) = children(process.pid)
    ranks = ranks_of(process)
    os.kill(torchrun, signal.SIGKILL)
    assert process.wait(60) == 9 and "torchrun" in process.said()
    while any(Path(f"/proc/{pid}").exists() for pid in ranks):
        time.sleep(0.05)
    assert main(TRAIN) == 0
    same_as_alone("run")


@pytest.mark.alone
def test_torchrun_begins_again_by_itself(start):
    process = start([*TORCHRUN, "--nproc-per-node=2", "--max-restarts=2", "-m", "fromnoise", *TRAIN])
    for lines in (10, 40):
        wait_for_lines(lines, process)
        os.kill(ranks_of(process)[lines == 40], signal.SIGKILL)
        time.sleep(1)
    assert process.wait(120) == 0, process.said()
    same_as_alone("run")


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_ten_kills_at_any_step_and_any_number_of_processes(start):
    draw, kills = random.Random(5), 0
    for _ in range(10):
        world = draw.choice([2, 3, 4])
        process = start([*NUMBER, str(world)])
        while not re.search(r"^(going on at|starting from)", process.said(), re.MULTILINE):
            assert process.poll() is None, process.said()
            time.sleep(0.02)
        wait_for_lines(lines_now() + draw.randint(1, 3), process)
        os.kill(draw.choice(ranks_of(process)), signal.SIGKILL)
        kills += process.wait(60) == 9
    assert kills == 10
    process = start([*NUMBER, "2"])
    assert process.wait(90) == 0, process.said()
    same_as_alone("run")


def lines_now():
    path = Path("run/metrics.jsonl")
    return path.read_text().count("\n") if path.exists() else 0
