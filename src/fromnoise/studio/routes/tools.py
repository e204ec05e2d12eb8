"""Verbs on a run as buttons: figures, diagnosis, evaluation, exports."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from fromnoise.studio.replies import Json, read_fields
from fromnoise.studio.routes.listed import RUN, awaited_folder, check_inside, listed_folder
from fromnoise.studio.tools import EXPORTS, exported


async def live(request: Request) -> Response:
    """Events `tools`: {tools, exports}, of which the parts that changed; `ended` where the run is not there."""
    state = request.app.state

    def look() -> dict[str, Any]:
        folder = listed_folder(request)
        return {"tools": state.tools.states(folder), "exports": exported(folder)}

    answer: Response = state.streams.respond("tools", look)
    return answer


async def begin(request: Request) -> Response:
    """Begin the tool `name`."""
    wanted = await read_fields(request, {"name": str})
    request.app.state.tools.begin(await awaited_folder(request), wanted["name"])
    return Json({})


async def stop(request: Request) -> Response:
    """Stop the tool `name`."""
    wanted = await read_fields(request, {"name": str})
    request.app.state.tools.stop(await awaited_folder(request), wanted["name"])
    return Json({})


def export(request: Request) -> Response:
    """A file of exports/, to be saved and not to be shown."""
    folder, name = listed_folder(request), request.path_params["name"]
    if name not in exported(folder):
        raise HTTPException(404)
    path = folder.path / EXPORTS / name
    check_inside(folder, path)
    return FileResponse(path, media_type="application/octet-stream", filename=name)


ROUTES = [
    Route(f"{RUN}/tools/live", live),
    Route(f"{RUN}/tools/begin", begin, methods=["POST"]),
    Route(f"{RUN}/tools/stop", stop, methods=["POST"]),
    Route(f"{RUN}/exports/{{name:str}}", export),
]
