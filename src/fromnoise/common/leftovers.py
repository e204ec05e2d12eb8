"""Half-written files that a killed process left: their names, and how they are swept.

    .<12 hexadecimal digits>-<process>-<machine>.tmp      of `fromnoise.common.files.replacing`, and staged folders
    .config.json.<process>, .metrics.jsonl.<process> ...  of earlier versions

Swept is what bears such a name and whose process has ended on this machine. What another machine wrote stays, and all
of it where no process can be asked, unless only the caller may write in the folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

_OURS = re.compile(r"\.[0-9a-f]{12}(?:-(?P<process>[0-9]{1,9})-(?P<machine>[0-9a-f]{6}))?\.tmp")
_FORMER = re.compile(
    r"\.(?:config\.json|config\.toml|metrics\.jsonl|best\.json|best|rows-[0-9a-f]{16}\.npz"
    r"|classifier-[0-9a-f]{16}\.(?:safetensors|json))[.-](?P<process>[0-9]{1,9})"
)


def temporary_name() -> str:
    """A name for a file or folder that is being written, which tells whose it is."""
    return f".{uuid.uuid4().hex[:12]}-{os.getpid()}-{_machine()}.tmp"


def sweep(folder: Path, *, alone: bool = False, folders: bool = False) -> None:
    """Delete what ended processes left half written in `folder`, not in folders below it; what resists stays.

    alone: nobody else may write there, so that all such files were left. folders: those that bear such a name, too.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            name = _OURS.fullmatch(path.name) or _FORMER.fullmatch(path.name)
            if name is None or path.is_symlink() or not (alone or _ended(name)):
                continue
            if folders and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_file():
                with suppress(OSError):
                    path.unlink()


def _ended(name: re.Match[str]) -> bool:
    """Whether the process that a file's name tells was one of this machine, and has ended."""
    parts = name.groupdict()
    known = parts["process"] is not None and parts.get("machine", _machine()) == _machine()
    return known and os.name != "nt" and not _alive(int(parts["process"]))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]
