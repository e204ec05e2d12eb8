"""Pictures from a run: which seeds, which labels, how they are made and how they are kept."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fromnoise.common.errors import UsageError, WriteError, unknown
from fromnoise.common.files import write_bytes
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.samplers import sample
from fromnoise.diffusion.samplers.loop import Step
from fromnoise.figures.animation import animate
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid, save
from fromnoise.model.build import build_sampling
from fromnoise.settings import SampleOptions

if TYPE_CHECKING:
    from fromnoise.run import Run


@dataclass(frozen=True)
class Samples:
    """Pictures with where they came from.

    images: uint8 (N, H, W, C). seeds: one a picture. labels: one a picture, or None. steps: the pictures after
    each step of sampling, if they were asked for. evaluations: of the network, for each picture.
    """

    images: Any
    seeds: list[int]
    labels: list[int] | None
    steps: list[Any] = field(default_factory=list)
    evaluations: int = 0

    def save(self, path: str | Path) -> Path:
        """Write by the ending of `path`: .png a grid, .gif the steps, .npz arrays, anything else a folder of PNGs.

        Raises UsageError for an ending that names another kind of file, WriteError where nothing can be written.
        """
        path = Path(path)
        if path.suffix == ".png":
            return save(grid(self.images), path)
        if path.suffix == ".npz":
            return write_bytes(path, self._npz())
        if path.suffix == ".gif":
            if not self.steps:
                raise UsageError("a .gif shows the steps of sampling; make these samples with keep_steps=True")
            return animate([grid(images) for images in self.steps], path)
        if path.suffix:
            raise UsageError(f"cannot write samples as '{path.suffix}'; give a .png, .gif, .npz or a folder's name")
        return self._save_folder(path)

    def _npz(self) -> bytes:
        arrays = {"images": self.images, "seeds": np.array(self.seeds, dtype=np.int64)}
        if self.labels is not None:
            arrays["labels"] = np.array(self.labels, dtype=np.int64)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    def _save_folder(self, path: Path) -> Path:
        if path.is_file():
            raise WriteError(f"{path} is a file; give the name of a folder, or a .png, .gif or .npz")
        written: list[Path] = []
        try:
            for i, (image, seed) in enumerate(zip(self.images, self.seeds, strict=True)):
                label = f"-label{self.labels[i]}" if self.labels is not None else ""
                picture = png_bytes(single(image))
                written.append(write_bytes(path / f"seed{seed:06d}{label}.png", picture))
        except WriteError:
            for done in written:  # a full disk: half a set of pictures is none
                done.unlink(missing_ok=True)
            raise
        return path


def single(image: Any) -> Image.Image:
    """uint8 (H, W, C) as a picture of its own, alpha and all."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def to_arrays(spec: ImageSpec, x: Tensor) -> Any:
    """Float (B, C, H, W) in the spec's range to uint8 numpy (B, H, W, C)."""
    return spec.decode(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def labels_for(seeds: Sequence[int], counts: Sequence[int]) -> Tensor:
    """A label for each seed, drawn with the training set's frequencies from that seed alone; int64 (N,)."""
    share = torch.tensor(counts, dtype=torch.float64)
    return torch.cat([torch.multinomial(share, 1, generator=generator(0, "label", seed)) for seed in seeds])


def label_number(text: str | int, spec: ImageSpec) -> int:
    """The number of the class that `text` names, by name or by number; UsageError if there is none such."""
    if not spec.classes:
        raise UsageError(f"label '{text}' was asked for, but this model was trained without classes; leave --label out")
    if str(text) in spec.classes:
        return spec.classes.index(str(text))
    if str(text).isdigit() and int(text) < len(spec.classes):
        return int(text)
    raise UsageError(unknown("class", str(text), spec.classes))


def labels_asked(
    seeds: Sequence[int], label: str | int | None, spec: ImageSpec, counts: Sequence[int]
) -> Tensor | None:
    """int64 (N,): `label` for all, or each seed's own draw where it is None; None for a model without classes."""
    if label is not None:
        return torch.full((len(seeds),), label_number(label, spec))
    return labels_for(seeds, counts) if spec.classes else None


def walk(
    run: Run, denoiser: Denoiser, seeds: Sequence[int], labels: Tensor | None, options: SampleOptions
) -> Iterator[Step]:
    """The steps of one batch of pictures with `options`."""
    weaker = None if options.weaker is None else run.weaker(options.weaker)
    asked, sampler, times = build_sampling(options, denoiser, weaker)
    return sample(asked, seeds=seeds, sampler=sampler, grid=times, label=labels, device=run.device)


def make(
    run: Run,
    denoiser: Denoiser,
    seeds: Sequence[int],
    labels: Tensor | None,
    options: SampleOptions,
    keep_steps: bool = False,
) -> Samples:
    """Samples for `seeds` with `labels` (N,) or None, in batches of options.batch_size."""
    spec, pieces, kept = denoiser.spec, [], []
    for begin in range(0, len(seeds), options.batch_size):
        window = slice(begin, begin + options.batch_size)
        label = None if labels is None else labels[window]
        frames = []
        for step in walk(run, denoiser, seeds[window], label, options):
            if keep_steps:
                frames.append(to_arrays(spec, step.x))
        pieces.append(to_arrays(spec, step.x))
        kept.append(frames)
    together = [np.concatenate(parts) for parts in zip(*kept, strict=True)] if keep_steps else []
    kept_labels = None if labels is None else labels.tolist()
    return Samples(np.concatenate(pieces), list(seeds), kept_labels, together, step.evaluations)


def preview(run: Run, net: nn.Module) -> Any:
    """A quick look while training: 32 pictures in few steps with the weights of `net`, uint8 (32, H, W, C)."""
    denoiser = run.denoiser_with(net)
    few = {"ddpm": 50}.get(run.config.sample.sampler, 10)
    options = replace(
        run.config.sample,
        steps=min(run.config.sample.steps, few),
        guidance_scale=1.0,
        autoguidance=1.0,
        weaker=None,  # a checkpoint that need not exist yet
    )
    seeds = list(range(32))
    training = net.training
    net.eval()
    labels = labels_for(seeds, run.label_counts) if run.spec.classes else None
    pictures = make(run, denoiser, seeds, labels, options).images
    net.train(training)
    return pictures
