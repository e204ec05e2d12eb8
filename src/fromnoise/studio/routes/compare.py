"""Runs side by side."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.studio.replies import Json
from fromnoise.studio.security import Refused


def compare(request: Request) -> Response:
    """{settings, measures, notes} of the runs that the query lists, such as ?runs=ID,ID."""
    from fromnoise.studio.comparison import LEAST, MOST, comparison

    chosen = dict.fromkeys(request.query_params.get("runs", "").split(","))
    if not LEAST <= len(chosen) <= MOST:
        raise Refused(400, f"{len(chosen)} runs were chosen; choose {LEAST} to {MOST}")
    folders = [request.app.state.index.folder(run) for run in chosen]
    if None in folders:
        raise HTTPException(404)
    return Json(comparison(folders))


ROUTES = [Route("/api/compare", compare)]
