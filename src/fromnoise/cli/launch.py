"""`--num_processes N`: the same command in N processes on this machine, as torchrun starts them.

torchrun ends with exit code 1 whatever a process ended with, and says so in a page of text. So each process that ends
in order leaves its exit code in a file and ends with 0; this one reads the files. Signals go to the processes
themselves: torchrun would give them 30 seconds, which a checkpoint need not keep to.

    <folder>/0.pid, 1.pid, ...      the processes       <folder>/0.code, 1.code, ...    their exit codes
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from fromnoise.common.cpus import usable
from fromnoise.common.durations import process_start
from fromnoise.common.errors import ProcessError, UsageError
from fromnoise.common.heard_signals import handled, heard
from fromnoise.common.progress import report_progress

FOLDER, STARTED = "FROMNOISE_LAUNCHED", "FROMNOISE_STARTED"
_FORWARDED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
LEFT, SILENT = 30.0, 600.0  # seconds until others end after process 0 has, and after one has given up on the rest
_TORCHRUN = "from fromnoise.cli.launch import torchrun; torchrun()"


def wants_processes(number: int) -> bool:
    """Whether `number` processes are to be started; UsageError where they cannot be, or others were."""
    if number < 1:
        raise UsageError(f"--num_processes is {number}, but at least 1 is needed; give a larger number")
    there = os.environ.get("WORLD_SIZE")
    if there is None:
        if number > usable():
            report_progress(
                f"warning: --num_processes is {number}, but there are {usable()} CPUs here; without as many GPUs, "
                f"{usable()} processes are faster"
            )
        return number > 1
    if there != str(number):
        raise UsageError(
            f"--num_processes is {number}, but this process was started as one of {there} (WORLD_SIZE); leave out "
            "--num_processes, or start the command without torchrun"
        )
    return False


def command_start() -> float:
    """When the command was started, on the clock of `time.monotonic`: before its processes were."""
    try:
        return float(os.environ[STARTED]) if FOLDER in os.environ else process_start()
    except (KeyError, ValueError):
        return process_start()


def launch(number: int, argv: Sequence[str]) -> int:
    """Run `fromnoise` with `argv` in `number` processes; returns the exit code of the one that ended first."""
    with tempfile.TemporaryDirectory(prefix="fromnoise-") as folder:
        environment = {**os.environ, FOLDER: folder, STARTED: repr(process_start())}
        environment.setdefault("OMP_NUM_THREADS", "1")  # as torchrun would, which says so; see Threads.share
        command = [sys.executable, "-c", _TORCHRUN, "--standalone", f"--nproc-per-node={number}"]
        command += ["-m", "--", "fromnoise"]  # or torchrun would read --num as one of its own flags
        # In a session of its own: Ctrl-C on a terminal reaches this process alone, and is handed on once.
        torchrun = subprocess.Popen([*command, *argv], env=environment, start_new_session=True)
        with _forwarding(torchrun, Path(folder)) as signals:
            code = _until_all_end(torchrun, Path(folder))
        if code < 0:
            _signal(signal.SIGTERM, Path(folder))
            raise ProcessError(
                f"torchrun, which started the processes, was ended by signal {-code}; they were asked to save and end: "
                "run the same command again when they have"
            )
        return _exit_code(Path(folder), code, lost=not signals)


def torchrun() -> None:
    """torchrun, which is silent where a process fails: that one, or the others, have said it.

    It ends the processes where whoever launched it is killed.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        run.main()
    except (ChildFailedError, SignalException):
        sys.exit(1)


def _end_with(parent: int) -> None:
    """SIGTERM to this process when its parent has gone; the processes save then."""
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def reported_to_launcher() -> Iterator[list[int]]:
    """Gives a list for this process's exit code, which goes to whoever launched it; what is left in it is the code."""
    folder, rank, codes = os.environ.get(FOLDER), os.environ.get("RANK"), [1]
    if folder is None or rank is None:
        yield codes
        return
    with suppress(OSError):
        (Path(folder) / f"{rank}.pid").write_text(str(os.getpid()))
    yield codes
    with suppress(OSError):
        (Path(folder) / f"{rank}.code").write_text(str(codes[0]))
        codes[0] = 0


@contextmanager
def _forwarding(torchrun: subprocess.Popen[bytes], folder: Path) -> Iterator[list[int]]:
    """The first signal goes to the processes, a second one to torchrun, which ends them; whatever happens, it ends.

    Gives the signals so far.
    """
    signals: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1 or not _signal(number, folder):
            torchrun.send_signal(number)

    try:
        with handled(heard(_FORWARDED), forward):
            yield signals
    finally:
        if torchrun.poll() is None:
            torchrun.terminate()
            torchrun.wait()


def _until_all_end(torchrun: subprocess.Popen[bytes], folder: Path) -> int:
    """torchrun's exit code; processes that hang are ended once nothing is left for them to do."""
    seen: dict[Path, float] = {}
    first, terminated = folder / "0.code", False
    while True:
        with suppress(subprocess.TimeoutExpired):
            return torchrun.wait(0.5)
        now = time.monotonic()
        for path in folder.glob("*.code"):
            seen.setdefault(path, now)
        if now - seen.get(first, now) > LEFT:
            _signal(signal.SIGKILL, folder)
        elif not terminated and now - min(seen.values(), default=now) > SILENT and _exit_code(folder, 0):
            torchrun.terminate()  # process 0 saves then, if it can; half a minute later it is killed
            terminated = True


def _signal(number: int, folder: Path) -> bool:
    """Send a signal to the processes that have not ended in order; whether there are any."""
    there = [path for path in folder.glob("*.pid") if not path.with_suffix(".code").exists()]
    pids = [int(path.read_text() or 0) for path in there]
    for pid in filter(None, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return any(pids)


def _exit_code(folder: Path, code: int, lost: bool = False) -> int:
    """That of the first process that ended in order with another than 0; torchrun's where there is none.

    lost: a process that did not end in order is one that was lost, and torchrun has ended the others since.
    """
    if lost and any(not path.with_suffix(".code").exists() for path in folder.glob("*.pid")):
        return ProcessError.exit_code
    left = [(path.stat().st_mtime_ns, int(path.read_text() or 1)) for path in folder.glob("*.code")]
    failed = [one for _, one in sorted(left) if one]
    return failed[0] if failed else abs(code)
