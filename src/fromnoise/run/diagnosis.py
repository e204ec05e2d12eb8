"""What a diagnosis reads from a run folder and writes into it: diagnosis.json and figures/noise-levels.png."""

from __future__ import annotations

from fromnoise.common.files import write_json
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.diagnosis.diagnosis import Diagnosis
from fromnoise.diagnosis.training_record import TrainingRecord
from fromnoise.figures.grid import save
from fromnoise.recipes.recipes import images_needed
from fromnoise.run.checkpoints import checkpoint_named, newest_checkpoint, newest_state
from fromnoise.run.folder import RunFolder
from fromnoise.settings import Settings


def training_record(
    folder: RunFolder, settings: Settings, spec: ImageSpec, data: ArrayData, held_out: ArrayData | None, checkpoint: str
) -> TrainingRecord:
    """How the model of `folder` was trained, up to the checkpoint of the name `checkpoint`."""
    newest = newest_checkpoint(folder)
    seen = int(checkpoint_named(folder, checkpoint).name) if newest else 0
    needed = images_needed(settings.recipe, spec)
    return TrainingRecord(settings, spec, data, held_out, seen, needed, folder.read_metrics(), newest_state(folder))


def write_diagnosis(folder: RunFolder, diagnosis: Diagnosis) -> None:
    """Write the JSON and the figure; without curves an older figure is removed. WriteError where that cannot be."""
    place, figure = folder.figures / "noise-levels.png", diagnosis.figure()
    if figure is not None:
        save(figure, place)
    else:
        place.unlink(missing_ok=True)
    write_json(folder.diagnosis, diagnosis.to_json())
