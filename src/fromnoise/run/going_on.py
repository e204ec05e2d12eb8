"""A run that is there already, and what is requested of it now: the same, something that may change, or another run.

`fromnoise.settings` has the tables: harmless settings may change at any time, schedulable ones while the run is not
finished, and structural ones never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fromnoise.common.durations import format_duration, parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import differences, from_dict, replaced, to_dict
from fromnoise.common.text import quoted
from fromnoise.data.image_data import ArrayData
from fromnoise.model.build import build_denoiser
from fromnoise.recipes.resolve import LENGTHS, Request
from fromnoise.run.checkpoints import newest_state
from fromnoise.run.folder import RunFolder
from fromnoise.settings import SCHEDULABLE, STRUCTURAL, Settings, may_change

Pairs = Mapping[str, tuple[Any, Any]]
"""Settings by dotted name: as they are in the run, and as they are requested."""


@dataclass(frozen=True)
class FoundRun:
    """A run folder with its `record` (config.json)."""

    folder: RunFolder
    record: dict[str, Any]

    @property
    def settings(self) -> Settings:
        """The run's settings."""
        return from_dict(Settings(), self.record["settings"])

    def must_be_of(self, images: ArrayData) -> None:
        """UsageError where the run was trained on other images, and for one without the optimizer's state."""
        how = next((how for how in ("imported", "packed") if self.record.get(how)), None)
        if how:
            raise UsageError(
                f"{self.folder.path} was {how} without the optimizer's state, so it cannot go on; start a new run "
                f"from its weights: `fromnoise train DATA --init {quoted(self.folder.path)}`"
            )
        begun = self.record["data"]["fingerprint"]
        if begun != images.fingerprint:
            self._refuse({"the images": (begun[:12], images.fingerprint[:12])}, "give the images that it began with")

    def must_be_of_request(self, request: Request, resolve: Callable[[], Settings]) -> None:
        """UsageError where `request` leaves out what the run was begun with, or names another recipe.

        resolve: gives the settings that `request` has where the run was begun.
        """
        own, begun = self.settings, (self.record.get("init") or {}).get("from")
        if begun != request.init:
            self._refuse({"init": (begun, request.init)})
        before = self.folder.read_request()
        if before == request.tables():
            return
        unlike = {name: pair for name, pair in differences(own, resolve()).items() if may_change(name, STRUCTURAL)}
        if request.recipe != own.recipe and unlike:
            self._refuse({"recipe": (own.recipe, request.recipe)})
        left_out = [name for name in _names(before) if name in unlike and name not in request.changes]
        if begun:
            left_out = [name for name in left_out if not name.startswith(FROM_INIT)]
        if left_out:
            words = " ".join(f"--set {name}={_text(unlike[name][0])}" for name in left_out)
            raise UsageError(
                f"{self.folder.path} holds a run that was begun with {words}; give that again, go on with "
                f"`{self._again}`, or choose another --output_dir"
            )

    def compared(self, requested: Mapping[str, Any], source: str) -> Settings:
        """The run's settings with the changes `requested` (dotted name -> value); UsageError for structural ones."""
        new = self._replaced(requested, source)
        structural = {n: pair for n, pair in differences(self.settings, new).items() if may_change(n, STRUCTURAL)}
        if structural:
            self._refuse(structural, f"leave {' and '.join(structural)} out")
        if self.record.get("distilled") and new.train.num_epochs is not None:
            raise UsageError(
                f"{self.folder.path} learns from trajectories, which have no epochs; give --budget or --num_images"
            )
        return new

    def change(self, new: Settings) -> Pairs:
        """Store the settings `new` of `compared` in the run folder; returns those that are others.

        Raises UsageError for schedulable settings of a run that is finished, and for values that do not go together.
        """
        pairs = differences(self.settings, new)
        scheduled = {name: pair for name, pair in pairs.items() if may_change(name, SCHEDULABLE)}
        if not pairs:
            return {}
        with self.folder.locked():
            seen = self._must_be_unfinished(new, scheduled) if scheduled else 0
            spec = ImageSpec.from_json(self.record["spec"])
            build_denoiser(new, spec, self.record["sigma_data"])  # refuses what does not go together
            self._write(new, pairs, scheduled, seen)
        return pairs

    def _replaced(self, requested: Mapping[str, Any], source: str) -> Settings:
        changes = dict(requested)
        if any(changes.get(length) is not None for length in LENGTHS):
            changes = {**dict.fromkeys(LENGTHS), **changes}
        else:  # the recipe's own length was requested: the run keeps what it has
            changes = {name: value for name, value in changes.items() if name not in LENGTHS}
        return replaced(self.settings, {**changes, "data.source": source})

    def _must_be_unfinished(self, new: Settings, scheduled: Pairs) -> int:
        """Images seen so far; UsageError where the plan is complete, or where the new plan would be."""
        state = newest_state(self.folder)
        seen, total = int(state.get("images", 0)), state.get("total")
        if total is not None and seen >= total:
            if self.record.get("distilled"):
                raise UsageError(
                    f"{self.folder.path} is finished, so it cannot go on with {_listed(scheduled)}; distil again into "
                    "another --output_dir, or remove it"
                )
            raise UsageError(
                f"{self.folder.path} is finished: it has seen all {seen:,} images that its learning rate was planned "
                f"for, so it cannot go on with {_listed(scheduled)}; start a new run from its weights: "
                f"`fromnoise train {quoted(new.data.source)} --init {quoted(self.folder.path)} {_flags(scheduled)}`"
            )
        budget, spent = new.train.budget, float(state.get("seconds", 0.0))
        if "train.budget" in scheduled and budget is not None and parse_duration(budget) <= spent:
            raise UsageError(
                f"{self.folder.path} has trained for {format_duration(spent)} already, but a budget of {budget} is "
                "requested in all; give more"
            )
        planned = new.train.num_images or round((new.train.num_epochs or 0) * self.record["data"]["count"])
        if set(scheduled) & set(LENGTHS) and planned and planned <= seen:
            raise UsageError(
                f"{self.folder.path} has seen {seen:,} images already, but {planned:,} are requested in all; give more"
            )
        return seen

    def _write(self, new: Settings, pairs: Pairs, scheduled: Pairs, seen: int) -> None:
        """Store the settings, and the schedulable ones with the images seen when they changed."""
        tables = self.folder.read_request()
        self.record["settings"] = to_dict(new)
        if scheduled:
            changes = {name: list(pair) for name, pair in scheduled.items()}
            self.record["history"] = [*self.record.get("history", []), {"images": seen, "changes": changes}]
        if tables is not None:
            for name, (_, value) in pairs.items():
                section, _, key = name.partition(".")
                tables.setdefault(section, {}).pop(key, None)
                if value is not None:
                    tables[section][key] = list(value) if isinstance(value, tuple) else value
        self.folder.rewrite(tables, self.record)

    @property
    def _again(self) -> str:
        return f"fromnoise train --resume {quoted(self.folder.path)}"

    def _refuse(self, unlike: Pairs, advice: str = "request the same settings") -> None:
        raise UsageError(
            f"{self.folder.path} holds another run ({_listed(unlike)}); {advice}, go on with `{self._again}`, or "
            "choose another --output_dir"
        )


FROM_INIT = ("net.", "process.", "objective.")  # settings that come with weights of another run


def replanned_at(record: Mapping[str, Any]) -> int:
    """Images seen when the length of the run of `record` was last changed; -1 where it never was."""
    found = [entry["images"] for entry in record.get("history", []) if set(entry["changes"]) & set(LENGTHS)]
    return max(found, default=-1)


def _names(tables: Mapping[str, Any] | None) -> Iterable[str]:
    """Dotted names of all that tables of settings hold."""
    for section, values in (tables or {}).items():
        if isinstance(values, Mapping):
            yield from (f"{section}.{key}" for key in values)


def _listed(pairs: Pairs) -> str:
    return "; ".join(f"{name}: {_text(old)} there, {_text(new)} requested" for name, (old, new) in pairs.items())


def _flags(pairs: Pairs) -> str:
    return " ".join(
        f"--{name.partition('.')[2]} {_text(new)}" if name in LENGTHS else f"--set {name}={_text(new)}"
        for name, (_, new) in pairs.items()
        if new is not None
    )


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else "none" if value is None else str(value)
