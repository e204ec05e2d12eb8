"""What the playground makes: the samples and edits of the command line, with the command that makes them again."""

from __future__ import annotations

import re
import shlex
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fromnoise.common.errors import UsageError
from fromnoise.common.text import quoted
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid
from fromnoise.model.samples import to_image
from fromnoise.run import Run
from fromnoise.run.checkpoints import checkpoint_named
from fromnoise.run.folder import RunFolder
from fromnoise.studio.work import Check

if TYPE_CHECKING:
    from fromnoise.editing.editor import Editor
    from fromnoise.editing.result import Edit
    from fromnoise.model.trained_model import TrainedModel

MOST_STEPS, MOST_FRAMES = 250, 40
_KEPT = 2  # models in memory
_BETWEEN = 9  # images from one seed to the other
_CHECKPOINT = re.compile(r"last|best|[0-9]{1,18}")
_WEIGHTS = re.compile(r"ema|raw|ema:0\.[0-9]{1,4}")


@dataclass(frozen=True)
class Wish:
    """What a page wants: how to sample, and from which weights.

    Arguments:
        label: a class by its name, None for each seed's own.
        settings: sampling settings, by name.
        conditions: numbers by name; others are each seed's own.
    """

    checkpoint: str
    weights: str
    label: str | None
    settings: Mapping[str, Any]
    conditions: Mapping[str, float]

    @property
    def on(self) -> dict[str, Any]:
        """What is conditioned on, as the methods of a model and an editor take it."""
        return {"label": self.label, "conditions": self.conditions}

    def __post_init__(self) -> None:
        if not _CHECKPOINT.fullmatch(self.checkpoint) or not _WEIGHTS.fullmatch(self.weights):
            raise UsageError(
                f"there are no weights '{self.weights[:40]}' of '{self.checkpoint[:40]}'; choose listed ones"
            )
        if not 1 <= self.settings["steps"] <= MOST_STEPS:
            raise UsageError(
                f"steps is {self.settings['steps']}, but the playground takes 1 to {MOST_STEPS}; give these"
            )


@dataclass
class Models:
    """The models that were used last, ready to sample."""

    _models: dict[tuple[Any, ...], tuple[Run, TrainedModel]] = field(default_factory=dict)

    def get(self, folder: RunFolder, wish: Wish) -> tuple[Run, TrainedModel]:
        """The run in `folder` and its model; CheckpointError and UsageError where there is none."""
        place = checkpoint_named(folder, wish.checkpoint)
        about = place.stat()
        key = (folder.path, int(place.name), wish.weights, about.st_mtime_ns, about.st_ino)
        if key not in self._models:
            run = Run(folder.path)
            self._models[key] = run, run.model(str(int(place.name)), wish.weights)
            for old in list(self._models)[:-_KEPT]:
                del self._models[old]
        return self._models[key]


def make_samples(
    models: Models, folder: RunFolder, wish: Wish, check: Check, seeds: Sequence[int], film: bool
) -> dict[str, Any]:
    """Samples as `fromnoise sample` makes them: the same bytes for the same batch, device and number of threads."""
    began = time.monotonic()
    _, model = models.get(folder, wish)
    with checked(model, check):
        samples = model.sample(seeds=seeds, keep_steps=film, **wish.on, **wish.settings)
    check()
    classes = model.spec.classes
    words = [
        "sample",
        quoted(folder.path),
        "--seeds",
        span(seeds),
        *_flags(model, wish, _changed(model, wish)),
        "--out",
        "samples.png",
    ]
    return {
        "image": text_of(png_bytes(grid(samples.images))),
        "frames": [text_of(png_bytes(grid(images))) for images in _some(samples.steps)],
        "labels": None if samples.labels is None else [classes[label] for label in samples.labels],
        "evaluations": samples.evaluations,
        **_about(model, began, words),
    }


def make_interpolation(
    models: Models, folder: RunFolder, wish: Wish, check: Check, ends: Sequence[int]
) -> dict[str, Any]:
    """Images from the sample of one seed to that of another."""
    words = ["interpolate", "--seeds", ",".join(map(str, ends)), "--num", str(_BETWEEN)]
    return edited(
        *(models, folder, wish, check, words, "interpolate"),
        lambda editor: editor.interpolate(seeds=ends, num=_BETWEEN, **wish.on),
    )


def make_variations(
    models: Models, folder: RunFolder, wish: Wish, check: Check, image: int, strength: float, seeds: Sequence[int]
) -> dict[str, Any]:
    """Variations of a training image, as far from it as `strength` says."""
    words = ["img2img", "--image", str(image), "--strength", f"{strength:g}", "--seeds", span(seeds)]
    return edited(
        *(models, folder, wish, check, words, "img2img"),
        lambda editor: editor.img2img(image, strength, seeds=seeds, **wish.on),
    )


