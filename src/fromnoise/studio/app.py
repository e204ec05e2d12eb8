"""The application: routes behind the guard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from fromnoise.common.errors import BusyError, FromNoiseError, UsageError
from fromnoise.studio.index import RunIndex
from fromnoise.studio.live import Streams
from fromnoise.studio.replies import Json
from fromnoise.studio.routes import ROUTES
from fromnoise.studio.security import Access, Guard, Refused, refusal
from fromnoise.studio.series import Logs
from fromnoise.studio.tools import Tools
from fromnoise.studio.trainings import Trainings
from fromnoise.studio.work import Queue


def build_app(root: Path, access: Access) -> Starlette:
    """The studio on the runs below `root`."""
    handlers: dict[Any, Any] = {Refused: refusal, HTTPException: _status, FromNoiseError: _mistake}
    app = Starlette(routes=ROUTES, exception_handlers=handlers, middleware=[Middleware(Guard, access=access)])
    app.router.redirect_slashes = False
    app.state.root, app.state.index, app.state.logs, app.state.streams = root, RunIndex(root), Logs(), Streams()
    app.state.queue, app.state.models, app.state.data = Queue(), None, None
    app.state.trainings, app.state.tools, app.state.estimate = Trainings(), Tools(), None
    return app


def _status(_: Request, error: Exception) -> Response:
    """What has no route, or not this method."""
    assert isinstance(error, HTTPException)
    return Json({"error": error.detail}, error.status_code)


def _mistake(_: Request, error: Exception) -> Response:
    """A sentence of ours: 400 for a wrong setting, 409 for a run that is in use or cannot be read."""
    wrong = isinstance(error, UsageError)
    return Json(
        {"error": str(error)}, 400 if wrong else 409, {"retry-after": "5"} if isinstance(error, BusyError) else None
    )
