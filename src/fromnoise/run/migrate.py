"""Run folders of earlier formats: what their config.json and config.toml hold, in today's names.

format 1    config, situation; net.told_time, net.told_class; objective.times; train.heldout;
            sample.autoguidance, sample.weaker; the grid "spread", now "few_steps"
format 2    settings, context; the names of `fromnoise.settings`
format 3    sha256, of all the rest; train.checkpoints_kept is at least 2; data.range, which was "full"; mixed
            sizes, which became 64x64, are now near the images' own; on VE a grid could be even in time, which
            samples nothing there, and is "auto" now
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMAT, FIRST_CHECKED = 3, 3  # the latter is the first format with a checksum

_EVEN_IN_TIME = ("uniform", "shifted", "few_steps")
_SECTIONS = {"config": "settings", "situation": "context"}
_SETTINGS = {
    "net": {"told_time": "time_conditioning", "told_class": "class_conditioning"},
    "objective": {"times": "time_sampling"},
    "train": {"heldout": "validations"},
    "sample": {"autoguidance": "autoguidance_scale", "weaker": "guide_checkpoint"},
}


def migrated(record: dict[str, Any]) -> dict[str, Any]:
    """config.json of any earlier format as one of today's; the file is left as it is."""
    if record["format"] >= FORMAT:
        return _with_usable_grid(record)
    record = {_SECTIONS.get(name, name): value for name, value in record.items()} | {"format": FORMAT}
    settings = record.get("settings")
    return _with_usable_grid(
        record | ({"settings": _as_read(record, migrated_settings(settings))} if isinstance(settings, Mapping) else {})
    )


def _with_usable_grid(record: dict[str, Any]) -> dict[str, Any]:
    """With "auto" for a grid that VE refuses, so that the run can be opened, and sampled by whatever grid."""
    settings: Any = record.get("settings")
    match settings:
        case {"process": {"kind": "ve"}, "sample": {"grid": grid}} if grid in _EVEN_IN_TIME:
            return record | {"settings": {**settings, "sample": {**settings["sample"], "grid": "auto"}}}
    return record


def _as_read(record: Mapping[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by which the images are read as they were when the run was begun."""
    data, about, spec = settings.get("data"), record.get("data"), record.get("spec")
    if not (isinstance(data, Mapping) and isinstance(about, Mapping) and isinstance(spec, Mapping)):
        return settings
    resized = any("cropped" in str(note) or "squeezed" in str(note) for note in about.get("notes") or ())
    if resized and data.get("resolution") is None:
        data = {**data, "resolution": f"{spec.get('height')}x{spec.get('width')}"}
    return settings | {"data": {"range": "full", **data}}


def migrated_settings(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of settings, of config.json or config.toml, with today's names."""
    return {
        section: {_SETTINGS.get(section, {}).get(name, name): _value(name, value) for name, value in values.items()}
        if isinstance(values, Mapping)
        else values
        for section, values in tables.items()
    }


def _value(name: str, value: Any) -> Any:
    former = {("grid", "spread"): "few_steps", ("checkpoints_kept", 1): 2}
    return former.get((name, value), value) if isinstance(value, str | int) else value
