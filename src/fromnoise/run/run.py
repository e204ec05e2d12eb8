"""A run: one folder that holds a model, how it was trained, and all that was made from it.

    import fromnoise as fn

    run = fn.Run.create("digits", settings={"train.num_epochs": 20})
    run.train()
    run.sample(64).save("digits.png")
    run.show()

The command line calls this class. Each method loads what it needs when it is called; what other packages measure or
draw comes back as values, and it is here that they are written into the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from fromnoise.run.new_run import NewRun
from fromnoise.settings import SampleSettings
from fromnoise.train.distributed import current

if TYPE_CHECKING:
    from fromnoise.diagnosis.diagnosis import Diagnosis
    from fromnoise.editing.editor import Editor
    from fromnoise.evaluation.compare_samplers import SamplerError
    from fromnoise.evaluation.evaluate import EvaluationSpec
    from fromnoise.evaluation.evaluation import Evaluation
    from fromnoise.evaluation.sweep import Sweep
    from fromnoise.model.film import Film
    from fromnoise.model.samples import Samples
    from fromnoise.train.trainer import TrainStep


class Run(NewRun):
    """The run in the folder `path`; raises CheckpointError where there is none.

    device: "auto", "cpu", "cuda" or "mps". `Run.create` begins a new one, `Run.from_diffusers`
    and `Run.from_state_dict` make one of what was trained elsewhere.
    """

    def train(self) -> Run:
        """Train to the end, from the last checkpoint if there is one; returns the run."""
        for _ in self.steps():
            pass
        return self

    def steps(
        self,
        *,
        started: float | None = None,
        max_time: float | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Iterator[TrainStep]:
        """Train, step by step: see `fromnoise.run.training.training_steps`. At the end, write the model card."""
        from fromnoise.run.card import write_run_card
        from fromnoise.run.distilling import distilling_steps
        from fromnoise.run.training import training_steps

        parts = (self.folder, self.metadata, self.settings, self.new_model())
        when: dict[str, Any] = {"started": started, "max_time": max_time, "say": say}
        if self.metadata.get("distilled"):
            yield from distilling_steps(*parts, **when)
        else:
            yield from training_steps(*parts, self.data, lambda: self.held_out, **when)
        group = current()
        group.each(lambda: write_run_card(self) if group.rank == 0 else None)

    def sample(
        self,
        num: int = 64,
        *,
        seeds: Sequence[int] | None = None,
        label: str | int | None = None,
        conditions: Mapping[str, float] | None = None,
        checkpoint: str = "last",
        weights: str = "ema",
        keep_steps: bool = False,
        **settings: Unpack[SampleSettings],
    ) -> Samples:
        """Samples from `seeds` (0 to num-1 if not given): see `TrainedModel.sample`.

        checkpoint, weights: as for `model`.
        """
        from fromnoise.model.shares import shared

        model = shared().each(lambda: self.model(checkpoint, weights))
        return model.sample(num, seeds=seeds, label=label, conditions=conditions, keep_steps=keep_steps, **settings)

    def film(
        self,
        name: str,
        first: float,
        last: float,
        frames: int = 9,
        *,
        seeds: Sequence[int] = range(8),
        label: str | int | None = None,
        conditions: Mapping[str, float] | None = None,
        checkpoint: str = "last",
        weights: str = "ema",
        **settings: Unpack[SampleSettings],
    ) -> Film:
        """Samples of the same seeds while one condition goes from one value to another: see `TrainedModel.film`.

        checkpoint, weights: as for `model`.
        """
        from fromnoise.model.shares import shared

        model = shared().each(lambda: self.model(checkpoint, weights))
        return model.film(name, first, last, frames, seeds=seeds, label=label, conditions=conditions, **settings)

    def edit(self, *, checkpoint: str = "last", weights: str = "ema", **settings: Unpack[SampleSettings]) -> Editor:
        """What edits images with this model: `.inpaint`, `.img2img`, `.interpolate` and `.invert`.

        checkpoint, weights, settings: as for `model`.
        """
        from fromnoise.editing.editor import Editor

        model = self.model(checkpoint, weights, **settings)
        return Editor(
            model,
            lambda: self.data,
            self.settings.data.center_crop,
            self.metadata["data"].get("range", "full"),
            settings,
        )

    def show(self) -> Path:
        """Draw the run's figures into figures/ and write report.html; returns its path."""
        from fromnoise.run.report import show

        return show(self)

    def diagnose(
        self, *, checkpoint: str = "last", weights: str = "ema", **settings: Unpack[SampleSettings]
    ) -> Diagnosis:
        """Check data, training, network and samples for what is wrong: see `fromnoise.diagnosis`.

        Writes diagnosis.json, figures/noise-levels.png and report.html. Weights that are not finite are an error that
        leaves only the data and the training to check, and no curves. About a minute on a CPU.

        checkpoint, weights, settings: as for `model`. Raises UsageError, CheckpointError, and DataError where the
        training images are gone.
        """
        from fromnoise.common.options import changed
        from fromnoise.diagnosis.diagnose import diagnose, diagnose_broken_weights
        from fromnoise.run.checkpoints import available_weights
        from fromnoise.run.diagnosis import training_record, write_diagnosis
        from fromnoise.run.report import add_predictions, write_report
        from fromnoise.train.checkpoint import BrokenWeightsError

        chosen = available_weights(weights, self.settings.train)
        names = dict.fromkeys(available_weights(name, self.settings.train) for name in ("ema", "raw", chosen))
        try:
            models = {name: self.model(checkpoint, name, **settings) for name in names}
        except BrokenWeightsError:
            models = {}
        record = training_record(self, checkpoint)
        if models:
            found = diagnose(models, chosen, record)
        else:
            found = diagnose_broken_weights(chosen, record, changed(self.settings.sample, settings, "sample"))
        write_diagnosis(self.folder, found)
        if models:
            add_predictions(self, models[chosen])  # the one-step predictions, of which the curves are the errors
        write_report(self)
        return found

    def evaluate(
        self,
        num: int = 10_000,
        *,
        spec: EvaluationSpec | None = None,
        extended: bool = False,
        statistics_to: str | Path | None = None,
        checkpoint: str = "last",
        weights: str = "ema",
        **settings: Unpack[SampleSettings],
    ) -> Evaluation:
        """Measure `num` samples beside real images; writes evaluation.json, figures/closest.png and report.html.

        spec: in which features. extended: also measure what takes minutes. statistics_to: an .npz file for the
        training images' statistics. The rest: as for `model`. Raises UsageError, CheckpointError and DataError.
        """
        from fromnoise.evaluation.evaluate import EvaluationSpec
        from fromnoise.evaluation.limits import check_count, check_num
        from fromnoise.model.shares import in_first, shared
        from fromnoise.run.evaluations import evaluate_into
        from fromnoise.run.report import write_report

        check_num(num)
        check_count(self.metadata["data"]["count"] or len(self.data))
        model = shared().each(lambda: self.model(checkpoint, weights, **settings))
        train, test = shared().each(lambda: (self.data, self.held_out))
        spec = replace(spec or EvaluationSpec(), mirrored=self.settings.data.random_flip)
        evaluation = evaluate_into(self.folder, model, train, test, num, spec, extended, statistics_to)
        in_first(lambda: write_report(self))
        return evaluation

    def sweep(
        self,
        axes: Mapping[str, Sequence[Any]],
        num: int = 2000,
        *,
        features: str = "auto",
        feature_weights: str | Path | None = None,
        checkpoint: str = "last",
        weights: str = "ema",
        **settings: Unpack[SampleSettings],
    ) -> Sweep:
        """Measure quality against cost for every combination of `axes`; writes sweep.json, its figures and report.html.

        axes: sampling setting -> values; the axis "weights" takes what `model` takes. features, feature_weights: as in
        `EvaluationSpec`. checkpoint, weights, settings: as for `model`.
        """
        from fromnoise.evaluation.limits import check_count, check_num
        from fromnoise.model.shares import in_first, shared
        from fromnoise.run.evaluations import sweep_into
        from fromnoise.run.report import write_report

        check_num(num)
        check_count(self.metadata["data"]["count"] or len(self.data))
        models = shared().each(lambda: {n: self.model(checkpoint, n) for n in axes.get("weights", (weights,))})
        train, test = shared().each(lambda: (self.data, self.held_out))
        swept = sweep_into(self.folder, models, axes, train, test, num, settings, features, feature_weights)
        in_first(lambda: write_report(self))
        return swept

    def trajectory(
        self,
        seeds: Sequence[int] = (0, 1, 2),
        *,
        label: str | int | None = None,
        checkpoint: str = "last",
        weights: str = "ema",
        **settings: Unpack[SampleSettings],
    ) -> list[Path]:
        """Draw the path from noise to samples into figures/, as strip, animation and every step; returns the files.

        label: as for `sample`. checkpoint, weights, settings: as for `model`.
        """
        from fromnoise.run.report import write_trajectory

        return write_trajectory(self, self.model(checkpoint, weights, **settings), seeds, label)

    def compare_samplers(
        self,
        samplers: Sequence[str] = ("euler", "heun", "dpmpp_2m"),
        step_counts: Sequence[int] = (5, 10, 20),
        *,
        seeds: Sequence[int] = tuple(range(8)),
        label: str | int | None = None,
        checkpoint: str = "last",
        weights: str = "ema",
        **settings: Unpack[SampleSettings],
    ) -> tuple[list[SamplerError], Path]:
        """(errors, path of figures/compare.png) of samplers: see `fromnoise.evaluation.compare_samplers`."""
        from fromnoise.evaluation.compare_samplers import compare_samplers
        from fromnoise.figures.grid import save

        model = self.model(checkpoint, weights, **settings)
        errors, figure = compare_samplers(model, samplers, step_counts, seeds, label)
        return errors, save(figure, self.folder.figures / "compare.png")
