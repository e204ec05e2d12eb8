"""A real busy program beside us: the number of threads comes down, and --num_threads holds against it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fromnoise.common.cpus import LoadMeter, affinity, usable


@pytest.fixture
def busy_cpus() -> Iterator[None]:
    """As many endless loops as we have CPUs."""
    if usable() < 2 or LoadMeter().read().busy is None:
        pytest.skip("needs two CPUs, and a system that counts the time of others")
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in affinity()]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def threads_in_use(code: str, **environment: str) -> list[int]:
    """The numbers that a process prints, which begins after it has looked at the load for half a second."""
    code = f"import time; from fromnoise.common.threads import THREADS; import torch; time.sleep(0.5); {code}"
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in re.findall(r"\d+", done.stdout)]


@pytest.mark.alone
@pytest.mark.usefixtures("busy_cpus")
def test_threads_come_down_beside_busy_programs_unless_they_are_fixed() -> None:
    print_both = "print(THREADS.start(), torch.get_num_threads())"
    chosen = threads_in_use(print_both)
    assert chosen[0] == chosen[1] < usable()
    assert threads_in_use(print_both, OMP_NUM_THREADS="2") == [2, 2]
    assert threads_in_use(f"THREADS.fix(2); {print_both}") == [2, 2]
