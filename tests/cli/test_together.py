"""Verbs on a model in many processes that the command line starts: what they make, print and end with."""

import numpy as np

from fromnoise.cli import main


def test_samples_of_two_processes_are_those_of_one(tiny_run, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = {}
    for number in (1, 2):
        path = tmp_path / f"{number}.npz"
        words = ["--num", "20", "--batch_size", "8", "--num_processes", str(number), "--out", str(path)]
        assert main(["sample", str(tiny_run.path), *words, "--num_threads", "1", "--device", "cpu"]) == 0
        assert capfd.readouterr().out.splitlines() == [str(path)]
        found[number] = dict(np.load(path))
    assert all(np.array_equal(found[1][name], found[2][name]) for name in ("images", "seeds", "labels"))


def test_an_error_of_many_processes_is_said_once(tiny_run, capfd):
    words = ["--num", "20", "--checkpoint", "5", "--num_processes", "2", "--device", "cpu"]
    code, said = main(["evaluate", str(tiny_run.path), *words]), capfd.readouterr().err
    assert code == 4, said
    assert len([line for line in said.splitlines() if line.startswith("fromnoise: ")]) == 1, said
