"""Advice that can be followed: a message names only flags that the verb which raised it has."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import fromnoise
from fromnoise.cli import build_parser, main
from fromnoise.cli.parser import Parser

MESSAGES = Path(__file__).parent.parent / "messages.txt"
SOURCE = Path(fromnoise.__file__).parent
FLAG = re.compile(r"(?<![\w-])--([a-z]\w*)")


def parser_of(words):
    """The parser of the verb, and of the action below it, that the words of a command name."""
    parser: Parser = build_parser()
    for word in words:
        below = next((a.choices for a in parser._actions if hasattr(a, "choices") and isinstance(a.choices, dict)), {})
        parser = below.get(word, parser)
    return parser


def flags_of(parser):
    return {text.removeprefix("--") for action in parser._actions for text in action.option_strings}


def provoked():
    for line in MESSAGES.read_text(encoding="utf-8").splitlines():
        case, _, said = line.split(" | ", 2)
        words = shlex.split(case)
        if words and parser_of(words[:3]).prog != "fromnoise" and FLAG.search(said):
            yield pytest.param(words, said, id=case[:60])


@pytest.mark.parametrize("words, said", list(provoked()))
def test_every_flag_in_a_message_is_one_of_the_verb_that_says_it(words, said):
    known = flags_of(parser_of(words[:3]))
    other = re.findall(r"`fromnoise ([^`]*)`", said)  # a whole command is another verb's own
    for command in other:
        said = said.replace(command, "")
        named = shlex.split(command)
        assert set(FLAG.findall(command)) <= flags_of(parser_of(named[:3])), command
    given = {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}
    assert set(FLAG.findall(said)) <= known | given


def spoken(tree):
    """The texts of a module that are not documentation."""
    bodies = (node.body for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list))
    documented = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


def every_flag():
    parsers, flags = [build_parser()], set()
    while parsers:
        parser = parsers.pop()
        flags |= flags_of(parser)
        for action in parser._actions:
            parsers += action.choices.values() if isinstance(action.choices, dict) else ()
    return flags


def test_no_text_of_the_package_names_a_flag_that_no_verb_has():
    known = every_flag()
    named = {
        flag: file.name
        for file in SOURCE.rglob("*.py")
        if file.parent.name != "chapter"
        for text in spoken(ast.parse(file.read_text(encoding="utf-8")))
        for flag in FLAG.findall(text)
    }
    other = {"force", "no_"}  # of pip, and the beginning of a flag
    assert len(named) > 20 and {flag: file for flag, file in named.items() if flag not in known | other} == {}


@pytest.mark.parametrize("words", [["sample", ""], ["train", ""], ["sample", "r", "--out="], ["train", "d", "--set="]])
def test_what_is_empty_is_refused_at_once(words, capsys):
    assert main(words) == 2 and "empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, named",
    [
        (["sample", "run", "--num", "100000000000"], "10,000,000"),
        (["sample", "run", "--num=--"], "--num"),
        (["sample", "run", "--seeds", "9" * 400], "0-63"),
        (["sample", "run", "--steps", "9" * 5000], "5,000"),
        (["evaluate", "run", "--num", "9"], "10"),
        (["evaluate", "run", "--num", "100000000000"], "10,000,000"),
        (["sample", "run", "--out", "x.jpg"], ".png"),
        (["edit", "run", "interpolate", "--seeds", "1,2", "--out", "x.npz"], ".gif"),
        (["data", "inspect", "digits", "--out", "x.jpg"], ".png"),
        (["compare", "run", "run", "--out", "x.png"], ".html"),
        (["train", "digits", "--budget", "9" * 400], "90s"),
        (["train", "digits", "--config", "/dev/zero"], "TOML"),
    ],
)
def test_what_cannot_be_is_refused_without_a_run(words, named, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert named in said and len(said.splitlines()) == 1