def edited(
    models: Models,
    folder: RunFolder,
    wish: Wish,
    check: Check,
    words: list[str],
    out: str,
    work: Callable[[Editor], Edit],
) -> dict[str, Any]:
    """What `work` makes, as `fromnoise edit RUN ...` with `words` writes it to `out`."""
    from fromnoise.editing.editor import Editor

    began = time.monotonic()
    run, model = models.get(folder, wish)
    crop, spread = run.settings.data.center_crop, run.metadata["data"].get("range", "full")
    requested = _requested(model, wish)  # as flags request them: an edit would choose its own number of steps
    chosen = model.with_sampling(**requested)
    with checked(model, check):
        edit = work(Editor(chosen, lambda: run.data, crop, spread, requested))
    check()
    command = ["edit", quoted(folder.path), *words, *_flags(model, wish, requested), "--out", out]
    return {
        "image": text_of(png_bytes(grid(edit.images))),
        "given": [text_of(png_bytes(grid(images))) for _, images in edit.given],
        "images": [text_of(png_bytes(to_image(image), "sample")) for image in edit.images],
        "names": list(edit.names),
        "notes": list(edit.notes),
        "facts": edit.facts,
        **_about(model, began, command),
    }


def _about(model: TrainedModel, began: float, words: Sequence[str]) -> dict[str, Any]:
    return {
        "command": " ".join(["fromnoise", *words]),
        "seconds": round(time.monotonic() - began, 3),
        "checkpoint": model.images,
        "weights": model.weights,
    }


def _flags(model: TrainedModel, wish: Wish, settings: Mapping[str, Any]) -> list[str]:
    """The flags of the command line that differ from what it would do without."""
    words = ["--checkpoint", str(model.images)]
    if wish.weights != "ema":
        words += ["--weights", wish.weights]
    if wish.label is not None:
        words.append(f"--class={shlex.quote(wish.label)}")  # it may begin with a dash
    for name, number in wish.conditions.items():
        words.append(f"--condition={shlex.quote(f'{name}={number!r}')}")  # likewise; all digits, for the same bytes
    for name, value in settings.items():
        shown = ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else value
        words += [f"--{name}", "none" if value is None else f"{shown}"]
    return words


def _changed(model: TrainedModel, wish: Wish) -> dict[str, Any]:
    """The settings that differ from those of the run."""
    return {name: value for name, value in wish.settings.items() if value != getattr(model.sampling, name)}


def _requested(model: TrainedModel, wish: Wish) -> dict[str, Any]:
    """The settings of an edit: those that differ, and the number of steps where the times are not given one by one."""
    steps = {} if "," in wish.settings["grid"] else {"steps": wish.settings["steps"]}
    return {**_changed(model, wish), **steps}


def span(seeds: Sequence[int]) -> str:
    return f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def _some(frames: Sequence[Any]) -> list[Any]:
    """At most MOST_FRAMES of the frames, the last one among them."""
    every = max(1, -(-len(frames) // MOST_FRAMES))
    return [frame for number, frame in enumerate(frames, start=1) if number % every == 0 or number == len(frames)]


def text_of(content: bytes) -> str:
    """Bytes as text, for JSON."""
    return b64encode(content).decode("ascii")


@contextmanager
def checked(model: TrainedModel, check: Check) -> Iterator[None]:
    """Call `check` before each evaluation of the network, so that work that nobody waits for ends soon."""
    handle = model.denoiser.net.register_forward_pre_hook(lambda *_: check())
    try:
        yield
    finally:
        handle.remove()


def choices(folder: RunFolder) -> dict[str, Any]:
    """What the playground offers for the run in `folder`, and what the run itself samples with."""
    from fromnoise.diffusion.samplers.registry import SAMPLERS
    from fromnoise.diffusion.time_grids import GRIDS
    from fromnoise.editing.sampling import LEAST_STEPS
    from fromnoise.run.opened import OpenedRun
    from fromnoise.train.checkpoint_files import list_checkpoints
    from fromnoise.train.posthoc_ema import LONGEST, SHORTEST

    run = OpenedRun(folder, device="cpu")
    sample, process = run.settings.sample, run.new_denoiser().process
    return {
        "samplers": list(SAMPLERS),
        "grids": ["auto", *GRIDS],
        "sampler": sample.sampler,
        "grid": sample.grid,
        "steps": sample.steps,
        "edit_steps": max(sample.steps, LEAST_STEPS),
        "guidance_scale": sample.guidance_scale,
        "guidance_interval": sample.guidance_interval,
        "distilled": bool(run.metadata.get("distilled")),
        "guided": run.spec.conditioned and run.settings.objective.label_dropout > 0,
        "last_time": float(process.t_max),
        "most_steps": MOST_STEPS,
        "classes": list(run.spec.classes),
        "conditions": [
            {"name": one.name, "least": one.least, "most": one.most, "mean": one.mean} for one in run.spec.conditions
        ],
        "count": run.metadata["data"]["count"],
        "checkpoints": [int(path.name) for path in list_checkpoints(folder.checkpoints)],
        "lengths": [SHORTEST, LONGEST] if run.settings.train.posthoc_ema else None,
        "ema": run.settings.train.use_ema,
    }
