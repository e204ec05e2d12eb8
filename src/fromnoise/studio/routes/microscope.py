"""The microscope of a run: one image and its noise, and the way of one seed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.studio.replies import read_fields
from fromnoise.studio.routes.data import images_of
from fromnoise.studio.routes.listed import RUN
from fromnoise.studio.routes.painting import check_source
from fromnoise.studio.routes.playground import HOW, done, seeds
from fromnoise.studio.security import Refused

_SLIDE: dict[str, type] = {
    "source": str,
    "number": int,
    "pixels": str,
    "part": float,
    "seed": int,
    "neighbours": bool,
}


async def look(request: Request) -> Response:
    """An image with noise, and what the network predicts."""
    wanted = await read_fields(request, {**HOW, **_SLIDE})
    (seed,) = seeds(wanted["seed"], 1)
    check_source(wanted["source"])

    def work(made: Any, models: Any, folder: Any, wish: Any, check: Any) -> dict[str, Any]:
        from fromnoise.studio import microscope

        part = float(wanted["part"])
        slide = microscope.Slide(wanted["source"], wanted["number"], wanted["pixels"], part, seed, wanted["neighbours"])
        return microscope.look(models, folder, wish, check, images_of(request), slide)

    return await done(request, wanted, work)


async def walk(request: Request) -> Response:
    """The steps of one or two samplers from the same noise."""
    wanted = await read_fields(request, {**HOW, "seed": int, "samplers": list})
    (seed,) = seeds(wanted["seed"], 1)
    samplers = wanted["samplers"]
    if not 1 <= len(samplers) <= 2 or not all(isinstance(one, str) for one in samplers):
        raise Refused(400, "samplers is not a list of one or two names")

    def work(made: Any, models: Any, folder: Any, wish: Any, check: Any) -> dict[str, Any]:
        from fromnoise.studio import microscope

        return microscope.walk(models, folder, wish, check, samplers, seed)

    return await done(request, wanted, work)


ROUTES = [Route(f"{RUN}/look", look, methods=["POST"]), Route(f"{RUN}/walk", walk, methods=["POST"])]
