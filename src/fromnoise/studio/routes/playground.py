"""The playground of a run: samples, interpolations and variations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.studio.replies import Json, read_fields
from fromnoise.studio.routes.listed import RUN, listed_folder
from fromnoise.studio.security import Refused
from fromnoise.studio.work import Check

HOW: dict[str, type] = {  # the fields of every wish
    "page": str,
    "checkpoint": str,
    "weights": str,
    "label": list,
    "conditions": dict,
    "sampler": str,
    "grid": str,
    "steps": int,
    "guidance_scale": float,
    "guidance_interval": list,
}
_MOST_NUMBER = 1e30  # far within float32, which networks take
_MOST_SEED = 2**53 - 65  # that JavaScript counts to


def choices(request: Request) -> Response:
    """What can be chosen, and what the run itself samples with."""
    from fromnoise.studio import sampling

    return Json(sampling.choices(listed_folder(request)))


async def sample(request: Request) -> Response:
    """Samples of `num` seeds from `first` on; `film`: with the images after each step."""
    wanted = await read_fields(request, {**HOW, "first": int, "num": int, "film": bool})
    chosen = seeds(wanted["first"], wanted["num"])
    return await done(request, wanted, lambda made, *rest: made.make_samples(*rest, chosen, wanted["film"]))


async def interpolate(request: Request) -> Response:
    """Images from the seed `first` to the seed `second`."""
    wanted = await read_fields(request, {**HOW, "first": int, "second": int})
    ends = [*seeds(wanted["first"], 1), *seeds(wanted["second"], 1)]
    return await done(request, wanted, lambda made, *rest: made.make_interpolation(*rest, ends))


async def vary(request: Request) -> Response:
    """Variations of the training image number `image`, for `num` seeds from `first` on."""
    wanted = await read_fields(request, {**HOW, "image": int, "strength": float, "first": int, "num": int})
    chosen, image, strength = seeds(wanted["first"], wanted["num"]), wanted["image"], float(wanted["strength"])
    return await done(request, wanted, lambda made, *rest: made.make_variations(*rest, image, strength, chosen))


async def done(request: Request, wanted: dict[str, Any], work: Callable[..., dict[str, Any]]) -> Response:
    """Put `work` into the queue, and answer with what it makes of the module, models, folder, wish and check."""
    page, label, interval = wanted["page"], wanted["label"], wanted["guidance_interval"]
    if not (page.isalnum() and page.isascii() and 8 <= len(page) <= 40):
        raise Refused(400, "page is not a name of letters and digits")
    if len(label) > 1 or not all(isinstance(one, str) for one in label):
        raise Refused(400, "label is not a list of at most one class")
    if len(interval) not in (0, 2) or not all(isinstance(one, int | float) and one == one for one in interval):
        raise Refused(400, "guidance_interval is not a list of two times")
    if not all(type(one) in (int, float) and abs(one) <= _MOST_NUMBER for one in wanted["conditions"].values()):
        raise Refused(400, f"conditions is not an object of numbers from {-_MOST_NUMBER:g} to {_MOST_NUMBER:g}")

    state = request.app.state

    def whole(check: Check) -> dict[str, Any]:
        from fromnoise.studio import sampling  # loads torch, which looking at runs does not need

        folder = listed_folder(request)  # not before: while one wish waits for the index, a newer one may pass it
        state.models = state.models or sampling.Models()
        settings = {name: wanted[name] for name in ("sampler", "grid", "steps")}
        settings |= {"guidance_scale": float(wanted["guidance_scale"])}
        settings |= {"guidance_interval": tuple(map(float, interval)) or None}
        conditions = {name: float(one) for name, one in wanted["conditions"].items()}
        weights = wanted["checkpoint"], wanted["weights"]
        wish = sampling.Wish(*weights, label[0] if label else None, settings, conditions)
        return work(sampling, state.models, folder, wish, check)

    return Json(await state.queue.do(page, whole))


def seeds(first: int, num: int) -> list[int]:
    """`num` seeds from `first` on; Refused for what no page asks for."""
    if not 0 <= first <= _MOST_SEED or not 1 <= num <= 64:
        raise Refused(400, "seeds go from 0 on, and at most 64 images are made at once")
    return list(range(first, first + num))


ROUTES = [
    Route(f"{RUN}/playground", choices),
    Route(f"{RUN}/sample", sample, methods=["POST"]),
    Route(f"{RUN}/interpolate", interpolate, methods=["POST"]),
    Route(f"{RUN}/vary", vary, methods=["POST"]),
]
