"""The faults of docs/faults.md, each provoked through the command line: the exit code of the page comes out, nothing is
lost, nothing half-written stays, and there is no traceback.

A case is a function below, named as its row; it returns the exit code of the command that the fault hit.
"""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import os
import pickle
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load

from fromnoise.cli import launch, main
from fromnoise.data import DATASETS, store_area
from fromnoise.data import load as load_images
from fromnoise.nets.unet import UNet
from fromnoise.run import together as run_together
from fromnoise.run.folder import RunFolder
from fromnoise.train import distributed, trainer
from fromnoise.train.shared_update import SharedUpdate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
SETTINGS = {"net.width": 8, "net.depth": 1, "train.validations": 0, "train.checkpoint_every": "0.01s"}
TRAIN = ["train", "data.npz", "--num_images", "264", "--train_batch_size", "4", "--previews", "0"]
TRAIN += ["--output_dir", "run", *(word for item in SETTINGS.items() for word in ("--set", "{}={}".format(*item)))]
FEW = ["--num", "2", "--steps", "1", "--out", "s.png"]
CASES: dict[str, Callable[[Place], int]] = {}


def fault(case: Callable[[Place], int]) -> Callable[[Place], int]:
    """Registers a case under the name of its row."""
    CASES[case.__name__.replace("_", "-")] = case
    return case


