"""Brings the line numbers in docs/differences-from-the-papers.md up to date: `FILE:LINE`, `SYMBOL`.

python scripts/differences.py
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "differences-from-the-papers.md"
PLACE = re.compile(r"`(?P<file>[\w/.]+\.py):(?P<line>\d+)`,\s+`(?P<symbol>[\w.]+)`")


def line_of(file: str, symbol: str) -> int:
    """The line in `file` on which the class, function or method `symbol` (such as "VP.scales") is defined."""
    scope: ast.AST = ast.parse((CHECKOUT / file).read_text(encoding="utf-8"))
    for name in symbol.split("."):
        kinds = (ast.ClassDef, ast.FunctionDef)
        found = [node for node in ast.iter_child_nodes(scope) if isinstance(node, kinds) and node.name == name]
        if not found:
            sys.exit(f"{file} defines no {symbol}; name another place in {PAGE.name}")
        scope = found[0]
    assert isinstance(scope, (ast.ClassDef, ast.FunctionDef))
    return scope.lineno


def updated(text: str) -> str:
    """`text` with the line of each symbol as it is now."""
    return PLACE.sub(lambda m: m[0].replace(f":{m['line']}`", f":{line_of(m['file'], m['symbol'])}`"), text)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
