"""Memory that tensors free is kept while training, and given back on demand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource
import sys

import torch

from fromnoise.common.allocator import keep_freed_memory, return_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    return int(open("/proc/self/statm").read().split()[1])


faults()
found, before = faults(), resident()
return_freed_memory()
print(found, before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many pages were cleared")
def test_large_tensors_are_made_in_memory_that_others_left(tmp_path: Path) -> None:
    pages = 20 * 16 * 2**20 // 4096
    script = tmp_path / "faults.py"
    script.write_text(FAULTS)
    said = {}
    for how in ("kept", "plain"):
        done = subprocess.run([sys.executable, script, how], capture_output=True, text=True, check=True)
        said[how] = [int(word) for word in done.stdout.split()]
    assert said["kept"][0] < pages / 20, said
    assert said["kept"][1] > 16 * 2**20 // 4096 // 2, said  # and none of it is lost
