"""Which folders are splits: by their names, `train/` and `test/`, at the top or below each class.

`val`, `valid` and `validation` stand for test where there is no `test`, and are a split of their own where there is.
A single folder that wraps everything is looked through, and so is `images/` beside `masks/` or `labels/`. Names that
share the rest are splits too: `seg_train` and `seg_test`, `train2017` and `val2017`. A `train/` beside other folders of
images may be a class of that name, so it is refused unless `data.splits` says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from fromnoise.common.errors import DataError
from fromnoise.common.text import count, printable, some
from fromnoise.data.file_tree import Tree

SPLIT_NAMES = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
_ROLES = {name: role for role, names in SPLIT_NAMES.items() for name in names}
_IN_NAME = re.compile(rf"(?<![a-z])({'|'.join(sorted(_ROLES, key=len, reverse=True))})(?![a-z])")
_IMAGES = {"images", "image", "imgs", "img", "jpegimages"}
_ANNOTATIONS = {"masks", "mask", "labels", "label", "annotations", "annotation", "segmentation", "segmentations"}
_NO_CLASSES = {"extra", "unlabeled", "unlabelled"}  # what data sets call images beside their splits

Parts = dict[str, Tree]
Notes = tuple[str, ...]


def split_parts(tree: Tree, name: str, chosen: str) -> tuple[Parts, Notes]:
    """The tree of each split, train first, and what was left aside; chosen: "auto", "folders" or "none"."""
    tree, notes = unwrapped(tree, () if chosen == "none" else SPLIT_NAMES["train"])
    if chosen == "none":
        return {"train": tree}, notes
    roles = _roles(tree)
    if not roles:
        parts = _inside_classes(tree, name)
        return (parts, notes) if parts else ({"train": tree}, notes)
    others = [top for top in tree.holding() if top not in roles and top.lower() not in _NO_CLASSES]
    if chosen == "auto" and others and _may_be_classes(tree, roles, others):
        raise _two_readings(tree, name, roles, others)
    parts = {role: tree.below(top) for top, role in roles.items()}
    if "train" not in parts and (others or tree.loose()):
        parts["train"] = tree.without(roles)
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    parts = {role: parts[role] for role in ("train", "val", "test") if role in parts}
    shown = " and ".join(f"{printable(top)}/" for top in roles)
    beside = len(tree.entries) - sum(len(part.entries) for part in parts.values())
    if beside:
        notes += (f"{count(beside, 'image')} outside {shown} left aside",)
    inner, said = _unwrapped_alike(parts)
    return inner, notes + said


def unwrapped(tree: Tree, kept: Collection[str] = ()) -> tuple[Tree, Notes]:
    """The tree below folders that hold everything and mean nothing, which those of `kept` do not, and notes."""
    notes: Notes = ()
    while not tree.loose():
        holding = tree.holding()
        aside = [top for top in holding if top.lower() in _ANNOTATIONS]
        images = [top for top in holding if top.lower() in _IMAGES]
        if aside and images and len(aside) + 1 == len(holding):
            beside = len(tree.entries) - len(tree.below(images[0]).entries)
            listed = " and ".join(f"{printable(top)}/" for top in aside)
            notes += (f"{count(beside, 'image')} of {listed} beside {printable(images[0])}/ left aside",)
            tree = tree.below(images[0])
            continue
        if len(holding) != 1 or holding[0] in kept or holding[0].lower() in kept:
            break
        if any(top.lower() in SPLIT_NAMES["train"] for top in tree.tops() if top not in holding):
            break  # an empty train folder: there is nothing to train on
        tree = tree.below(holding[0])
    return tree, notes


def _roles(tree: Tree) -> dict[str, str]:
    """Top-level folder to split; empty where no name is one."""
    tops = [top for top in tree.tops() if top in tree.holding() or top.lower() in SPLIT_NAMES["train"]]
    exact = {top: _ROLES[top.lower()] for top in tops if top.lower() in _ROLES}
    if exact:
        first: dict[str, str] = {}
        for top in sorted(exact, key=lambda top: list(_ROLES).index(top.lower())):
            first.setdefault(exact[top], top)
        return {top: role for role, top in first.items()}
    named = {top: match for top in tops if (match := _IN_NAME.search(top.lower()))}
    rests = {top.lower().replace(match[1], "", 1) for top, match in named.items()}
    roles = {top: _ROLES[match[1]] for top, match in named.items()}
    pair = len(tops) > 1 and len(named) == len(tops) and len(rests) == 1 and len(set(roles.values())) == len(tops)
    return roles if pair and "train" in roles.values() else {}


def _may_be_classes(tree: Tree, roles: Mapping[str, str], others: list[str]) -> bool:
    """Whether the folders called like splits look like the others: then they may be classes of those names."""
    train = next((top for top, role in roles.items() if role == "train"), None)
    if train is None:
        return True
    inner = tree.below(train)
    if len(inner.holding()) < 2:
        return True
    # With class folders of its own it is a split, unless the others have the same ones and no test is there to tell.
    return len(roles) == 1 and any(set(tree.below(top).holding()) & set(inner.holding()) for top in others)


def _two_readings(tree: Tree, name: str, roles: Mapping[str, str], others: list[str]) -> DataError:
    shown = " and ".join(f"{printable(top)}/" for top in roles)
    beside = some([f"{printable(top)}/" for top in others], 5)
    number = len(tree.holding())
    used = sum(len(tree.below(top).entries) for top in roles)
    rest = "those beside are trained on" if "train" not in roles.values() else "those beside are left aside"
    return DataError(
        f"{name} has {shown} beside {beside}: either {number:,} classes (--set data.splits=none), or {shown} "
        f"with {count(used, 'image')} as split and {rest} (--set data.splits=folders); choose one"
    )


def _inside_classes(tree: Tree, name: str) -> Parts:
    """Splits below each class: cat/train/1.png; empty where there are none. DataError where only some have them."""
    tops = tree.holding()
    inner = {top: {sub: _ROLES.get(sub.lower(), "") for sub in tree.below(top).holding()} for top in tops}
    split = [top for top in tops if len(set(inner[top].values()) - {""}) > 1]
    if not split or tree.loose():
        return {}
    whole = [top for top in tops if inner[top] and "" not in inner[top].values() and not tree.below(top).loose()]
    if len(whole) != len(tops):
        odd = some([printable(top) for top in tops if top not in whole], 5)
        raise DataError(
            f"{name} has splits below {some([printable(top) for top in split], 5)} but not below {odd}: either splits "
            "(then give all classes both folders), or mere folders of one split (--set data.splits=none); choose one"
        )
    roles = {(top, sub): role for top in tops for sub, role in inner[top].items()}
    if "test" not in roles.values():
        roles = {key: "test" if role == "val" else role for key, role in roles.items()}
    found: Parts = {}
    for role in ("train", "val", "test"):
        own = [entry for entry in tree.entries if roles[entry.parts[0], entry.parts[1]] == role]
        moved = tuple(replace(entry, parts=(entry.parts[0], *entry.parts[2:])) for entry in own)
        if moved:
            found[role] = replace(tree, entries=moved, folders=frozenset((entry.parts[0],) for entry in moved))
    return found


def _unwrapped_alike(parts: Parts) -> tuple[Parts, Notes]:
    """The splits without folders that wrap all of each: seg_train/seg_train/cat, train/images beside train/labels."""
    if "train" not in parts or not parts["train"].entries:
        return parts, ()
    train, notes = unwrapped(parts["train"])
    classes = set(train.holding())
    found = {"train": train}
    for role, part in parts.items():
        if role != "train":
            found[role] = unwrapped(part, classes)[0]
    return found, notes
