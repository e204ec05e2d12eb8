"""How a run comes into being: begun, taken up again, or imported from what was trained elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from fromnoise.run.portable import PortableRun
from fromnoise.settings import SampleSettings
from fromnoise.train.distributed import current

if TYPE_CHECKING:
    from fromnoise.run.create import Begun


class NewRun(PortableRun):
    """The run folder that a class method makes, or opens where it is there."""

    @classmethod
    def create(
        cls,
        data: str | os.PathLike[str] = "digits",
        *,
        recipe: str = "default",
        output_dir: str | Path | None = None,
        config_file: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        init: str | Path | None = None,
        few_steps: bool = False,
    ) -> Self:
        """Begin the run that trains `recipe` on `data`, or open it where it was begun with the same settings.

        Arguments:
            data: a data set's name, a folder or .zip of images, .npz, IDX, or hf:owner/name.
            output_dir: `runs/<data>-<recipe>-s<seed>` if not given.
            settings: dotted name -> value, such as {"train.budget": "60s"}; they win over config_file, which wins over
                the recipe. Of a run that is there, those of `fromnoise.settings.HARMLESS` may be others at any time,
                and those of SCHEDULABLE until it is finished.
            init: a run folder, one of its checkpoints, or a folder for diffusers, whose (averaged) weights a new run
                starts from. Network, process and objective are those of that model unless `settings` say otherwise.
            few_steps: refuse what could not be distilled.

        Raises:
            DataError, WriteError: for images that cannot be read and a folder that cannot be written.
            UsageError: for what does not go together or differs from the run that is already there.
        """
        from fromnoise.data.loading import source_text
        from fromnoise.recipes.resolve import Request
        from fromnoise.run.create import begin
        from fromnoise.run.together import begin_together, join_training

        group, file = join_training(), Path(config_file) if config_file else None
        place, folder = str(init) if init else None, Path(output_dir) if output_dir else None
        request = group.each(lambda: Request.read(source_text(data), recipe, file, settings or {}, place))
        work = partial(begin, request, folder, device, cls.folder_kind, few_steps)
        return cls._of(begin_together(group, work, request.source, request.facts()), device)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        *,
        data: str | None = None,
        recipe: str | None = None,
        config_file: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        few_steps: bool = False,
    ) -> Self:
        """Open the run in `path`, which has a checkpoint, to train it on with its stored settings.

        Arguments:
            data: where the same images are now.
            settings: dotted name -> value, as for `create` of a run that is there.
            few_steps: refuse what could not be distilled.

        Raises:
            CheckpointError: where there is no such run, or it has no checkpoint yet.
            DataError: the images are gone.
            UsageError: for settings that would make it another run.
        """
        from fromnoise.run.create import resume
        from fromnoise.run.together import begin_together, join_training

        file, changes = Path(config_file) if config_file else None, settings or {}
        work = partial(resume, Path(path), data, recipe, file, changes, cls.folder_kind, few_steps)
        return cls._of(begin_together(join_training(), work, data, {"recipe": recipe, **changes}), device)

    @classmethod
    def distill(
        cls,
        source: str | Path,
        output_dir: str | Path | None = None,
        *,
        budget: str | None = None,
        num_images: int | None = None,
        trajectories: int | None = None,
        checkpoint: str = "last",
        weights: str = "ema",
        device: str = "auto",
        **sampling: Unpack[SampleSettings],
    ) -> Self:
        """Begin the run that distils the run `source` into 1, 2 or 4 steps, or open it where that was begun.

            run = fn.Run.distill("runs/mnist-default-s0").train()
            run.sample(16, steps=1).save("digits.png")

        Arguments:
            output_dir: <source>-distilled if not given.
            budget: the time for all of it, making the trajectories included; 60 s for a new run if no length is given.
            num_images: points of trajectories to learn from, instead of a budget.
            trajectories: how many are made; as many as fit a part of the budget if not given.
            checkpoint: as for `model`.
            weights: as for `model`.
            sampling: how the trajectories are made, else as `source` samples.

        Raises:
            UsageError: for two lengths, and a run that is not finished, is distilled already, or cannot be distilled.
            CheckpointError, WriteError: where it cannot be read, or the folder not be written.
        """
        from fromnoise.run.distill import begin_distillation

        length = {"train.budget": budget, "train.num_images": num_images}
        folder = begin_distillation(
            Path(source),
            Path(output_dir) if output_dir else None,
            length,
            trajectories,
            checkpoint=checkpoint,
            weights=weights,
            sampling=sampling,
        )
        return cls(folder, device=device)

    @classmethod
    def _of(cls, begun: Begun, device: str) -> Self:
        run = current().each(lambda: cls(begun.folder, device=device, data=begun.data))
        run.download_seconds, run.changes = begun.download_seconds, begun.changes or {}
        return run

    @classmethod
    def from_diffusers(
        cls,
        source: str | Path,
        output_dir: str | Path | None = None,
        *,
        data: str | os.PathLike[str] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        device: str = "auto",
    ) -> Self:
        """Make a run of a folder that diffusers loads, or of a model of the Hub, compared with it before it is written.

            run = fn.Run.from_diffusers("google/ddpm-cifar10-32", data="cifar10", steps=50)

        The run samples, edits, shows and exports; `Run.create(init=...)` fine-tunes it. `metadata["imported"]` holds
        where it is from, the largest difference of its samples from the source's, and notes on what is other.

        Arguments:
            source: the folder, or owner/name.
            output_dir: `runs/<name>-imported` if not given.
            data: the images that the run is to be evaluated on, as for `create`.
            steps: of sampling; as many as the source takes if not given.
            sampler: "ddpm" or "ddim" of ours, in the place of the source's scheduler.

        Raises:
            CheckpointError: for a source that is broken, that our settings cannot hold, or whose images differ.
            DataError: for data that cannot be read or has another shape, and where the Hub cannot be reached.
            UsageError, WriteError: where output_dir holds something, or cannot be written.
        """
        from fromnoise.data.loading import source_text
        from fromnoise.run.importing import import_diffusers

        where = None if data is None else source_text(data)
        return cls(import_diffusers(source, output_dir, data=where, steps=steps, sampler=sampler).path, device=device)

    @classmethod
    def from_state_dict(
        cls,
        file: str | Path,
        data: str | os.PathLike[str],
        recipe: str,
        output_dir: str | Path | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
    ) -> Self:
        """Make a run of a file that torch.save wrote of a network's state dict; nothing in it is executed.

        Arguments:
            file: weights alone, also within a training's checkpoint.
            data: the images that it was trained on, as for `create`.
            recipe: whose network it is.
            output_dir: `runs/<file>-imported` if not given.
            settings: dotted name -> value, of the network and how it samples, where they are not the recipe's.

        Raises:
            CheckpointError: for a file that is damaged, holds more than weights, or those of another network.
            DataError, UsageError, WriteError: as for `from_diffusers`.
        """
        from fromnoise.data.loading import source_text
        from fromnoise.run.importing import import_state_dict

        done = import_state_dict(file, output_dir, source_text(data), recipe, settings or {})
        return cls(done.path, device=device)
