"""Memory that runs out: which errors say so, and that a batch in parts is the batch."""

import pytest
import torch

from fromnoise.common.errors import MemoryLimitError
from fromnoise.common.memory import BatchLimit, is_out_of_memory

CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(CPU),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_errors_that_say_memory_are_recognised(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("memory")])
def test_other_errors_are_not(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)):
        BatchLimit().map(lambda rows: (_ for _ in ()).throw(error), 4)


def squares(most, seen):
    """Squares of the rows 0 to 9, where no more than `most` fit at once."""
    rows = torch.arange(10.0)

    def work(part):
        seen.append(len(rows[part]))
        if len(rows[part]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows[part] ** 2

    return work


@pytest.mark.parametrize("most", [1, 2, 3, 9, 10])
def test_a_batch_in_parts_is_the_batch_and_the_limit_stays(most, capsys):
    limit, seen = BatchLimit(), []
    for _ in range(2):
        assert torch.equal(limit.map(squares(most, seen), 10), torch.arange(10.0) ** 2)
    failed = [size for size in seen if size > most]
    assert len(failed) == len(set(failed)), "no size is tried again once it failed"
    assert len(capsys.readouterr().err.splitlines()) == (most < 10)


def test_a_single_row_that_does_not_fit_is_a_sentence():
    with pytest.raises(MemoryLimitError):
        BatchLimit(8).map(squares(0, []), 10)


def test_no_rows_make_no_rows():
    assert BatchLimit().map(squares(10, []), 0).shape == (0,)
