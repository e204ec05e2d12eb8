"""The images that a run was trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.studio.replies import Json, number
from fromnoise.studio.routes.listed import RUN, awaited_folder

if TYPE_CHECKING:
    from fromnoise.studio.run_data import RunData

T = TypeVar("T")


async def about(request: Request) -> Response:
    """What `fromnoise data inspect --json` prints, and how many the run trains on."""
    folder = await awaited_folder(request)
    return Json(await in_turn(request, lambda: images_of(request).inspection(folder)))


async def images(request: Request) -> Response:
    """A page of a grid of training images; `label` is the number of a class, or left out."""
    folder = await awaited_folder(request)
    label = int(number(request, "label", -1, -1, 1e9))
    page = int(number(request, "page", 0, 0, 1e9))
    content = await in_turn(request, lambda: images_of(request).figure(folder, None if label < 0 else label, page))
    return Response(content, media_type="image/png")


async def in_turn(request: Request, work: Callable[[], T]) -> T:
    """What `work` returns, when its turn in the queue has come."""
    found: T = await request.app.state.queue.do(uuid4().hex, lambda check: work())
    return found


def images_of(request: Request) -> RunData:
    """The images of all runs, of which the last ones stay in memory."""
    from fromnoise.studio.run_data import RunData  # loads torch, which looking at runs does not need

    state = request.app.state
    state.data = state.data or RunData()
    found: RunData = state.data
    return found


ROUTES = [Route(f"{RUN}/data", about), Route(f"{RUN}/data/images", images)]
