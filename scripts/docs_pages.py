"""The pages of the documentation that are generated from the code: settings, command line and Python reference.

mkdocs calls this while it builds (`make docs`); nothing is written into docs/.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import fromnoise
from fromnoise.cli import build_parser
from fromnoise.common.options import all_settings, annotation, kind_of, sections
from fromnoise.settings import Settings

# Headings of the Python reference by the package that holds a name, in reading order.
PARTS = {
    "run": "Runs",
    "model": "Trained models",
    "data": "Images",
    "common": "Images",
    "diffusion.process": "Processes",
    "diffusion.vp": "Processes",
    "diffusion.prediction": "Predictions",
    "diffusion.weighting": "Weightings",
    "diffusion.time_sampling": "Training times",
    "diffusion.denoiser": "Denoiser and loss",
    "diffusion.objective": "Denoiser and loss",
    "nets": "Networks",
    "diffusion.guidance": "Guidance",
    "diffusion.time_grids": "Time grids",
    "diffusion.samplers": "Samplers",
    "figures": "Figures",
    "chapter": "The chapter's pieces",
}


def settings_page() -> str:
    """Every setting with its default, its type or choices and limits, and its help, one table for each section."""
    lines = [
        "# Settings",
        "",
        "`fromnoise train DATA --set section.name=value` sets one; a TOML file for `--config` has a table for each",
        "section. From Python: `Run.create(data, settings={'train.budget': '60s'})`. The defaults here are those of",
        "the options; a recipe chooses its own.",
    ]
    known = all_settings(Settings)
    for section, kind in sections(Settings).items():
        summary = (kind.__doc__ or "").strip().splitlines()[0]
        lines += ["", f"## {section}", "", summary, "", "| setting | default | values | |", "|---|---|---|---|"]
        for name, field in known.items():
            if name.startswith(f"{section}."):
                lines.append(
                    f"| `{name}` | `{field.default}` | {_values(name, field.metadata)} | {field.metadata['help']} |"
                )
    return "\n".join(lines) + "\n"


def _values(name: str, limits: Mapping[str, Any]) -> str:
    kind, choices, optional = kind_of(annotation(Settings, name))
    words = ", ".join(f"`{choice}`" for choice in choices) or kind.__name__
    least, most = limits.get("least"), limits.get("most")
    if least is not None:
        words += f", at least {least:g}"
    if most is not None:
        words += f", at most {most:g}"
    return words + (" or none" if optional else "")


def command_line_page() -> str:
    """The help of every command, as `fromnoise VERB --help` prints it."""
    lines = ["# Command line", "", "`-` and `_` are the same in flags. Exit codes: 0 ok, 2 usage or a missing extra,"]
    lines += ["3 data, 4 run or checkpoint, 5 diverged, 6 cannot write, 7 run folder busy, 8 port taken,"]
    lines += ["9 a process of many lost, 75 stopped with work left, 130 and 143 stopped and saved."]
    for parser in _commands(build_parser()):
        lines += ["", f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _commands(child)


def api_page() -> str:
    """The public names of `fromnoise`, grouped; their docstrings are put in by mkdocstrings."""
    lines = ["# Python", "", "`import fromnoise as fn` offers these names; each loads when it is first used."]
    groups: dict[str, list[str]] = {heading: [] for heading in PARTS.values()}
    for name, home in fromnoise._HOMES.items():
        inside = home.removeprefix("fromnoise.")
        part = next(part for part in PARTS if f"{inside}.".startswith(f"{part}."))
        entry = f"::: {home}.{name}"
        if name == "Run":  # it opens a folder by what it inherits: model, data, checkpoint
            entry += "\n    options:\n      inherited_members: true"
        groups[PARTS[part]].append(entry)
    for heading, names in groups.items():
        lines += ["", f"## {heading}", "", *(line for name in names for line in (name, ""))]
    lines += ["## Checks for components of your own", "", "::: fromnoise.testing"]
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "command-line.md": command_line_page, "api.md": api_page}


def main() -> None:
    """Write the pages into the site that mkdocs is building."""
    import mkdocs_gen_files

    for name, page in PAGES.items():
        with mkdocs_gen_files.open(name, "w") as file:
            file.write(page())


if __name__ == "<run_path>":  # the name under which mkdocs-gen-files runs a script
    main()
