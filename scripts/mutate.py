"""Damage of every kind, to the bytes of a file or to a value in it: a function of the content and a name."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, [], {}, "", "x", 0, 1, -1, 0.5, 10**6, 2**31, 2**63, 2**64, 10**30, 1e308, -1e308,
    math.nan, math.inf, -math.inf, [None], ["x"], [-1], [[]], {"a": 1}, {"": None}, "9" * 5000, "nan", "\x1b[31m",
    "\ud800", "\0", "../../etc/passwd", "/dev/zero", "os.system", [0] * 1000,
)  # fmt: skip
TOKENS = (
    b"{", b"[", b"(", b"}", b"]", b")", b'"', b"'", b",", b":", b"\0", b"\x1b[2J", b"\xff\xfe", b"\xef\xbb\xbf", b"\n",
    b"\r\n", b"null", b"NaN", b"-1", b"1e999", b"99999999999999999999", b"__import__('os')", b"%s%n", b"../",
    b"[" * 99999,
)  # fmt: skip


def damaged(whole: bytes, name: str) -> bytes:
    """`whole`, damaged in one to three places; the same for the same name."""
    rng, content = random.Random(name), whole
    while content == whole:
        if rng.random() < 0.5 and (other := _structured(whole, rng)) is not None:
            return other
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            content = rng.choice(WAYS)(bytearray(content), rng)
    return content


def _flip(content: bytearray, rng: random.Random) -> bytes:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _overwrite(content: bytearray, rng: random.Random) -> bytes:
    """A number where another was: sizes and offsets become 0, -1 or very large."""
    width = rng.choice((1, 2, 4, 8))
    place = _place(content, rng)
    value = rng.choice((0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 1) - 1, rng.randrange(256)))
    content[place : place + width] = value.to_bytes(width, rng.choice(("little", "big")))
    return bytes(content)


def _cut(content: bytearray, rng: random.Random) -> bytes:
    return bytes(content[: _place(content, rng)])


def _drop(content: bytearray, rng: random.Random) -> bytes:
    place = _place(content, rng)
    del content[place : place + rng.choice((1, 2, 4, 16, 200))]
    return bytes(content)


def _repeat(content: bytearray, rng: random.Random) -> bytes:
    place = _place(content, rng)
    piece = content[place : place + rng.choice((1, 2, 8, 64, 500))]
    return bytes(content[:place] + piece * rng.choice((2, 3, 50)) + content[place:])


def _insert(content: bytearray, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return bytes(content[:place] + (rng.choice(TOKENS) if rng.random() < 0.6 else rng.randbytes(9)) + content[place:])


def _zero(content: bytearray, rng: random.Random) -> bytes:
    place, size = _place(content, rng), rng.choice((4, 32, 512))
    content[place : place + size] = bytes(size)
    return bytes(content)


def _place(content: bytearray, rng: random.Random) -> int:
    """Anywhere, but most headers are at the start."""
    limit = min(len(content), 128) if rng.random() < 0.5 else len(content)
    return rng.randrange(limit + 1)


WAYS: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    _flip,
    _overwrite,
    _cut,
    _drop,
    _repeat,
    _insert,
    _zero,
)


def _structured(content: bytes, rng: random.Random) -> bytes | None:
    """Valid JSON, lines of JSON or TOML with another value in one place; None where `content` is neither."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    try:
        return json.dumps(_replaced(json.loads(text), rng)).encode()
    except ValueError:
        pass
    lines = text.splitlines()
    if lines and re.match(r'\{"', lines[0]):
        row = rng.randrange(len(lines))
        lines[row] = json.dumps(_replaced(json.loads(lines[row]), rng))
    elif rows := [row for row, line in enumerate(lines) if re.match(r"\w+ = ", line)]:
        row = rng.choice(rows)
        lines[row] = lines[row].partition(" = ")[0] + " = " + _toml(rng.choice(HOSTILE))
    else:
        return None
    return ("\n".join(lines) + "\n").encode()


def _toml(value: Any) -> str:
    plain = json.dumps(value)
    return plain.lower() if plain.strip("-") in ("NaN", "Infinity") else plain


def _replaced(value: Any, rng: random.Random) -> Any:
    """`value` with something else at a random place of its tree: another value, or nothing at all."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: held for name, held in value.items() if name != key}
        return {**value, key: _replaced(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], _replaced(value[place], rng), *value[place + 1 :]]
    return rng.choice(HOSTILE)
