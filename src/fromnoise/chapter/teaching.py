"""Sections 3.3, 3.4.1 and 3.4.2: the two networks learn, answer, and make pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fromnoise.chapter import blocks, words
from fromnoise.chapter.blocks import block
from fromnoise.chapter.corruption import amounts, arrays
from fromnoise.chapter.networks import Trained, report_losses, train
from fromnoise.chapter.parts import stated
from fromnoise.chapter.pieces import PROCESS, corrupt, sample_with_step
from fromnoise.chapter.published import PARAMETERS
from fromnoise.chapter.telling import Telling
from fromnoise.chapter.words import filled
from fromnoise.common.seeds import generator
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.figures.curves import loss_and_samples, loss_curve
from fromnoise.figures.grid import grid
from fromnoise.figures.image_rows import rows, two_columns
from fromnoise.nets import build_net
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.recipes import recipe

FEW_STEPS, MANY_STEPS = 5, 40
LOSS_TOP = 0.1  # the chapter's axis


def basic_unet(telling: Telling, x: Tensor) -> Trained:
    """Section 3.3: BasicUNet, its training, and what it answers for the 8 images x at 8 amounts."""
    parameters = count_parameters(telling, "chapter-basic")
    batch = min(telling.parts.batch_size, len(telling.data))
    facts = {"channels": telling.spec.channels, "batch_size": batch, "seed": telling.seed}
    code = block(blocks.TRAIN_BY_HAND, steps=-(-telling.parts.basic // batch), **facts)
    telling.begin("3.3", "Training", filled(words.TRAIN, parameters=f"{parameters:,}"), code)
    telling.measured("BasicUNet, parameters", parameters, PARAMETERS["BasicUNet"])
    trained = train(telling, "BasicUNet", "basic-unet", "chapter-basic", telling.parts.basic)
    telling.more(filled(words.TRAIN_AS_RUN), run_block(telling, trained))
    part = stated(trained.images, telling.parts)
    curve = loss_curve(range(1, len(trained.losses) + 1), trained.losses, y_max=LOSS_TOP, x_label="step")
    telling.show("loss", curve, f"The loss of every step, and its running mean ({part}).")
    report_losses(telling, trained)
    telling.tabulate()
    telling.more(filled(words.PREDICTIONS))
    mixed, answers = predict(telling, trained.net, x)
    titled = [("Input data", x), ("Corrupted data", mixed), ("Network Predictions", answers)]
    picture = rows([(title, arrays(telling, images)) for title, images in titled], invert=telling.invert)
    telling.show("predictions", picture, f"What BasicUNet answers at amounts from 0 to 1 ({part}).")
    return trained


def unet2d(telling: Telling) -> Trained:
    """Section 3.4.2: diffusers' UNet2DModel, its loss, and samples after 40 steps."""
    parameters, spec = count_parameters(telling, "chapter-unet2d"), telling.spec
    side = spec.height if spec.height == spec.width else (spec.height, spec.width)
    code = block(blocks.UNET2D, side=side, channels=spec.channels)
    telling.begin("3.4.2", "UNet2DModel", filled(words.UNET2D, parameters=f"{parameters:,}"), code)
    telling.measured("UNet2DModel, parameters", parameters, PARAMETERS["UNet2DModel"])
    trained = train(telling, "UNet2DModel", "unet2d", "chapter-unet2d", telling.parts.unet2d)
    telling.more("", run_block(telling, trained))
    report_losses(telling, trained)
    count, part = telling.parts.unet2d_samples, stated(trained.images, telling.parts)
    made, _, _ = sample_with_step(trained.net, noise(telling, count), MANY_STEPS)
    top = LOSS_TOP if trained.last()[1] < LOSS_TOP else None
    picture = loss_and_samples(trained.losses, arrays(telling, made), y_max=top, invert=telling.invert)
    telling.show("unet2d", picture, f"The loss, and {count} samples after {MANY_STEPS} steps ({part}).")
    telling.tabulate()
    return trained


def sampling(telling: Telling, trained: Trained) -> None:
    """Section 3.4.1: 8 samples in 5 steps, step by step, and a grid of samples in 40."""
    spec, part = telling.spec, stated(trained.images, telling.parts)
    code = block(blocks.SAMPLE, channels=spec.channels, height=spec.height, width=spec.width)
    telling.begin("3.4.1", "Sampling", filled(words.SAMPLE), code)
    _, inputs, answers = sample_with_step(trained.net, noise(telling, 8), FEW_STEPS)
    left, right = ([arrays(telling, x) for x in column] for column in (inputs[:FEW_STEPS], answers))
    picture = two_columns(left, right, invert=telling.invert)
    telling.show("five-steps", picture, f"Eight samples in {FEW_STEPS} steps, top to bottom ({part}).")
    count = telling.parts.samples
    made, _, _ = sample_with_step(trained.net, noise(telling, count), MANY_STEPS)
    picture = grid(arrays(telling, made), invert=telling.invert)
    telling.show("samples", picture, f"{count} samples after {MANY_STEPS} steps ({part}).")
    telling.more(filled(words.SAMPLE_BY_HAND), block(blocks.SAMPLE_BY_HAND))
    for steps in (FEW_STEPS, MANY_STEPS):
        difference = by_hand_difference(trained.net, noise(telling, 8), steps)
        name = f"the chapter's loop against our sampler, {steps} steps, largest difference"
        telling.measured(name, difference, note="float32, same network and noise; expected at most 1e-5", digits=0)
    telling.tabulate()


def count_parameters(telling: Telling, recipe_name: str) -> int:
    """Counted from the network that the recipe builds for these images."""
    net = build_net(recipe(recipe_name, TrainingContext(telling.spec, len(telling.data))).net, telling.spec)
    return sum(p.numel() for p in net.parameters())


def noise(telling: Telling, count: int) -> Tensor:
    """Uniform noise (count, C, H, W): that from which `fromnoise sample` starts pictures 0, 1, 2, ... too."""
    return start_noise(PROCESS, telling.spec.shape, range(count)).to(telling.device.name)


def run_block(telling: Telling, trained: Trained) -> str:
    """The code that made, and finds again, a trained network."""
    place = trained.run.path.as_posix()
    return block(
        blocks.TRAIN_AS_RUN, source=telling.source, recipe=trained.recipe, place=place, settings=trained.settings
    )


@torch.no_grad()
def predict(telling: Telling, net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """(x corrupted with amounts from 0 to 1, what `net` makes of each), both (B, C, H, W) on the CPU."""
    amount = amounts(len(x))
    mixed = corrupt(x, amount, generator=generator(telling.seed, "chapter corruption"))
    device = telling.device.name
    return mixed, net(mixed.to(device), PROCESS.code(amount).to(device)).cpu()


@torch.no_grad()
def by_hand_difference(net: nn.Module, x: Tensor, n_steps: int) -> float:
    """The chapter's loop on x (B, C, H, W), against `sample_with_step`: the largest difference of all x on the way."""
    _, history, _ = sample_with_step(net, x, n_steps)
    largest = 0.0
    for i in range(n_steps):
        m = 1 / (n_steps - i)
        x = x * (1 - m) + net(x) * m
        largest = max(largest, float((x.cpu() - history[i + 1]).abs().max()))
    return largest
