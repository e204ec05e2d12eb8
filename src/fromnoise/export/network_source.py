"""The source of one of our networks as one file that needs torch and diffusers alone, to travel with its weights.

Nothing is written twice: the text is that of `nets/`, with the modules it imports put before it.
"""

from __future__ import annotations

import ast
import importlib.util
from collections import defaultdict
from pathlib import Path

from fromnoise.nets.registry import NETWORKS

_OWN = ("fromnoise.nets.", "fromnoise.common.image_spec", "fromnoise.common.labels")
_STAND_INS = {  # what the networks take from the rest of fromnoise, as little as they need of it
    "UsageError": 'class UsageError(ValueError):\n    """A size that the network cannot have."""\n',
    "extra": "@contextmanager\ndef extra(*_: str) -> Iterator[None]:\n    yield  # diffusers is there\n",
}
_ALWAYS = {
    "__future__": {"annotations"},
    "collections.abc": {"Iterator"},
    "contextlib": {"contextmanager"},
    "types": {"SimpleNamespace"},
    "diffusers": {"ConfigMixin", "ModelMixin"},
    "diffusers.configuration_utils": {"register_to_config"},
}


def network_source(kind: str) -> str:
    """The file for networks of `kind`: its class `Network` is built from unet/config.json."""
    network = NETWORKS[kind]
    bundle = _Bundle()
    bundle.add(network.__module__)
    tail = (Path(__file__).parent / "portable" / "network_tail.txt").read_text(encoding="utf-8")
    name = network.__name__  # type: ignore[attr-defined]
    return bundle.text(f"The network of a model that fromnoise trained: {name}.", tail.replace("NETWORK.", f"{name}."))


class _Bundle:
    """Modules put one behind the other: imports from outside once at the top, those of our own replaced by the text."""

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = defaultdict(set, {name: set(names) for name, names in _ALWAYS.items()})
        self.modules: set[str] = set()
        self.seen: set[str] = set()
        self.stand_ins: list[str] = []
        self.bodies: list[str] = []

    def add(self, module: str) -> None:
        """Add a module of ours behind those that it imports."""
        if module in self.seen:
            return
        self.seen.add(module)
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        text = Path(spec.origin).read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines = text.splitlines()
        dropped: set[int] = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom | ast.Import):
                self._import(node)
            elif not (isinstance(node, ast.Expr) and node is tree.body[0]):  # the module's docstring
                continue
            dropped.update(range(node.lineno - 1, node.end_lineno or node.lineno))
        body = "\n".join(line for i, line in enumerate(lines) if i not in dropped).strip("\n")
        self.bodies.append(body.replace("options: NetOptions", "options: SimpleNamespace"))

    def _import(self, node: ast.ImportFrom | ast.Import) -> None:
        if isinstance(node, ast.Import):
            self.modules.update(ast.unparse(ast.Import([alias])) for alias in node.names)
            return
        module, names = node.module or "", [alias.name for alias in node.names]
        if module.startswith(_OWN):
            self.add(module)
        elif module.startswith("fromnoise."):
            self.stand_ins += [_STAND_INS[n] for n in names if n in _STAND_INS and _STAND_INS[n] not in self.stand_ins]
        else:
            self.names[module].update(names)

    def text(self, docstring: str, tail: str) -> str:
        """The whole file."""
        future = f"from __future__ import {', '.join(self.names.pop('__future__'))}"
        imports = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self.names.items())]
        top = f'"""{docstring}"""\n\n{future}\n\n' + "\n".join((*sorted(self.modules), *imports))
        return "\n\n\n".join((top, *(part.strip("\n") for part in (*self.stand_ins, *self.bodies, tail)))) + "\n"
