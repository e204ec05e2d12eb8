"""What the folders mean: `train/` and `test/` are splits, the folders below them are classes.

    train/cat/1.png  test/dog/2.png     two splits, classes cat and dog
    cat/1.png  dog/more/2.png           one split (train), classes cat and dog; deeper folders are looked through
    1.png  2.png                        one split, no classes

`val`, `valid` and `validation` stand for test where there is no `test`. A single folder that wraps everything
is looked through. One class alone is not used: labels need at least two.
"""

from __future__ import annotations

from dataclasses import dataclass

from fromnoise.common.errors import DataError
from fromnoise.common.text import count, printable, some
from fromnoise.data.file_tree import Entry, Tree

SPLIT_NAMES = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}


@dataclass(frozen=True)
class Split:
    """The files of one split, in order, and for each its class (a position among `classes`) where it has one."""

    entries: tuple[Entry, ...]
    labels: tuple[int, ...] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def arrange(tree: Tree, name: str) -> dict[str, Split]:
    """The splits of a tree, train first; empty ones are left out. DataError for a test class that train lacks."""
    tree = _unwrapped(tree)
    parts, notes = _parts(tree)
    labelled = {split: _classes(part) for split, part in parts.items()}
    found: dict[str, Split] = {}
    for split, part in parts.items():
        if not part.entries:
            continue
        classes, said = labelled[split]
        said = (*notes, *said)
        if split == "test" and found:
            classes = _agreed(classes, found["train"].classes, name)
            if found["train"].classes and not classes:
                said += ("the test images are in no class folders, so they have no classes",)
        places = {folder: place for place, folder in enumerate(classes)}
        labels = tuple(places[entry.parts[0]] for entry in part.entries) if classes else None
        found[split] = Split(part.entries, labels, classes, said)
    return found


def _unwrapped(tree: Tree) -> Tree:
    """The tree below folders that hold everything and mean nothing."""
    while True:
        tops = tree.tops()
        loose = any(len(entry.parts) == 1 for entry in tree.entries)
        if loose or len(tops) != 1 or tops[0].lower() in SPLIT_NAMES["train"]:
            return tree
        tree = tree.below(tops[0])


def _parts(tree: Tree) -> tuple[dict[str, Tree], tuple[str, ...]]:
    """The tree of each split, and what was left aside."""
    tops = {top.lower(): top for top in reversed(tree.tops())}
    train = next((tops[name] for name in SPLIT_NAMES["train"] if name in tops), None)
    if train is None:
        return {"train": tree}, ()
    test = next((tops[name] for name in SPLIT_NAMES["test"] if name in tops), None)
    parts = {"train": tree.below(train)} | ({"test": tree.below(test)} if test else {})
    beside = len(tree.entries) - sum(len(part.entries) for part in parts.values())
    shown = f"{printable(train)}/" + (f" and {printable(test)}/" if test else "")
    notes = (f"{count(beside, 'image')} outside {shown} left aside",) if beside else ()
    return parts, notes


def _classes(part: Tree) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The class folders of a split, and what to say about them."""
    holding = {entry.parts[0] for entry in part.entries if len(entry.parts) > 1}
    empty = [printable(top) for top in part.tops() if top not in holding]
    notes: tuple[str, ...] = ()
    if empty:
        verb = "holds no image and is not a class" if len(empty) == 1 else "hold no images and are not classes"
        notes = (f"{'folder' if len(empty) == 1 else 'folders'} {some(empty)} {verb}",)
    loose = sum(len(entry.parts) == 1 for entry in part.entries)
    if loose and len(holding) > 1:
        verb = "is" if loose == 1 else "are"
        notes += (f"{count(loose, 'image')} {verb} beside the subfolders, which are therefore not classes",)
    if loose or len(holding) < 2:
        return (), notes
    return tuple(sorted(holding)), notes


def _agreed(test: tuple[str, ...], train: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The train split's classes for the test split too; none when either has none."""
    strangers = [printable(folder) for folder in test if folder not in train]
    if test and train and strangers:
        raise DataError(
            f"the test split of {name} has class folders that its train split lacks: {some(strangers)}; "
            "give both splits the same classes"
        )
    return train if test else ()
