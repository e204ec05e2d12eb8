"""Samples a model that fromnoise trained, with the sampler and the guidance it was made for.

    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(FOLDER, trust_remote_code=True)
    pipe(batch_size=4).images

A sampler is a table of weights here (scheduler/scheduler_config.json). With z the noise at the start, x0_j the clean
images predicted so far and z_i fresh noise, the network's input at evaluation k, and the image at the end, are

    x_k = a_k z + sum_{j<k} b_kj x0_j + sum_i c_ki z_i
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image


class FromNoisePipeline(DiffusionPipeline):
    """A network that predicts from (x, time code, class label), and a scheduler that holds the tables."""

    def __init__(self, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        class_labels: list[int | str] | torch.Tensor | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        noise: torch.Tensor | None = None,
        fresh_noise: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Generate images.

        Arguments:
            batch_size: how many, where neither class_labels nor noise say it.
            class_labels: a class by number or name for each; drawn with the training set's frequencies if not given.
            num_inference_steps: one of the step counts in the scheduler's config; the model's own if not given.
            guidance_scale: classifier-free guidance where the model's interval has it; the model's own if not given.
            generator: draws labels and noise.
            noise: (B, C, H, W) to start from. fresh_noise: (draws, B, C, H, W) for a sampler that adds noise.
            output_type: "pil", "np" (uint8, B x H x W x C) or "pt" (B, C, H, W in the network's range).

        Returns:
            ImagePipelineOutput, or a tuple of the images where return_dict is False.
        """
        config = self.scheduler.config
        plan = self.scheduler.plan(num_inference_steps)
        given = noise if noise is not None else class_labels
        batch_size = batch_size if given is None else len(given)
        label = self._labels(class_labels, batch_size, generator)
        scale = config.guidance_scale if guidance_scale is None else guidance_scale
        trained = self.unet.config.get("guidance_input")
        if trained and not 1 <= scale <= trained["most"]:
            raise ValueError(f"guidance_scale is {scale}, but this network takes 1 to {trained['most']}")
        plans = config.plans.values()
        if guidance_scale not in (None, 1) and not any(at["guided"] for one in plans for at in one["evaluations"]):
            raise ValueError(f"guidance_scale is {scale}, but this model was exported without guidance; leave it out")
        noise = self._noise(batch_size, generator) if noise is None else noise.to(self.device, self.unet.dtype)
        fresh = [
            self._noise(batch_size, generator) if fresh_noise is None else fresh_noise[i].to(noise)
            for i in range(len(plan["fresh_steps"]))
        ]
        found: list[torch.Tensor] = []
        for evaluation in self.progress_bar(plan["evaluations"]):
            x = combine(evaluation["x"], noise, found, fresh)
            found.append(self._x0(evaluation, x, label, scale))
        images = self._decode(combine(plan["sample"], noise, found, fresh), output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _x0(self, at: dict[str, Any], x: torch.Tensor, label: torch.Tensor | None, scale: float) -> torch.Tensor:
        """The clean image that the network sees in x, guided and kept in range as in training's own samples."""
        if label is None or not at["guided"] or scale == 1:
            return self.scheduler.keep_in_range(self._denoise(at, x, label))
        if self.unet.config.get("guidance_input"):
            given = torch.stack([label.float(), torch.full(label.shape, float(scale), device=label.device)], dim=1)
            return self.scheduler.keep_in_range(self._denoise(at, x, given))
        null = torch.full_like(label, len(self.unet.config.classes))
        both = self._denoise(at, torch.cat([x, x]), torch.cat([label, null]))
        conditional, unconditional = both.chunk(2)
        guided = unconditional + scale * (conditional - unconditional)
        if scale == 0:  # which leaves the class out, and its contrast with it
            return self.scheduler.keep_in_range(guided)
        return self.scheduler.keep_in_range(self.scheduler.rescale(guided, conditional))

    def _denoise(self, at: dict[str, Any], x: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        code = torch.full((len(x),), at["code"], device=x.device)
        return at["x_weight"] * x + at["out_weight"] * self.unet(at["input_scale"] * x, code, label)

    def _labels(self, labels: Any, count: int, generator: Any) -> torch.Tensor | None:
        """int64 (B,) on the device; None for a model without classes."""
        names = list(self.unet.config.classes)
        if not names:
            if labels is not None:
                raise ValueError("class_labels were given, but this model has no classes; leave them out")
            return None
        if labels is None:
            shares = torch.tensor(self.scheduler.config.label_counts, dtype=torch.float64)

            def drawn(number: int, one: Any) -> torch.Tensor:
                return torch.multinomial(shares.to(_device(one)), number, replacement=True, generator=one).cpu()

            labels = _of_each(drawn, count, generator)
        numbers = [names.index(label) if isinstance(label, str) else int(label) for label in labels]
        if any(not 0 <= number < len(names) for number in numbers):
            raise ValueError(f"class_labels are {numbers}, but this model has classes 0 to {len(names) - 1}")
        return torch.tensor(numbers, device=self.device)

    def _noise(self, count: int, generator: Any) -> torch.Tensor:
        config = self.unet.config
        shape = (count, config.channels, config.height, config.width)
        if self.scheduler.config.prior == "normal":
            return randn_tensor(shape, generator=generator, device=self.device, dtype=self.unet.dtype)

        def drawn(number: int, one: Any) -> torch.Tensor:
            return torch.rand((number, *shape[1:]), generator=one, device=_device(one)).to(self.device)

        return _of_each(drawn, count, generator).to(self.unet.dtype)

    def _decode(self, x: torch.Tensor, output_type: str) -> Any:
        if output_type == "pt":
            return x
        low, high = self.scheduler.config.low, self.scheduler.config.high
        unit = ((x.float() - low) / (high - low)).clamp(0, 1)
        arrays = unit.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        if output_type == "np":
            return arrays
        return [Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array) for array in arrays]


def _device(generator: Any) -> Any:
    """Where `generator` draws, None for the CPU."""
    return generator.device if generator else None


def _of_each(draw: Any, count: int, generator: Any) -> torch.Tensor:
    """`draw(count, generator)`, or of a list of generators one from each, so that a seed has its own image."""
    if not isinstance(generator, list):
        return draw(count, generator)
    if len(generator) == 1:
        return draw(count, generator[0])
    if len(generator) != count:
        raise ValueError(f"{len(generator)} generators were given for {count} images; give one for each")
    return torch.cat([draw(1, one) for one in generator])


def combine(weights: dict[str, Any], noise: torch.Tensor, x0: list[torch.Tensor], fresh: list[torch.Tensor]) -> Any:
    """noise z + sum_j x0[j] x0_j + sum_i fresh[i] z_i."""
    total = weights["noise"] * noise
    for weight, image in [*zip(weights["x0"], x0), *zip(weights["fresh"], fresh)]:
        total = total + weight * image
    return total
