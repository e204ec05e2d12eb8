"""What a bundle of a run holds, file by file: chosen, and with places on this machine as bare names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fromnoise.common.errors import CheckpointError
from fromnoise.common.files import read_regular
from fromnoise.common.stored_json import CHECKSUM, parse_object, signed, verified
from fromnoise.data.registry import DATASETS
from fromnoise.run.checkpoints import checkpoint_named
from fromnoise.run.folder import RunFolder, to_toml
from fromnoise.run.opened import OpenedRun
from fromnoise.train.best_checkpoint import best_score
from fromnoise.train.checkpoint import NewerFormatError, read_state
from fromnoise.train.checkpoint_files import newest_usable, read_checkpoint
from fromnoise.train.snapshot_manifest import list_snapshots

_WEIGHTS = ("model.safetensors", "ema.safetensors", "state.json")  # of a checkpoint, what sampling takes


def bundle_parts(run: OpenedRun, resumable: bool) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file; CheckpointError where a file of the run is damaged or cannot be read."""
    folder, places = run.folder, _places(run)
    record = {"format": run.metadata["format"], **run.metadata, **({} if resumable else {"packed": True})}
    yield "config.json", json.dumps(signed(_cleaned(record, places)), indent=1).encode()
    yield from _request(folder, places)
    yield from _checkpoints(run, resumable)
    if resumable:
        there = [*list_snapshots(folder.averages), folder.averages / "manifest.json", folder.initial_weights]
        yield from ((path.relative_to(folder.path).as_posix(), _read(path)) for path in there if path.is_file())
    for path in (folder.metrics, *sorted(folder.samples.glob("preview-*.png")), folder.figures / "samples.png"):
        if path.is_file():
            yield path.relative_to(folder.path).as_posix(), _read(path)
    for path in (folder.evaluation, folder.sweep, folder.diagnosis):
        if (content := folder.read_json(path)) is not None:
            yield path.name, json.dumps(_stored(path, _cleaned(content, places)), indent=1).encode()
    if (card := folder.path / "README.md").is_file():
        yield card.name, str(_cleaned(_read(card).decode("utf-8", "replace"), places)).encode()


def _request(folder: RunFolder, places: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    if (request := folder.read_request()) is not None:
        yield "config.toml", to_toml(_cleaned(request, places)).encode()


def _checkpoints(run: OpenedRun, resumable: bool) -> Iterator[tuple[str, bytes]]:
    """The newest checkpoint, the best one, and one that guides; without what only training needs unless `resumable`."""
    folder = run.folder
    last, _ = newest_usable(folder.checkpoints, read_state, (NewerFormatError,))
    best, guide = best_score(folder.checkpoints), run.settings.sample.guide_checkpoint
    named = [*(["best"] if best else []), *([guide] if guide else [])]
    for path in sorted({last, *(checkpoint_named(folder, name) for name in named)}):
        files = read_checkpoint(path)
        kept = {name: files[name] for name in files if resumable or name in _WEIGHTS}
        manifest = {name: hashlib.sha256(content).hexdigest() for name, content in kept.items()}
        for name, content in {**kept, "manifest.json": json.dumps(manifest, indent=1).encode()}.items():
            yield f"checkpoints/{path.name}/{name}", content
    if best:
        yield "checkpoints/best.json", _read(folder.checkpoints / "best.json")


def _places(run: OpenedRun) -> dict[str, str]:
    """Every place on this machine that the run's files may name, the longest first -> its bare name."""
    found = [str(run.path)]
    if run.settings.data.source not in DATASETS and not run.settings.data.source.startswith("hf:"):
        found.append(run.settings.data.source)
    request = run.folder.read_request() or {}
    begun = [one for one in ((run.metadata.get("init") or {}).get("from"), request.get("init")) if one]
    found += [*begun, *(str(Path(one)) for one in begun)]  # with a slash at its end, and without
    of_runs = [Path(one) for one in begun if Path(one).name.isdigit()]  # a checkpoint, and its run
    found += [str(form.parent.parent) for one in of_runs for form in (one, one.absolute())]
    found = [form for one in found for form in (one, os.path.abspath(os.path.expanduser(one)))]  # noqa: PTH100, PTH111
    paths = {one for one in found if os.sep in one.rstrip(os.sep) and Path(one).name}
    return {one: _bare(one) for one in sorted(paths, key=len, reverse=True)}


def _bare(place: str) -> str:
    """The last name of a place, so that it is not taken for a data set that has it too."""
    name = Path(place).name
    return f"./{name}" if name in DATASETS else name


def _cleaned(value: Any, places: Mapping[str, str]) -> Any:
    """`value` of JSON with bare names in its texts for `places`."""
    if isinstance(value, dict):
        return {name: _cleaned(one, places) for name, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one, places) for one in value]
    if isinstance(value, str):
        for place, name in places.items():
            value = value.replace(place, name)
    return value


def _stored(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """`content` with a checksum where the file has one."""
    return signed(content) if CHECKSUM in parse_object(_read(path)) else verified(content)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise CheckpointError(f"cannot read '{path}' ({error.strerror}); allow reading it") from error
