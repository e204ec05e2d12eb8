"""The tutorial chapter that fromnoise grew from, as one script whose cells are run: every number beside the published.

Nothing is loaded until `run_chapter` is called.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

# What the whole chapter changes of the script's own parameters, which are those of the quick one.
WHOLE = {
    "QUICK": False,
    "BASIC_IMAGES": 180_000,
    "UNET2D_IMAGES": 180_000,
    "STEP_COUNTS": (1, 2, 3, 5, 10, 20, 40, 80),
    "UNET2D_NUM_SAMPLES": 128,
    "TEST_IMAGES": 1024,
    "CLASSIFIER_STEPS": 0,
}


def run_chapter(
    output_dir: str | Path,
    *,
    data: str = "mnist",
    quick: bool = False,
    seed: int = 0,
    device: str = "auto",
    unet2d_images: int | None = None,
    lang: str = "en",
) -> Path:
    """Run the whole chapter on `data` and return the path of its page, chapter.html in `output_dir`.

    Beside the page are chapter.json (every number, published and ours), figures/ and runs/ (the trained networks,
    ready for `fromnoise sample`). The same call continues one that was stopped.

    Arguments:
        quick: train a stated part only.
        unet2d_images: how many images UNet2DModel is trained on, for those who have no hour for all 180,000 on a CPU.
        lang: the language of the page, "en" or "zh" (Chinese).

    Raises DataError, WriteError, UsageError for another run in the same folder, and Interrupted.
    """
    values: dict[str, Any] = {} if quick else dict(WHOLE)
    if unet2d_images is not None:
        values |= {"UNET2D_IMAGES": unet2d_images, "UNET2D_NUM_SAMPLES": 16}
    return run_with({**values, "DATA": data, "SEED": seed, "DEVICE": device, "OUTPUT_DIR": str(output_dir)}, lang)


def run_with(values: Mapping[str, Any], lang: str = "en") -> Path:
    """Run the chapter with `values` in place of the script's parameters of these names; else as `run_chapter`."""
    from fromnoise.chapter.cells import filled, read_cells
    from fromnoise.chapter.page import run_cells, write_chapter
    from fromnoise.common.errors import DataError
    from fromnoise.common.extras import extra
    from fromnoise.model.shares import sharing
    from fromnoise.run.together import join_training

    with extra("diffusers", "the chapter"):
        import diffusers  # noqa: F401

    cells = filled(read_cells(lang), values)
    with sharing(join_training()) as group, redirect_stdout(StringIO() if group.rank else sys.stdout):
        try:
            sections = run_cells(cells, {"__name__": "__main__"})
        except DataError as error:
            if values.get("DATA", "mnist") != "mnist":
                raise
            raise DataError(
                f"{error}\n`fromnoise chapter --data digits` does the same steps at once, without the comparison"
            ) from error
        page = Path(values["OUTPUT_DIR"]) / "chapter.html"
        return group.first(lambda: write_chapter(page, sections, lang))
