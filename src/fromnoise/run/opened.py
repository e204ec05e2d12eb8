"""A run folder, opened: its settings, images and model. `Run` adds the verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import from_dict
from fromnoise.common.text import printable, quoted
from fromnoise.run.folder import RunFolder
from fromnoise.settings import SampleSettings, Settings
from fromnoise.train.hardware import choose_device, choose_precision

if TYPE_CHECKING:
    from fromnoise.data.image_data import ArrayData
    from fromnoise.diffusion.denoiser import Denoiser
    from fromnoise.model.trained_model import TrainedModel


class OpenedRun:
    """The run in the folder `path`; raises CheckpointError where there is none.

    device: "auto", "cpu", "cuda" or "mps".
    """

    folder_kind: ClassVar[type[RunFolder]] = RunFolder

    def __init__(self, path: str | Path | RunFolder, *, device: str = "auto", data: ArrayData | None = None) -> None:
        self.folder = path if isinstance(path, RunFolder) else self.folder_kind(Path(path))
        self.metadata: dict[str, Any] = self.folder.read_record()
        self.settings: Settings = from_dict(Settings(), self.metadata["settings"])
        self.spec = ImageSpec.from_json(self.metadata["spec"])
        self.label_counts: list[int] = self.metadata["data"]["label_counts"]
        self.chosen_device = choose_device(device)
        self.device = self.chosen_device.name
        self.precision = choose_precision(self.device, self.settings.train.mixed_precision)
        self.download_seconds = 0.0  # spent on a download, which a time budget does not count
        self.changes: Mapping[str, tuple[Any, Any]] = {}  # settings that were others before it was opened to go on
        self._guides: dict[str, Denoiser] = {}
        if data is not None:
            self.__dict__["data"] = data

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def data(self) -> ArrayData:
        """The training images, read again from where they were; DataError if they are gone or not the same."""
        from fromnoise.data.loading import is_gone, load

        if not self.metadata["data"]["count"]:
            raise DataError(
                f"{self.path} was imported without images, and this needs them; import it again with --data, or "
                f"fine-tune it on some: `fromnoise train DATA --init {quoted(self.path)}`"
            )
        if is_gone(self.settings.data):
            raise DataError(
                f"the images that {self.path} was trained on are no longer at "
                f"'{printable(self.settings.data.source)}'; put them back, or name where they are now: `fromnoise "
                f"train DATA --resume {quoted(self.path)}`"
            )
        try:
            images = load(self.settings.data)
        except DataError as error:
            if "--" not in str(error):
                raise
            reason = str(error).rpartition("; ")[0]  # its advice is for those who choose the settings
            raise DataError(f"{reason}; put the images back as they were, or train again into a new folder") from error
        if images.fingerprint != self.metadata["data"]["fingerprint"]:
            raise DataError(
                f"the images of '{self.settings.data.source}' are not the ones that {self.path} was trained on; "
                "put the old ones back, or train again into a new folder"
            )
        return images

    @cached_property
    def held_out(self) -> ArrayData | None:
        """Images that training does not see: see `fromnoise.data.loading.unseen`, which may raise DataError."""
        from fromnoise.data.loading import unseen

        return unseen(self.settings.data, self.data)

    def new_denoiser(self) -> Denoiser:
        """The denoiser as it was before training, on the CPU."""
        from fromnoise.model.build import build_denoiser

        return build_denoiser(
            self.settings, self.spec, self.metadata["sigma_data"], self.precision.autocast, self.device
        )

    def new_model(self) -> TrainedModel:
        """The model as it was before training, on the run's device."""
        from fromnoise.model.trained_model import TrainedModel
        from fromnoise.run.metadata import rows_of

        return TrainedModel(
            self.new_denoiser().to(self.device).eval(),
            self.settings.sample,
            tuple(self.label_counts) if self.spec.classes else (),
            sees_unlabelled=self.settings.objective.label_dropout > 0 or not self.spec.conditioned,
            weights="raw",
            guide=self.guide_denoiser,
            distilled=bool(self.metadata.get("distilled")),
            label_rows=rows_of(self.metadata["data"]),
        )

    def newest_checkpoint(self) -> Path | None:
        """The checkpoint with the most images seen, None before the first."""
        from fromnoise.run.checkpoints import newest_checkpoint

        return newest_checkpoint(self.folder)

    def checkpoint(self, name: str = "last") -> Path:
        """The checkpoint `name`: "last", "best" or images seen; CheckpointError where there is no such checkpoint."""
        from fromnoise.run.checkpoints import checkpoint_named

        return checkpoint_named(self.folder, name)

    def model(self, checkpoint: str = "last", weights: str = "ema", **settings: Unpack[SampleSettings]) -> TrainedModel:
        """The trained model, ready to sample with the run's sampling settings, changed by `settings`.

        Arguments:
            checkpoint: "last", "best" or images seen.
            weights: "ema", "raw" or "ema:LENGTH"; LENGTH, from 0.01 to 0.28, is that of an average that is made now:
                see `fromnoise.train.posthoc_ema`.

        Raises:
            CheckpointError: where there is no such checkpoint or it is damaged.
            UsageError: for weights that cannot be had, and for settings that do not go together.
        """
        from fromnoise.run.checkpoints import available_weights, load_weights_into

        model = self.new_model()
        images = load_weights_into(model.denoiser.net, self.folder, checkpoint, weights, self.settings.train)
        used = available_weights(weights, self.settings.train)
        return replace(model, images=images, weights=used).with_sampling(**settings)

    def denoiser(self, checkpoint: str = "last", weights: str = "ema") -> Denoiser:
        """The denoiser of `model(checkpoint, weights)`."""
        return self.model(checkpoint, weights).denoiser

    def guide_denoiser(self, checkpoint: str) -> Denoiser:
        """The denoiser at an earlier checkpoint, for autoguidance; it is read once."""
        if checkpoint not in self._guides:
            self._guides[checkpoint] = self.denoiser(checkpoint)
        return self._guides[checkpoint]
