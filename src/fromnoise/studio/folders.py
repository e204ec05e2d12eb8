"""Folders of images below the folder of runs: found by looking, and named by a digest, as runs are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fromnoise.data.formats import is_readable
from fromnoise.studio.index import is_run, run_id

MOST = 200
_DEEPEST = 4
_MOST_LOOKED = 5000  # folders
_LEAST = 2  # images in a folder that is listed


def image_folders(root: Path) -> dict[str, str]:
    """{id: place below `root`} of the folders that hold images, by their places: their own, or in folders of classes.

    Nothing is listed inside of runs and of hidden folders, and links are not followed.
    """
    places = sorted(_holding(root))
    above = {parent for place in places for parent in Path(place).parents if parent.parts}
    every = sorted({*places, *(parent.as_posix() for parent in above)})
    return {run_id(place): place for place in every[:MOST]}


def _holding(root: Path) -> Iterator[str]:
    """Places of folders with images of their own."""
    waiting, looked = [(root, 0)], 0
    while waiting and looked < _MOST_LOOKED:
        folder, depth = waiting.pop()
        looked += 1
        images = 0
        try:
            with os.scandir(folder) as entries:
                for one in entries:
                    if one.name.startswith("."):
                        continue
                    if one.is_dir(follow_symlinks=False):
                        if depth < _DEEPEST and not is_run(folder / one.name):
                            waiting.append((folder / one.name, depth + 1))
                    elif images < _LEAST and is_readable(Path(one.name).suffix.lower()):
                        images += one.is_file(follow_symlinks=False)
        except OSError:
            continue
        if images >= _LEAST and folder != root:
            yield folder.relative_to(root).as_posix()
