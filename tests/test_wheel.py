"""What is shipped works: the wheel, in a new environment, outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "src")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.slow


def run(command: Sequence[str | Path], folder: Path) -> str:
    """What `command` prints, run in `folder` without the variables that could show it the checkout."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    surroundings = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source archive, made from a copy: nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        source = CHECKOUT / name
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, copy / name, ignore=leave)
        else:
            shutil.copy2(source, copy / name)
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", copy / "dist", copy], copy)
    (made,) = (copy / "dist").glob("*.whl")
    return made


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    source = CHECKOUT / "src"
    files = [path for path in source.rglob("*") if path.is_file()]
    wanted = {
        path.relative_to(source).as_posix()
        for path in files
        if "__pycache__" not in path.parts and not any(part.endswith(".egg-info") for part in path.parts)
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    assert held == wanted
    assert len(licences) == 1


def test_a_new_environment_runs_the_doctor_and_the_demo(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run([sys.executable, CHECKOUT / "scripts" / "setup_venv.py", home, wheel], elsewhere)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    run([programs / "python", "-m", "pip", "check"], elsewhere)
    where = run([programs / "python", "-c", "import fromnoise; print(fromnoise.__file__)"], elsewhere)
    assert Path(where.strip()).is_relative_to(home)
    assert PROJECT["version"] in run([programs / "fromnoise", "doctor"], elsewhere)
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path / "nothing"))
    page = run([programs / "fromnoise", "demo", "--budget", "20s", "--device", "cpu"], elsewhere).splitlines()[-1]
    assert page.endswith(str(elsewhere / "runs" / "demo-digits" / "report.html"))
