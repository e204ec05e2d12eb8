"""The examples for clusters do what they say: each starts, and goes on by the same command, to the same weights."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fromnoise.cli import main

CHECKOUT = Path(__file__).resolve().parent.parent
CLUSTERS = CHECKOUT / "examples" / "clusters"
STARTERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TRAIN = ["digits", "--recipe", "default-tiny", "--train_batch_size", "32", "--device", "cpu", "--seed", "3"]
TRAIN += ["--mixed_precision", "no", "--num_threads", "1", "--set", "net.width=8", "--set", "net.depth=1"]
TRAIN += ["--set", "train.previews=0", "--set", "train.validations=0"]
IMAGES = 128  # four steps
PLAN = [*TRAIN, "--num_images", str(IMAGES)]

SRUN = """#!{python}
'''A stand-in for srun: the tasks of one machine, with the variables that Slurm sets; ends with their largest code.'''
import os, subprocess, sys
command = [word for word in sys.argv[1:]]
while command[0].startswith("--"):
    command.pop(0)
tasks = int(os.environ["SLURM_NTASKS"])
each = [dict(os.environ, SLURM_PROCID=str(i), SLURM_LOCALID=str(i), SLURM_NODEID="0") for i in range(tasks)]
sys.exit(max(task.wait() for task in [subprocess.Popen(command, env=one) for one in each]))
"""
SCONTROL = """#!{python}
'''A stand-in for scontrol: names the one machine, and notes which job is to be queued again.'''
import pathlib, sys
if sys.argv[1:3] == ["show", "hostnames"]:
    print("127.0.0.1")
elif sys.argv[1] == "requeue":
    pathlib.Path(r"{queue}").write_text(sys.argv[2])
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights after the same training by one process, in this one."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert main(["train", *PLAN, "--output_dir", str(folder)]) == 0
    return weights(folder)


