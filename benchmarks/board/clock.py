"""A stranger's command under the clock: from the start of its process to its end, every second told apart.

The command may print lines of JSON, which are read as they come. `{"stage": "imported"}` and `{"stage": "trained"}` are
stamped with the board's own clock; until "trained" all counts as training, which without it lasts as long as the
process. Other keys are facts: images_seen, evaluations, parameters. Where sampling is a command of its own, training is
the whole of the first process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fromnoise.common.errors import DataError, UsageError

PLACES = ("seconds", "seed", "num", "samples", "train", "folder")
FACTS = ("images_seen", "evaluations", "parameters")
STAGES = ("imported", "trained")
_POLL = 0.2
GRACE = 5.0  # seconds beyond the budget, or a tenth of it, after which a training is stopped
_SAMPLING = 3600.0  # seconds that sampling may take before it is stopped


@dataclass
class Timed:
    """How long a process took, when it said it was where, and what else it said."""

    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def hear(self, line: str, now: float) -> None:
        """Take a line that the process printed; one that is no JSON object says nothing."""
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(line)
            if isinstance(said, dict):
                if said.get("stage") in STAGES:
                    self.stages.setdefault(said["stage"], now)
                numbers = {name: said[name] for name in FACTS if isinstance(said.get(name), int)}
                self.facts.update(numbers)


def words_of(command: str, flag: str, needed: Iterable[str] = ()) -> list[str]:
    """The words of a command with {places}; UsageError for one that cannot be read, or lacks a place or has another."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{flag} cannot be read as a command ({error}); close its quotes") from error
    if not words:
        raise UsageError(f"{flag} is empty; give the command that trains and samples")
    for place in needed:
        if f"{{{place}}}" not in command:
            raise UsageError(f"{flag} has no {{{place}}} in it ({command}); write {{{place}}} where it belongs")
    return words


def filled(words: Sequence[str], places: Mapping[str, Any]) -> list[str]:
    """The words with each {place} replaced; other braces stay."""
    found = []
    for word in words:
        for name, value in places.items():
            word = word.replace(f"{{{name}}}", str(value))
        found.append(word)
    return found


def trained_and_sampled(
    command: str, sample_command: str | None, places: Mapping[str, Any], budget: float
) -> dict[str, Any]:
    """Run the command or both under the clock; the parts of a run that follow from it.

    Raises:
        UsageError: a command cannot be started or fails.
        DataError: a training that went on far beyond the budget, or no samples.
    """
    grace = max(GRACE, 0.1 * budget)
    first = _run(filled(words_of(command, "--command"), places), budget + grace, waits_for_stage=sample_command is None)
    if sample_command is None:
        trained = first.stages.get("trained", first.seconds)
        sampling = first.seconds - trained if "trained" in first.stages else None
    else:
        second = _run(filled(words_of(sample_command, "--sample_command"), places), _SAMPLING)
        trained, sampling = first.seconds, second.seconds
        first.facts.update(second.facts)
    if not Path(places["samples"]).exists():
        raise DataError(f"the command of seed {places['seed']} wrote no {{samples}} ({places['samples']}); correct it")
    return {
        "seed": places["seed"],
        "images_seen": first.facts.get("images_seen"),
        "import_seconds": _rounded(first.stages.get("imported")),
        "train_seconds": _rounded(trained),
        "sample_seconds": _rounded(sampling),
        "evaluations": first.facts.get("evaluations"),
        "parameters": first.facts.get("parameters"),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _run(words: Sequence[str], limit: float, *, waits_for_stage: bool = False) -> Timed:
    """One process from its start to its end; stopped after `limit` seconds, unless it said that it has trained."""
    found, shown = Timed(), shlex.join(words)
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace") as said:
        began = time.monotonic()
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, errors="replace",
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(
                f"{words[0]} cannot be started ({error.strerror}); correct the command: {shown}"
            ) from error
        reader = threading.Thread(target=_hear, args=(process, found, lambda: time.monotonic() - began), daemon=True)
        reader.start()
        try:
            while not _ended(process):
                sampling = waits_for_stage and "trained" in found.stages
                if time.monotonic() - began > limit + _SAMPLING * sampling:
                    advice = ', or print {"stage": "trained"} before it samples' if waits_for_stage else ""
                    raise DataError(
                        f"a command was still at work after {limit:.0f} s and was stopped: {shown}; let it keep to "
                        f"{{seconds}}{advice}"
                    )
            found.seconds = time.monotonic() - began
        finally:
            _end(process)
        reader.join(5.0)
        if process.returncode:
            said.seek(0)
            last = next((line.strip() for line in reversed(said.read().splitlines()) if line.strip()), "nothing")
            raise UsageError(f"a command ended with {process.returncode} and said: {last[:300]}; correct it: {shown}")
    return found


def _ended(process: subprocess.Popen[str]) -> bool:
    """Wait a little for the end of the process."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_POLL)
        return True
    return False


def _hear(process: subprocess.Popen[str], found: Timed, now: Callable[[], float]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        found.hear(line, now())


def _end(process: subprocess.Popen[str]) -> None:
    """Nothing that the command started goes on."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
