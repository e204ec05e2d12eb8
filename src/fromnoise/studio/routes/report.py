"""The report of a run, made from what is in its folder now; nothing is written."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.studio.routes.listed import RUN, listed_folder


def report(request: Request) -> Response:
    """The report as `fromnoise show` and the others write it."""
    from fromnoise.run.opened import OpenedRun
    from fromnoise.run.report import report_page

    return Response(report_page(OpenedRun(listed_folder(request))), media_type="text/html")


ROUTES = [Route(f"{RUN}/report", report)]
