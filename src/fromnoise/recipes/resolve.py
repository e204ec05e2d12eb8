"""From what was asked to a whole Settings: recipe, then config file, then single settings; and the folder's name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.options import from_dict, replaced
from fromnoise.data.image_data import ArrayData
from fromnoise.recipes.model_sizes import Situation
from fromnoise.recipes.recipes import BUDGET, elsewhere, recipe
from fromnoise.settings import DataOptions, Settings
from fromnoise.train.hardware import choose_precision

LENGTHS = ("train.num_epochs", "train.num_images", "train.budget")


def data_options(source: str, config_file: Path | None, settings: Mapping[str, Any]) -> DataOptions:
    """The data part of what was asked, so that the images can be read before the recipe is chosen."""
    config = from_dict(Settings(), _tables(config_file))
    changes = {name: value for name, value in settings.items() if name.startswith("data.")}
    return replaced(config, {**changes, "data.source": source}).data


def compose(
    name: str,
    at: Situation,
    options: DataOptions,
    config_file: Path | None,
    settings: Mapping[str, Any],
) -> Settings:
    """The recipe `name` for the situation, changed by the config file, then by `settings` (dotted name -> value).

    How long to train is one setting of three: giving one drops the recipe's own. UsageError if two are given.
    """
    changes = _changes(config_file, settings)
    given = [length for length in LENGTHS if changes.get(length) is not None]
    config = recipe(name, at)
    if len(given) > 1:
        names = " and ".join("--" + length.partition(".")[2] for length in given)
        raise UsageError(f"{names} were both given; how long to train is one of them, so leave the others out")
    if given:
        changes = {**dict.fromkeys(LENGTHS), **changes}
    own = config
    config = from_dict(config, {"data": vars(options)})
    config = replaced(config, {k: v for k, v in changes.items() if not k.startswith("data.")})
    if config.process.kind != own.process.kind:
        config = replaced(config, {k: v for k, v in elsewhere(own.sample).items() if k not in changes})
    for duration in (config.train.budget, config.train.checkpoint_every):
        if duration is not None:
            parse_duration(duration)  # a word that is no duration is said now, not after the training
    return config


def situation(data: ArrayData, config_file: Path | None, settings: Mapping[str, Any], device: str = "cpu") -> Situation:
    """What a recipe may go by: `data`, the device's kind, and how long was asked for; UsageError for a bad value."""
    looked_at = (*LENGTHS, "train.mixed_precision")
    changes = {name: value for name, value in _changes(config_file, settings).items() if name in looked_at}
    asked = replaced(Settings(), changes).train
    fast = device == "cpu" and choose_precision(device).autocast is not None
    bf16 = fast and choose_precision(device, asked.mixed_precision).autocast is not None
    at = Situation(data.spec, len(data), device, bf16=bf16)
    if asked.num_images is not None:
        return replace(at, planned=asked.num_images)
    if asked.num_epochs is not None:
        return replace(at, planned=round(asked.num_epochs * len(data)))
    budget = asked.budget if "train.budget" in changes else BUDGET
    return at if budget is None else replace(at, seconds=parse_duration(budget))


def asked_for(source: str, name: str, config_file: Path | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked beyond the recipe, as tables that a config file can hold: what goes into config.toml."""
    tables: dict[str, Any] = {"recipe": name, "data": {"source": source}}
    for setting, value in _changes(config_file, settings).items():
        section, _, key = setting.partition(".")
        if value is not None:
            tables.setdefault(section, {})[key] = list(value) if isinstance(value, tuple) else value
    return tables


def _changes(config_file: Path | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name -> value: those of the config file, and over them single settings."""
    tables = _tables(config_file).items()
    flat = {
        f"{section}.{key}": v for section, values in tables if isinstance(values, dict) for key, v in values.items()
    }
    return {**flat, **settings}


def default_folder(source: str, recipe_name: str, seed: int) -> Path:
    """runs/<data>-<recipe>-s<seed>."""
    stem = Path(source.rstrip("/\\").removeprefix("hf:").replace(":", "-")).name
    return Path("runs") / f"{stem.removesuffix('.zip').removesuffix('.npz')}-{recipe_name}-s{seed}"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a config file; UsageError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot read the config file {path}: {error}; give a TOML file with tables such as [train]"
        ) from error


def _tables(config_file: Path | None) -> dict[str, Any]:
    tables = read_toml(config_file) if config_file else {}
    return {key: value for key, value in tables.items() if key != "recipe"}
