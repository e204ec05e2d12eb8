"""From what was requested to one Settings: recipe, then config file, then single settings; and the folder's name."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.options import differences, from_dict, replaced
from fromnoise.common.text import printable
from fromnoise.data.image_data import ArrayData
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.recipes import BUDGET, consequences, recipe
from fromnoise.report.trackers import check_tracker
from fromnoise.settings import NO_FRESH_NOISE, DataOptions, Settings
from fromnoise.train.hardware import choose_precision

LENGTHS = ("train.num_epochs", "train.num_images", "train.budget")


@dataclass(frozen=True)
class Request:
    """What somebody asks for: data, a recipe, and changes (dotted name -> value) to what the recipe chooses.

    init: where the weights to start from are, None for a start from scratch.
    """

    source: str
    recipe: str
    changes: Mapping[str, Any]
    init: str | None = None

    @staticmethod
    def read(
        source: str, recipe: str, config_file: Path | None, settings: Mapping[str, Any], init: str | None = None
    ) -> Request:
        """The request with the changes of a config file, and over them single settings; UsageError for a bad file."""
        tables = read_toml(config_file) if config_file else {}
        tables.pop("recipe", None)
        init = init or tables.get("init")
        if init is not None and not isinstance(init, str):
            raise UsageError(f'init is {repr(init)[:60]}, but expected the path of a run; write init = "RUN"')
        tables.pop("init", None)
        for place in filter(None, (source, init)):
            if any("\ud800" <= letter <= "\udfff" for letter in str(place)):
                raise UsageError(f"{printable(place)} is not valid UTF-8, as config.json has to be; rename it")
        from_dict(Settings(), tables)  # refuses unknown sections and settings
        if settings.get("data.source", source) != source:
            raise UsageError(
                f"data.source is set to '{printable(str(settings['data.source']))}', but the images are "
                f"'{printable(source)}'; name them once, as DATA"
            )
        flat = {f"{section}.{key}": value for section, values in tables.items() for key, value in values.items()}
        flat.pop("data.source", None)  # a run's config.toml has that of its own images
        return Request(source, recipe, {**flat, **settings}, init)

    def facts(self) -> dict[str, Any]:
        """What processes that train together have to be asked for alike, name -> value; each may have its own copy of
        the images."""
        return {"recipe": self.recipe, "init": self.init, **self.changes}

    def with_settings_of(self, other: Settings, own: Settings, sections: tuple[str, ...]) -> Request:
        """The request with what `other` has in these sections ("net.") and `own`, resolved from this, has not.

        What was requested stays; how often labels are dropped follows from the images.
        """
        taken = {
            name: theirs
            for name, (_, theirs) in differences(own, other).items()
            if name.startswith(sections) and name != "objective.label_dropout"
        }
        return replace(self, changes={**taken, **self.changes})

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
        context = TrainingContext(
            data.spec,
            len(data),
            device,
            bf16=bf16,
            flat_share=data.flat_share,
            mirror_gap=data.mirror_gap,
            class_agreement=data.class_agreement,
        )
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
        own = recipe(self.recipe, context)
        self.check()
        if any(changes.get(length) is not None for length in LENGTHS):
            changes = {**dict.fromkeys(LENGTHS), **changes}
        flip = options.random_flip if "data.random_flip" in changes else own.data.random_flip
        settings = from_dict(own, {"data": {**vars(options), "random_flip": flip}})
        settings = replaced(settings, {k: v for k, v in changes.items() if not k.startswith("data.")})
        other = consequences(own, settings)
        if settings.sample.sampler != own.sample.sampler:
            other |= {f"sample.{name}": value for name, value in NO_FRESH_NOISE.items()}
        return replaced(settings, {k: v for k, v in other.items() if k not in changes})

    def check(self) -> None:
        """UsageError for two lengths, an invalid duration, a missing tracker, and a single checkpoint that is kept."""
        given = [length for length in LENGTHS if self.changes.get(length) is not None]
        if len(given) > 1:
            names = " and ".join("--" + length.partition(".")[2] for length in given)
            raise UsageError(f"{names} were both given, but only one of them says how long to train; leave one out")
        for duration in ("train.budget", "train.checkpoint_every", "train.answer_within"):
            if isinstance(value := self.changes.get(duration), str):  # what else it is, `replaced` refuses
                parse_duration(value)  # refused now, not after the training
        if self.changes.get("train.report_to") is not None:
            check_tracker(self.changes["train.report_to"])
        kept = self.changes.get("train.checkpoints_kept")
        if isinstance(kept, int) and kept == 1:
            raise UsageError(
                "train.checkpoints_kept is 1, but at least 2 are kept, so that a damaged one does not end the run; "
                "give --checkpoints_kept 2"
            )

    def tables(self) -> dict[str, Any]:
        """What was requested beyond the recipe, as the tables of config.toml."""
        tables: dict[str, Any] = {"recipe": self.recipe, **({"init": self.init} if self.init else {})}
        tables["data"] = {"source": self.source}
        for setting, value in self.changes.items():
            section, _, key = setting.partition(".")
            if value is not None:
                tables.setdefault(section, {})[key] = list(value) if isinstance(value, tuple) else value
        return tables


def default_folder(source: str, recipe_name: str, seed: int, init: str | None = None) -> Path:
    """runs/<data>-<recipe>-s<seed>, with -init where it starts from other weights.

    A folder counts by its own name, also where it is given as `.` or `..`.
    """
    plain = source.rstrip("/\\").removeprefix("hf:").replace(":", "-")
    stem = Path(plain).name
    if stem in ("", "..") and not source.startswith("hf:"):
        stem = Path(os.path.abspath(os.path.expanduser(source))).name or "data"  # noqa: PTH100, PTH111 - links stay
    stem = re.sub(r'[<>:"|?*\x00-\x1f]', "-", stem.removesuffix(".zip").removesuffix(".npz"))
    if re.match(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])\.", stem, re.IGNORECASE):
        stem = f"_{stem}"
    return Path("runs") / f"{stem}-{recipe_name}-s{seed}{'-init' if init else ''}"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a config file; UsageError if it cannot be read."""
    try:
        if path.exists() and not path.is_file():  # a device may never end
            raise OSError("it is not a file")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot read the config file {path}: {error}; give a TOML file with tables such as [train]"
        ) from error
