"""A run that many processes train: the first makes or finds its folder, and the others take it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import FromNoiseError
from fromnoise.common.options import from_dict
from fromnoise.common.progress import stay_silent
from fromnoise.common.threads import THREADS
from fromnoise.common.version import __version__
from fromnoise.data.loading import load
from fromnoise.run.create import Begun
from fromnoise.run.unwritten import FollowedFolder
from fromnoise.settings import Settings
from fromnoise.train.distributed import Group, join


def join_training() -> Group:
    """The group of this process; its part of the CPUs is chosen, and only the first process reports."""
    group = join()
    if group.world > 1:
        THREADS.share(group.local_world, lambda number: -int(group.max_(torch.tensor(-number))))
        if group.rank:
            stay_silent()
    return group


def begin_together(
    group: Group,
    begin: Callable[[], Begun],
    source: str | None,
    requested: Mapping[str, Any],
) -> Begun:
    """`begin` in process 0; the others take up the run that it made or found, with images that each loads itself.

    Arguments:
        source: where this process finds the images, None where the run knows.
        requested: what was asked for, name -> value; it has to be the same in all processes.

    Raises what `begin` raises, and UsageError or DataError where the processes differ.
    """
    if group.world == 1:
        return begin()
    group.same({"fromnoise": __version__, "torch": torch.__version__, **requested})
    answer = requested.get("train.answer_within")
    if isinstance(answer, str):  # reading the images in process 0 may take as long
        group.wait_for(group.each(lambda: parse_duration(answer)))
    begun = group.each(lambda: begin() if group.rank == 0 else None)
    about = None if begun is None else (str(begun.folder.path), begun.folder.read_record(), begun.download_seconds)
    found = group.broadcast(about)
    assert found is not None
    try:
        taken = group.each(lambda: begun or _take_up(found, source))
        group.same({"the images": taken.data.fingerprint})
    except FromNoiseError:
        if begun is not None and begun.changes is None:  # this made the folder
            begun.folder.uncreate()
        raise
    return taken


def _take_up(found: tuple[str, dict[str, Any], float], source: str | None) -> Begun:
    path, record, download_seconds = found
    options = from_dict(Settings(), record["settings"]).data
    images = load(replace(options, source=source or options.source))
    return Begun(FollowedFolder(Path(path), record), images, download_seconds)
