"""The page itself: the files beside this package, by their listed names; and whether it is open."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fromnoise.studio.replies import tag_of, tagged

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def page(request: Request) -> Response:
    """The one page; every view is made by its scripts."""
    return _file(request, "index.html")


async def still_open(request: Request) -> Response:
    """A page that is open says so now and then."""
    request.app.state.streams.heard()
    return Response(status_code=204)


def part(request: Request) -> Response:
    """A script or a style of the page."""
    return _file(request, request.path_params["name"])


def _file(request: Request, name: str) -> Response:
    if name not in _parts():
        raise HTTPException(404)
    content, tag = _parts()[name]
    return tagged(request, content, tag, _KINDS[name.rpartition(".")[2]])


@cache
def _parts() -> dict[str, tuple[bytes, str]]:
    """{name: (content, tag)} of every file of the page."""
    found: dict[str, tuple[bytes, str]] = {}

    def look(folder: Traversable, before: str) -> None:
        for one in folder.iterdir():
            if one.is_dir():
                look(one, f"{before}{one.name}/")
            elif one.name.rpartition(".")[2] in _KINDS:
                content = one.read_bytes()
                found[before + one.name] = content, tag_of(content)

    look(files("fromnoise.studio") / "page", "")
    return found


ROUTES = [Route("/", page), Route("/page/{name:path}", part), Route("/api/open", still_open)]
