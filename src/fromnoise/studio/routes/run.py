"""One run, while it trains and after."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.common.text import quoted
from fromnoise.run.folder import RunFolder
from fromnoise.run.status import status_of
from fromnoise.studio.replies import Json, number, tag_of, tagged
from fromnoise.studio.resources import resources
from fromnoise.studio.routes.listed import RUN, listed_file, listed_folder
from fromnoise.studio.series import Window
from fromnoise.studio.summary import previews
from fromnoise.studio.trainings import last_lines
from fromnoise.train.checkpoint_files import list_checkpoints

_MOST_POINTS = 2000


def about(request: Request) -> Response:
    """{row, count, notes, classes, settings, resume, ...}: what a run is, and how it stands."""
    folder = listed_folder(request)
    record = folder.read_record()
    data, spec = record["data"], record["spec"]
    return Json(
        {
            **_moment(request, folder),
            "count": data["count"],
            "notes": data["notes"],
            "classes": spec["classes"],
            "shape": [spec["channels"], spec["height"], spec["width"]],
            "parameters": record.get("parameters"),
            "settings": record["settings"],
            "resume": f"fromnoise train --resume {quoted(folder.path)}",
        }
    )


async def live(request: Request) -> Response:
    """Events `run`: of what changes while a run trains the parts that did; `ended` at once for one that is not there.

    A page that was hidden asks again, and a browser does not tell it of a 404.
    """
    answer: Response = request.app.state.streams.respond("run", lambda: _moment(request, listed_folder(request)))
    return answer


def curves(request: Request) -> Response:
    """The curves of the part of the axis that is shown: see `fromnoise.studio.series.curves`."""
    folder, far = listed_folder(request), 1e300
    window = Window(
        by="seconds" if request.query_params.get("by") == "seconds" else "images",
        first=number(request, "first", -far, -far, far),
        last=number(request, "last", far, -far, far),
        points=int(number(request, "points", 600, 10, _MOST_POINTS)),
        smoothing=number(request, "smoothing", 0.04, 0.0, 0.5),
    )
    return Json(request.app.state.logs.curves(folder.metrics, window))


def preview(request: Request) -> Response:
    """The preview after so many images, one of those that `live` lists."""
    folder, images = listed_folder(request), request.path_params["images"]
    if images not in previews(folder):
        raise HTTPException(404)
    content = listed_file(folder, folder.samples / f"preview-{images:08d}.png")
    return tagged(request, content, tag_of(content), "image/png")


def _moment(request: Request, folder: RunFolder) -> dict[str, Any]:
    """What changes while a run trains."""
    row = request.app.state.index.row(request.path_params["run"])
    if row is None:
        raise HTTPException(404)
    status = status_of(folder)
    return {
        "row": row,
        "previews": previews(folder),
        "lines": list(status.lines) or last_lines(folder.path),
        "resources": resources(folder, status) if row["state"] == "training" else None,
        "checkpoints": [int(path.name) for path in list_checkpoints(folder.checkpoints)],
    }


ROUTES = [
    Route(RUN, about),
    Route(f"{RUN}/live", live),
    Route(f"{RUN}/curves", curves),
    Route(f"{RUN}/previews/{{images:int}}", preview),
]
