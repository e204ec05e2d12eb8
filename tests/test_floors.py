"""The house keeps its floors: every import in src/fromnoise, also inside functions, is held against one table.

A room is a top-level module or package. A file imports only from floors below or from its own room. Each check
is a function from a folder to a list of sentences, so that it can be tried on a small house with a planted fault.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "fromnoise"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("images", "seeds", "errors", "options", "clock"),  # F0 ground
    ("process", "vp", "processes", "prediction", "weighting", "times", "grids"),  # F1 maths
    ("nets",),  # F2 networks
    ("denoiser", "objective", "guidance", "model_options", "sizes"),  # F3 model
    ("samplers", "data"),  # F4 solvers
    ("train", "metrics", "figures", "edits"),  # F5 engine
    ("export", "config", "build", "recipes", "page", "testing"),  # F6 doors
    ("run", "doctor"),  # F7 run
    ("chapter",),  # F8 the chapter
    ("cli", "studio"),  # F9 skins
)
# Neighbours on one floor do not import each other, except these.
STAIRS = {
    "options": {"errors"},
    "clock": {"errors"},
    "images": {"errors"},
    "prediction": {"process", "vp"},
    "weighting": {"process", "prediction"},
    "vp": {"process"},
    "processes": {"process", "vp"},
    "times": {"process", "vp"},
    "grids": {"process", "vp"},
    "objective": {"denoiser"},
    "guidance": {"denoiser"},
    "build": {"config"},
    "recipes": {"config"},
}
# Walls that stand although the floors would allow the way.
WALLS = {"nets": {"process", "vp", "prediction", "weighting", "times", "grids", "processes"}}
DOORS = {"__init__", "__main__"}  # import what they name only when asked; test_imports.py looks at them
INSIDE_FUNCTIONS = {"matplotlib", "diffusers", "sklearn", "datasets", "pooch", "rich"}  # slow to load
DISTRIBUTED = {"train", "run"}
MOST_LINES, MOST_FUNCTION_LINES = 350, 50

FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


@dataclass(frozen=True)
class Import:
    """One imported module, as written; on_load: it is imported when the file is (not in a function, not for types)."""

    module: str
    line: int
    on_load: bool


@dataclass(frozen=True)
class File:
    """One source file, read once. module: its dotted name, room: the second part of that name."""

    path: Path
    module: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.module.split(".")[1]

    def at(self, line: int) -> str:
        return f"{'/'.join(self.module.split('.'))}.py:{line}"


def files(root: Path) -> list[File]:
    """All files of the package at `root`, but for its doors."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if len(parts) == 1 and parts[0] in DOORS:
            continue
        text = path.read_text(encoding="utf-8")
        found.append(File(path, ".".join((root.name, *parts)), text, ast.parse(text, str(path))))
    return found


def imports(file: File) -> Iterator[Import]:
    """Every import of `file`: statements, and import_module or __import__ with the name written out."""

    def walk(node: ast.AST, on_load: bool) -> Iterator[Import]:
        for module in imported_by(node, file.module):
            yield Import(module, node.lineno, on_load)  # type: ignore[attr-defined]
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from walk(child, False)
            for child in node.orelse:
                yield from walk(child, on_load)
            return
        inner = on_load and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inner)

    return walk(file.tree, True)


