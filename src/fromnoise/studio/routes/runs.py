"""The table of all runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.common.text import printable
from fromnoise.studio.replies import Json


def all_runs(request: Request) -> Response:
    """{folder, runs: [row, ...]}: see `fromnoise.studio.summary`."""
    state = request.app.state
    return Json({"folder": printable(str(state.root)), "runs": list(state.index.rows().values())})


async def live(request: Request) -> Response:
    """Events `runs`: the rows that changed, by id, and the ids of those that are gone."""
    state = request.app.state
    answer: Response = state.streams.respond("runs", state.index.rows)
    return answer


ROUTES = [Route("/api/runs", all_runs), Route("/api/runs/live", live)]
