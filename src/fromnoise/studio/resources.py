"""What a training takes of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fromnoise.run.folder import RunFolder
from fromnoise.run.status import Status


def resources(folder: RunFolder, status: Status) -> dict[str, Any]:
    """{memory, cpus, load}: bytes that the process holds, CPUs here, the load of the last minute; None if not known."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"memory": _memory(status.process), "cpus": os.cpu_count(), "load": load and round(load, 1)}


def _memory(process: int | None) -> int | None:
    """Bytes in memory of a process, which Linux tells."""
    try:
        text = Path(f"/proc/{process}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
