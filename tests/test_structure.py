"""What linters do not see: files and functions stay short, and no module imports itself through others."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SOURCE = CHECKOUT / "src"
FILES = sorted((SOURCE / "fromnoise").rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES = 350, 50
PAGES = {"chapter/chapter.py"}  # a page that is run: its length is that of the tutorial


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Our modules that `path` imports anywhere: at the top, in functions, for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in modules:
                name = name.rpartition(".")[0]
            found.add(name)
    return found - {"", module_of(path)}


def test_files_and_functions_are_short():
    long = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(SOURCE / "fromnoise").as_posix()
        if text.count("\n") >= MOST_LINES and name not in PAGES:
            long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                if size >= MOST_FUNCTION_LINES:
                    long.append(f"{name}:{node.lineno} {node.name}: {size} lines")
    assert not long, "\n".join(long)


def test_no_module_imports_itself_through_others():
    modules = {module_of(path) for path in FILES}
    imports = {module_of(path): imported_modules(path, modules) for path in FILES}
    while True:  # whoever imports nothing that is left is in no circle
        free = {module for module, wanted in imports.items() if not wanted & imports.keys()}
        if not free:
            break
        imports = {module: wanted for module, wanted in imports.items() if module not in free}
    assert not imports, "in a circle, or above one: " + ", ".join(sorted(imports))


def test_few_modules_lie_loose():
    loose = {path.name for path in FILES if path.parent.name == "fromnoise"}
    assert loose == {"__init__.py", "__main__.py", "settings.py"}


@pytest.mark.parametrize(("module", "most"), [("fromnoise", 5), ("fromnoise.run.run", 44)])
def test_importing_loads_few_of_our_modules(module: str, most: int) -> None:
    code = f"import sys, {module}; print(*(m for m in sys.modules if m.startswith('fromnoise')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < len(done.stdout.split()) <= most, done.stdout
