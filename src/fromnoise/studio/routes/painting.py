"""Inpainting by a brush, and the images that it and the microscope begin with."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.common.errors import DataError
from fromnoise.studio.replies import Json, number, read_fields
from fromnoise.studio.routes.data import images_of, in_turn
from fromnoise.studio.routes.listed import RUN, awaited_folder
from fromnoise.studio.routes.playground import HOW, done, seeds
from fromnoise.studio.security import Refused

_PAINTED: dict[str, type] = {"source": str, "number": int, "pixels": str, "mask": str, "resample": int}
_MOST_RESAMPLE = 10


async def image(request: Request) -> Response:
    """{image, pixels, label} of a training or validation image, of the `source` and `number` in the query."""
    folder, source = await awaited_folder(request), request.query_params.get("source", "")
    check_source(source)
    place = int(number(request, "number", 0, -1, 1e15))

    def work() -> dict[str, Any]:
        from fromnoise.run.opened import OpenedRun
        from fromnoise.studio import pictures

        spec = OpenedRun(folder, device="cpu").spec
        return pictures.shown(*pictures.picture(spec, images_of(request), folder, source, place, ""))

    return Json(await in_turn(request, work))


async def take(request: Request) -> Response:
    """{image, pixels, label, size, cropped}: the image file that is the body, at the model's size; nothing is kept."""
    folder, content = await awaited_folder(request), await request.body()

    def work() -> dict[str, Any]:
        from fromnoise.studio import pictures

        try:
            return pictures.dropped(folder, content)
        except DataError as error:
            raise Refused(400, str(error)) from None

    return Json(await in_turn(request, work))


async def inpaint(request: Request) -> Response:
    """An image with what is painted over made again, for `num` seeds from `first` on."""
    wanted = await read_fields(request, {**HOW, **_PAINTED, "first": int, "num": int})
    chosen = seeds(wanted["first"], wanted["num"])
    check_source(wanted["source"])
    if not 1 <= wanted["resample"] <= _MOST_RESAMPLE:
        raise Refused(400, f"resample is not a number from 1 to {_MOST_RESAMPLE}")

    def work(made: Any, models: Any, folder: Any, wish: Any, check: Any) -> dict[str, Any]:
        from fromnoise.studio import painting

        painted = painting.Painted(**{name: wanted[name] for name in _PAINTED})
        return painting.make_inpainting(models, folder, wish, check, images_of(request), painted, chosen)

    return await done(request, wanted, work)


def check_source(source: str) -> None:
    """Refused for images that no page offers."""
    if source not in ("training", "validation", "drawn"):
        raise Refused(400, "source is not training, validation or drawn")


ROUTES = [
    Route(f"{RUN}/image", image),
    Route(f"{RUN}/image", take, methods=["POST"]),
    Route(f"{RUN}/inpaint", inpaint, methods=["POST"]),
]
