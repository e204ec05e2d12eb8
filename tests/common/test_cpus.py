"""Affinity, quotas and load, read from files as Linux writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fromnoise.common import cpus
from fromnoise.common.cpus import Load, LoadMeter, quota, usable
from fromnoise.common.free_memory import limit_left


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "affinity", lambda: frozenset({0, 1, 2, 3}))


def write(root: Path, **files: str) -> Path:
    """Files below `root`, "/" written as "__"."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def put(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def test_no_quota_leaves_the_affinity(tmp_path: Path) -> None:
    assert quota(tmp_path) is None and usable(tmp_path) == 4
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert quota(tmp_path) is None and usable(tmp_path) == 4


@pytest.mark.parametrize(
    ("own", "place"), [("/", ""), ("/user/job", "user/job"), ("/user/job", "user"), ("/docker/abc", "")]
)
def test_a_quota_of_version_2_in_our_cgroup_or_around_it(tmp_path: Path, own: str, place: str) -> None:
    put(tmp_path, "proc/self/cgroup", f"0::{own}\n")
    put(tmp_path, f"sys/fs/cgroup/{place}/cpu.max", "200000 100000\n")
    put(tmp_path, f"sys/fs/cgroup/{place}/cpu.stat", "usage_usec 2500000\nuser_usec 1\n")
    found = quota(tmp_path)
    assert found is not None and found.cpus == 2 and found.seconds() == 2.5
    assert usable(tmp_path) == 2


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("place", ["docker/abc", ""])
def test_a_quota_of_version_1(tmp_path: Path, mount: str, place: str) -> None:
    put(tmp_path, "proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n")
    put(tmp_path, f"sys/fs/cgroup/{mount}/{place}/cpu.cfs_quota_us", "150000\n")
    put(tmp_path, f"sys/fs/cgroup/{mount}/{place}/cpu.cfs_period_us", "100000\n")
    put(tmp_path, f"sys/fs/cgroup/{mount}/{place}/cpuacct.usage", "3000000000\n")
    found = quota(tmp_path)
    assert found is not None and found.cpus == 1.5 and found.seconds() == 3
    assert usable(tmp_path) == 1, "two threads would be paused a quarter of the time"


@pytest.mark.parametrize(
    ("place", "limit", "used", "cached"),
    [
        ("", "max", "current", "inactive_file"),
        ("user/job/", "max", "current", "inactive_file"),
        ("memory/", "limit_in_bytes", "usage_in_bytes", "total_inactive_file"),
        ("memory/docker/abc/", "limit_in_bytes", "usage_in_bytes", "total_inactive_file"),
    ],
)
def test_a_memory_limit_of_our_cgroup_or_around_it(
    tmp_path: Path, place: str, limit: str, used: str, cached: str
) -> None:
    put(tmp_path, "proc/self/cgroup", "5:memory:/docker/abc\n0::/user/job\n")
    assert limit_left(tmp_path) is None
    put(tmp_path, "sys/fs/cgroup/user/memory.max", "max\n")
    put(tmp_path, f"sys/fs/cgroup/{place}memory.{limit}", "1000\n")
    put(tmp_path, f"sys/fs/cgroup/{place}memory.{used}", "700\n")
    put(tmp_path, f"sys/fs/cgroup/{place}memory.stat", f"anon 400\n{cached} 50\n")
    assert limit_left(tmp_path) == 350


@pytest.mark.parametrize("content", ["-1\n", "", "many\n"])
def test_no_limit_and_nonsense_of_version_1_are_no_quota(tmp_path: Path, content: str) -> None:
    put(tmp_path, "proc/self/cgroup", "4:cpu:/\nnonsense\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", content)
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert quota(tmp_path) is None


def test_the_smallest_quota_counts_and_less_than_one_cpu_is_one_thread(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    put(tmp_path, "sys/fs/cgroup/a/cpu.max", "50000 100000\n")
    put(tmp_path, "sys/fs/cgroup/a/b/cpu.max", "300000 100000\n")
    found = quota(tmp_path)
    assert found is not None and found.cpus == 0.5 and found.seconds() is None
    assert usable(tmp_path) == 1


class Machine:
    """A machine of 6 CPUs, 0 to 3 ours, whose counters the test moves."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, niceness: int = 0) -> None:
        self.root, self.at, self.own, self.used = root, 100.0, 0.0, 0.0
        self.busy, self.nice, self.stolen, self.elsewhere = 0.0, 0.0, 0.0, 0.0
        monkeypatch.setattr(cpus.time, "monotonic", lambda: self.at)
        monkeypatch.setattr(os, "times", lambda: (self.own, 0.0, 0.0, 0.0, self.at))
        monkeypatch.setattr(os, "nice", lambda change: niceness)
        self.write()
        self.meter = LoadMeter(root)

    def write(self) -> None:
        ticks = [round(cpus._TICKS * x) for x in (self.busy, self.nice, self.stolen, self.elsewhere)]
        lines = ["cpu  1 2 3 4 5 6 7 8 9 9", f"cpu0 {ticks[0]} {ticks[1]} 0 77 88 0 0 {ticks[2]} 99 0"]
        lines += [f"cpu{i} 0 0 0 5000 0 0 0 0 0 0" for i in (1, 2, 3)] + [f"cpu4 {ticks[3]} 0 0 0 0 0 0 0", "intr 5 6"]
        put(self.root, "proc/stat", "\n".join(lines) + "\n")
        put(self.root, "sys/fs/cgroup/cpu.stat", f"usage_usec {round(1e6 * self.used)}\n")

    def load(self, **changes: float) -> Load:
        """The load of a second in which the counters rise by `changes`."""
        before = self.meter.read()
        self.at += 1
        for name, change in changes.items():
            setattr(self, name, getattr(self, name) + change)
        self.write()
        return self.meter.load(before, self.meter.read())


def test_others_are_what_is_busy_but_for_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    assert machine.load(own=2.0, busy=2.0).free == pytest.approx(4)
    assert machine.load(own=2.0, busy=3.5).free == pytest.approx(2.5)
    assert machine.load(own=1.0, busy=0.5, stolen=2.0).free == pytest.approx(2.5), "the host took them"
    assert machine.load(own=1.0, busy=1.0, elsewhere=5.0).free == pytest.approx(4), "on CPUs that are not ours"
    assert machine.load().free == pytest.approx(4), "nothing moves where nothing works"


def test_low_priority_is_told_apart_unless_we_have_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Machine(tmp_path, monkeypatch).load(own=2.0, busy=2.0, nice=1.5)
    assert (load.free, load.yielding) == (pytest.approx(2.5), pytest.approx(1.5))
    load = Machine(tmp_path, monkeypatch, niceness=10).load(own=2.0, nice=3.5)
    assert (load.free, load.yielding) == (pytest.approx(2.5), 0)


def test_others_of_the_same_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "200000 100000\n")
    machine = Machine(tmp_path, monkeypatch)
    assert machine.load(own=0.5, busy=1.5, used=1.5).free == pytest.approx(1)
    assert machine.load(own=0.5, busy=3.5, used=0.5).free == pytest.approx(1), "the CPUs themselves are busy"


def test_counters_that_are_hidden_or_stand_still_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    assert machine.load(own=1.0).free is None
    (tmp_path / "proc/stat").unlink()
    monkeypatch.setattr(machine, "write", lambda: None)
    assert machine.load(own=1.0).free is None
