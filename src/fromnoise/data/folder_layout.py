"""What the folders mean: `train/` and `test/` are splits, the folders below them are classes.

    train/cat/1.png  test/dog/2.png     two splits, classes cat and dog
    cat/train/1.png  dog/test/2.png     the same
    cat/1.png  dog/more/2.png           one split (train), classes cat and dog; deeper folders are looked through
    1.png  2.png                        one split, no classes

A label file (`label_files`) comes before the folders. One class alone is not used: labels need at least two. What can
be read in two ways is refused with both, and `data.classes` or `data.splits` chooses. The splits: `split_layout`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fromnoise.common.errors import DataError
from fromnoise.common.text import count, printable, some
from fromnoise.data.conditions import Numbers, condition_names, read_conditions
from fromnoise.data.file_tree import Entry, Tree
from fromnoise.data.label_files import Labels, labels_of, ordered, read_labels
from fromnoise.data.split_layout import split_parts
from fromnoise.settings import DataOptions

_SHARD = re.compile(r"\d{5,}")
_NUMBERED = re.compile(r"(.*?)[-_ .(]*\d+\)?")
_MOST_HINTED = 100


@dataclass(frozen=True)
class Split:
    """The files of one split, in order, and for each its class (a position among `classes`) where it has one.

    conditions: the numbers that `data.conditions` names.
    """

    entries: tuple[Entry, ...]
    labels: tuple[int, ...] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    conditions: Numbers


def arrange(tree: Tree, name: str, options: DataOptions) -> dict[str, Split]:
    """The splits of a tree, train first; empty ones are left out.

    DataError for a test class that train lacks, and for folders that can be read in two ways.
    """
    labels, notes = read_labels(tree, name) if options.classes == "auto" else ({}, ())
    parts, said = split_parts(tree, name, options.splits)
    if not any(entry.full in labels for part in parts.values() for entry in part.entries):
        labels = {}
    notes = (*tree.notes, *notes, *said)
    wanted = condition_names(options.conditions)
    found: dict[str, Split] = {}
    for split, part in parts.items():
        if not part.entries:
            continue
        known = found["train"].classes if split != "train" and "train" in found else ()
        # One class is a class where others are known; alone it says nothing.
        part, names, classes, said = _labelled(part, labels, name, options.classes, fewest=1 if known else 2)
        if split != "train" and "train" in found:
            classes = _agreed(classes, known, name, split)
            if known and not classes:
                said += (f"the {split} images are in no class folders, so they have no classes",)
        places = {folder: place for place, folder in enumerate(classes)}
        numbers = tuple(places[own] for own in names) if classes and names else None
        conditions = read_conditions(tree, part.entries, wanted, name) if wanted else {}
        found[split] = Split(part.entries, numbers, classes, (*notes, *said), conditions)
    return found


def _labelled(
    part: Tree, labels: Labels, name: str, chosen: str, fewest: int
) -> tuple[Tree, Sequence[str] | None, tuple[str, ...], tuple[str, ...]]:
    """The images of a split that are used, the class of each, all classes, and what to say."""
    if chosen == "none":
        return part, None, (), ()
    if labels:
        names = labels_of(part.entries, labels, name)
        classes = ordered(set(names or ()))
        few = len(classes) < fewest
        return part, None if few else names, () if few else classes, ()
    classes, notes = _class_folders(part, name, chosen, fewest)
    if not classes:
        return part, None, (), notes + _hint(part)
    if loose := part.loose():
        notes += (f"{count(loose, 'image')} beside the class folders left aside",)
        part = Tree(tuple(entry for entry in part.entries if len(entry.parts) > 1), part.folders)
    return part, [entry.parts[0] for entry in part.entries], classes, notes


def _class_folders(part: Tree, name: str, chosen: str, fewest: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The class folders of a split, and what to say about them."""
    holding = part.holding()
    empty = [printable(top) for top in part.tops() if top not in holding]
    notes: tuple[str, ...] = ()
    if empty:
        verb = "holds no image and is not a class" if len(empty) == 1 else "hold no images and are not classes"
        notes = (f"{'folder' if len(empty) == 1 else 'folders'} {some(empty)} {verb}",)
    if len(holding) < fewest:
        return (), notes
    loose = part.loose()
    if chosen == "auto" and loose:
        raise _two_readings(name, f"{count(loose, 'image')} beside the folders", holding, "and the rest left aside")
    if chosen == "auto" and len(holding) > 1 and _are_shards(part):
        raise _two_readings(name, "numbered folders of numbered images", holding, "")
    return tuple(holding), notes


def _two_readings(name: str, what: str, folders: Sequence[str], rest: str) -> DataError:
    listed = some([printable(folder) for folder in folders], 3)
    return DataError(
        f"{name} has {what} {listed}: either {len(folders):,} classes {rest}".rstrip()
        + " (--set data.classes=folders) or images without classes (--set data.classes=none); choose one"
    )


def _are_shards(part: Tree) -> bool:
    """Whether the folders may be mere parts of one numbered sequence: 00000/img00000000.png, 00001/img00001000.png."""
    holding = part.holding()
    if not all(_SHARD.fullmatch(folder) for folder in holding):
        return False
    numbers: dict[str, list[int]] = {folder: [] for folder in holding}
    for entry in part.entries:
        found = re.findall(r"\d+", entry.parts[-1].rpartition(".")[0])
        numbers[entry.parts[0]].append(int(found[-1]) if found and len(found[-1]) < 20 else -1)
    return all(max(numbers[before]) < min(numbers[after]) for before, after in pairwise(holding))


def _hint(part: Tree) -> tuple[str, ...]:
    """That file names look like classes: cat_001.png, dog_001.png."""
    words = Counter(_word(entry.parts[-1]) for entry in part.entries)
    if "" in words or not 2 <= len(words) <= _MOST_HINTED or min(words.values()) < 2:
        return ()
    named = some([printable(word) for word in sorted(words)], 5)
    return (f"the file names begin with {len(words)} words ({named}): to use them as classes, make a folder of each",)


def _word(name: str) -> str:
    """What comes before the number in a file's name; "" where there is none."""
    found = _NUMBERED.fullmatch(name.rpartition(".")[0])
    return found.group(1).lower() if found else ""


def _agreed(own: tuple[str, ...], train: tuple[str, ...], name: str, split: str) -> tuple[str, ...]:
    """The train split's classes for another split too; none when either has none."""
    strangers = [printable(folder) for folder in own if folder not in train]
    if own and train and strangers:
        raise DataError(
            f"the {split} split of {name} has classes that its train split lacks: {some(strangers)}; "
            "give both splits the same classes"
        )
    return train if own else ()