class Place:
    """The working folder of a case: data.npz, and `run`, trained to its end."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capsys = patch, capsys
        self.before = weights()

    def said(self) -> str:
        """What was printed since the last look."""
        captured = self.capsys.readouterr()
        return captured.out + captured.err

    def trained_again(self) -> bool:
        """Whether the same command ends well, with the weights of an undisturbed training."""
        return main(TRAIN) == 0 and weights() == self.before

    def unfinished(self) -> None:
        """Takes the last checkpoint away, so that there is something to train."""
        shutil.rmtree(newest())

    def begin_anew(self) -> None:
        shutil.rmtree("run")

    def at_line(self, number: int, action: Callable[[], object]) -> None:
        """Do `action` when metrics.jsonl is written to for the `number`th time."""
        append, calls = RunFolder.append_metrics, []

        def counted(folder: RunFolder, lines: list[dict[str, Any]]) -> None:
            calls.append(folder)
            if len(calls) == number:
                action()
            append(folder, lines)

        self.patch.setattr(RunFolder, "append_metrics", counted)

    def in_network(self, action: Callable[[Any], object]) -> None:
        """Do `action` on the input of every evaluation of the network."""
        forward = UNet.forward

        def acting(net: UNet, x: torch.Tensor, *rest: Any) -> torch.Tensor:
            action(x)
            return forward(net, x, *rest)

        self.patch.setattr(UNet, "forward", acting)


def checkpoints() -> list[Path]:
    return sorted(path for path in Path("run/checkpoints").iterdir() if path.name.isdigit())


def newest() -> Path:
    return checkpoints()[-1]


def weights() -> str:
    """What identifies the last checkpoint's weights, averages and optimizer."""
    files = sorted(newest().glob("*.safetensors"))
    return newest().name + "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def left_over() -> list[str]:
    return [str(path) for path in Path("run").rglob(".*")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Killed and stopped


@fault
def killed_while_saving(place: Place) -> int:
    place.begin_anew()
    code = (
        "import os, signal, sys\nfrom fromnoise.cli import main\ncalls, sync = [], os.fsync\n"
        "def fsync(file):\n    calls.append(file)\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if len(calls) == 15 else sync(file)\n"
        "os.fsync = fsync\nmain(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code, *TRAIN], capture_output=True, timeout=120)
    assert checkpoints() and left_over(), "it was killed in the middle"
    assert place.trained_again() and not left_over()
    return 128 - done.returncode


@fault
def terminated_while_training(place: Place) -> int:
    return stopped(place, signal.SIGTERM)


@fault
def ctrl_c_while_training(place: Place) -> int:
    return stopped(place, signal.SIGINT)


def stopped(place: Place, *signals: signal.Signals) -> int:
    place.begin_anew()
    place.at_line(2, lambda: [os.kill(os.getpid(), number) for number in signals])
    code = main(TRAIN)
    place.patch.undo()
    assert checkpoints() and place.trained_again()
    return code


@fault
def ctrl_c_twice_while_training(place: Place) -> int:
    return stopped(place, signal.SIGINT, signal.SIGINT)


@fault
def ctrl_c_while_sampling(place: Place) -> int:
    place.in_network(lambda _: os.kill(os.getpid(), signal.SIGINT))
    code = main(["sample", "run", *FEW])
    assert not Path("s.png").exists()
    return code


@fault
def terminated_while_sampling(place: Place) -> int:
    place.in_network(lambda _: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # by default it would end the tests
    code = main(["sample", "run", *FEW])
    signal.signal(signal.SIGTERM, before)
    assert not Path("s.png").exists()
    return code


@fault
def time_limit_reached(place: Place) -> int:
    place.begin_anew()
    code = main([*TRAIN, "--max_time", "0.01s"])
    assert place.trained_again()
    return code


@fault
def left_overs_of_a_kill(place: Place) -> int:
    place.unfinished()
    for name in ("checkpoints/.building-96-99999999", "checkpoints/.trash-00000096-99999999"):
        (Path("run") / name).mkdir()
    assert main(TRAIN) == 0 and weights() == place.before
    return len(left_over())


# The disk and the folder


@fault
def disk_full_at_a_checkpoint(place: Place) -> int:
    place.unfinished()
    place.patch.setattr(os, "fsync", full)
    code = main(TRAIN)
    place.patch.undo()
    assert checkpoints() and not left_over() and place.trained_again()
    return code


@fault
def disk_full_at_the_log(place: Place) -> int:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    place.begin_anew()
    Path("run").mkdir()
    Path("run/metrics.jsonl").symlink_to("/dev/full")
    code = main(TRAIN)
    Path("run/metrics.jsonl").unlink()
    assert place.trained_again()
    return code


@fault
def folder_cannot_be_written(place: Place) -> int:
    Path("file").write_text("")
    code = main([*TRAIN, "--output_dir", "file/run"])
    assert Path("file").read_text() == ""
    return code


@fault
def folder_cannot_be_read(place: Place) -> int:
    forbid(place, "run/checkpoints")
    return main(["sample", "run", *FEW])


@fault
def data_folder_cannot_be_read(place: Place) -> int:
    pictures(Path("data"), 3)
    forbid(place, "data")
    return main(["train", "data"])


def forbid(place: Place, name: str) -> None:
    """The folder `name` may not be listed: also where the tests run as root, who may do everything."""
    if os.geteuid():
        Path(name).chmod(0)
        return
    for lister in ("listdir", "scandir"):
        real = getattr(os, lister)

        def refuse(path: Any = ".", real: Any = real) -> Any:
            if isinstance(path, str | os.PathLike) and Path(path).resolve() == Path(name).resolve():
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return real(path)

        place.patch.setattr(os, lister, refuse)


@fault
def folder_deleted_while_training(place: Place) -> int:
    place.begin_anew()
    place.at_line(2, lambda: shutil.rmtree("run"))
    return main(TRAIN)


@fault
def working_folder_gone(place: Place) -> int:
    Path("gone").mkdir()
    place.patch.chdir("gone")
    Path("../gone").rmdir()
    return main(["train", "digits"])


@fault
def folder_moved(place: Place) -> int:
    place.unfinished()
    Path("run").rename("moved")
    code = main([*TRAIN, "--output_dir", "moved"])
    Path("moved").rename("run")
    assert weights() == place.before
    return code


@fault
def folder_copied(place: Place) -> int:
    place.unfinished()
    shutil.copytree("run", "copy")
    code = main([*TRAIN, "--output_dir", "copy"])
    assert place.trained_again()
    shutil.rmtree("run")
    Path("copy").rename("run")
    assert weights() == place.before
    return code


@fault
def two_processes_in_one_folder(place: Place) -> int:
    with RunFolder(Path("run")).locked():
        return main(TRAIN)


@fault
def cache_cannot_be_written(place: Place) -> int:
    Path("file").write_text("")
    place.patch.setenv("FROMNOISE_CACHE", "file/cache")
    return main(["evaluate", "run", "--num", "10", "--steps", "1", "--features", "pixels"])


# Damaged files of a run


@fault
def damaged_checkpoint(place: Place) -> int:
    flip(newest() / "model.safetensors")
    assert main(["sample", "run", *FEW]) == 0 and newest().name in place.said()
    return 0 if place.trained_again() else -1


@fault
def every_checkpoint_damaged(place: Place) -> int:
    for path in checkpoints():
        flip(path / "model.safetensors")
    return main(["sample", "run", *FEW])


@fault
def checkpoint_cut_short(place: Place) -> int:
    (newest() / "manifest.json").unlink()
    return 0 if place.trained_again() else -1


@fault
def damaged_record_of_the_best(place: Place) -> int:
    assert main(["sample", "run", *FEW, "--checkpoint", "last"]) == 0
    Path("run/checkpoints/best.json").write_text('{"images": 264, "by": "validation loss", "value": "low"')
    return main(["sample", "run", *FEW, "--checkpoint", "best"])


@fault
def damaged_average(place: Place) -> int:
    assert main(["sample", "run", *FEW, "--weights", "ema:0.12"]) == 0
    flip(next(Path("run/averages").glob("*.safetensors")))
    return main(["sample", "run", *FEW, "--weights", "ema:0.12"])


@fault
def missing_average(place: Place) -> int:
    next(Path("run/averages").glob("*.safetensors")).unlink()
    return main(["sample", "run", *FEW, "--weights", "ema:0.12"])


@fault
def damaged_config(place: Place) -> int:
    Path("run/config.json").write_bytes(Path("run/config.json").read_bytes()[:-9])
    return main(["sample", "run", *FEW])


@fault
def damaged_log(place: Place) -> int:
    place.unfinished()
    with Path("run/metrics.jsonl").open("ab") as file:
        file.write(b'\xff\xfe{"images": "many"}\n{"step": 3}\nnull\n{"images": 8')
    assert main(["show", "run"]) == 0
    return 0 if place.trained_again() else -1


@fault
def run_of_a_newer_format(place: Place) -> int:
    record = json.loads(Path("run/config.json").read_text())
    Path("run/config.json").write_text(json.dumps({**record, "format": 99}))
    return main(["sample", "run", *FEW])


@fault
def checkpoint_of_a_newer_format(place: Place) -> int:
    for path in checkpoints():
        state = json.dumps({**json.loads((path / "state.json").read_text()), "format": 99}).encode()
        (path / "state.json").write_bytes(state)
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**manifest, "state.json": hashlib.sha256(state).hexdigest()}))
    return main(["sample", "run", *FEW])


