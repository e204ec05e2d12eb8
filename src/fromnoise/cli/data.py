"""Data sets known by name, a look at any data before training, downloads, and stores of decoded images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.cli.flags import add_json_flag, data_settings, write_json
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError

if TYPE_CHECKING:
    from fromnoise.data.inspection import Inspection
    from fromnoise.data.stores import StoreInfo

_LISTED = 12
INSPECT_FLAGS = {"resolution": "data.resolution", "center_crop": "data.center_crop", "conditions": "data.conditions"}


def add_arguments(parser: Parser) -> None:
    """list, inspect DATA, fetch NAME, import DATA, prune."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    known = _action(actions, "list", "the data sets known by name, which are at hand, and the stores in the cache")
    add_json_flag(known)
    inspect = _action(actions, "inspect", "modes, sizes, classes and value range of DATA, and a grid of it")
    inspect.add_argument("data", metavar="DATA", help="a name, folder, .zip, .npz, IDX or hf:owner/name")
    _add_reading_flags(inspect, "look at the images as they would be trained on at this size")
    inspect.flag("out", metavar="FILE.png", help="where the grid goes (default: data-<name>.png)")
    add_json_flag(inspect)
    fetch = _action(actions, "fetch", "bring a named data set to this machine, if it is not there yet")
    fetch.add_argument("name", metavar="NAME", help="a name from `fromnoise data list`")
    fetch.flag("quiet", action="store_true", help="say nothing when it works")
    store = _action(actions, "import", "decode DATA once, into a folder that any machine can train from")
    store.add_argument("data", metavar="DATA", help="a name, folder, .zip, .npz, .npy, IDX, Parquet or hf:owner/name")
    store.flag("out", metavar="FOLDER", required=True, help="where the images go; it is DATA itself afterwards")
    _add_reading_flags(store, "the size of the images in it")
    prune = _action(actions, "prune", "remove the stores in the cache; asks first")
    prune.flag("yes", action="store_true", help="do not ask")


def _add_reading_flags(parser: Parser, resolution: str) -> None:
    """Add those on how images are read."""
    parser.flag("resolution", metavar="N|HxW", help=resolution)
    parser.switch("center_crop", "crop the centre to the wanted shape (--no_center_crop: squeeze)")
    parser.flag("conditions", metavar="NAMES", help="numbers beside the images to read too, such as slant,thickness")
    parser.flag(
        "set", action="append", metavar="NAME=VALUE", help="any other setting of data, such as data.range=0-4095"
    )


def _action(actions: argparse._SubParsersAction[Parser], name: str, summary: str) -> Parser:
    """The parser of one action, whose summary is shown in both helps."""
    return actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")


def run(args: argparse.Namespace) -> None:
    """Run the action that was given."""
    actions = {"list": _list, "inspect": _inspect, "fetch": _fetch, "import": _import, "prune": _prune}
    actions[args.action](args)


def _list(args: argparse.Namespace) -> None:
    from fromnoise.data import DATASETS, available, cache_dir
    from fromnoise.data.stores import list_stores

    known = [
        {
            "name": name,
            "description": dataset.description,
            "licence": dataset.licence,
            "classes": list(dataset.classes),
            "counts": dict(zip(("train", "test"), dataset.counts)),
            "at_hand": available(name),
        }
        for name, dataset in DATASETS.items()
    ]
    stores = list_stores()
    if write_json(args.json, known + [_as_json(store) for store in stores]):
        return
    for name, dataset in DATASETS.items():
        print(f"{name:14} {'at hand ' if available(name) else 'download'}  {dataset.description}")
    print(f"Downloads go to {cache_dir()}. A folder, .zip, .npz, .npy, IDX file or hf:owner/name works as well.")
    if stores:
        print("\nStores of decoded images, which `fromnoise data prune` removes:")
    for store in stores:
        print(_line(store))


