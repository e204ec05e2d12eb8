"""From what was requested to one Settings: recipe, then config file, then single settings; and the folder's name."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.options import from_dict, replaced
from fromnoise.data.image_data import ArrayData
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.recipes import BUDGET, recipe, sampling_for_other_process
from fromnoise.settings import DataOptions, Settings
from fromnoise.train.hardware import choose_precision

LENGTHS = ("train.num_epochs", "train.num_images", "train.budget")


@dataclass(frozen=True)
class Request:
    """What somebody asks for: data, a recipe, and changes (dotted name -> value) to what the recipe chooses."""

    source: str
    recipe: str
    changes: Mapping[str, Any]

    @staticmethod
    def read(source: str, recipe: str, config_file: Path | None, settings: Mapping[str, Any]) -> Request:
        """The request with the changes of a config file, and over them single settings; UsageError for a bad file."""
        tables = read_toml(config_file) if config_file else {}
        tables.pop("recipe", None)
        from_dict(Settings(), tables)  # refuses unknown sections and settings
        flat = {f"{section}.{key}": value for section, values in tables.items() for key, value in values.items()}
        return Request(source, recipe, {**flat, **settings})

    def data_options(self) -> DataOptions:
        """The data part, so that the images can be read before the recipe chooses."""
        changes = {name: value for name, value in self.changes.items() if name.startswith("data.")}
        return replaced(Settings(), {**changes, "data.source": self.source}).data

    def context(self, data: ArrayData, device: str = "cpu") -> TrainingContext:
        """What a recipe may go by: `data`, the kind of device, how long to train; UsageError for a bad value."""
        looked_at = (*LENGTHS, "train.mixed_precision")
        changes = {name: value for name, value in self.changes.items() if name in looked_at}
        train = replaced(Settings(), changes).train
        fast = device == "cpu" and choose_precision(device).autocast is not None
        bf16 = fast and choose_precision(device, train.mixed_precision).autocast is not None
        context = TrainingContext(data.spec, len(data), device, bf16=bf16)
        if train.num_images is not None:
            return replace(context, planned=train.num_images)
        if train.num_epochs is not None:
            return replace(context, planned=round(train.num_epochs * len(data)))
        budget = train.budget if "train.budget" in changes else BUDGET
        return context if budget is None else replace(context, seconds=parse_duration(budget))

    def settings(self, context: TrainingContext, options: DataOptions) -> Settings:
        """The recipe's Settings in this context, with the changes.

        How long to train is one setting of three: giving one drops the recipe's own. UsageError if two are given.
        """
        changes = dict(self.changes)
        given = [length for length in LENGTHS if changes.get(length) is not None]
        own = recipe(self.recipe, context)
        if len(given) > 1:
            names = " and ".join("--" + length.partition(".")[2] for length in given)
            raise UsageError(f"{names} were both given, but only one of them says how long to train; leave one out")
        if given:
            changes = {**dict.fromkeys(LENGTHS), **changes}
        settings = from_dict(own, {"data": vars(options)})
        settings = replaced(settings, {k: v for k, v in changes.items() if not k.startswith("data.")})
        if settings.process.kind != own.process.kind:
            other = sampling_for_other_process(own)
            settings = replaced(settings, {k: v for k, v in other.items() if k not in changes})
        for duration in (settings.train.budget, settings.train.checkpoint_every):
            if duration is not None:
                parse_duration(duration)  # an invalid duration is refused now, not after the training
        return settings

    def tables(self) -> dict[str, Any]:
        """What was requested beyond the recipe, as the tables of config.toml."""
        tables: dict[str, Any] = {"recipe": self.recipe, "data": {"source": self.source}}
        for setting, value in self.changes.items():
            section, _, key = setting.partition(".")
            if value is not None:
                tables.setdefault(section, {})[key] = list(value) if isinstance(value, tuple) else value
        return tables


def default_folder(source: str, recipe_name: str, seed: int) -> Path:
    """runs/<data>-<recipe>-s<seed>; a folder counts by its own name, also where it is given as `.` or `..`."""
    plain = source.rstrip("/\\").removeprefix("hf:").replace(":", "-")
    stem = Path(plain).name
    if stem in ("", "..") and not source.startswith("hf:"):
        stem = Path(os.path.abspath(os.path.expanduser(source))).name or "data"  # noqa: PTH100, PTH111 - links stay
    return Path("runs") / f"{stem.removesuffix('.zip').removesuffix('.npz')}-{recipe_name}-s{seed}"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a config file; UsageError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot read the config file {path}: {error}; give a TOML file with tables such as [train]"
        ) from error
