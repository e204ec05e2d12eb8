"""Advice that can be followed: a message names only flags that the verb which raised it has."""

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest

import fromnoise
from fromnoise.cli import VERBS, build_parser, main
from fromnoise.cli.advice import followable
from fromnoise.cli.parser import Parser, flags_by_verb
from fromnoise.common.errors import closest

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


def test_what_was_typed_is_not_advised():
    said = "run holds another run; leave that out, go on with `fromnoise train --resume run`, or choose --output_dir"
    flags = flags_by_verb(build_parser())
    resumed, begun = (argparse.Namespace(verb="train", resume=run) for run in ("run", None))
    assert followable(said, resumed, flags) == "run holds another run; leave that out"
    assert followable(said, begun, flags) == said
    only = "run is there; go on with `fromnoise train --resume run`"
    assert followable(only, resumed, flags) == only


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
    # Of pip, accelerate, torchrun and hf, and the beginning of a flag.
    other = {"force", "multi_cpu", "multi_gpu", "nproc", "standalone", "repo", "no_"}
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


PICTURES = "9.png in cats cannot be read: it is empty; fix it, or leave it out with --on_bad_image skip"
TWO = "cats have two sizes; give --resolution 32, or --set data.center_crop=false"


@pytest.mark.parametrize(
    "verb, message, advice",
    [
        ("train", PICTURES, "fix it, or leave it out with --on_bad_image skip"),
        ("chapter", PICTURES, "fix it"),
        ("demo", PICTURES, "fix it"),
        ("data", TWO, "give --resolution 32, or --set data.center_crop=false"),
        ("evaluate", TWO, "give --resolution 32, or --set data.center_crop=false"),
        ("chapter", TWO, "`fromnoise train --resolution --set` can do this"),
        (
            "sample",
            "it was other; ask for `fromnoise train --seed 1, 2`, or give --holdout",
            "ask for `fromnoise train --seed 1, 2`",
        ),
        ("train", "no advice with --resolution", "no advice with --resolution"),
        ("chapter", "it cannot be; give --flux", "give --flux"),
        ("train", "one alone; use torchrun, or give accelerate --flux", "use torchrun, or give accelerate --flux"),
    ],
)
def test_advice_is_what_the_verb_has_flags_for(verb, message, advice):
    said = followable(message, argparse.Namespace(verb=verb), flags_by_verb(build_parser()))
    assert said.rpartition("; ")[2] == advice and said.partition("; ")[0] == message.partition("; ")[0]


@pytest.mark.parametrize(
    "message, advice",
    [
        ("cannot write in x; allow it, or choose another --output_dir", "allow it"),
        ("x is full; free some space, or choose another --output_dir", "free some space"),
    ],
)
def test_a_run_that_is_resumed_has_no_other_place(message, advice):
    flags = flags_by_verb(build_parser())
    assert followable(message, argparse.Namespace(verb="train", resume="x"), flags).endswith(f"; {advice}")
    assert followable(message, argparse.Namespace(verb="train", resume=None), flags) == message
    alone = followable("cannot write; choose another --output_dir", argparse.Namespace(verb="train", resume="x"), flags)
    assert "--" not in alone and "copy" in alone


@pytest.mark.parametrize("verb", ["chapter", "train"])
def test_a_broken_picture_is_answered_with_the_flags_of_the_verb(verb, tmp_path, capsys):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    words = {"chapter": ["chapter", "--data"], "train": ["train"]}[verb]
    assert main([*words, str(tmp_path), "--output_dir", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert set(FLAG.findall(said)) <= flags_of(parser_of([verb])) and ("--on_bad_image" in said) == (verb == "train")


MEANT = {
    "train": "ouput_dir:output_dir outputdir:output_dir epochs:num_epochs num_epoch:num_epochs images:num_images "
    "learningrate:learning_rate resoltion:resolution resolutoin:resolution seeds:seed buget:budget recipy:recipe "
    "mixed_precission:mixed_precision threads:num_threads hold_out:holdout on_bad_images:on_bad_image "
    "eval_every:evaluate_every centre_crop:center_crop maxtime:max_time",
    "sample": "step:steps sampelr:sampler guidance:guidance_scale labels:label weight:weights checkpoints:checkpoint",
    "evaluate": "feature:features sample:samples referenc:reference sweeps:sweep",
}
FOREIGN = {
    "train": "out gpu cuda steps name force verbose quiet workers class loss width arch optim save fp16 model wandb",
    "sample": "gpu cuda prompt force width format temperature",
    "evaluate": "fid gpu real fake force metrics",
}


@pytest.mark.parametrize("verb", MEANT)
def test_a_misspelt_flag_finds_the_one_that_was_meant_and_a_foreign_one_none(verb):
    actions = [action for action in parser_of([verb])._actions if action.help is not argparse.SUPPRESS]
    flags = [text for action in actions for text in action.option_strings]
    pairs = [pair.split(":") for pair in MEANT[verb].split()]
    assert {given: closest(f"--{given}", flags) for given, _ in pairs} == {
        given: f"--{meant}" for given, meant in pairs
    }
    assert {given: found for given in FOREIGN[verb].split() if (found := closest(f"--{given}", flags))} == {}


def test_every_verb_has_its_flags():
    assert set(flags_by_verb(build_parser())) == set(VERBS) and "resolution" in flags_by_verb(build_parser())["data"]
