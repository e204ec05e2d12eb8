"""Runs and their files by listed names: what is not listed, or is a link that leads away, is not there."""

from __future__ import annotations

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fromnoise.common.files import read_regular
from fromnoise.run.folder import RunFolder

RUN = "/api/runs/{run:str}"
"""The address of a run, which `listed_folder` reads."""

MOST_FILE_BYTES = 64_000_000


def listed_folder(request: Request) -> RunFolder:
    """The folder of the run that the address names; 404 where it is not listed."""
    folder: RunFolder | None = request.app.state.index.folder(request.path_params["run"])
    if folder is None:
        raise HTTPException(404, "this run is not there: it was removed or renamed; choose one in the list of runs")
    return folder


async def awaited_folder(request: Request) -> RunFolder:
    """`listed_folder` for a route that others must not wait for: the index may be looking at a slow disk."""
    return await run_in_threadpool(listed_folder, request)


def listed_file(folder: RunFolder, path: Path) -> bytes:
    """The content of `path`, a file that really lies in `folder`; 404 where it does not."""
    check_inside(folder, path)
    try:
        return read_regular(path, MOST_FILE_BYTES)
    except OSError:
        raise HTTPException(404) from None


def check_inside(folder: RunFolder, path: Path) -> None:
    """404 for a `path` that does not really lie in `folder`, as a link need not."""
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.path.resolve())
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise HTTPException(404)
