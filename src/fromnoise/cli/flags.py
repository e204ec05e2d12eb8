"""Flags that stand for settings, and how their values are read.

A headline flag is a setting under a short name: its type, choices and help come from the field that holds it.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes
from fromnoise.common.options import all_settings, annotation, changed, kind_of, parse_value, replaced
from fromnoise.common.threads import THREADS
from fromnoise.settings import DataOptions, Settings

TRAIN_FLAGS = {
    "num_epochs": "train.num_epochs",
    "num_images": "train.num_images",
    "budget": "train.budget",
    "resolution": "data.resolution",
    "center_crop": "data.center_crop",
    "random_flip": "data.random_flip",
    "holdout": "data.holdout",
    "on_bad_image": "data.on_bad_image",
    "conditions": "data.conditions",
    "train_batch_size": "train.train_batch_size",
    "gradient_accumulation_steps": "train.gradient_accumulation_steps",
    "learning_rate": "train.learning_rate",
    "lr_schedule": "train.lr_schedule",
    "mixed_precision": "train.mixed_precision",
    "use_ema": "train.use_ema",
    "posthoc_ema": "train.posthoc_ema",
    "checkpoint_every": "train.checkpoint_every",
    "checkpointing_steps": "train.checkpointing_steps",
    "checkpoints_kept": "train.checkpoints_kept",
    "previews": "train.previews",
    "evaluate_every": "train.evaluate_every",
    "report_to": "train.report_to",
    "seed": "train.seed",
}
SAMPLE_FLAGS = {
    "steps": "sample.steps",
    "sampler": "sample.sampler",
    "grid": "sample.grid",
    "eta": "sample.eta",
    "churn": "sample.churn",
    "guidance_scale": "sample.guidance_scale",
    "guidance_interval": "sample.guidance_interval",
    "guidance_rescale": "sample.guidance_rescale",
    "autoguidance_scale": "sample.autoguidance_scale",
    "guide_checkpoint": "sample.guide_checkpoint",
    "clip": "sample.clip",
    "threshold": "sample.threshold",
    "batch_size": "sample.batch_size",
}
THREAD_FLAGS = {"num_threads": "train.num_threads"}
LARGEST_SEED, MOST_SEEDS = 2**63, 10_000_000
ALIASES = {
    "num_epochs": ("num_train_epochs",),
    "train_batch_size": ("batch_size", "batch"),
    "learning_rate": ("lr",),
    "lr_schedule": ("lr_scheduler",),
    "resolution": ("image_size",),
    "checkpoints_kept": ("checkpoints_total_limit",),
    "report_to": ("logger", "log_with"),
    "autoguidance_scale": ("autoguidance",),
    "guide_checkpoint": ("weaker",),
}


def add_setting_flags(parser: Parser, flags: dict[str, str]) -> None:
    """Add a flag for each (short name, dotted setting) of `flags`."""
    for short, name in flags.items():
        kind, choices, _ = kind_of(annotation(Settings, name))
        metadata = all_settings(Settings)[name].metadata
        words = metadata["help"]
        if kind is bool:
            parser.switch(short, f"{words} (turn off: --no_{short})")
            continue
        plain = "TIME" if metadata["duration"] else {int: "N", float: "X"}.get(kind, "TEXT")
        metavar = "{" + ",".join(choices) + "}" if choices else plain
        parser.flag(short, *ALIASES.get(short, ()), metavar=metavar, help=words)


def chosen_settings(args: argparse.Namespace, flags: dict[str, str]) -> dict[str, Any]:
    """Dotted name -> value for every flag that was given, then for every `--set name=value`."""
    given = {name: getattr(args, short) for short, name in flags.items()}
    changes = {
        name: parse_value(Settings, name, value) if isinstance(value, str) else value
        for name, value in given.items()
        if value is not None
    }
    for text in getattr(args, "set", None) or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text} has no value; write --set section.name=value")
        changes[name.strip()] = parse_value(Settings, name.strip(), value.strip())
    return changes


def data_settings(args: argparse.Namespace, flags: dict[str, str]) -> dict[str, Any]:
    """Data options by name for every flag and `--set` that was given; UsageError for a setting of another part."""
    chosen = chosen_settings(args, flags)
    if others := [name for name in chosen if not name.startswith("data.")]:
        raise UsageError(f"--set {others[0]} does not belong to the data; give a setting that begins with data.")
    changes = {name.partition(".")[2]: value for name, value in chosen.items()}
    changed(DataOptions(), changes, "data")
    return changes


def add_model_flags(parser: Parser, without: str = "") -> None:
    """Add what every verb on a trained model takes: how to sample (but for one flag), which weights, which device."""
    add_setting_flags(parser, {short: name for short, name in SAMPLE_FLAGS.items() if short != without})
    add_weights_flags(parser)
    add_device_flag(parser)


def sample_settings(args: argparse.Namespace, without: str = "") -> dict[str, Any]:
    """Sampling options by name for every flag that `add_model_flags` added and that was given."""
    flags = {short: name for short, name in SAMPLE_FLAGS.items() if short != without}
    return {name.partition(".")[2]: value for name, value in chosen_settings(args, flags).items()}


def model_arguments(args: argparse.Namespace, without: str = "") -> dict[str, Any]:
    """The keyword arguments of `Run.model` that the flags of `add_model_flags` give."""
    return {"checkpoint": args.checkpoint, "weights": args.weights, **sample_settings(args, without)}


def parse_seeds(text: str) -> list[int]:
    """Seeds in "0-63" (both ends) or "1,5,8-10"; UsageError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,20})(?:-([0-9]{1,20}))?\s*", part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise UsageError(f"'{text}' names no seeds; write numbers and ranges such as 0-63 or 1,5,8-10")
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= LARGEST_SEED or last - first >= MOST_SEEDS:
            raise UsageError(
                f"'{text}' is too much; seeds go up to {LARGEST_SEED - 1}, and at most {MOST_SEEDS:,} samples are made "
                "at once"
            )
        seeds += range(first, last + 1)
    return seeds


