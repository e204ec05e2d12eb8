"""The whole of what a run was asked to do: the rooms' options in one frozen value, to and from TOML and JSON.

A setting has a dotted name, `train.learning_rate`. Recipes give a complete Config; a config file and `--set`
change single settings; an unknown name is answered with the nearest one. No torch here.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fromnoise.clock import parse_duration
from fromnoise.data.options import DataOptions
from fromnoise.errors import UsageError, nearest, unknown
from fromnoise.model_options import ObjectiveOptions, ProcessOptions
from fromnoise.nets.options import NetOptions
from fromnoise.options import checked, kind_of
from fromnoise.samplers.options import SampleOptions
from fromnoise.train.options import TrainOptions

DURATIONS = ("train.budget", "train.checkpoint_every")


@dataclass(frozen=True)
class Config:
    """One section a room."""

    recipe: str = "default"
    data: DataOptions = field(default_factory=DataOptions)
    net: NetOptions = field(default_factory=NetOptions)
    process: ProcessOptions = field(default_factory=ProcessOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    sample: SampleOptions = field(default_factory=SampleOptions)


def settings() -> dict[str, dataclasses.Field[Any]]:
    """Every setting by its dotted name, with the field that holds its default, help and limits."""
    names: dict[str, dataclasses.Field[Any]] = {}
    for section in dataclasses.fields(Config):
        if section.name != "recipe":
            names |= {f"{section.name}.{f.name}": f for f in dataclasses.fields(_section_type(section.name))}
    return names


def annotation(name: str) -> Any:
    """The type of the setting with dotted name `name`."""
    section, _, key = name.partition(".")
    return typing.get_type_hints(_section_type(section))[key]


def _section_type(section: str) -> Any:
    return typing.get_type_hints(Config)[section]


def replaced(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with the settings of `changes` (dotted name -> value), checked; UsageError for a bad name or value."""
    known = settings()
    for name, value in changes.items():
        if name not in known:
            raise UsageError(unknown("setting", name, known) if "." not in name else _unknown_setting(name, known))
        section, _, key = name.partition(".")
        if isinstance(value, list):
            value = tuple(value)
        if isinstance(value, int) and not isinstance(value, bool) and kind_of(annotation(name))[0] is float:
            value = float(value)
        old = getattr(config, section)
        config = dataclasses.replace(config, **{section: dataclasses.replace(old, **{key: value})})
    return checked(config)


def _unknown_setting(name: str, known: Mapping[str, Any]) -> str:
    section = name.partition(".")[0]
    inside = [k for k in known if k.startswith(section + ".")]
    if inside:
        return unknown("setting", name, inside)
    guess = nearest(name, known)
    hint = f"; did you mean '{guess}'?" if guess else "."
    return f"unknown setting '{name}'{hint} Sections: {', '.join(sorted({k.partition('.')[0] for k in known}))}"


def parse_value(name: str, text: str) -> Any:
    """The value that `text` means for the setting `name`, as TOML would read it (bare words are strings)."""
    if name not in settings():
        raise UsageError(_unknown_setting(name, settings()))
    kind, choices, optional = kind_of(annotation(name))
    if optional and text.lower() == "none":
        return None
    if choices or kind is str:
        return text
    if kind is tuple and not text.lstrip().startswith("["):
        text = f"[{text}]"  # 0.3,0.8
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return tuple(value) if isinstance(value, list) else value


def to_dict(config: Config) -> dict[str, Any]:
    """Nested plain dicts with every setting; tuples become lists."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return {
        key: {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in plain.items()
    }


def from_dict(fields: Mapping[str, Any], base: Config | None = None) -> Config:
    """The Config that nested dicts describe; settings they leave out are those of `base` (or the defaults)."""
    config = base or Config()
    if "recipe" in fields:
        config = dataclasses.replace(config, recipe=str(fields["recipe"]))
    sections = [f.name for f in dataclasses.fields(Config) if f.name != "recipe"]
    changes: dict[str, Any] = {}
    for section, values in fields.items():
        if section == "recipe":
            continue
        if section not in sections:
            raise UsageError(unknown("section", section, sections))
        if not isinstance(values, Mapping):
            raise UsageError(
                f"{section} is {values!r}, but it is a section of settings; write it as a table, [{section}]"
            )
        changes |= {f"{section}.{name}": value for name, value in values.items()}
    return replaced(config, changes)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a config file; UsageError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot read the config file {path}: {error}; give a TOML file with tables such as [train]"
        ) from error


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Settings in which two configs differ: dotted name -> (old, new); 180s and 3m are the same duration."""
    pairs = {name: (_get(old, name), _get(new, name)) for name in settings()}
    return {name: (a, b) for name, (a, b) in pairs.items() if _meant(name, a) != _meant(name, b)}


def _meant(name: str, value: Any) -> Any:
    return parse_duration(value) if name in DURATIONS and value is not None else value


def _get(config: Config, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)
