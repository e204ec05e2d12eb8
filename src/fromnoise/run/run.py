"""A run: one folder that holds a model, how it was trained, and all that was made from it.

    from fromnoise import Run

    run = Run.create("digits", settings={"train.num_epochs": 20})
    run.train()
    run.sample(num=64).save("digits.png")
    run.show()

The command line is a skin over this class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from fromnoise import diagnosis as diagnosing
from fromnoise.common.errors import CheckpointError, DataError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import differences, from_dict, replaced
from fromnoise.common.text import printable
from fromnoise.data import load, unseen
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import is_gone
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.editing.editor import Editor, editor
from fromnoise.evaluation import compare_samplers as comparing
from fromnoise.evaluation import evaluate as evaluating
from fromnoise.evaluation import sweep as sweeping
from fromnoise.evaluation.evaluate import How
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.model.build import build_denoiser, check_sampling
from fromnoise.model.samples import Samples, labels_asked, make
from fromnoise.recipes.resolve import asked_for, compose, data_options, default_folder, situation
from fromnoise.report import run_figures as showing
from fromnoise.report import trajectory as trajectories
from fromnoise.report.run_report import report
from fromnoise.run.checkpoint_weights import length_of, put
from fromnoise.run.folder import Folder
from fromnoise.run.metadata import begun_on, new_record, timed_load
from fromnoise.settings import Settings
from fromnoise.train import checkpoint
from fromnoise.train import session as training
from fromnoise.train.hardware import choose_device, choose_graph, choose_precision, kind_of_device
from fromnoise.train.trainer import TrainStep


class Run:
    """The run in the folder `path`; raises CheckpointError where there is none.

    device: "auto", "cpu", "cuda" or "mps". Use `Run.create` to begin a new one.
    """

    def __init__(self, path: str | Path, *, device: str = "auto", data: ArrayData | None = None) -> None:
        self.folder = Folder(Path(path))
        self.record: dict[str, Any] = self.folder.read_record()
        self.config: Settings = from_dict(Settings(), self.record["config"])
        self.spec = ImageSpec.from_json(self.record["spec"])
        self.label_counts: list[int] = self.record["data"]["label_counts"]
        self.chosen = choose_device(device)
        self.device = self.chosen.name
        self.precision = choose_precision(self.device, self.config.train.mixed_precision)
        self._weaker: dict[str, Denoiser] = {}
        self.download_seconds = 0.0  # spent on a download, which a time budget does not count
        if data is not None:
            self.__dict__["data"] = data

    @classmethod
    def create(
        cls,
        data: str = "digits",
        *,
        recipe: str = "default",
        output_dir: str | Path | None = None,
        config_file: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
    ) -> Run:
        """Begin the run that trains `recipe` on `data`, or open it where it was begun with the same settings.

        settings: dotted name -> value, such as {"train.budget": "60s"}; they win over config_file, which wins
        over the recipe. output_dir: runs/<data>-<recipe>-s<seed> if not given. Raises DataError, WriteError, and
        UsageError for what does not go together or differs from the run that is already there.
        """
        kind = kind_of_device(device)
        changes = dict(settings or {})
        config_path = Path(config_file) if config_file else None
        options = data_options(data, config_path, changes)
        images, waited = timed_load(options)
        at = situation(images, config_path, changes, kind)
        config = compose(recipe, at, options, config_path, changes)
        asked = asked_for(data, recipe, config_path, changes)
        path = Path(output_dir) if output_dir else default_folder(data, recipe, config.train.seed)
        if Folder(path).exists():
            run = cls(path, device=device, data=images)
            if run.folder.read_asked() == asked:  # as it was begun, also elsewhere or by an older recipe
                config = run.config
            elif differences(run.config, config):  # or in other words: then as on the machine that it was begun on
                config = compose(recipe, begun_on(run.record, at), options, config_path, changes)
            run._must_agree(config, images)
            run.download_seconds = waited
            return run
        choose_graph(kind, config.train.cuda_graph)
        record = new_record(config, images, at)
        build_denoiser(config, ImageSpec.from_json(record["spec"]), record["sigma_data"])
        if config.train.train_batch_size > len(images):
            raise UsageError(
                f"train_batch_size is {config.train.train_batch_size}, but there are only {len(images)} training "
                f"images; give at most {len(images)}"
            )
        Folder(path).create(asked, record)
        run = cls(path, device=device, data=images)
        run.download_seconds = waited
        return run

    def _must_agree(self, config: Settings, images: ArrayData) -> None:
        """UsageError with the differences where an existing run was asked for something else."""
        unlike = differences(self.config, config)
        if images.fingerprint != self.record["data"]["fingerprint"]:
            unlike["the images"] = (self.record["data"]["fingerprint"][:12], images.fingerprint[:12])
        if unlike:
            listed = "; ".join(f"{name}: {old} there, {new} asked for" for name, (old, new) in unlike.items())
            raise UsageError(
                f"{self.path} holds another run ({listed}); ask for the same, or choose another --output_dir"
            )

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def data(self) -> ArrayData:
        """The training images, read again from where they were; DataError if they are gone or not the same."""
        if is_gone(self.config.data):
            raise DataError(
                f"the images that {self.path} was trained on are no longer at '{printable(self.config.data.source)}'; "
                "put them back, or train again into a new folder"
            )
        images = load(self.config.data)
        if images.fingerprint != self.record["data"]["fingerprint"]:
            raise DataError(
                f"the images of '{self.config.data.source}' are not the ones that {self.path} was trained on; "
                "put the old ones back, or train again into a new folder"
            )
        return images

    @cached_property
    def held_out(self) -> ArrayData | None:
        """Images that training does not see: see `fromnoise.data.loading.unseen`, which may raise DataError."""
        return unseen(self.config.data, self.data)

    # -- the model ----------------------------------------------------------------------------------------------

    def new_denoiser(self) -> Denoiser:
        """The denoiser as it was before training, on the CPU."""
        return build_denoiser(self.config, self.spec, self.record["sigma_data"], self.precision.autocast, self.device)

    def denoiser_with(self, net: nn.Module) -> Denoiser:
        """A denoiser around `net`, which is shared and not copied."""
        return self._shell.with_net(net)

    @cached_property
    def _shell(self) -> Denoiser:
        return self.new_denoiser()

    def newest_checkpoint(self) -> Path | None:
        """The checkpoint with the most images seen, None before the first."""
        found = checkpoint.found(self.folder.checkpoints)
        return found[-1] if found else None

    def checkpoint(self, at: str = "last") -> Path:
        """The checkpoint that `at` names: "last", "best" or images seen; CheckpointError where there is none such."""
        found = {path.name.lstrip("0") or "0": path for path in checkpoint.found(self.folder.checkpoints)}
        if not found:
            raise CheckpointError(f"{self.path} has no checkpoint yet; train it first with the command that began it")
        best = checkpoint.best_score(self.folder.checkpoints)
        named = {"last": list(found)[-1]} | ({"best": str(best.images)} if best else {})
        if at not in found and at not in named:
            why = " (no score was measured when one was written)" if at == "best" else ""
            choices = f"{', '.join(named)} or one of {', '.join(found)}"
            raise CheckpointError(f"{self.path} has no checkpoint '{at}'{why}; choose {choices}")
        return found[named.get(at, at)]

    def denoiser(self, at: str = "last", weights: str = "ema") -> Denoiser:
        """The trained denoiser, ready to sample. at: as for `checkpoint`; weights: "ema", "raw" or "ema:LENGTH".

        LENGTH, from 0.01 to 0.28, is that of an average which is made now: see `fromnoise.train.posthoc`. Raises
        CheckpointError where there is no such checkpoint or it is damaged, UsageError for weights that cannot be had.
        """
        length_of(weights)
        files = checkpoint.read(self.checkpoint(at))
        denoiser = self.new_denoiser()
        put(weights, denoiser.net, files, self.config.train, self.folder.averages)
        return denoiser.to(self.device).eval()

    def weaker(self, at: str) -> Denoiser:
        """The denoiser at an earlier checkpoint, read once; raises what `denoiser` raises."""
        if at not in self._weaker:
            self._weaker[at] = self.denoiser(at)
        return self._weaker[at]

    # -- the verbs ----------------------------------------------------------------------------------------------

    def train(self) -> Run:
        """Train to the end, from the last checkpoint if there is one; returns the run."""
        for _ in self.steps():
            pass
        return self

    def steps(self, *, started: float | None = None, max_time: float | None = None) -> Iterator[TrainStep]:
        """Train, step by step: see `fromnoise.train.session.steps`."""
        return training.steps(self, started, max_time)

    def sample(
        self,
        num: int = 64,
        *,
        seeds: Sequence[int] | None = None,
        label: str | int | None = None,
        settings: Mapping[str, Any] | None = None,
        at: str = "last",
        weights: str = "ema",
        keep_steps: bool = False,
    ) -> Samples:
        """Pictures from `seeds` (0..num-1 if not given); picture i follows from its seed alone.

        label: a class by name or number for all of them; without it each seed draws one with the frequencies of
        the training set. settings: sampling options such as {"steps": 50}, else the run's own. keep_steps: also
        keep the pictures after each step. Raises UsageError and CheckpointError.
        """
        seeds = list(range(num)) if seeds is None else list(seeds)
        if not seeds:
            raise UsageError("0 pictures were asked for; ask for at least one with --num or --seeds")
        changes = {f"sample.{name}": value for name, value in (settings or {}).items()}
        options = replaced(self.config, changes).sample
        denoiser = self.denoiser(at, weights)
        check_sampling(options, denoiser.process, denoiser.spec)
        labels = labels_asked(seeds, label, self.spec, self.label_counts)
        return make(self, denoiser, seeds, labels, options, keep_steps)

    def edit(self, settings: Mapping[str, Any] | None = None, *, at: str = "last", weights: str = "ema") -> Editor:
        """What changes pictures with this model: `.inpaint`, `.img2img`, `.interpolate` and `.invert`.

        settings, at, weights: as for `sample`. Raises UsageError and CheckpointError.
        """
        return editor(self, settings, at, weights)

    def show(self, with_judge: bool = True) -> Path:
        """Draw the run's figures into figures/ and write report.html: see `fromnoise.report.run_figures.show`."""
        return showing.show(self, with_judge)

    def diagnose(
        self, settings: Mapping[str, Any] | None = None, *, at: str = "last", weights: str = "ema"
    ) -> diagnosing.Diagnosis:
        """Say why samples are noise, with measured numbers: see `fromnoise.diagnosis.diagnose`."""
        found = diagnosing.diagnose(self, settings or {}, at, weights)
        if found.curves:
            showing.add_guesses(self, at, weights)  # what the curves say, in pictures
        report(self)
        return found

    def evaluate(
        self,
        num: int = evaluating.NUM,
        *,
        settings: Mapping[str, Any] | None = None,
        how: How | None = None,
        deep: bool = False,
        at: str = "last",
        weights: str = "ema",
    ) -> Evaluation:
        """Measure `num` samples beside real images; writes evaluation.json, figures/closest.png and report.html.

        settings, at, weights: as for `sample`. how: in which features, and against which statistics. deep: also
        what takes minutes. Raises UsageError, CheckpointError and DataError.
        """
        found = evaluating.evaluate(self, num, settings or {}, how or How(), deep, at, weights)
        report(self)
        return found

    def sweep(
        self,
        axes: Mapping[str, Sequence[Any]],
        num: int = sweeping.NUM,
        *,
        settings: Mapping[str, Any] | None = None,
        features: str = "auto",
        at: str = "last",
        weights: str = "ema",
    ) -> sweeping.Sweep:
        """Quality against cost for every combination of `axes`: see `fromnoise.evaluation.sweep.sweep`."""
        found = sweeping.sweep(self, axes, num, settings or {}, features, at, weights)
        report(self)
        return found

    def trajectory(
        self,
        seeds: Sequence[int] = (0, 1, 2),
        *,
        label: str | int | None = None,
        settings: Mapping[str, Any] | None = None,
        at: str = "last",
        weights: str = "ema",
    ) -> list[Path]:
        """Draw the way from noise to pictures: see `fromnoise.report.trajectory.trajectory`."""
        return trajectories.trajectory(self, seeds, label, settings or {}, at, weights)

    def compare_samplers(
        self,
        samplers: Sequence[str] = ("euler", "heun", "dpmpp_2m"),
        steps: Sequence[int] = (5, 10, 20),
        *,
        seeds: Sequence[int] = tuple(range(8)),
        label: str | int | None = None,
        settings: Mapping[str, Any] | None = None,
        at: str = "last",
        weights: str = "ema",
    ) -> tuple[list[comparing.Compared], Path]:
        """Samplers side by side from the same noise: see `fromnoise.evaluation.compare_samplers.compare`."""
        return comparing.compare(self, samplers, steps, seeds, label, settings or {}, at, weights)


__all__ = ["Run", "Samples"]
