"""Answers and what a client sends: JSON, in which numbers that it lacks are null, and files with a tag."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response

from fromnoise.common.stored_json import finite
from fromnoise.studio.security import Refused


class Json(Response):
    """An answer in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The content in UTF-8."""
        return to_json(content).encode("utf-8", "replace")


def tag_of(content: bytes) -> str:
    """What tells a file's content from any other."""
    return f'"{sha256(content).hexdigest()[:20]}"'


def tagged(request: Request, content: bytes, tag: str, kind: str) -> Response:
    """A file of the media type `kind`, which a browser asks for each time, and gets where it has another."""
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


def to_json(content: Any) -> str:
    """`content` as JSON in one line."""
    return json.dumps(finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


async def read_fields(request: Request, fields: Mapping[str, type]) -> dict[str, Any]:
    """The JSON object of a body, with these fields and no others, each of its type; Refused for anything else."""
    content = await request.body()
    try:
        value = json.loads(content, parse_constant=_not_json, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(value, dict) or set(value) != set(fields):
        raise Refused(400, f"expected an object with the fields {', '.join(fields) or 'none'}")
    for name, kind in fields.items():
        if type(value[name]) is not kind and not (kind is float and type(value[name]) is int):
            raise Refused(400, f"{name} is not of the type {kind.__name__}")
    return value


def number(request: Request, name: str, default: float, least: float, most: float) -> float:
    """A number of the query, brought into its range; Refused for what is not a number."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refused(400, f"{name} is not a number")
    return min(max(value, least), most)


def _not_json(text: str) -> NoReturn:
    raise ValueError(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names differ."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found
