"""The doctor tells what is there, names what is wrong, and never falls over a broken installation."""

from __future__ import annotations

import builtins
import importlib
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from fromnoise.cli import machine as doctor
from fromnoise.cli.machine import Fact, examine
from fromnoise.data import load


def named(facts: list[Fact]) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts}


def test_a_sound_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "not" / "yet" / "there"))
    facts = named(examine())
    expected = {"fromnoise", "Python", "system", "torch", "libraries", "device", "precision", "threads", "processes"}
    assert expected | {"disk", "cache", "data at hand"} <= set(facts)
    assert all(fact.ok for fact in facts.values())
    assert facts["torch"].value == torch.__version__
    assert facts["device"].value.partition(":")[0] in {"cpu", "cuda", "mps"}
    assert facts["precision"].value.partition(":")[0] in {"float32", "bfloat16"}
    assert re.match(rf"{torch.get_num_threads()} of \d+ CPUs?\b", facts["threads"].value)
    assert "digits" in facts["data at hand"].value
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def test_data_in_the_cache_is_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    fact = doctor._data()[1]
    assert fact.value == "digits"
    assert "fromnoise data fetch" in fact.advice and "kmnist" in fact.advice


def test_mnist_is_found(mnist_dir: Path) -> None:
    assert "mnist" in doctor._data()[1].value.split(", ")


@pytest.mark.parametrize(
    ("error", "value"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "missing"),
        (ImportError("libcudart.so.13: cannot open"), "libcudart.so.13"),
        (OSError("[WinError 126] a DLL"), "WinError"),
    ],
)
def test_a_torch_that_does_not_load(monkeypatch: pytest.MonkeyPatch, error: Exception, value: str) -> None:
    def refuse(name: str) -> Any:
        raise error

    monkeypatch.setattr(importlib, "import_module", refuse)
    facts = named(examine())
    assert not facts["torch"].ok
    assert value in facts["torch"].value
    assert "pip install" in facts["torch"].advice
    assert "device" not in facts


def test_data_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "fromnoise.data":
            raise ImportError("No module named 'numpy'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    (fact,) = doctor._data()
    assert not fact.ok and "numpy" in fact.value


def test_missing_libraries_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = ["numpy>=1.26", "nosuchlib>=1; python_version > '3'", "othermissing; extra == 'hub'", "x; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: stated)
    libraries = doctor._libraries()
    assert not libraries.ok
    assert libraries.value.endswith("nosuchlib") and "numpy" not in libraries.value
    assert libraries.advice.endswith("pip install nosuchlib")
    (extra,) = doctor._extras()
    assert extra.ok and extra.name == "extra [hub]"
    assert "othermissing" in extra.value and extra.advice.endswith("pip install othermissing")


def test_run_from_a_checkout_without_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    monkeypatch.setattr(metadata, "requires", absent)
    assert "0." not in doctor._package().value
    assert doctor._libraries().ok and ":" not in doctor._libraries().value
    assert doctor._extras() == []


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fact = doctor._cache(tmp_path / "file" / "cache")
    assert not fact.ok
    assert "FROMNOISE_CACHE" in fact.advice


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE", 2**70)
    fact = doctor._disk(tmp_path)
    assert not fact.ok and "GiB" in fact.advice


def test_a_cpu_build_beside_an_nvidia_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name)
    device = doctor._computing()[0]
    assert device.ok and "CPU build" in device.advice
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor._computing()[0].advice == ""


def test_processes_are_one_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr("fromnoise.common.cpus.usable", lambda: 5)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert doctor._processes().value == "up to 5 on CPUs (gloo)"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    assert re.match(r"up to 4 on GPUs \(NCCL\); up to 5 on CPUs", doctor._processes().value)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    assert doctor._processes().value.startswith("1 on a GPU")
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    assert doctor._processes().value.startswith("one")


def test_stores_in_the_cache_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    assert doctor._stores() == []
    load("digits", store="always")
    (fact,) = doctor._stores()
    assert fact.value.startswith("1 store") and "interrupted" not in fact.value and "data prune" in fact.advice
    next(tmp_path.glob("stores/*/train")).rename(next(tmp_path.glob("stores/*")) / "train.part")
    assert "interrupted" in doctor._stores()[0].value


def test_a_driver_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken() -> str:
        raise RuntimeError("CUDA driver initialization failed")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", broken)
    (device,) = doctor._computing()
    assert not device.ok and "initialization failed" in device.value
