"""config.json as it is read: every value of its kind and size, or the file is refused by name.

A settings value passes the same check as one that a flag gives; what follows from the images is checked here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.files import read_regular
from fromnoise.common.options import from_dict
from fromnoise.common.stored_json import MOST_BYTES, parse_object, verified
from fromnoise.run.migrate import FIRST_CHECKED, FORMAT, migrated
from fromnoise.settings import Settings

LARGEST_SIDE = 8192
_MOST = 2**53  # of a count: what JSON and float64 hold exactly
SIZES = {"memory", "checkpoint", "snapshot"}  # see `fromnoise.train.state_size`


def read_record(path: Path) -> dict[str, Any]:
    """config.json of a run, brought to today's format.

    Raises:
        CheckpointError: it is damaged, holds values that cannot be, or is of a newer format.
    """
    try:
        content = parse_object(read_regular(path, MOST_BYTES))
        number = _whole("format", content.get("format"), least=1)
        if number > FORMAT:
            raise CheckpointError(f"{path.parent} has format {number}, this fromnoise knows {FORMAT}; update it")
        record = migrated(verified(content) if number >= FIRST_CHECKED else content)
        if missing := {"settings", "spec", "data", "sigma_data"} - set(record):
            raise ValueError(f"parts are missing: {', '.join(sorted(missing))}")
        from_dict(Settings(), _mapping("settings", record["settings"]))
        return _checked(record)
    except (OSError, ValueError, OverflowError, UsageError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CheckpointError(
            f"{path} is damaged ({reason}); put back a copy of it, or train again into a new folder"
        ) from error


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """`record` with what older runs lack filled in; ValueError for what cannot be."""
    data, spec = dict(_mapping("data", record["data"])), _mapping("spec", record["spec"])
    check_spec(spec)
    _number("sigma_data", record["sigma_data"], least=1e-6, most=1e6)
    made_of = [_mapping(how, record[how]) for how in ("imported", "distilled") if record.get(how)]
    for origin in made_of:
        _text("from", origin.get("from"))
    _whole("data.count", data.get("count"), least=0 if made_of else 1)
    for name in ("fingerprint", "name", "about"):
        data[name] = _text(f"data.{name}", data.get(name, "" if name != "fingerprint" else None))
    data["notes"] = _list("data.notes", data.get("notes", []), _text)
    counts = _list("data.label_counts", data.get("label_counts"), lambda name, value: _whole(name, value, least=0))
    # Without class conditioning, spec has no classes although the images have.
    if (spec["classes"] and len(counts) not in (0, len(spec["classes"]))) or (counts and not sum(counts)):
        raise ValueError(f"data.label_counts has {len(counts)} counts for {len(spec['classes'])} classes")
    check_rows(data.get("label_rows", []), len(spec.get("conditions", ())), len(spec["classes"]))
    versions = {
        name: _text("versions", value) for name, value in _mapping("versions", record.get("versions", {})).items()
    }
    if record.get("parameters") is not None:
        _whole("parameters", record["parameters"], least=0)
    sizes = _mapping("bytes", record.get("bytes", {}))
    if sizes and set(sizes) != SIZES:
        raise ValueError(f"bytes has the parts {sorted(sizes)}, but {sorted(SIZES)} are expected")
    for name, value in sizes.items():
        _whole(f"bytes.{name}", value, least=0)
    return {**record, "data": data, "versions": versions, "context": _context(record.get("context", {}))}


def check_spec(spec: Mapping[str, Any]) -> None:
    """ValueError for a spec, as `ImageSpec.to_json` gives it, that cannot be."""
    if extra := set(spec) - {"channels", "height", "width", "classes", "low", "high", "conditions", "guidance_input"}:
        raise ValueError(f"spec has an unknown part {sorted(extra)[0][:40]!r}")
    _whole("spec.channels", spec.get("channels"), least=1, most=4)
    for side in ("height", "width"):
        _whole(f"spec.{side}", spec.get(side), least=1, most=LARGEST_SIDE)
    _list("spec.classes", spec.get("classes"), _text)
    _list("spec.conditions", spec.get("conditions", []), _condition)
    if "guidance_input" in spec:
        _guidance_input(spec["guidance_input"])
    low, high = (_number(f"spec.{end}", spec.get(end, value)) for end, value in (("low", -1.0), ("high", 1.0)))
    if not low < high:
        raise ValueError(f"spec.low is {low}, which is not below spec.high, {high}")


def check_distilled(made: Any) -> Mapping[str, Any] | None:
    """`made`, which says what a run was distilled from, or None; ValueError for what cannot be."""
    if made is None:
        return None
    parts = _mapping("distilled", made)
    for name in ("from", "weights", "sha256"):
        _text(f"distilled.{name}", parts.get(name))
    _whole("distilled.images", parts.get("images"), least=0)
    from_dict(Settings(), {"sample": _mapping("distilled.sampling", parts.get("sampling"))})
    return parts


def _condition(name: str, value: Any) -> None:
    parts = _mapping(name, value)
    if set(parts) != {"name", "mean", "std", "least", "most"}:
        raise _wrong(name, sorted(map(str, parts)), "name, mean, std, least and most")
    _text(f"{name}.name", parts["name"])
    _number(f"{name}.std", parts["std"], least=1e-30)
    mean, least, most = (_number(f"{name}.{part}", parts[part], least=-math.inf) for part in ("mean", "least", "most"))
    if not least <= mean <= most:
        raise _wrong(f"{name}.mean", mean, f"a number from {least:g} to {most:g}")


def _guidance_input(value: Any) -> None:
    parts = _mapping("spec.guidance_input", value)
    if set(parts) != {"most", "interval"}:
        raise _wrong("spec.guidance_input", sorted(map(str, parts)), "most and interval")
    _number("spec.guidance_input.most", parts["most"], least=1)
    interval = parts["interval"]
    if interval is not None and len(_list("spec.guidance_input.interval", interval, _number)) != 2:
        raise _wrong("spec.guidance_input.interval", interval, "two times")


def check_rows(rows: Any, conditions: int, classes: int) -> None:
    """ValueError for data.label_rows (see `fromnoise.run.metadata`) that do not go with so many conditions."""
    for row in _list("data.label_rows", rows, _text):
        values = [float(part) for part in row.split()]  # ValueError for what cannot be read
        known = len(values) == 1 + conditions and values[0] in range(classes or _MOST)
        if not known or any(map(math.isinf, values)):
            raise _wrong("data.label_rows", row, f"a class and {conditions} numbers")
    if bool(rows) != bool(conditions):
        raise ValueError(f"data.label_rows has {len(rows)} rows for {conditions} conditions")


def _context(context: Any) -> dict[str, Any]:
    """What the recipe went by: of its parts those that are there, each of its kind."""
    kinds: dict[str, Callable[[str, Any], Any]] = {
        "device": _text,
        "seconds": lambda name, value: _number(name, value, least=0),
        "planned": lambda name, value: _whole(name, value, least=0),
        "bf16": _truth,
        "flat_share": lambda name, value: _number(name, value, least=0),
        "mirror_gap": lambda name, value: _number(name, value, least=-1),
        "class_agreement": lambda name, value: _number(name, value),
    }
    found = {}
    for name, value in _mapping("context", context).items():
        if name not in kinds:
            raise ValueError(f"context has an unknown part {name[:40]!r}")
        optional = name in ("seconds", "planned", "mirror_gap", "class_agreement") and value is None
        found[name] = None if optional else kinds[name](f"context.{name}", value)
    return found


def _wrong(name: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{name} is {str(value)[:60]!r}, but expected {expected}")


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "a section")
    return value


def _list(name: str, value: Any, check: Callable[[str, Any], Any]) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(name, value, "a list")
    return [check(name, one) for one in value]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _whole(name: str, value: Any, least: int, most: int = _MOST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name, value, f"a whole number from {least} to {most}")
    return value


def _number(name: str, value: Any, least: float = -1e6, most: float = math.inf) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most:
        raise _wrong(name, value, f"a finite number from {least:g} to {most:g}")
    return float(value)