def imported_by(node: ast.AST, module: str) -> list[str]:
    """The dotted names that one syntax node imports; `from a import b` gives a.b, whatever b is."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = module.split(".")[: -node.level] if node.level else []
        stem = ".".join([*base, *([node.module] if node.module else [])])
        return [f"{stem}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


def misplaced(root: Path) -> list[str]:
    """Rooms that stand on no floor."""
    strangers = sorted({file.room for file in files(root)} - set(FLOOR_OF))
    return [f"{root.name}/{room} stands on no floor; place it in FLOORS of tests/test_floors.py" for room in strangers]


def climbing(root: Path) -> list[str]:
    """Imports that do not lead to a floor below."""
    sentences = []
    for file in files(root):
        for found in imports(file):
            package, _, rest = found.module.partition(".")
            if package == root.name and not rest.startswith("__"):
                reason = refusal(file.room, rest.split(".")[0])
                if reason:
                    sentences.append(f"{file.at(found.line)} imports {found.module}: {reason}")
    return sentences


def refusal(room: str, wanted: str) -> str:
    """Why a file in `room` may not import the room `wanted`; empty where it may."""
    if room == wanted or wanted in STAIRS.get(room, ()):
        return ""
    if wanted not in FLOOR_OF:
        return "import from the file that holds the name, not through the package's door"
    if wanted in WALLS.get(room, ()):
        return f"{room} is to know nothing of {wanted}"
    here, there = FLOOR_OF.get(room, len(FLOORS)), FLOOR_OF[wanted]
    if there == here:
        return f"{room} and {wanted} are neighbours on floor {here}; move what both need a floor down"
    if there > here:
        return f"{room} is on floor {here}, {wanted} on floor {there}; only lower floors may be imported"
    return ""


def networks_in_maths(root: Path) -> list[str]:
    """torch.nn on the floor of the mathematics."""
    return [
        f"{where} uses {name}: the mathematics (floor 1) works on plain tensors, without torch.nn"
        for file in files(root)
        if file.room in FLOORS[1]
        for name, where in uses(file, "torch.nn")
    ]


def stray_distributed(root: Path) -> list[str]:
    """torch.distributed outside the engine and the run."""
    return [
        f"{where} uses {name}: only {' and '.join(sorted(DISTRIBUTED))} may use torch.distributed"
        for file in files(root)
        if file.room not in DISTRIBUTED
        for name, where in uses(file, "torch.distributed")
    ]


def uses(file: File, module: str) -> Iterator[tuple[str, str]]:
    """(name, place) of each import and each use of `module` or what is below it."""
    for found in imports(file):
        if f"{found.module}.".startswith(f"{module}."):
            yield found.module, file.at(found.line)
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == module:
            yield module, file.at(node.lineno)


def slow_on_load(root: Path) -> list[str]:
    """Slow libraries imported when a file is, not when a function needs them."""
    return [
        f"{file.at(found.line)} imports {found.module} at module top; do it inside the function that needs it"
        for file in files(root)
        for found in imports(file)
        if found.on_load and found.module.split(".")[0] in INSIDE_FUNCTIONS
    ]


def too_long(root: Path) -> list[str]:
    """Files of MOST_LINES lines and more, functions of MOST_FUNCTION_LINES and more."""
    sentences = []
    for file in files(root):
        lines = len(file.text.splitlines())
        if lines >= MOST_LINES:
            sentences.append(f"{file.at(1)} has {lines} lines, allowed are fewer than {MOST_LINES}: two concepts?")
        for node in ast.walk(file.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                if size >= MOST_FUNCTION_LINES:
                    sentences.append(
                        f"{file.at(node.lineno)} {node.name} has {size} lines, "
                        f"allowed are fewer than {MOST_FUNCTION_LINES}"
                    )
    return sentences


def undocumented(root: Path) -> list[str]:
    """Modules, and their public functions and classes, without a docstring."""
    sentences = []
    for file in files(root):
        if file.text.strip() and not ast.get_docstring(file.tree):
            sentences.append(f"{file.at(1)} has no docstring: say what the module is for")
        for node in file.tree.body:
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and not ast.get_docstring(node):
                sentences.append(f"{file.at(node.lineno)} {node.name} has no docstring")
    return sentences


CHECKS = (
    misplaced,
    climbing,
    networks_in_maths,
    stray_distributed,
    slow_on_load,
    too_long,
    undocumented,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_stands(check: Callable[[Path], list[str]]) -> None:
    assert files(SOURCE), f"no source found in {SOURCE}"
    sentences = check(SOURCE)
    assert not sentences, "\n" + "\n".join(sentences)


SOUND = {
    "errors.py": '"""Errors."""\nimport torch.nn\n',
    "process.py": '"""Maths."""\nfrom fromnoise.errors import UsageError\n',
    "prediction.py": '"""Maths."""\nfrom . import process\nfrom .errors import UsageError\n',
    "nets/__init__.py": '"""Networks."""\nfrom fromnoise.nets.unet import UNet\n',
    "nets/unet.py": '"""A network."""\n\n\ndef build():\n    """Later."""\n    import diffusers\n',
    "train/engine.py": '"""The engine."""\nimport torch.distributed as dist\nfrom fromnoise import nets\n',
    "figures/curves.py": '"""T."""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import matplotlib\n',
    "__init__.py": "from fromnoise.train import engine\n",
}
PLANTED = [
    (misplaced, "attic.py", '"""New."""\n', "fromnoise/attic stands on no floor"),
    (climbing, "seeds.py", '"""S."""\nfrom fromnoise.process import Linear\n', "only lower floors"),
    (climbing, "seeds.py", '"""S."""\n\n\ndef f():\n    """."""\n    import fromnoise.train.engine\n', "seeds.py:6"),
    (climbing, "seeds.py", '"""S."""\nfrom . import train\n', "imports fromnoise.train"),
    (climbing, "data/zip.py", '"""Z."""\nfrom ..samplers import loop\n', "neighbours on floor 4"),
    (climbing, "data/zip.py", '"""Z."""\nimport importlib\nimportlib.import_module("fromnoise.run")\n', "zip.py:3"),
    (climbing, "metrics/fd.py", '"""F."""\nfrom fromnoise.train.engine import Trainer\n', "neighbours on floor 5"),
    (climbing, "nets/dit.py", '"""D."""\nfrom fromnoise.process import Linear\n', "know nothing of process"),
    (climbing, "cli/x.py", '"""X."""\nfrom fromnoise import Run\n', "not through the package's door"),
    (climbing, "run.py", '"""R."""\ntry:\n    from fromnoise import cli\nexcept ImportError:\n    pass\n', "run.py:3"),
    (networks_in_maths, "times.py", '"""T."""\nfrom torch import nn\n', "times.py:2 uses torch.nn"),
    (networks_in_maths, "times.py", '"""T."""\nimport torch\nx = torch.nn.SiLU\n', "times.py:3"),
    (stray_distributed, "samplers/a.py", '"""A."""\nimport torch.distributed as d\n', "only run and train"),
    (slow_on_load, "figures/b.py", '"""B."""\nfrom matplotlib import pyplot\n', "figures/b.py:2"),
    (slow_on_load, "data/hub.py", '"""H."""\nif True:\n    import datasets\n', "data/hub.py:3"),
    (too_long, "clock.py", '"""C."""\n' + "x = 1\n" * 349, "350 lines"),
    (too_long, "clock.py", '"""C."""\n\n\ndef f():\n' + "    pass\n" * 49, "clock.py:4 f has 50 lines"),
    (undocumented, "clock.py", "x = 1\n", "clock.py:1 has no docstring"),
    (undocumented, "clock.py", '"""C."""\n\n\nclass Clock:\n    pass\n', "clock.py:4 Clock has no docstring"),
]


def build_house(folder: Path, contents: dict[str, str]) -> Path:
    """A package `fromnoise` in `folder` with these files."""
    root = folder / "fromnoise"
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_house_passes(check: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert check(build_house(tmp_path, SOUND)) == []


@pytest.mark.parametrize(("check", "name", "text", "said"), PLANTED)
def test_a_planted_fault_is_found(
    check: Callable[[Path], list[str]], name: str, text: str, said: str, tmp_path: Path
) -> None:
    sentences = check(build_house(tmp_path, {**SOUND, name: text}))
    assert len(sentences) == 1, sentences
    assert said in sentences[0]


def test_the_table_is_sound() -> None:
    rooms = [room for floor in FLOORS for room in floor]
    assert len(rooms) == len(set(rooms)), "a room stands on two floors"
    for room, wanted in STAIRS.items():
        assert {FLOOR_OF[other] for other in wanted} == {FLOOR_OF[room]}, f"{room}: stairs join rooms of one floor"
        assert not any(room in STAIRS.get(other, ()) for other in wanted), f"{room}: stairs go one way"
