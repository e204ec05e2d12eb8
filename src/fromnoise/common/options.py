"""Options: frozen dataclasses whose fields carry their own help and limits, alone or as sections of one tree.

`checked` refuses a value that a field does not allow. A tree is a dataclass whose fields are such dataclasses; its
settings have dotted names, `train.learning_rate`. An unknown name is answered with the nearest one. No torch here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import UsageError, closest, unknown

T = TypeVar("T")
# The types of a dataclass's fields, read once: that takes a millisecond, and a command asks hundreds of times.
_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)


def option(
    default: Any, help: str, *, least: float | None = None, most: float | None = None, duration: bool = False
) -> Any:
    """A dataclass field with its help text and, for numbers, the least and greatest value allowed.

    duration: a text such as "3m"; 180s and 3m are then the same value.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "least": least, "most": most, "duration": duration}
    )


def kind_of(annotation: Any) -> tuple[Any, tuple[str, ...], bool]:
    """(type, choices, may be None) of a field's annotation: plain types, Literal and `X | None`."""
    inner = _inner(annotation)
    optional, annotation = inner is not annotation, inner
    if typing.get_origin(annotation) is Literal:
        return str, tuple(typing.get_args(annotation)), optional
    return typing.get_origin(annotation) or annotation, (), optional


def _inner(annotation: Any) -> Any:
    """X of the annotation `X | None`; any other as it is."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    return next(part for part in typing.get_args(annotation) if part is not type(None))


def checked(options: T, section: str = "") -> T:
    """`options` itself when every field holds a value of its type and within its limits.

    Raises UsageError with one sentence that names the field, the value and what is allowed.
    """
    hints = _hints(type(options))
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
            raise UsageError(unknown(f"value for {name}", str(value)[:60], choices))
        return
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (kind in (int, float) and isinstance(value, bool)):
        wanted = "numbers with commas, such as 0.3,0.8" if kind is tuple else kind.__name__
        raise UsageError(f"{name} is {repr(value)[:60]}, but expected {wanted}; give a value of that kind")
    if kind is tuple:
        for part in value:
            _check_value(f"a part of {name}", part, typing.get_args(_inner(annotation))[0], limits)
        return
    if limits.get("duration"):
        parse_duration(value)
    if kind is int and abs(value) >= 2**63:
        raise UsageError(f"{name} is a number of {value.bit_length()} bits, but 63 are the most; give a smaller one")
    if kind is float and not math.isfinite(value):
        raise UsageError(f"{name} is {value}, but expected a finite number; give one")
    least, most = limits.get("least"), limits.get("most")
    if least is not None and value < least:
        raise UsageError(f"{name} is {value}, but the least allowed is {least:g}; give a larger value")
    if most is not None and value > most:
        raise UsageError(f"{name} is {value}, but the most allowed is {most:g}; give a smaller value")


# -- trees of options -----------------------------------------------------------------------------------------------


def sections(tree: type[Any]) -> dict[str, type[Any]]:
    """The sections of the tree by name: those of its fields that are dataclasses of options."""
    hints = _hints(tree)
    return {f.name: hints[f.name] for f in dataclasses.fields(tree) if dataclasses.is_dataclass(hints[f.name])}


def all_settings(tree: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """Every setting by its dotted name, with the field that holds its default, help and limits."""
    return {
        f"{name}.{field.name}": field
        for name, section in sections(tree).items()
        for field in dataclasses.fields(section)
    }


def annotation(tree: type[Any], name: str) -> Any:
    """The type of the setting with dotted name `name`."""
    section, _, key = name.partition(".")
    return _hints(sections(tree)[section])[key]


def replaced(tree: T, changes: Mapping[str, Any]) -> T:
    """`tree` with the settings of `changes` (dotted name -> value), checked; UsageError for a bad name or value."""
    known = all_settings(type(tree))
    for name, value in changes.items():
        if name not in known:
            raise UsageError(unknown_setting(name, known))
        section, _, key = name.partition(".")
        tree = dataclasses.replace(tree, **{section: _with(getattr(tree, section), key, value)})  # type: ignore[type-var]
    return checked(tree)


def changed(options: T, changes: Mapping[str, Any], section: str) -> T:
    """One section with the settings of `changes` (name -> value), checked; UsageError for a bad name or value."""
    known = {f"{section}.{field.name}": field for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    for key, value in changes.items():
        if f"{section}.{key}" not in known:
            raise UsageError(unknown_setting(f"{section}.{key}", known))
        options = _with(options, key, value)
    return checked(options, section)


def _with(options: T, key: str, value: Any) -> T:
    """`options` with one field set; lists become tuples, whole numbers floats where the field is one."""
    if isinstance(value, list):
        value = tuple(value)
    kind = kind_of(_hints(type(options))[key])[0]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return dataclasses.replace(options, **{key: value})  # type: ignore[type-var]


def unknown_setting(name: str, known: Mapping[str, Any]) -> str:
    """The sentence for a setting that is not among `known`, with the nearest name."""
    section = name.partition(".")[0]
    inside = [k for k in known if k.startswith(section + ".")]
    if "." not in name or inside:
        return unknown("setting", name, inside or known)
    likely = closest(name, known)
    hint = f"; did you mean '{likely}'?" if likely else "."
    return f"unknown setting '{name}'{hint} Sections: {', '.join(sorted({k.partition('.')[0] for k in known}))}"


def parse_value(tree: type[Any], name: str, text: str) -> Any:
    """The value that `text` means for the setting `name`, as TOML would read it (bare words are strings)."""
    known = all_settings(tree)
    if name not in known:
        raise UsageError(unknown_setting(name, known))
    kind, choices, optional = kind_of(annotation(tree, name))
    if optional and text.lower() == "none":
        return None
    if choices or kind is str:
        return text
    if kind is tuple and not text.lstrip().startswith("["):
        text = f"[{text}]"  # 0.3,0.8
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # no TOML, or a number of thousands of digits
        value = text
    return tuple(value) if isinstance(value, list) else value


def to_dict(tree: Any) -> dict[str, Any]:
    """Nested plain dicts with every setting; tuples become lists."""
    plain: dict[str, Any] = dataclasses.asdict(tree)
    return {
        key: {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in plain.items()
    }


def from_dict(base: T, fields: Mapping[str, Any]) -> T:
    """`base` with what nested dicts say; settings they leave out stay as they are."""
    known = sections(type(base))
    changes: dict[str, Any] = {}
    for name, values in fields.items():
        if name not in known and any(name == field.name for field in dataclasses.fields(base)):  # type: ignore[arg-type]
            _check_value(name, values, _hints(type(base))[name], {})
            base = dataclasses.replace(base, **{name: values})  # type: ignore[type-var]
        elif name not in known:
            raise UsageError(unknown("section", name, known))
        elif not isinstance(values, Mapping):
            raise UsageError(
                f"{name} is {repr(values)[:60]}, but it is a section of settings; write it as a table, [{name}]"
            )
        else:
            changes |= {f"{name}.{key}": value for key, value in values.items()}
    return replaced(base, changes)


def differences(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Settings in which two trees differ: dotted name -> (old, new); 180s and 3m are the same duration."""
    found = {}
    for name, field in all_settings(type(old)).items():
        section, _, key = name.partition(".")
        pair = (getattr(getattr(old, section), key), getattr(getattr(new, section), key))
        if _meant(field, pair[0]) != _meant(field, pair[1]):
            found[name] = pair
    return found


def _meant(field: dataclasses.Field[Any], value: Any) -> Any:
    return parse_duration(value) if field.metadata["duration"] and value is not None else value