def positive(flag: str, value: int, most: int | None = MOST_SEEDS) -> int:
    """`value` if it is at least 1 and can be done; UsageError else."""
    if value < 1:
        raise UsageError(f"--{flag} is {value}, but at least 1 is needed; give a larger number")
    if most is not None and value > most:
        raise UsageError(f"--{flag} is {value}, but at most {most:,} are made at once; give a smaller number")
    return value


def add_weights_flags(parser: Parser) -> None:
    """Add --checkpoint and --weights."""
    parser.flag(
        "checkpoint",
        default="last",
        metavar="{last,best,N}",
        help="the newest checkpoint, the best one (lowest validation loss, or lowest KID with --evaluate_every), "
        "or the one at N images",
    )
    parser.flag(
        "weights",
        default="ema",
        metavar="{ema,raw,ema:X}",
        help="averaged weights, raw ones, or an average of another length than it was trained with, such as ema:0.15",
    )


def add_json_flag(parser: Parser) -> None:
    """Add --json [FILE]."""
    parser.flag(
        "json", nargs="?", const="-", metavar="FILE", help="as JSON, into FILE or (-, or no FILE) to standard output"
    )


def write_json(place: str | None, value: Any) -> bool:
    """Write `value` where --json asks for it; True where that is standard output, which then gets nothing else."""
    if place is None:
        return False
    content = json.dumps(value, indent=1)
    if place == "-":
        print(content)
        return True
    write_bytes(place, content.encode())
    return False


def add_device_flag(parser: Parser) -> None:
    """Add --device and --num_threads."""
    parser.flag(
        "device",
        default="auto",
        metavar="{auto,cpu,cuda,mps}",
        help="where to compute; cuda:1 is the second GPU (default: the best here)",
    )
    add_setting_flags(parser, THREAD_FLAGS)


def fix_threads(args: argparse.Namespace) -> None:
    """Compute with --num_threads threads in this process; without the flag nothing happens."""
    if getattr(args, "num_threads", None) is not None:
        settings = replaced(Settings(), chosen_settings(argparse.Namespace(num_threads=args.num_threads), THREAD_FLAGS))
        THREADS.fix(settings.train.num_threads or 1)