@pytest.fixture
def programs(tmp_path):
    """A folder for programs that comes first in PATH, with fromnoise and torchrun of this environment."""
    folder = tmp_path / "programs"
    program(folder / "fromnoise", f'#!/bin/sh\nexec {sys.executable} -m fromnoise "$@"\n')
    program(folder / "torchrun", f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n')
    return folder


def program(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def surroundings(programs: Path | None = None, **more: str) -> dict[str, str]:
    """The environment of a command: this checkout's package, no launcher's variables, gloo over the loopback."""
    kept = {name: value for name, value in os.environ.items() if name not in STARTERS and "COV" not in name}
    paths = [str(CHECKOUT / "src"), os.environ.get("PYTHONPATH", "")]
    first = [str(programs)] if programs else []
    own = {"PATH": os.pathsep.join([*first, os.environ["PATH"]]), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return {**kept, **own, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", **more}


def done(command, env, codes=(0,), timeout=240) -> str:
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)
    assert ended.returncode in codes, f"{ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout + ended.stderr


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the newest checkpoint: weights, averages and the optimizer's state."""
    newest = max(path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    files = sorted(newest.glob("*.safetensors"))
    assert files, f"no tensors in {newest}"
    return {f"{file.stem}/{name}": value for file in files for name, value in load_file(file).items()}


def same_weights(folder: Path, reference: dict[str, torch.Tensor]) -> None:
    found = weights(folder)
    assert set(found) == set(reference)
    for name, value in reference.items():
        assert torch.allclose(found[name].double(), value.double(), rtol=0, atol=1e-5), name


def free_port(first: int = 20_000, last: int = 40_000) -> int:
    """A port that nobody listens on."""
    for port in random.Random(os.getpid()).sample(range(first, last), 100):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port is free from {first} to {last}")


def test_slurm_takes_the_job_up_again_until_it_is_done(tmp_path, programs, reference):
    queue = tmp_path / "queue"
    program(programs / "srun", SRUN.format(python=sys.executable))
    program(programs / "scontrol", SCONTROL.format(python=sys.executable, queue=queue))
    slurm = {"SLURM_JOB_ID": str(free_port() + 20_000), "SLURM_JOB_NODELIST": "here", "SLURM_NTASKS": "2"}
    slurm |= {"SLURM_NTASKS_PER_NODE": "2"}
    folder = tmp_path / "run"
    command = ["bash", str(CLUSTERS / "slurm.sh"), *PLAN, "--output_dir", str(folder)]
    done(command, surroundings(programs, **slurm, MAX_TIME="0.001s"), codes=(75,))
    assert queue.read_text() == slurm["SLURM_JOB_ID"]
    queue.unlink()
    assert 0 < max(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit()) < IMAGES
    done(command, surroundings(programs, **slurm, MAX_TIME="1h"))
    assert not queue.exists()
    same_weights(folder, reference)


def test_torchrun_on_two_machines_meets_and_goes_on(tmp_path, programs, reference):
    folder = tmp_path / "run"
    for limit, code in (("0.001s", 1), ("1h", 0)):  # torchrun ends with 1, whatever the processes end with
        env = surroundings(programs, HEAD="127.0.0.1", NODES="2", GPUS="1", PORT=str(free_port()), RESTARTS="0")
        command = ["bash", str(CLUSTERS / "torchrun.sh"), *PLAN, "--output_dir", str(folder), "--max_time", limit]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        machines = [subprocess.Popen(command, env=env, **pipes) for _ in range(2)]
        outputs = "".join(one.communicate(timeout=240)[0] for one in machines)
        assert [one.returncode for one in machines] == [code, code], outputs
        assert "2 processes" in outputs
    same_weights(folder, reference)


def test_the_scripts_are_whole():
    for script in CLUSTERS.glob("*.sh"):
        done(["bash", "-n", str(script)], surroundings())
    ended = subprocess.run(["bash", str(CLUSTERS / "torchrun.sh")], env=surroundings(), capture_output=True, text=True)
    assert ended.returncode != 0 and "HEAD" in ended.stderr


def test_the_dockerfile_copies_what_is_there_and_says_that_it_was_not_built():
    content = (CLUSTERS / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.*) \S+$", content, flags=re.MULTILINE):
        assert all((CHECKOUT / name).exists() for name in line.split())
    extras = re.search(r'pip install "\.\[(.*)\]"', content)[1].split(",")
    known = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras) <= set(known)
    assert re.search(r"^ARG TORCH=cpu$", content, flags=re.MULTILINE) and "has not been built" in content


def environment(tmp_path_factory, package: str) -> Path:
    """The Python of an environment of its own, which sees this one's packages, with `package`; skips without it."""
    home = tmp_path_factory.mktemp("venv") / package.partition("[")[0]
    done([sys.executable, "-m", "venv", str(home)], surroundings())
    python = home / "bin" / "python"
    inner = Path(done([str(python), "-c", "import site; print(site.getsitepackages()[0])"], surroundings()).strip())
    (inner / "outer.pth").write_text(str(Path(torch.__file__).resolve().parent.parent))
    command = [str(python), "-m", "pip", "install", "-q", package]
    ended = subprocess.run(command, env=surroundings(), capture_output=True, text=True, timeout=600)
    if ended.returncode:
        pytest.skip(f"{package} cannot be installed here: {ended.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.alone
def test_accelerate_starts_as_many_as_it_is_asked_for_or_is_refused(tmp_path, tmp_path_factory, reference):
    python = environment(tmp_path_factory, "accelerate")
    folder, launch = tmp_path / "run", [str(python), "-m", "accelerate.commands.launch"]
    config = ["--config_file", str(CLUSTERS / "accelerate.yaml"), "--num_processes", "2", "--main_process_port"]
    for limit, code in (("0.001s", 1), ("1h", 0)):
        command = [*launch, *config, str(free_port()), "--module", "fromnoise", "train", *PLAN, "--max_time", limit]
        assert "2 processes" in done([*command, "--output_dir", str(folder)], surroundings(), codes=(code,))
    same_weights(folder, reference)
    alone = [*launch, "--cpu", "--num_processes", "2", "--module", "fromnoise", "train", *PLAN]
    ended = subprocess.run(
        [*alone, "--output_dir", str(tmp_path / "other")], env=surroundings(), capture_output=True, text=True
    )
    assert ended.returncode != 0 and "--multi_gpu" in ended.stderr and not (tmp_path / "other").exists()


@pytest.mark.alone
def test_ray_train_starts_the_workers_and_goes_on(tmp_path, tmp_path_factory, reference):
    python = environment(tmp_path_factory, "ray[train]")
    if subprocess.run(
        [str(python), "-c", "import ray.train.torch"], env=surroundings(), capture_output=True
    ).returncode:
        pytest.skip("ray is installed, but does not start on this Python")
    folder = tmp_path / "run"
    command = [str(python), str(CLUSTERS / "ray_train.py"), "--workers", "2", "--storage", str(tmp_path / "ray"), "--"]
    env = surroundings(RAY_USAGE_STATS_ENABLED="0", RAY_DISABLE_IMPORT_WARNING="1")
    plan = [*PLAN, "--output_dir", str(folder)]
    done([*command, *plan, "--max_time", "0.001s"], env, codes=(75,))
    done([*command, *plan], env)
    same_weights(folder, reference)
    about = json.loads((folder / "config.json").read_text())
    assert about["settings"]["train"]["num_images"] == IMAGES
