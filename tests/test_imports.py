"""Importing fromnoise and asking for help stay quick: what is slow to load is loaded when it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "fromnoise"
SLOW = {"torch", "diffusers", "sklearn", "scipy", "matplotlib", "datasets", "requests", "huggingface_hub"}
TORCH_FREE = ["fromnoise", "fromnoise.settings", "fromnoise.cli.machine"] + [
    "fromnoise." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in sorted(SOURCE.rglob("*options.py"))
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)


def loaded_by(*modules: str) -> set[str]:
    """The top-level names that a fresh interpreter holds after importing `modules`."""
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("module", TORCH_FREE)
def test_importing_loads_nothing_slow(module: str) -> None:
    assert not loaded_by(module) & SLOW, f"importing {module} loads something slow"


def test_help_loads_nothing_slow() -> None:
    done = run("-X", "importtime", "-m", "fromnoise", "--help")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "train" in done.stdout
    timed = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line]
    assert "fromnoise.cli" in timed, "the list of imports was not read"
    assert not {name.partition(".")[0] for name in timed} & SLOW


def test_a_slow_import_would_be_seen() -> None:
    assert "torch" in loaded_by("fromnoise.common.seeds")


def test_no_file_loads_a_slow_library_at_its_top() -> None:
    names = [".".join(("fromnoise", *p.relative_to(SOURCE).with_suffix("").parts)) for p in SOURCE.rglob("*.py")]
    scripts = ("__main__", "chapter.chapter")  # these run when they are imported; portable ones belong to exports
    files = sorted(
        name.removesuffix(".__init__") for name in names if not name.endswith(scripts) and ".portable." not in name
    )
    ours = {"matplotlib", "diffusers", "sklearn", "datasets", "requests", "rich"}
    assert not loaded_by(*files) & ours


def test_training_does_not_load_torchs_compiler(tmp_path: Path) -> None:
    code = (
        "import sys; from fromnoise.run import Run; "
        "settings = {'train.num_images': 64, 'train.train_batch_size': 32, 'train.previews': 0}; "
        f"run = Run.create('digits', settings=settings, output_dir={str(tmp_path / 'run')!r}, device='cpu'); "
        "run.train(); print(run.settings.train.optimizer, 'torch._dynamo' in sys.modules)"
    )
    done = run("-c", code)
    assert done.stdout.split() == ["muon", "False"], done.stderr
