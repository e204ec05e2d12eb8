"""Who fixes the number of threads, when it follows the load, and what is recorded of it."""

from __future__ import annotations

import pytest

from fromnoise.common import threads as module
from fromnoise.common.cpus import Load, Reading
from fromnoise.common.threads import Threads


class FakeMachine:
    """CPUs, torch's number and a clock, as a test sets them; also the meter that reads them."""

    def __init__(self, torch_number: int = 2) -> None:
        self.number, self.free, self.at = torch_number, float(torch_number), 0.0
        self.cpus, self.quota = frozenset(range(torch_number)), None
        self.put: list[int] = []

    def read(self) -> Reading:
        return Reading(self.at, 0.0, None, 0.0, None)

    def load(self, before: Reading, after: Reading) -> Load:
        return Load(after.at - before.at, self.free)

    def set_number(self, number: int) -> None:
        self.number = number
        self.put.append(number)

    def threads(self) -> Threads:
        return Threads(
            self,
            lambda: self.number,
            self.set_number,
            lambda number: {1: 0.02, 2: 0.10}[number],
            lambda: self.at,
        )

    def pass_seconds(self, threads: Threads, seconds: float) -> None:
        """Steps of a quarter of a second."""
        for _ in range(int(4 * seconds)):
            self.at += 0.25
            threads.adapt(0.25)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "usable", lambda: 2)
    return FakeMachine()


def test_an_idle_machine_is_left_alone(machine: FakeMachine) -> None:
    threads = machine.threads()
    machine.at = 2.0
    assert threads.start() == 2
    machine.pass_seconds(threads, 60)
    assert machine.put == [] and threads.take_changes() == []


def test_a_busy_start_begins_with_fewer_and_says_so_once(machine: FakeMachine, capsys) -> None:
    threads = machine.threads()
    machine.at, machine.free = 2.0, 1.0
    assert threads.start() == 1 == machine.number
    assert threads.take_changes() == [{"threads": 1, "before": 2, "free_cpus": 1.0}]
    machine.free = 2.0
    machine.pass_seconds(threads, 10)
    machine.free = 0.5
    machine.pass_seconds(threads, 10)
    assert threads.take_changes() == [
        {"threads": 2, "before": 1, "free_cpus": 2.0},
        {"threads": 1, "before": 2, "free_cpus": 0.5},
    ]
    assert machine.number == 1 and capsys.readouterr().err.count("--num_threads") == 1


def test_affinity_and_quota_cut_torchs_number(monkeypatch: pytest.MonkeyPatch, machine: FakeMachine, capsys) -> None:
    machine.number = machine.free = 64  # torch counts the CPUs of the host
    threads = machine.threads()
    assert threads.start() == 2 == machine.number
    assert threads.take_changes() == [] and not capsys.readouterr().err, "that is no change of load"


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_the_environment_fixes_it(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "2")
    threads = machine.threads()
    machine.at, machine.free = 2.0, 0.0
    assert threads.start() == 2 and threads.fixed
    machine.pass_seconds(threads, 60)
    threads.take_up(1, fixed=True)
    assert machine.put == [] and threads.number == 2


def test_a_flag_fixes_it_whatever_a_setting_a_checkpoint_or_the_load_says(machine: FakeMachine) -> None:
    threads = machine.threads()
    threads.fix(2)
    machine.at, machine.free = 2.0, 0.0
    threads.start()
    with threads.held(1):
        threads.take_up(1, fixed=True)
        machine.pass_seconds(threads, 60)
        assert threads.number == 2
    assert machine.put == [2] and threads.fixed


def test_a_setting_holds_for_its_training_only(machine: FakeMachine) -> None:
    threads = machine.threads()
    machine.at = 2.0
    threads.start()
    with threads.held(1):
        assert threads.fixed and machine.number == 1
        machine.pass_seconds(threads, 20)
        assert machine.number == 1
    assert not threads.fixed and machine.number == 2
    with threads.held(None):
        assert not threads.fixed


def test_a_fixed_number_of_a_checkpoint_is_taken_up_until_the_training_ends(machine: FakeMachine) -> None:
    threads = machine.threads()
    machine.at = 2.0
    threads.start()
    with threads.held(None):
        threads.take_up(1, fixed=True)
        machine.pass_seconds(threads, 60)
        assert machine.number == 1 and threads.fixed
    assert machine.number == 2 and not threads.fixed


def test_a_number_of_a_checkpoint_that_followed_the_load_follows_it_again(machine: FakeMachine) -> None:
    threads = machine.threads()
    machine.at = 2.0
    threads.start()
    threads.take_up(1, fixed=False)
    assert machine.number == 1
    machine.pass_seconds(threads, 10)
    assert machine.number == 2


@pytest.mark.parametrize("number", [0, -3, 3, 10**9])
def test_a_number_that_this_machine_cannot_run_is_not_taken_up(machine: FakeMachine, number: int) -> None:
    threads = machine.threads()
    threads.start()
    threads.take_up(number, fixed=True)
    assert machine.put == [] and not threads.fixed


def test_a_number_that_somebody_else_sets_is_left(machine: FakeMachine) -> None:
    threads = machine.threads()
    machine.at = 2.0
    threads.start()
    machine.number, machine.free = 7, 0.0  # torch.set_num_threads(7) in a notebook
    machine.pass_seconds(threads, 30)
    assert machine.number == 7 and machine.put == [] and threads.fixed


def test_where_the_load_is_not_known_a_probe_decides_the_start(machine: FakeMachine) -> None:
    machine.free = None
    threads = machine.threads()
    assert threads.start() == 1 == machine.number, "the probe took five times as long with two threads"


def test_nothing_is_changed_before_a_start(machine: FakeMachine) -> None:
    threads = machine.threads()
    machine.free = 0.0
    machine.pass_seconds(threads, 60)
    assert machine.put == []


def test_reading_files_takes_the_room_that_others_leave(machine: FakeMachine) -> None:
    threads = machine.threads()
    assert threads.room() == 2, "nothing is known yet"
    machine.at, machine.free = 1.0, 0.6
    assert threads.room() == 1 and machine.put == []
    threads.fix(2)
    assert threads.room() == 2


def test_the_probe_computes_and_leaves_no_trace_in_random_numbers() -> None:
    import torch

    before, state = torch.get_num_threads(), torch.get_rng_state()
    assert module._probe(1) > 0
    torch.set_num_threads(before)
    assert torch.equal(state, torch.get_rng_state())


def test_processes_that_train_together_divide_the_cpus_and_take_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "usable", lambda: 8)
    machine = FakeMachine(8)
    threads = machine.threads()
    threads.share(2, lambda number: min(number, 3))  # another machine has fewer CPUs
    machine.pass_seconds(threads, 10)
    assert threads.number == machine.number == 3 and threads.shared and not threads.requested
    flagged = FakeMachine(8).threads()
    flagged.fix(5)
    flagged.share(2, lambda number: number)
    assert flagged.number == 5 and not flagged.shared


def test_torchruns_own_single_thread_fixes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(module, "usable", lambda: 8)
    for by_torchrun, expected in ((False, 1), (True, 4)):
        if by_torchrun:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
        threads = FakeMachine(1).threads()
        threads.share(2, lambda number: number)
        assert threads.number == expected
