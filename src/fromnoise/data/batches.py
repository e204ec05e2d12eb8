"""Batches as a function of the step: nothing to save, nothing to fast-forward.

epoch(step) = step // ceil(N / B)        one permutation of all N images per epoch, from (seed, "order", epoch)
batch(step) = its slice of B images      the last one of an epoch is smaller where B does not divide N

Of many processes that train together, each reads its own slots of a batch alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData, ImageData
from fromnoise.data.rows import Rows

WHOLE = slice(None)


class Batches:
    """Shuffled batches of a set of images; `batch(step)` depends on (seed, step) and the data alone.

    Arguments:
        data: the images.
        batch_size: images per batch; the last one of an epoch may be smaller.
        random_flip: mirror each image with probability 1/2.
        device: where the images are, so that the order is kept there too and no batch waits for it.

    Raises:
        UsageError: when `batch_size` is less than 1 or more than there are images.
    """

    def __init__(
        self, data: ImageData, batch_size: int, seed: int, random_flip: bool = False, device: str = "cpu"
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"the batch size is {batch_size}, but at least 1 is needed; give a larger one")
        if batch_size > len(data):
            raise UsageError(
                f"the batch size is {batch_size:,}, but there are only {len(data):,} images; "
                f"give at most {len(data)} or add images"
            )
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.random_flip = random_flip
        self.device = device
        self._order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """ceil(N / B): steps in which every image is seen once."""
        return -(-len(self.data) // self.batch_size)

    def images_before(self, step: int) -> int:
        """How many images were seen in all steps before this one."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return epoch * len(self.data) + place * self.batch_size

    def indices(self, step: int) -> Tensor:
        """The images of a step, int64 (B,), fewer at an epoch's end."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._permutation(epoch)[place * self.batch_size : (place + 1) * self.batch_size]

    def batch(self, step: int, slots: slice = WHOLE) -> tuple[Tensor, Tensor | None]:
        """uint8 images (B, C, H, W) and int64 labels (B,) of a step, or None without labels.

        slots: only these of the batch, such as every second one from the first.
        """
        indices = self.indices(step)
        images, labels = self.data.fetch(indices[slots])
        if self.random_flip:
            draw = torch.rand(len(indices), generator=generator(self.seed, "flip", step))[slots]
            mirrored = (draw < 0.5).to(images.device, non_blocking=images.is_cuda)
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        return images, labels

    def read_ahead(self, step: int, slots: slice = WHOLE) -> None:
        """Have the system read the images of a step from the disk, without waiting for them."""
        if isinstance(self.data, ArrayData) and isinstance(self.data.images, Rows):
            self.data.images.read_ahead(self.indices(step)[slots])

    def _permutation(self, epoch: int) -> Tensor:
        """Epoch's order of all images, int64 (N,); only the last one is kept."""
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.data), generator=generator(self.seed, "order", epoch))
            self._order = (epoch, order.to(self.device))
        return self._order[1]
