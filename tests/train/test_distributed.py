"""What processes say to each other: gloo between forked processes, and the environment that torchrun makes."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fromnoise.common.errors import DataError, FromNoiseError, OtherProcessError, ProcessError, UsageError
from fromnoise.train import distributed
from fromnoise.train.distributed import ALONE, Group, join

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith("ACCELERATE_"))]:
        monkeypatch.delenv(name, raising=False)


def test_a_process_alone_is_a_group_of_one():
    group, tensor = join(), torch.tensor([3.0])
    assert group is ALONE and list(range(5))[group.slots] == [0, 1, 2, 3, 4]
    assert group.sum_(tensor) is tensor and group.max_(tensor) is tensor and group.any(True) and not group.any(False)
    assert group.broadcast("a") == "a" and group.gather(7) == [7]
    assert group.first(lambda: 1) == group.each(lambda: 1) == 1
    with pytest.raises(DataError, match="gone"):
        group.each(lambda: (_ for _ in ()).throw(DataError("gone")))


def exchange(group: Group) -> None:
    """What two or more processes get from each other."""
    world, rank = group.world, group.rank
    assert sorted(i for part in group.gather(list(range(10))[group.slots]) for i in part) == list(range(10))
    assert group.sum_(torch.tensor([1.0, rank])).tolist() == [world, sum(range(world))]
    assert group.max_(torch.tensor([rank, 5])).tolist() == [world - 1, 5]
    assert group.any(rank == 1) and not group.any(False)
    assert group.broadcast({"who": rank}) == {"who": 0} and group.gather(rank) == list(range(world))
    assert group.first(lambda: ("made by", os.getpid())) == ("made by", group.broadcast(os.getpid()))
    assert group.each(lambda: rank) == rank
    group.same({"version": "1", "the images": "abc"})


def failures(group: Group) -> None:
    """An error of any process is raised in all, with its exit code, and reported by process 0."""

    def broken():
        raise DataError("an image is gone")

    for call, failing in ((group.first, 0), (group.each, 1)):
        with pytest.raises((DataError, OtherProcessError), match="an image is gone") as raised:
            call(broken if group.rank == failing else lambda: None)
        assert isinstance(raised.value, DataError) == (group.rank == failing)
        assert raised.value.exit_code == 3 and raised.value.quiet == (group.rank > 0)
    with pytest.raises(UsageError, match="version: 0 in process 0, but 1 in process 1"):
        group.same({"version": min(1, group.rank)})
    with pytest.raises(DataError):
        group.same({"the images": group.rank})
    group.barrier()  # nobody is left behind by an error


def lost(group: Group) -> None:
    """Process 1 says nothing, and then ends: the others notice both."""
    group.wait_for(1.0)
    if group.rank == 1:
        torch.distributed.barrier()  # of another group, until the others have waited in vain
        os._exit(0)
    with pytest.raises(ProcessError, match="did not answer for 1 s"):
        group.any(True)
    torch.distributed.barrier()
    group.seconds = 60.0
    with pytest.raises(ProcessError):
        group.any(True)


def parting(group: Group, through: Path) -> None:
    """No process ends by an error, or because all is done, while another is still at the last exchange."""
    gather = group.gather

    def broken():
        raise DataError("an image is gone")

    def slowly(value):
        found = gather(value)
        time.sleep(0.3 * (group.rank == 0))
        (through / str(group.rank)).touch()
        return found

    group.gather = slowly
    with pytest.raises(FromNoiseError):
        group.each(broken)
    assert (through / "0").exists()
    time.sleep(0.3 * (group.rank == 0))
    (through / "done").touch() if group.rank == 0 else None
    group.part()
    assert (through / "done").exists()
    distributed.PART_SECONDS = 0.1
    if group.rank == 0:
        group.part()  # nobody else comes, and nothing is raised


@pytest.mark.parametrize(("work", "world"), [(exchange, 2), (exchange, 3), (failures, 3), (lost, 2)])
def test_processes(work, world, run_processes):
    assert run_processes(work, world) == [0] * world


def test_no_process_ends_before_the_others_know(run_processes, tmp_path):
    assert run_processes(parting, 2, tmp_path) == [0, 0]


def test_a_process_leaves_the_group_that_it_joined_before_python_ends():
    code = (
        "import atexit, torch.distributed as dist; atexit.register(lambda: print(dist.is_initialized())); "
        "from fromnoise.train.distributed import join; assert join().sum_(__import__('torch').ones(1)) == 2"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    pipes = {"stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code], env=env | {"RANK": rank}, **pipes) for rank in "01"]
    assert [one.communicate(timeout=100)[0] for one in both] == ["False\n"] * 2
    assert [one.returncode for one in both] == [0, 0]


def test_an_environment_that_is_not_whole_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="RANK and MASTER_ADDR and MASTER_PORT"):
        join()
    for name, value in (("RANK", "2"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="RANK is 2, but WORLD_SIZE is 2"):
        join()
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(UsageError, match="RANK is 'one'"):
        join()


def test_a_master_that_does_not_answer_is_named(monkeypatch):
    values = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "JOIN_SECONDS", 1.0)
    with pytest.raises(ProcessError, match=r"127\.0\.0\.1:9"):
        join()


def test_a_single_process_that_accelerate_has_started_in_place_of_several_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert join() is ALONE  # one was asked for
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(UsageError, match="accelerate"):
        join()
