"""The tutorial chapter that fromnoise grew from, told with the library: every figure, and its numbers beside ours.

Nothing is loaded until `run_chapter` is called.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path


def run_chapter(
    output_dir: str | Path,
    *,
    data: str = "mnist",
    quick: bool = False,
    seed: int = 0,
    device: str = "auto",
    unet2d_images: int | None = None,
) -> Path:
    """Run the whole chapter on `data` and return the path of its page, chapter.html in `output_dir`.

    Beside the page lie chapter.json (every number, published and ours), figures/ and runs/ (the trained networks,
    ready for `fromnoise sample`). quick: train a stated part only. unet2d_images: how many images UNet2DModel sees,
    for those who have no hour for all 180,000 on a CPU; said wherever its numbers stand. The same call goes on where
    one that was stopped left off. Raises DataError, WriteError, UsageError for another run in the same folder, and
    Interrupted.
    """
    from fromnoise.chapter.parts import QUICK, WHOLE
    from fromnoise.chapter.story import tell

    parts = QUICK if quick else WHOLE
    if unet2d_images is not None:
        parts = replace(parts, unet2d=unet2d_images, unet2d_samples=16, unet2d_judged=16)
    return tell(Path(output_dir), data, parts, seed, device)
