"""The chapter's networks as runs: trained, gone on with where they stopped, or found finished."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from fromnoise.chapter.parts import stated
from fromnoise.chapter.published import EPOCH_LOSSES, RERUNS
from fromnoise.chapter.telling import Telling, told
from fromnoise.run import Run

EPOCHS = 3
LAST_STEPS = 50  # how many of the last steps a "last loss" is the mean of, at most a quarter of them all
SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Trained:
    """A network after training. settings: what its run was created with. seen, losses: one entry for each step."""

    name: str
    run: Run
    recipe: str
    settings: dict[str, Any]
    net: nn.Module
    seen: list[int]
    losses: list[float]
    seconds: float

    @property
    def images(self) -> int:
        """Images seen, repeats counted."""
        return self.seen[-1]

    @property
    def parameters(self) -> int:
        """Counted from the network."""
        return sum(p.numel() for p in self.net.parameters())

    def epochs(self) -> list[float | None]:
        """The mean of the step losses of epochs 1 to 3; None for one that was not completed."""
        a_epoch = steps_per_epoch(self.run)
        parts = [self.losses[i * a_epoch : (i + 1) * a_epoch] for i in range(EPOCHS)]
        return [float(np.mean(part)) if len(part) == a_epoch else None for part in parts]

    def last(self, steps: int | None = None) -> tuple[int, float]:
        """(how many images, their mean loss) at the end of the first `steps` steps (of all of them)."""
        seen, losses = self.seen[:steps], self.losses[:steps]
        width = max(1, min(LAST_STEPS, len(losses) // 4))
        before = seen[-width - 1] if len(seen) > width else 0
        return seen[-1] - before, float(np.mean(losses[-width:]))


def steps_per_epoch(run: Run) -> int:
    """Steps in which every image is seen once."""
    return -(-int(run.metadata["data"]["count"]) // run.settings.train.train_batch_size)


def train(
    telling: Telling, name: str, folder: str, recipe: str, images: int, settings: dict[str, Any] | None = None
) -> Trained:
    """Train `recipe` on `images` images in runs/<folder>; raises Interrupted (after saving), UsageError, WriteError.

    Quick runs lie apart, in runs/quick/, so that the whole chapter can follow in the same place.
    """
    changes = {
        "train.num_images": images,
        "train.seed": telling.seed,
        "train.train_batch_size": min(telling.parts.batch_size, len(telling.data)),
        "train.previews": telling.parts.previews,
        **(settings or {}),
    }
    place = telling.folder / "runs" / ("quick" if telling.parts.quick else "") / folder
    run = Run.create(telling.source, recipe=recipe, output_dir=place, settings=changes, device=telling.device.name)
    _follow(telling, name, run)
    lines = [line for line in run.folder.read_metrics() if "step" in line]
    trained = Trained(
        name,
        run,
        recipe,
        changes,
        run.denoiser().net,
        [line["images"] for line in lines],
        [line["loss"] for line in lines],
        lines[-1]["seconds"],
    )
    telling.say(
        f"{name}: trained, {stated(trained.images, telling.parts)}, in {trained.seconds:.0f} s; kept in {place}"
    )
    telling.trained.append(
        {
            "network": name,
            "images": trained.images,
            "part": stated(trained.images, telling.parts),
            "seconds": trained.seconds,
            "images_per_second": round(trained.images / trained.seconds, 1),
        }
    )
    return trained


def _follow(telling: Telling, name: str, run: Run) -> None:
    """Train to the end; a line every few seconds, and one at the end of each epoch that the chapter has."""
    a_epoch = steps_per_epoch(run)
    losses = {line["step"]: line["loss"] for line in run.folder.read_metrics() if "step" in line}
    said = time.monotonic()
    for step in run.steps():
        for entry in step.read:
            losses[entry.step] = entry.loss
            epoch, rest = divmod(entry.step, a_epoch)
            if not rest and telling.compared:
                mean = np.mean([losses.get(i, np.nan) for i in range(entry.step - a_epoch + 1, entry.step + 1)])
                beside = dict(enumerate(EPOCH_LOSSES.get(name, ()), start=1)).get(epoch)
                published = f" (published {told(beside)})" if beside else ""
                telling.say(f"{name}: epoch {epoch}, mean loss {mean:.6f}{published}")
        if time.monotonic() - said > SECONDS_BETWEEN_LINES and step.read:
            said = time.monotonic()
            place = f"{step.images:,} of {step.total:,} images"
            telling.say(f"{name}: {place}, loss {step.read[-1].loss:.4f}, {step.images_per_second:,.0f} images/s")


def report_losses(telling: Telling, trained: Trained) -> None:
    """The mean losses of the three epochs beside the published ones, or of the last images where epochs are missing."""
    part = stated(trained.images, telling.parts)
    name, epochs = trained.name, trained.epochs()
    if telling.compared:
        for i, loss in enumerate(epochs):
            note = part if loss is None else "re-run with other seeds: " + ", ".join(told(r[i]) for r in RERUNS[name])
            note = f"{part}, so this epoch was not completed" if loss is None else note
            telling.measured(f"{name}, mean loss of epoch {i + 1}", loss, EPOCH_LOSSES[name][i], note)
    if not telling.compared or None in epochs:
        images, loss = trained.last()
        telling.measured(f"{name}, mean loss of the last {images:,} images", loss, note=part)
