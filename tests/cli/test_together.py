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


def test_images_in_a_file_are_measured_by_two_processes(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path, said = tmp_path / "made.npz", {}
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (20, 16, 16), np.uint8))
    for number in ("1", "2"):
        words = ["--reference", "digits", "--features", "pixels", "--num_processes", number]
        assert main(["evaluate", "--samples", str(path), *words, "--output_dir", str(tmp_path / number)]) == 0
        said[number] = capfd.readouterr().out.splitlines()
        assert said[number].pop() == str(tmp_path / number / "report.html")
    assert said["1"] == said["2"]
    one, two = ((tmp_path / number / "evaluation.json").read_text() for number in said)
    assert one == two


def test_an_error_of_many_processes_is_said_once(tiny_run, capfd):
    words = ["--num", "20", "--checkpoint", "5", "--num_processes", "2", "--device", "cpu"]
    code, said = main(["evaluate", str(tiny_run.path), *words]), capfd.readouterr().err
    assert code == 4, said
    assert len([line for line in said.splitlines() if line.startswith("fromnoise: ")]) == 1, said