def _as_json(store: StoreInfo) -> dict[str, Any]:
    fields = {**vars(store), "path": str(store.path)}
    return {"name": fields.pop("name"), "store": fields}


def _line(store: StoreInfo) -> str:
    """`photos   12 GB  900,000 train, 100,000 test; used today; of /data/photos`."""
    from fromnoise.common.text import in_bytes
    from fromnoise.data.stores import age

    splits = ", ".join(f"{number:,} {split}" for split, number in store.images.items()) or "no images yet"
    state = "; its import was interrupted" if store.unfinished else ""
    return f"{store.name:14} {in_bytes(store.bytes):>8}  {splits}; used {age(store.used)}{state}; of {store.source}"


def _inspect(args: argparse.Namespace) -> None:
    if args.out and Path(args.out).suffix.lower() != ".png":
        raise UsageError(f"--out is {args.out}, but a PNG is written; give a name that ends in .png")

    from dataclasses import replace

    from fromnoise.data.inspection import inspect
    from fromnoise.figures.grid import grid, save
    from fromnoise.settings import DataOptions

    found = inspect(replace(DataOptions(args.data), **data_settings(args, INSPECT_FLAGS)))
    if args.json and not write_json(args.json, found.to_json()):
        print(args.json)
    for line in () if args.json else inspection_lines(found):
        print(line)
    if args.out or not args.json:
        figure = grid(found.sample.permute(0, 2, 3, 1).numpy())
        place = save(figure, Path(args.out or f"data-{found.name}.png"))
        if args.json != "-":
            print(place)


def inspection_lines(found: Inspection) -> Iterator[str]:
    """The lines for people."""
    yield found.summary
    yield f"images: {_counts(found.counts)}"
    yield f"stored as: {_counts(found.modes)}; sizes: {_counts(found.sizes)}"
    if found.classes:
        yield f"classes: {_counts(found.classes)}"
    for name, one in found.conditions.items():
        missing = f", not known of {one['missing']:,}" if one["missing"] else ""
        yield f"{name}: {one['least']:.4g} to {one['most']:.4g}, mean {one['mean']:.4g}, std {one['std']:.4g}{missing}"
    for number, channel in enumerate(found.channels):
        yield f"channel {number}: {channel.min}..{channel.max}, mean {channel.mean:.1f}, std {channel.std:.1f}"
    yield from (*found.notes, *(f"cannot be read: {name}" for name in found.bad[:_LISTED]))
    if len(found.bad) > _LISTED:
        yield f"cannot be read: {len(found.bad) - _LISTED:,} more; --json lists all of them"


def _counts(counts: dict[str, int]) -> str:
    """`a 5, b 3`, at most _LISTED of them."""
    shown = [f"{name} {number:,}" for name, number in list(counts.items())[:_LISTED]]
    return ", ".join(shown) + (f", and {len(counts) - _LISTED} more" if len(counts) > _LISTED else "")


def _fetch(args: argparse.Namespace) -> None:
    from fromnoise.data import fetch

    for path in fetch(args.name).values():
        if not args.quiet:
            print(path)


def _import(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from fromnoise.data.stores import import_data
    from fromnoise.settings import DataOptions

    options = replace(DataOptions(args.data), **data_settings(args, INSPECT_FLAGS))
    print(import_data(options, Path(args.out)))


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        print()
        return False


def _prune(args: argparse.Namespace) -> None:
    from fromnoise.common.text import count, in_bytes
    from fromnoise.data.stores import list_stores, prune_stores

    stores = list_stores()
    for store in stores:
        print(_line(store))
    whole = f"{count(len(stores), 'store')}, {in_bytes(sum(store.bytes for store in stores))}"
    if stores and not args.yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{whole} would be removed, but nobody can be asked here; give --yes")
        if not _agreed(f"Remove {whole}? [y/N] "):
            return
    gone = prune_stores()
    busy = len(stores) - len(gone)
    print(f"removed {count(len(gone), 'store')}" + (f"; {count(busy, 'store')} in use left" if busy else ""))
