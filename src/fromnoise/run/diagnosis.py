"""What a diagnosis reads from a run folder and writes into it: diagnosis.json and figures/noise-levels.png."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fromnoise.common.files import write_json
from fromnoise.diagnosis.diagnosis import Diagnosis
from fromnoise.diagnosis.training_record import TrainingRecord
from fromnoise.figures.grid import save
from fromnoise.recipes.recipes import images_needed
from fromnoise.run.checkpoints import checkpoint_named, newest_checkpoint, newest_state
from fromnoise.run.folder import RunFolder

if TYPE_CHECKING:
    from fromnoise.run.opened import OpenedRun


def training_record(run: OpenedRun, checkpoint: str) -> TrainingRecord:
    """How the model of `run` was trained, up to the checkpoint of the name `checkpoint`."""
    folder = run.folder
    return TrainingRecord(
        settings=run.settings,
        spec=run.spec,
        images=run.data,
        held_out=run.held_out,
        images_seen=int(checkpoint_named(folder, checkpoint).name) if newest_checkpoint(folder) else 0,
        images_needed=images_needed(run.settings.recipe, run.spec),
        metrics=folder.read_metrics(),
        state=newest_state(folder),
        elsewhere=any(run.metadata.get(how) for how in ("imported", "init")),
    )


def write_diagnosis(folder: RunFolder, diagnosis: Diagnosis) -> None:
    """Write the JSON and the figure; without curves an older figure is removed. WriteError where that cannot be."""
    place, figure = folder.figures / "noise-levels.png", diagnosis.figure()
    if figure is not None:
        save(figure, place)
    else:
        place.unlink(missing_ok=True)
    write_json(folder.diagnosis, diagnosis.to_json())
