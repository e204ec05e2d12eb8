"""Renaming runs, deleting them into the trash, and taking them back from there."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.common.errors import BusyError
from fromnoise.run.folder import RunFolder
from fromnoise.studio import trash
from fromnoise.studio.index import run_id
from fromnoise.studio.replies import Json, read_fields
from fromnoise.studio.routes.listed import RUN, listed_folder


def listing(request: Request) -> Response:
    """{trash: [{id, name}]}, the last deleted first."""
    return Json({"trash": [{"id": one, "name": name} for one, name in trash.trashed(request.app.state.root).items()]})


async def rename(request: Request) -> Response:
    """{run}: the id under the new name."""
    wanted = await read_fields(request, {"name": str})
    place = await run_in_threadpool(lambda: trash.rename(request.app.state.root, _idle(request), wanted["name"]))
    return Json({"run": run_id(place.as_posix())})


async def delete(request: Request) -> Response:
    """{deleted}: the id in the trash."""
    await read_fields(request, {})
    return Json({"deleted": await run_in_threadpool(lambda: trash.delete(request.app.state.root, _idle(request)))})


async def restore(request: Request) -> Response:
    """{run}: the id of the run that is back."""
    wanted = await read_fields(request, {"deleted": str})
    place = await run_in_threadpool(trash.restore, request.app.state.root, wanted["deleted"])
    return Json({"run": run_id(place.as_posix())})


def _idle(request: Request) -> RunFolder:
    """The run that the address names; BusyError where one of our commands works on it."""
    folder = listed_folder(request)
    works = request.app.state.tools.states(folder).values()
    if any(work and work["state"] == "running" for work in works):
        raise BusyError(f"a command is at work on {folder.path.name}; wait for it, or stop it")
    return folder


ROUTES = [
    Route("/api/trash", listing),
    Route("/api/trash/restore", restore, methods=["POST"]),
    Route(f"{RUN}/rename", rename, methods=["POST"]),
    Route(f"{RUN}/delete", delete, methods=["POST"]),
]