@fault
def resumed_where_nothing_is(place: Place) -> int:
    Path("empty").mkdir()
    code = main(["train", "--resume", "empty"])
    assert not list(Path("empty").iterdir())
    return code


@fault
def studio_port_taken(place: Place) -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        return main(["studio", "run", "--no_browser", "--port", str(taken.getsockname()[1])])


@fault
def data_gone(place: Place) -> int:
    Path("data.npz").unlink()
    assert main(["sample", "run", *FEW]) == 0
    return main(TRAIN)


@fault
def data_changed(place: Place) -> int:
    np.savez("data.npz", images=np.zeros((40, 8, 8), np.uint8), labels=np.arange(40) % 2)
    assert main(["sample", "run", *FEW]) == 0
    return main(TRAIN)


# Many processes


def together(place: Place, words: list[str], world: int = 2, before: Callable[[int], object] = lambda _: None) -> int:
    """Run a command in so many processes, as torchrun starts them; the exit code of process 0.

    They are forked, so that they start at once. before: called in each, with its rank. What they say is in said-RANK.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        contract = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(one.getsockname()[1]), "GLOO_SOCKET_IFNAME": "lo"}
    contract |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    pids = []
    for rank in range(world):
        if (pid := os.fork()) == 0:
            code = 1
            try:
                torch.set_num_threads(1)  # other threads of the process that was forked are not here
                os.environ.update(contract, RANK=str(rank), LOCAL_RANK=str(rank))
                with Path(f"said-{rank}").open("w") as file, redirect_stdout(file), redirect_stderr(file):
                    before(rank)
                    code = main([*words, "--num_threads", "1", "--device", "cpu"])
            finally:
                os._exit(code)
        pids.append(pid)
    first = os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1])
    for pid in pids[1:]:
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
    said = "".join(Path(f"said-{rank}").read_text() for rank in range(world))
    assert "Traceback" not in said, said
    assert first == 0 or said.count("fromnoise: ") >= 1, said
    return first


def at_step(number: int, action: Callable[[Any], object]) -> None:
    """Do `action` on the update when this process has finished its `number`th step."""
    update, calls = SharedUpdate.__call__, []

    def counted(self: SharedUpdate, *arguments: Any) -> torch.Tensor:
        loss = update(self, *arguments)
        calls.append(self)
        if len(calls) == number:
            action(self)
        return loss

    SharedUpdate.__call__ = counted  # type: ignore[method-assign]


@fault
def more_processes_than_images(place: Place) -> int:
    return refused_together(place, 3, lambda _: None, "--train_batch_size", "2")


def refused_together(place: Place, world: int, before: Callable[[int], object], *words: str) -> int:
    place.begin_anew()
    code = together(place, [*TRAIN, *words], world, before)
    assert not Path("run").exists()
    return code


@fault
def more_processes_than_cpus(place: Place) -> int:
    place.patch.setattr(launch, "usable", lambda: 1)
    code = main(["sample", "run", "--num", "4", "--steps", "1", "--out", "s.npz", "--num_processes", "2"])
    assert Path("s.npz").exists() and "--num_processes" in place.said()
    return code


@fault
def process_killed(place: Place) -> int:
    return lost(place, signal.SIGKILL)


@fault
def process_silent(place: Place) -> int:
    return lost(place, signal.SIGSTOP)


def lost(place: Place, number: signal.Signals) -> int:
    place.begin_anew()

    def before(rank: int) -> None:
        if rank == 1:
            at_step(5, lambda _: os.kill(os.getpid(), number))

    code = together(place, [*TRAIN, "--set", "train.answer_within=5s"], 2, before)
    saved = newest().name
    assert main(TRAIN) == 0 and newest().name == place.before[:8] > saved, "one process goes on"
    return code


@fault
def process_drifted(place: Place) -> int:
    place.begin_anew()
    place.patch.setattr(trainer, "CHECK_EVERY", 10)

    def drift(update: SharedUpdate) -> None:
        with torch.no_grad():
            next(update.net.parameters()).add_(1e-3)

    code = together(place, TRAIN, 2, lambda rank: at_step(35, drift) if rank else None)
    place.patch.undo()
    assert checkpoints() and main(TRAIN) == 0
    return code


@fault
def master_silent(place: Place) -> int:
    place.patch.setattr(distributed, "JOIN_SECONDS", 1.0)
    with socket.socket() as master:
        master.bind(("127.0.0.1", 0))
        port = str(master.getsockname()[1])
        for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
            place.patch.setenv(name, value)
        code = main(TRAIN)
    assert port in place.said() and weights() == place.before
    return code


@fault
def processes_with_other_images(place: Place) -> int:
    np.savez("other.npz", images=np.zeros((40, 8, 8), np.uint8), labels=np.arange(40) % 2)

    def before(rank: int) -> None:
        if rank:
            place.patch.setattr(run_together, "load", lambda options: load_images("other.npz"))

    return refused_together(place, 2, before)


@fault
def processes_with_other_versions(place: Place) -> int:
    return refused_together(
        place, 2, lambda rank: place.patch.setattr(run_together, "__version__", "9.9") if rank else None
    )


@fault
def accelerate_alone(place: Place) -> int:
    place.begin_anew()
    for name, value in {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        place.patch.setenv(name, value)
    code = main(TRAIN)
    assert "accelerate" in place.said() and not Path("run").exists()
    return code


# Numbers, memory, clocks


@fault
def loss_is_not_finite(place: Place) -> int:
    place.begin_anew()
    calls: list[int] = []

    def spoil(x: torch.Tensor) -> None:
        calls.append(len(x))
        if len(calls) > 40:
            x.fill_(torch.nan)

    place.in_network(spoil)
    code = main(TRAIN)
    place.patch.undo()
    for path in checkpoints():
        assert all(value.isfinite().all() for value in load((path / "model.safetensors").read_bytes()).values())
    assert main(["sample", "run", *FEW]) == 0
    return code


@fault
def memory_runs_out_in_training(place: Place) -> int:
    place.begin_anew()
    place.in_network(lambda x: no_room(x, 2))
    code = main(TRAIN)
    assert newest().name == place.before[:8] and "memory" in place.said()
    return code


@fault
def memory_runs_out_in_sampling(place: Place) -> int:
    place.in_network(lambda x: no_room(x, 2))
    code = main(["sample", "run", "--num", "5", "--steps", "1", "--out", "s.npz"])
    with np.load("s.npz") as made:
        assert made["images"].shape == (5, 8, 8, 1)
    return code


@fault
def memory_runs_out_with_one_image(place: Place) -> int:
    place.in_network(lambda x: no_room(x, 0))
    return main(["sample", "run", *FEW])


def no_room(x: torch.Tensor, most: int) -> None:
    if len(x) > most:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@fault
def clock_set_back(place: Place) -> int:
    place.begin_anew()
    now = iter(range(10**9, 0, -3600))
    place.patch.setattr(time, "time", lambda: float(next(now)))
    code = main(TRAIN)
    assert len(checkpoints()) > 1 and weights() == place.before
    assert " in -" not in place.said()
    return code


# Output


@fault
def standard_output_full(place: Place) -> int:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    place.unfinished()
    place.patch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(io.FileIO("/dev/full", "w")), "utf-8"))
    code = main(TRAIN)
    assert weights() == place.before
    return code


@fault
def standard_output_closed(place: Place) -> int:
    place.unfinished()
    place.patch.setattr(sys, "stdout", None)
    code = main(TRAIN)
    assert weights() == place.before
    return code


# Data


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")


@fault
def truncated_picture(place: Place) -> int:
    pictures(Path("data"), 3)
    Path("data/1.png").write_bytes(Path("data/1.png").read_bytes()[:150])
    assert main(["data", "inspect", "data"]) == 0 and "1.png" in place.said()
    code = main(["train", "data"])
    assert "1.png" in place.said() and not Path("runs").exists()
    return code


@fault
def picture_that_claims_too_much(place: Place) -> int:
    pictures(Path("data"), 3)
    head = b"IHDR" + struct.pack(">IIBBBBB", 90_000, 90_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    Path("data/bomb.png").write_bytes(content + struct.pack(">I", 1) + b"IDATx")
    code = main(["train", "data"])
    assert "bomb.png" in place.said()
    return code


@fault
def killed_while_importing(place: Place) -> int:
    code = (
        "import os, signal, sys\nfrom fromnoise.cli import main\nfrom fromnoise.data import store_area\n"
        "store_area.Folder.finish = lambda area: os.kill(os.getpid(), signal.SIGKILL)\nmain(sys.argv[1:])"
    )
    words = ["data", "import", "data.npz", "--out", "store"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, timeout=120)
    assert main(["data", "inspect", "store"]) == 3, "nothing that is half-written is used"
    assert main(words) == 0 and load_images("store").fingerprint == load_images("data.npz").fingerprint
    return 128 - done.returncode


@fault
def disk_full_while_importing(place: Place) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_area, "disk_free", lambda folder: 100)
        code = main(["data", "import", "data.npz", "--out", "store"])
    assert not list(Path("store").glob("train*")) and main(["data", "import", "data.npz", "--out", "store"]) == 0
    return code


@fault
def damaged_store(place: Place) -> int:
    assert main(["data", "import", "data.npz", "--out", "store"]) == 0
    with next(Path("store/train").glob("pixels*")).open("r+b") as file:
        file.write(b"other pixels")
    return main(["train", "store", "--output_dir", "new"])


@fault
def damaged_store_in_the_cache(place: Place) -> int:
    place.patch.setenv("FROMNOISE_CACHE", "cache")
    before = load_images("data.npz", store="always").fingerprint
    flip(next(Path("cache/stores").glob("*/train/pixels*")))
    assert main(["data", "inspect", "data.npz", "--set", "data.store=always"]) == 0 and "made again" in place.said()
    assert load_images("data.npz", store="always").fingerprint == before
    return main([*TRAIN, "--set", "data.store=always", "--output_dir", "new"])


@fault
def store_copied_in_part(place: Place) -> int:
    assert main(["data", "import", "data.npz", "--out", "store"]) == 0
    pixels = next(Path("store/train").glob("pixels*"))
    with pixels.open("r+b") as file:
        file.truncate(pixels.stat().st_size // 2)
    return main(["train", "store", "--output_dir", "new"])


@fault
def store_being_imported(place: Place) -> int:
    place.patch.setenv("FROMNOISE_CACHE", "cache")
    load_images("data.npz", store="always")
    folder = next(Path("cache/stores").iterdir())
    shutil.rmtree(folder / "train")
    holding = "import filelock as f, sys; k = f.FileLock(sys.argv[1]); k.acquire(); print(flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", holding, str(folder / "import.lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # type: ignore[union-attr]
        threading.Timer(0.5, other.stdin.close).start()  # type: ignore[union-attr]
        code = main(["data", "inspect", "data.npz", "--set", "data.store=always"])
    assert "waiting" in place.said() and (folder / "train").exists()
    return code


@fault
def store_of_a_changed_source(place: Place) -> int:
    place.patch.setenv("FROMNOISE_CACHE", "cache")
    load_images("data.npz", store="always")
    np.savez("data.npz", images=np.zeros((50, 8, 8), np.uint8))
    code = main(["data", "inspect", "data.npz", "--set", "data.store=always"])
    assert "its source changed" in place.said() and len(load_images("data.npz", store="always", holdout=0.0)) == 50
    return code


@fault
def store_of_another_source(place: Place) -> int:
    assert main(["data", "import", "data.npz", "--out", "store"]) == 0
    before = load_images("store").fingerprint
    code = main(["data", "import", "digits", "--out", "store"])
    assert load_images("store").fingerprint == before
    return code


@fault
def array_that_claims_too_much(place: Place) -> int:
    head = "{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 64, 64)}".ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()
    with zip_file("big.npz") as archive:
        archive.writestr("images.npy", member)
    Path("big-idx3-ubyte").write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**15, 2**15))
    assert main(["data", "inspect", "big-idx3-ubyte"]) == 3
    return main(["train", "big.npz"])


def zip_file(name: str) -> Any:
    import zipfile

    return zipfile.ZipFile(name, "w")


class Marker:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("marker"),)


@fault
def memory_runs_out_in_reading(place: Place) -> int:
    pictures(Path("data"), 3)

    def none_left(*_: object) -> None:
        raise MemoryError

    place.patch.setattr(Image.Image, "load", none_left)
    code = main(["train", "data"])
    assert "memory" in place.said()
    return code


@fault
def zip_with_paths_out_of_it(place: Place) -> int:
    pictures(Path("data"), 4)
    with zip_file("slip.zip") as archive:
        for number, name in enumerate(("../marker", "a/../../marker.png", "../../marker.png", "a/1.png")):
            archive.write(f"data/{number}.png", name)
    before = set(Path("..").iterdir())
    code = main(["data", "inspect", "slip.zip", "--out", "grid.png"])
    assert set(Path("..").iterdir()) == before and not list(Path().rglob("marker*"))
    return code


@fault
def pickle_in_the_place_of_data(place: Place) -> int:
    Path("evil.npz").write_bytes(pickle.dumps(Marker()))
    code = main(["train", "evil.npz"])
    assert not Path("marker").exists()
    return code


@fault
def hostile_names(place: Place) -> int:
    pictures(Path("data/\x1b]0;owned\x07"), 3)
    pictures(Path("data/$(touch marker)"), 3)
    code = main(["data", "inspect", "data", "--out", "grid.png"])
    assert main(["sample", "run", *FEW, "--label", "\x1b[2J"]) == 2
    assert "\x1b" not in place.said() and not Path("marker").exists()
    return code


@fault
def no_network(place: Place) -> int:
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("a process without a network cannot be made here")
    words = ["unshare", "-rn", sys.executable, "-m", "fromnoise", "data", "fetch", "kmnist"]
    surroundings = {**os.environ, "FROMNOISE_CACHE": str(Path("cache").absolute()), "FROMNOISE_OFFLINE": ""}
    done = subprocess.run(words, capture_output=True, text=True, env=surroundings, timeout=120)
    assert "Traceback" not in done.stderr and "kmnist" in done.stderr and not Path("cache").exists()
    return done.returncode


@fault
def download_with_other_bytes(place: Place) -> int:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"wrong")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}/"
        place.patch.setitem(DATASETS, "kmnist", replace(DATASETS["kmnist"], mirrors=(mirror,)))
        place.patch.setenv("FROMNOISE_OFFLINE", "")
        place.patch.setenv("FROMNOISE_CACHE", "cache")
        code = main(["data", "fetch", "kmnist"])
        server.shutdown()
    assert not [path for path in Path("cache").rglob("*") if path.is_file()]
    return code


# The page


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
        np.savez("data.npz", images=images, labels=np.arange(40) % 2)
        assert main(TRAIN) == 0
    return folder


@pytest.fixture
def place(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    shutil.copytree(trained, tmp_path / "place")
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
    with pytest.MonkeyPatch.context() as around, pytest.MonkeyPatch.context() as patch:
        around.chdir(tmp_path / "place")
        yield Place(patch, capsys)


def rows() -> dict[str, str]:
    """Test -> exit code, of the page's table."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if " | `" in line]
    return {test.strip("`"): code for _, _, code, test in lines}


def test_the_page_and_the_tests_name_the_same_faults() -> None:
    assert list(rows()) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_fault(place: Place, name: str) -> None:
    code = CASES[name](place)
    assert str(code) == rows()[name], place.said()
    assert "Traceback" not in place.said()
