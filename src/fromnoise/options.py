"""How every room states its options: a frozen dataclass whose fields carry their own help and limits.

One statement serves the command line, config files, Python and the model card; `checked` refuses a value that
a field does not allow. This file and the `options.py` of each room import no torch.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, Literal, TypeVar

from fromnoise.errors import UsageError, unknown

T = TypeVar("T")


def option(default: Any, help: str, *, least: float | None = None, most: float | None = None) -> Any:
    """A dataclass field with its help text and, for numbers, the least and greatest value allowed."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "most": most})


def kind_of(annotation: Any) -> tuple[Any, tuple[str, ...], bool]:
    """(type, choices, may be None) of a field's annotation: plain types, Literal and `X | None`."""
    optional = False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        optional, annotation = len(inner) < len(typing.get_args(annotation)), inner[0]
    if typing.get_origin(annotation) is Literal:
        return str, tuple(typing.get_args(annotation)), optional
    return typing.get_origin(annotation) or annotation, (), optional


def checked(options: T, section: str = "") -> T:
    """`options` itself when every field holds a value of its type and within its limits.

    Raises UsageError with one sentence that names the field, the value and what is allowed.
    """
    hints = typing.get_type_hints(type(options))
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        name = f"{section}.{field.name}" if section else field.name
        if dataclasses.is_dataclass(value):
            checked(value, name)
            continue
        _check_value(name, value, hints[field.name], field.metadata)
    return options


def _check_value(name: str, value: Any, annotation: Any, limits: Any) -> None:
    kind, choices, optional = kind_of(annotation)
    if value is None and optional:
        return
    if choices:
        if value not in choices:
            raise UsageError(unknown(f"value for {name}", str(value), choices))
        return
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (kind in (int, float) and isinstance(value, bool)):
        wanted = "numbers with commas, such as 0.3,0.8" if kind is tuple else kind.__name__
        raise UsageError(f"{name} is {value!r}, but expected {wanted}; give a value of that kind")
    if kind is float and not math.isfinite(value):
        raise UsageError(f"{name} is {value}, but expected a finite number; give one")
    least, most = limits.get("least"), limits.get("most")
    if least is not None and value < least:
        raise UsageError(f"{name} is {value}, but the least allowed is {least:g}; give a larger value")
    if most is not None and value > most:
        raise UsageError(f"{name} is {value}, but the most allowed is {most:g}; give a smaller value")
