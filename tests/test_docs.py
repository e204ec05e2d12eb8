"""The pages in docs/ agree with the code: their code runs, their commands parse, and what they name exists."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import fromnoise as fn
from fromnoise.cli import VERBS, build_parser
from fromnoise.cli.flags import SAMPLE_FLAGS, TRAIN_FLAGS, chosen_settings
from fromnoise.cli.parser import Parser, parse
from fromnoise.common.errors import UsageError
from fromnoise.common.options import all_settings
from fromnoise.common.threads import THREADS, change
from fromnoise.evaluation.scores import Reference
from fromnoise.metrics.features import pixels
from fromnoise.nets.unet import UNet
from fromnoise.run.training import QuickEvaluator
from fromnoise.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS, SOURCE = CHECKOUT / "docs", CHECKOUT / "src" / "fromnoise"
PAGES = sorted(DOCS.rglob("*.md"))
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]
SLOW = {"adding-a-sampler"}  # proves a sampler on every process
WITHOUT_RESULTS = [page for page in PAGES if "results" not in page.parts]
READMES = [CHECKOUT / "README.md", CHECKOUT / "README.zh-CN.md", CHECKOUT / "CONTRIBUTING.md"]
# Flags of pip, build, uv, mkdocs and of scripts/ and benchmarks/ that pages show.
OTHER_PROGRAMS = {
    *("--extra", "--extra-index-url", "--group", "--strict", "--torch-backend", "--wheel", "--write"),
    *("--data", "--noise", "--repo-type", "--work"),
}


def name_of(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page.stem in SLOW else page for page in WITH_CODE],
    ids=name_of,
)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_pages_show_code() -> None:
    assert {"adding-a-sampler", "getting-started", "from-diffusers"} <= {page.stem for page in WITH_CODE}


# -- commands, flags and settings -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parser() -> Parser:
    """The whole command line."""
    return build_parser()


def commands(text: str) -> list[list[str]]:
    """The arguments of every `fromnoise` command that a page's blocks show."""
    blocks = re.findall(r"^```(?:bash|text)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(fromnoise .*)$", text, re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + indented
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fromnoise ")]


def flags_of(parser: Parser) -> Iterator[str]:
    """Every flag of a parser and of those below it."""
    for action in parser._actions:
        yield from action.option_strings
        for child in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            yield from flags_of(child)


@pytest.mark.parametrize("page", [*WITHOUT_RESULTS, *READMES], ids=name_of)
def test_commands_flags_and_settings_of_a_page_exist(page: Path, parser: Parser) -> None:
    text = page.read_text(encoding="utf-8")
    for argv in commands(text):
        args = parse(parser, argv)
        if args.verb in ("train", "sample"):
            chosen_settings(args, {"train": TRAIN_FLAGS, "sample": SAMPLE_FLAGS}[args.verb])
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    verbs = {span.split()[1] for span in spans if re.match(r"fromnoise [a-z]+", span)}
    assert verbs <= set(VERBS)
    known = {*flags_of(parser), *OTHER_PROGRAMS}
    assert not {flag for span in spans for flag in re.findall(r"(?<!\S)--\w[\w-]*", span)} - known
    sections = "|".join({name.partition(".")[0] for name in all_settings(Settings)})
    named = {span.partition("=")[0] for span in spans if re.fullmatch(rf"({sections})\.\w+(=.*)?", span)}
    assert not {name for name in named if not name.endswith(".py")} - set(all_settings(Settings))


def test_a_wrong_flag_in_a_page_would_be_seen(parser: Parser) -> None:
    (argv,) = commands("```bash\nfromnoise sample RUN --stepz 3  # a comment\nls\n```\n")
    with pytest.raises(UsageError, match="--stepz"):
        parse(parser, argv)


# -- pages that are generated -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    """scripts/docs_pages.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_pages", CHECKOUT / "scripts" / "docs_pages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_is_on_its_page(generated: ModuleType) -> None:
    page = generated.settings_page()
    for name, field in all_settings(Settings).items():
        if name != "recipe":  # chosen by --recipe
            (row,) = re.findall(rf"^\| `{re.escape(name)}` \| .*$", page, re.MULTILINE)
            assert field.metadata["help"] in row and f"`{field.default}`" in row


def test_every_verb_and_flag_is_on_the_page_of_commands(generated: ModuleType, parser: Parser) -> None:
    page = generated.command_line_page()
    assert all(f"\n## fromnoise {verb}\n" in page for verb in VERBS)
    assert all(f"--{flag} " in page for flag in (*TRAIN_FLAGS, *SAMPLE_FLAGS) if flag not in ("clip", "use_ema"))


def test_every_public_name_is_on_the_page_of_the_api(generated: ModuleType) -> None:
    entries = re.findall(r"^::: (fromnoise\S+)$", generated.api_page(), re.MULTILINE)
    assert {entry.rpartition(".")[2] for entry in entries} == {*fn.__all__, "testing"} - {"__version__"}
    assert len(entries) == len(set(entries))


# -- links, files and names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(page: Path, generated: ModuleType) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    inside = [target.partition("#")[0] for target in targets if not re.match(r"https?://|#", target)]
    made = {(DOCS / name).resolve() for name in generated.PAGES}
    missing = [t for t in inside if not (page.parent / t).exists() and (page.parent / t).resolve() not in made]
    assert not missing


def test_the_map_of_the_architecture_is_true() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    sources = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    everything = "\n".join(sources.values())
    folder = ""
    for span in re.findall(r"`([^`\n]+)`", text):
        if re.fullmatch(r"(\w+/)+", span):
            assert (SOURCE / span).is_dir(), span
        elif re.fullmatch(r"[\w/]+\.py", span):
            # A name without a folder stands beside the one before it, unless it is one of the top.
            path = span if "/" in span or span in sources else f"{folder}/{span}"
            assert path in sources, span
            folder = path.rpartition("/")[0]
        elif re.fullmatch(r"[A-Z]\w*(\.\w+)?|[a-z]+_\w+", span) and span not in ("UNet2DModel",):
            for part in span.split("."):
                assert re.search(rf"(class|def) {part}\b|^{part}[:\s]", everything, re.MULTILINE), span
    for name, path in re.findall(r"`([\w.]+)(?:\(.*?\))?`\s+\(`([\w/]+\.py)`\)", text):
        assert re.search(rf"(class|def) {name.rpartition('.')[2]}\b", sources[path]), f"{name} is not in {path}"


def test_the_layers_of_the_architecture_are_those_that_are_checked() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^([a-z| ]+?)  +\S", re.findall(r"```text\n(.*?)```", text, re.DOTALL)[0], re.MULTILINE)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    assert drawn == next(contract["layers"] for contract in contracts if contract["type"] == "layers")


def test_the_dependencies_of_the_architecture_are_those_of_the_project() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    core, extras = (re.findall(r"^\| ([\w`-]+) \|", part, re.MULTILINE)[1:] for part in text.split("Extras hold"))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert core == [re.split(r"[^\w-]", wanted)[0] for wanted in project["dependencies"]]
    assert {name.strip("`") for name in extras} == set(project["optional-dependencies"])


# -- metrics.jsonl ----------------------------------------------------------------------------------------------

COMMON = {"event", "images", "seconds"}  # explained once, for all events


def explained() -> dict[str, set[str]]:
    """Section of docs/logged-metrics.md -> the keys that its table explains; "" is that of the lines of steps."""
    text = (DOCS / "logged-metrics.md").read_text(encoding="utf-8")
    lines, events = text.split("## Events\n")
    introduction, *sections = re.split(r"^### `(.+)`$", events, flags=re.MULTILINE)
    assert all(f"`{key}`" in introduction for key in COMMON)
    tables = {"": lines} | dict(zip(sections[::2], sections[1::2], strict=True))
    return {
        name: {key for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
        for name, table in tables.items()
    }


def test_every_logged_key_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reference(evaluator: QuickEvaluator) -> Reference:
        """In pixels: what is measured has the same names, and no classifier is trained."""
        return Reference(evaluator.data, pixels(evaluator.data), pixels(evaluator.data), None)

    monkeypatch.setattr(QuickEvaluator, "count", 64)
    monkeypatch.setattr(QuickEvaluator, "reference", property(reference))
    images = np.random.default_rng(0).integers(0, 255, (64, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "squares.npz", images=images, labels=np.arange(64) % 2)
    settings = {
        "data.store": "always",
        "net.width": 8,
        "net.depth": 1,
        "train.num_images": 128,
        "train.train_batch_size": 32,
        "train.evaluate_every": 128,
        "train.log_every": 1,
        "train.previews": 0,
        "sample.steps": 1,
    }
    THREADS.changes = [change(2, 1, 1.0)]
    run = fn.Run.create(str(tmp_path / "squares.npz"), settings=settings, output_dir=tmp_path / "run").train()
    lines = run.folder.read_metrics()
    spent = {key: value for key, value in settings.items() if key not in ("train.num_images", "train.evaluate_every")}
    run = fn.Run.create(
        str(tmp_path / "squares.npz"), settings=spent | {"train.budget": "1s"}, output_dir=tmp_path / "spent"
    )
    for _ in run.steps(started=time.monotonic() - 60):
        pass
    lines += run.folder.read_metrics()
    shorter = {"num_images": 64, "trajectories": 8, "budget": None}
    lines += [
        line
        for line in fn.Run.distill(tmp_path / "run", tmp_path / "few", **shorter).train().folder.read_metrics()
        if line.get("event") == "trajectories"
    ]
    lines += _short_of_memory(str(tmp_path / "squares.npz"), spent, tmp_path / "short", monkeypatch)
    written: dict[str, set[str]] = {}
    for line in lines:
        assert "images" in line
        assert "event" not in line or line["event"] == "epoch" or "seconds" in line
        keys = set(line) - (COMMON if "event" in line else set())
        assert written.setdefault(line.get("event", ""), keys) == keys
    assert written == explained(), json.dumps({name: sorted(keys) for name, keys in written.items()}, indent=1)


def _short_of_memory(
    data: str, settings: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    """The lines of a run where half a batch fits the memory."""
    forward = UNet.forward

    def limited(net: UNet, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        if len(x) > 16:
            raise MemoryError
        return forward(net, x, code, label)

    monkeypatch.setattr(UNet, "forward", limited)
    changes = {"train.num_images": 32, "train.validations": 0}
    return fn.Run.create(data, settings=settings | changes, output_dir=path).train().folder.read_metrics()


def test_every_event_in_the_code_has_its_section() -> None:
    sources = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]
    events = {event for source in sources for event in re.findall(r'"event": "([^"]+)"', source)}
    assert events == set(explained()) - {""}


# -- the site ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the documentation's packages are not installed")
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=CHECKOUT,
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "settings.html", "command-line.html", "api.html"} <= {page.name for page in pages}
    elsewhere = r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(?:https?:)?//[^"'\s>]+"""
    elsewhere += r"""|<link(?![^>]*rel=["']?canonical)[^>]*\shref=["']?(?:https?:)?//[^"'\s>]+"""
    for page in pages:
        assert not re.findall(elsewhere, page.read_text(encoding="utf-8")), page.name
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.findall(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", style.read_text(encoding="utf-8")), style
