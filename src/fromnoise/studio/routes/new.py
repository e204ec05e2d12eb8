"""New runs: what can be chosen, what it would take, and its beginning; stopping and going on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.text import printable
from fromnoise.studio.folders import image_folders
from fromnoise.studio.index import is_run, run_id
from fromnoise.studio.replies import Json, read_fields
from fromnoise.studio.routes.listed import RUN, listed_folder
from fromnoise.studio.trainings import clear_failed, last_lines

_FIELDS: dict[str, type] = {"data": str, "recipe": str, "budget": str, "epochs": float, "seed": int}
_ESTIMATE_SECONDS = 120.0


def choices(request: Request) -> Response:
    """{data: [{key, name, about, count, at_hand}], recipes}: named data sets, those of the runs, and folders."""
    from fromnoise.data.download import available
    from fromnoise.data.registry import DATASETS
    from fromnoise.recipes.recipes import RECIPES

    known = [
        {"key": name, "name": name, "about": one.description, "count": sum(one.counts), "at_hand": available(name)}
        for name, one in DATASETS.items()
    ]
    folders, root = _folders(request), request.app.state.root
    here = {"about": "", "count": None, "at_hand": True}
    known += [{"key": f"folder:{one}", "name": printable(f"./{place}"), **here} for one, place in folders.items()]
    listed = {os.path.realpath(root / place) for place in folders.values()}
    sources = {source: run for run, source in _sources(request).items() if source not in DATASETS}
    known += [
        {"key": f"run:{run}", "name": printable(source), **here}
        for source, run in sources.items()
        if os.path.realpath(source) not in listed
    ]
    return Json({"data": known, "recipes": list(RECIPES)})


async def estimate(request: Request) -> Response:
    """What `fromnoise train ... --dry_run --json` prints; a newer wish ends an older."""
    wanted = await read_fields(request, _FIELDS)
    chosen = await run_in_threadpool(_words, request, wanted)
    words = ["train", *chosen, "--output_dir", str(request.app.state.root / ".estimate"), "--dry_run"]
    state = request.app.state
    if state.estimate is not None and state.estimate.returncode is None:
        state.estimate.kill()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fromnoise", *words, "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    state.estimate = process
    try:
        out, err = await asyncio.wait_for(process.communicate(), _ESTIMATE_SECONDS)
    except TimeoutError:
        process.kill()
        raise UsageError("the estimate took too long; begin the run, which says its pace after a few steps") from None
    if process.returncode != 0:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(lines[-1].removeprefix("fromnoise: ") if lines else "another estimate took its place")
    return Json(json.loads(out))


async def begin(request: Request) -> Response:
    """Begin a run; {run} is its id, which is listed in a moment."""
    wanted = await read_fields(request, {**_FIELDS, "name": str})
    state = request.app.state
    path = await run_in_threadpool(lambda: state.trainings.begin(state.root, wanted["name"], _words(request, wanted)))
    return Json({"run": run_id(path.relative_to(state.root).as_posix())})


async def enqueue(request: Request) -> Response:
    """Begin a run after those that train or wait; {waiting}: the names in the queue."""
    wanted = await read_fields(request, {**_FIELDS, "name": str})
    state = request.app.state
    await run_in_threadpool(lambda: state.trainings.enqueue(state.root, wanted["name"], _words(request, wanted)))
    return await run_in_threadpool(queue, request)


async def leave(request: Request) -> Response:
    """Take a run out of the queue; {waiting}."""
    wanted = await read_fields(request, {"name": str})
    await run_in_threadpool(request.app.state.trainings.leave, wanted["name"])
    return await run_in_threadpool(queue, request)


def queue(request: Request) -> Response:
    """{waiting}: the names of the runs in the queue, the next one first."""
    trainings = request.app.state.trainings
    trainings.advance()
    return Json({"waiting": trainings.waiting})


def begun(request: Request) -> Response:
    """{listed, failed, lines} of a run that was begun here a moment ago."""
    trainings = request.app.state.trainings
    path = trainings.begun(request.path_params["name"])
    if path is None:
        raise HTTPException(404)
    code = trainings.ended(path)
    lines, listed = last_lines(path), (path / "config.json").is_file()
    failed = code is not None and code != 0 and not listed
    if failed:
        clear_failed(path)
    return Json({"listed": listed, "failed": failed, "lines": lines})


async def stop(request: Request) -> Response:
    """Save and stop."""
    await read_fields(request, {})
    await run_in_threadpool(lambda: request.app.state.trainings.stop(listed_folder(request)))
    return Json({})


async def resume(request: Request) -> Response:
    """Go on."""
    await read_fields(request, {})
    await run_in_threadpool(lambda: request.app.state.trainings.resume(listed_folder(request)))
    return Json({})


def _words(request: Request, wanted: dict[str, Any]) -> list[str]:
    """The words of the command line for what was chosen; UsageError for what cannot be."""
    from fromnoise.data.registry import DATASETS
    from fromnoise.recipes.recipes import RECIPES

    source, recipe = wanted["data"], wanted["recipe"]
    if source.startswith("run:"):
        source = _sources(request).get(source.removeprefix("run:"))
    elif source.startswith("folder:"):
        place = _folders(request).get(source.removeprefix("folder:"))
        source = None if place is None else str((request.app.state.root / place).absolute())
    elif source not in DATASETS:
        source = None
    if source is None or recipe not in RECIPES:
        raise HTTPException(404)
    if wanted["budget"]:
        parse_duration(wanted["budget"])
        length = ["--budget", wanted["budget"]]
    elif 0 < wanted["epochs"] <= 1e6:
        length = ["--num_epochs", f"{wanted['epochs']:g}"]
    else:
        raise UsageError("no length was given; choose a time or a number of epochs")
    source = f"./{source}" if source.startswith("-") else source  # or it would be read as a flag
    return [source, "--recipe", recipe, *length, f"--seed={wanted['seed']}"]


def _folders(request: Request) -> dict[str, str]:
    """Folders of images below that of the runs, by their ids; none where the studio shows one run alone."""
    root = request.app.state.root
    return {} if is_run(root) else image_folders(root)


def _sources(request: Request) -> dict[str, str]:
    """Where the images of each listed run are, by its id."""
    index = request.app.state.index
    return {run: row["source"] for run, row in index.rows().items() if row["source"]}


ROUTES = [
    Route("/api/new", choices),
    Route("/api/new/estimate", estimate, methods=["POST"]),
    Route("/api/new/begin", begin, methods=["POST"]),
    Route("/api/new/queue", queue),
    Route("/api/new/enqueue", enqueue, methods=["POST"]),
    Route("/api/new/leave", leave, methods=["POST"]),
    Route("/api/new/begun/{name:str}", begun),
    Route(f"{RUN}/stop", stop, methods=["POST"]),
    Route(f"{RUN}/resume", resume, methods=["POST"]),
]
