"""A second classifier: what it learns, how it is kept, and that runs, files and folders are measured by it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fromnoise.common.errors import DataError
from fromnoise.data import DataOptions, load


@pytest.fixture
def opinion(benchmark_module):
    return benchmark_module("second_opinion")


@pytest.fixture(scope="module")
def digits():
    return load(DataOptions("digits"))


def test_it_learns_and_follows_from_its_settings_alone(opinion, digits):
    how = opinion.Training(width=8, epochs=6, batch=32)
    first, again = opinion.trained(digits, how), opinion.trained(digits, how)
    other = opinion.trained(digits, replace(how, seed=1, epochs=0.1))
    few = digits.images[:32]
    assert first.features(few).equal(again.features(few)) and not first.features(few).equal(other.features(few))
    assert first.accuracy(first.features(digits.images), digits.labels) > 0.8


def test_an_image_is_varied_by_a_little(opinion):
    how = opinion.Training()
    x = torch.zeros(64, 1, 28, 28)
    x[:, :, 10:18, 10:18] = 1
    found = opinion.varied(x, how, torch.Generator().manual_seed(0))
    assert 40 < found.sum((1, 2, 3)).min() < 64 < found.sum((1, 2, 3)).max() < 100
    still = opinion.varied(x, replace(how, turn=0, grow=0, move=0), torch.Generator())
    assert torch.allclose(still, x, atol=1e-5)


def test_it_is_kept_and_what_was_changed_is_trained_again(opinion, digits, tmp_path, monkeypatch):
    how = opinion.Training(width=8, epochs=0.1)
    net, digest = opinion.classifier(digits, how, tmp_path)
    path = next(tmp_path.glob("*.safetensors"))
    assert load_file(path)["head.bias"].equal(net.head.bias)
    monkeypatch.setattr(opinion, "trained", lambda *_: pytest.fail("it is there"))
    assert opinion.classifier(digits, how, tmp_path)[1] == digest
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    assert opinion.classifier(digits, how, tmp_path)[1] == digest
    assert load_file(path)["head.bias"].equal(net.head.bias)


def test_data_without_labels_is_refused(opinion, digits):
    with pytest.raises(DataError, match="labels"):
        opinion.trained(replace(digits, labels=None), opinion.Training(width=8, epochs=0.1))


def test_a_run_and_a_file_are_measured_and_put_into_words(opinion, digits, tiny_run, tmp_path, monkeypatch):
    np.savez(tmp_path / "real.npz", images=digits.images[:60, 0].numpy(), labels=digits.labels[:60].numpy())
    words = ["second_opinion.py", str(tiny_run.path), str(tmp_path / "real.npz"), "--data", "digits", "--num", "60"]
    words += ["--name", "tiny", "--epochs", "1", "--kept", str(tmp_path / "kept"), "--output_dir", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    opinion.main()
    monkeypatch.setattr("sys.argv", [*words[:1], *words[2:]])  # the row of the run stays
    opinion.main()
    found = json.loads((tmp_path / "second-opinion-tiny.json").read_text())
    run, real = found["rows"]
    assert run["sampling"]["evaluations"] > 0 and real["second"] < run["second"] and real["own"] < run["own"]
    assert real["class_accuracy"] is not None and found["test"]["count"] == 60
    page = (tmp_path / "second-opinion-tiny.md").read_text()
    assert "real.npz" in page and "test images" in page and found["weights"][:16] in page
