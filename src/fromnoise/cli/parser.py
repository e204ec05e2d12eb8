"""argparse with our manners: `-` and `_` alike in flags, one sentence for a mistake, the nearest name offered."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from fromnoise.common.errors import UsageError, closest, unknown

LONGEST = 4096  # characters in an argument, as in a path; Python reads no whole number much longer


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError and accepts no shortened flags."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self.explain: Callable[[list[str], str], str | None] = lambda words, message: None
        """(words after the verb, argparse's message) -> a better sentence for them, where there is one."""

    def error(self, message: str) -> NoReturn:
        """One sentence instead of the usage text."""
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """The nearest of the choices for one that is none."""
        if action.choices is not None and value not in action.choices:
            kind = (action.metavar or action.dest) if isinstance(action.metavar, str | None) else action.dest
            said = unknown(kind.lower() if kind.isupper() else action.dest, str(value), map(str, action.choices))
            raise UsageError(f"{said}; see `{self.prog} --help`")

    def flag(self, name: str, *aliases: str, **kwargs: Any) -> None:
        """Add `--name`, also spelled with `-` for `_`; aliases are accepted but not shown."""
        kwargs.setdefault("dest", name)
        spellings = [f"--{name}"] + ([f"--{name.replace('_', '-')}"] if "_" in name else [])
        self.add_argument(*spellings, **kwargs)
        for alias in aliases:
            self.add_argument(*{f"--{alias}", f"--{alias.replace('_', '-')}"}, **{**kwargs, "help": argparse.SUPPRESS})

    def switch(self, name: str, help: str) -> None:
        """Add `--name` and `--no_name`; None when neither is given."""
        self.flag(name, action="store_const", const=True, help=help)
        self.flag(f"no_{name}", action="store_const", const=False, dest=name, help=argparse.SUPPRESS)

    def _get_formatter(self) -> argparse.HelpFormatter:
        made = _OneSpelling(prog=self.prog, max_help_position=30, width=100)
        if hasattr(made, "_set_color"):  # from Python 3.14 on; codes of colours would be made visible
            made._set_color(False)
        return made


class _OneSpelling(argparse.HelpFormatter):
    """Help that shows the first spelling of each flag only, and keeps the lines of a table."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        if action.nargs == 0:
            return action.option_strings[0]
        return f"{action.option_strings[0]} {self._format_args(action, self._get_default_metavar_for_optional(action))}"


def parse(parser: Parser, argv: list[str]) -> argparse.Namespace:
    """The parsed arguments; UsageError with the nearest verb or flag for what is not known."""
    verbs = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
    if argv and not argv[0].startswith("-") and argv[0] not in verbs:
        likely = closest(argv[0], verbs)
        hint = f"did you mean '{likely}'? " if likely else ""
        raise UsageError(f"unknown command '{argv[0]}'; {hint}Known: {', '.join(verbs)}")
    if not argv:
        parser.print_help()
        raise UsageError("no command was given; start with `fromnoise train digits`")
    if long := next((word for word in argv if len(word) > LONGEST), None):
        raise UsageError(f"'{long[:20]}...' has {len(long):,} characters; give at most {LONGEST:,} in an argument")
    try:
        args, strangers = parser.parse_known_args(argv)
    except UsageError as error:
        said = verbs[argv[0]].explain(argv[1:], str(error)) if argv[0] in verbs else None
        raise UsageError(said or str(error)) from error
    if strangers:
        inner = _innermost(parser, args)
        flags = [s for a in inner._actions for s in a.option_strings if a.help is not argparse.SUPPRESS]
        likely = closest(strangers[0].partition("=")[0], flags) if strangers[0].startswith("-") else None
        hint = f"did you mean {likely}?" if likely else f"see `{inner.prog} --help`"
        raise UsageError(f"unknown argument '{strangers[0]}' to `{inner.prog}`; {hint}")
    for action in _innermost(parser, args)._actions:
        value = getattr(args, action.dest, None)
        for given in value if isinstance(value, list) and value else [value]:
            if given in ("", []) and given != action.const:  # argparse leaves [] of --flag=--
                name = action.option_strings[0] if action.option_strings else action.metavar
                raise UsageError(f"{name} is empty; give a value")
    return args


def flags_by_verb(parser: argparse.ArgumentParser) -> dict[str, set[str]]:
    """The flags of each verb, without their dashes; `train`, which has most of them, first."""
    verbs = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
    return {verb: _flags(verbs[verb]) for verb in sorted(verbs, key=lambda name: name != "train")}


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    """The flags of a parser and of the actions below it."""
    below = [
        _flags(one) for a in parser._actions if isinstance(a, argparse._SubParsersAction) for one in a.choices.values()
    ]
    return {text.lstrip("-") for action in parser._actions for text in action.option_strings}.union(*below)


def _innermost(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the verb, and of the action below it, that `args` chose."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return _innermost(action.choices[getattr(args, action.dest)], args)
    return parser
