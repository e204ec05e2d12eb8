# %% [markdown]
# # From noise to digits
#
# Two small networks learn to turn noise into handwritten digits. Every step stands here as code that runs: how images
# are corrupted, how a network learns to undo it, and how samples come out of pure noise. Each piece is written out once
# and then compared with the library's own.
#
# The networks, and the parameter counts beside ours, are those of the notebook "Diffusion models from scratch", unit 1
# of [Hugging Face's diffusion course](https://github.com/huggingface/diffusion-models-class) (Apache-2.0). The six
# published losses are those of a chapter that follows this notebook and whose section numbers are used here: chapter 3,
# "从零开始搭建扩散模型", in Chinese. The notebook prints losses of its own, which are not shown.

# %%
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel

import fromnoise as fn
from fromnoise.chapter.published import FIRST_BATCH, PARAMETERS
from fromnoise.chapter.record import ChapterRecord
from fromnoise.data import DataOptions, cache_dir, describe, splits
from fromnoise.figures.curves import lines, loss_and_samples, loss_curve
from fromnoise.figures.image_rows import rows, two_columns
from fromnoise.metrics.classifier import accuracy
from fromnoise.metrics.classifier_cache import cached_classifier
from fromnoise.metrics.classifier_training import train_classifier
from fromnoise.train.hardware import choose_device

# %% [markdown]
# ## How much of it is run
#
# The values below decide what is trained and measured. Those of the notebook are the quick ones, for five minutes on
# two cores: a stated part of the training, named wherever a number is shown. `fromnoise chapter` without `--quick`
# trains everything, 180,000 images with each network. Networks are kept as run folders, so whoever stops and runs the
# cells again continues where the training stopped.

# %% tags=["parameters"]
DATA = "mnist"  # or "digits", which needs no download, or a folder of images; both without published numbers
SEED = 0
DEVICE = "auto"
OUTPUT_DIR = "chapter"
QUICK = True
STEPS_BY_HAND = 40  # of the training loop that is written out
BATCH_SIZE = 128
BASIC_IMAGES = 20_480  # that BasicUNet is trained on, repeats counted
UNET2D_IMAGES = 1_024  # UNet2DModel is ten to twenty times as slow
STEP_COUNTS = (1, 2, 5, 10, 20, 40)  # of sampling, compared in the last section
NUM_SAMPLES = 128  # for each of them
UNET2D_NUM_SAMPLES = 16
TEST_IMAGES = 256  # that errors and scores are measured on
CLASSIFIER_STEPS = 100  # of the classifier that scores samples; 0: its whole training, kept for later

# %% [markdown]
# ## 3.1 Environment and data
#
# MNIST is 60,000 grey images of 28 x 28 pixels. They wait in memory as bytes. A batch becomes floats from 0 (paper) to
# 1 (ink), in the order batch, channel, height, width.

# %%
data = fn.load(DATA)
record = ChapterRecord(OUTPUT_DIR, DATA, len(data), quick=QUICK, seed=SEED)
device = choose_device(DEVICE)
print(f"device: {device.name} ({device.reason})")
print(describe(data))

batch_size = min(BATCH_SIZE, len(data))
batches = fn.Batches(data, batch_size, seed=SEED)
images, labels = batches.batch(0)
x = images[:8].float() / 255
record.measure("3.1", "shape of the first batch", list(x.shape), FIRST_BATCH)
names = None if labels is None else labels[:8].tolist()
record.measure("3.1", "labels of the first batch", names, note="they follow the seed")

INK = data.spec.channels == 1  # grey images are drawn dark on white


def pixels(x: torch.Tensor) -> np.ndarray:
    """Floats (B, C, H, W) in [0, 1] as bytes (B, H, W, C), which figures are made of."""
    return (x.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def uniform_noise(count: int) -> torch.Tensor:
    """Uniform noise in the shape of `count` images, the same in each call."""
    torch.manual_seed(SEED)
    return torch.rand(count, *data.spec.shape)


record.figure("3.1-digits", fn.grid(pixels(x), invert=INK), "The first batch.")

# %% [markdown]
# ## 3.2 Corruption
#
# A network that removes noise needs noisy images to learn from. We draw uniform noise in the shape of the images and
# mix the two: amount 0 keeps the image, amount 1 leaves nothing of it.
#
# The library's `corrupt` does the same. It is the process `Linear(Uniform())`, `x_t = alpha(t) x_0 + sigma(t) eps` with
# `alpha = 1 - t` and `sigma = t`; the amount is the time t.

# %%
amount = torch.linspace(0, 1, len(x))
noise = uniform_noise(len(x))
share = amount.view(-1, 1, 1, 1)
by_hand = x * (1 - share) + noise * share

mixed = fn.corrupt(x, amount, noise=noise)
print(f"largest difference: {float((mixed - by_hand).abs().max()):.1e}")
titled = [("Input data", pixels(x)), ("Corrupted data (-- amount increases -->)", pixels(mixed))]
record.figure("3.2-corruption", rows(titled, invert=INK), "The same images with amounts from 0 to 1.")

# %% [markdown]
# ## 3.3 Training
#
# BasicUNet is about the smallest network with the shape of a U-Net: three 5x5 convolutions down, three up, each
# followed by SiLU. The activations from the way down are added again on the way up, so that fine lines need not pass
# through the coarse middle. The output has the shape of the input.

# %%
net = fn.BasicUNet(in_channels=data.spec.channels, out_channels=data.spec.channels)
record.measure("3.3", "BasicUNet, parameters", sum(p.numel() for p in net.parameters()), PARAMETERS["BasicUNet"])
print(f"{tuple(x.shape)} -> {tuple(net(x).shape)}")

# %% [markdown]
# A training step: corrupt each image of a batch by an amount of its own, let the network predict the clean images,
# compare by mean squared error, and let Adam change the weights. The network does not get the amount; it has to see for
# itself how much noise there is.

# %%
torch.manual_seed(SEED)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
for step in range(STEPS_BY_HAND):
    clean = batches.batch(step)[0].float() / 255
    prediction = net(fn.corrupt(clean, torch.rand(len(clean))))
    loss = torch.nn.functional.mse_loss(prediction, clean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss of step {STEPS_BY_HAND}: {loss.item():.4f}")

# %% [markdown]
# The library's trainer runs the same loop. Its recipe `chapter-basic` holds the settings above, and a run is a folder
# that keeps weights and losses, continues where it was stopped, and can be sampled later. All that follows uses this
# run.

# %%
RUNS = Path(OUTPUT_DIR, "runs", "quick" if QUICK else "")
shared = {"train.seed": SEED, "train.train_batch_size": batch_size, "train.previews": 0 if QUICK else 4}
basic = fn.Run.create(
    DATA,
    recipe="chapter-basic",
    output_dir=RUNS / "basic-unet",
    settings={**shared, "train.num_images": BASIC_IMAGES},
    device=DEVICE,
)
basic_history = record.train("BasicUNet", basic)
print(f"its loss of step {STEPS_BY_HAND}: {basic_history.losses[:STEPS_BY_HAND][-1]:.4f}")
record.losses("3.3", basic_history)
curve = loss_curve(range(1, len(basic_history.losses) + 1), basic_history.losses, y_max=0.1, x_label="step")
record.figure("3.3-loss", curve, f"The loss of every step and its running mean ({basic_history.part}).")

# %% [markdown]
# A single prediction is sharp where there is little noise. Where there is much, it is a blur: the mean of all digits
# that the mix could come from. That is the best answer to a squared error, and the reason why one step does not make an
# image.

# %%
basic_net = basic.denoiser().net
with torch.no_grad():
    predicted = basic_net(mixed.to(device.name))
titled = [("Input data", pixels(x)), ("Corrupted data", pixels(mixed)), ("Network Predictions", pixels(predicted))]
caption = f"BasicUNet's predictions at amounts from 0 to 1 ({basic_history.part})."
record.figure("3.3-predictions", rows(titled, invert=INK), caption)

# %% [markdown]
# ## 3.4.1 Sampling
#
# A blurred prediction still points in a good direction, so a sampler moves only part of the way. It starts from noise,
# predicts, moves a little towards the prediction, and predicts again. Of n steps, step i takes the share `m = 1 / (n -
# i)` of the way that is left, so that the last step goes all of it.
#
# The library's `sample_with_step` is DDIM on a uniform grid of times, and makes the same moves. It keeps all that was
# seen on the way.

# %%
start = uniform_noise(8).to(device.name)
for n_steps in (5, 40):
    z, largest = start, 0.0
    _, inputs, predictions = fn.sample_with_step(basic_net, start, n_steps)
    with torch.no_grad():
        for i in range(n_steps):
            m = 1 / (n_steps - i)
            z = z * (1 - m) + basic_net(z) * m
            largest = max(largest, float((z.cpu() - inputs[i + 1]).abs().max()))
    name = f"the loop by hand against sample_with_step, {n_steps} steps, largest difference"
    record.measure("3.4.1", name, largest, note="float32, same network and noise; expected at most 1e-5")

# %%
_, inputs, predictions = fn.sample_with_step(basic_net, start, 5)
left, right = [pixels(z) for z in inputs[:-1]], [pixels(z) for z in predictions]
caption = f"Eight samples in 5 steps, top to bottom ({basic_history.part})."
record.figure("3.4.1-five-steps", two_columns(left, right, invert=INK), caption)

# %% [markdown]
# In 40 steps. After a small part of the training these are strokes and blots; after all of it, about half of them look
# like digits.

# %%
made, _, _ = fn.sample_with_step(basic_net, uniform_noise(64).to(device.name), 40)
caption = f"64 samples of BasicUNet in 40 steps ({basic_history.part})."
record.figure("3.4.1-samples", fn.grid(pixels(made), invert=INK), caption)

# %% [markdown]
# ## 3.4.2 UNet2DModel
#
# Now the same data, corruption, loss and optimiser with a network of the library diffusers. It has what larger
# diffusion models are made of: group normalisation, dropout (here at its default rate, 0), several ResNet layers in
# each block, attention at low resolutions, conditioning on a timestep, and down- and upsampling that is learned. The
# timestep is held at 0, so this network does not get the amount either. The recipe `chapter-unet2d` trains it.

# %%
larger = UNet2DModel(
    sample_size=(data.spec.height, data.spec.width),
    in_channels=data.spec.channels,
    out_channels=data.spec.channels,
    layers_per_block=2,
    block_out_channels=(32, 64, 64),
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
)
parameters = sum(p.numel() for p in larger.parameters())
record.measure("3.4.2", "UNet2DModel, parameters", parameters, PARAMETERS["UNet2DModel"])

unet2d = fn.Run.create(
    DATA,
    recipe="chapter-unet2d",
    output_dir=RUNS / "unet2d",
    settings={**shared, "train.num_images": UNET2D_IMAGES},
    device=DEVICE,
)
unet2d_history = record.train("UNet2DModel", unet2d)
record.losses("3.4.2", unet2d_history)

start = uniform_noise(min(64, UNET2D_NUM_SAMPLES)).to(device.name)
made, _, _ = fn.sample_with_step(unet2d.denoiser().net, start, 40)
top = 0.1 if unet2d_history.last()[1] < 0.1 else None
figure = loss_and_samples(unet2d_history.losses, pixels(made), y_max=top, invert=INK)
record.figure("3.4.2-unet2d", figure, f"Loss, and {len(made)} samples in 40 steps ({unet2d_history.part}).")

# %% [markdown]
# ## 3.5 The DDPM corruption
#
# [DDPM](https://arxiv.org/abs/2006.11239) corrupts by another rule: in 1000 small steps, each of which fades the image
# slightly and adds a little Gaussian noise, `q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)`. All steps up to
# t can be taken at once, `x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps`, where `abar_t` is the product of the `1 -
# beta`. It is the one equation again with other curves: the process `VP`. Images lie in [-1, 1] here.

# %%
torch.manual_seed(SEED)
clean, k = 2 * x - 1, torch.linspace(0, 999, len(x)).long()
noise = torch.randn_like(clean)
process = fn.VP("linear")
noisy = process.corrupt(clean, noise, k + 1)  # our t counts from 1, diffusers' index from 0
difference = float((noisy - DDPMScheduler(num_train_timesteps=1000).add_noise(clean, noise, k)).abs().max())
name = "VP against diffusers' DDPMScheduler.add_noise, largest difference"
record.measure("3.5", name, difference, note="same images, noise and timesteps; expected at most 1e-5")

low, high = float(noisy.min()), float(noisy.max())
titled = [
    ("Clean", pixels((clean + 1) / 2)),
    ("Noisy, clipped to [-1, 1]", pixels((noisy + 1) / 2)),
    (f"Noisy, its whole range from {low:.1f} to {high:.1f}", pixels((noisy - low) / (high - low))),
]
heads = ["timestep 0", *[str(i) for i in k.tolist()[1:]]]
record.figure("3.5-ddpm", rows(titled, heads, invert=INK), "The same images at eight of DDPM's 1000 timesteps.")

# %% [markdown]
# DDPM's network predicts the noise instead of the image. Each follows from the other, but the errors differ: that of
# the noise is that of the image times alpha / sigma. Squared, this is the signal-to-noise ratio below, which gives the
# timesteps with little noise most of the weight.

# %%
alpha, sigma = process.scales(k + 1)
head = ("timestep", "alpha (image)", "sigma (noise)", "signal-to-noise ratio")
columns = zip(k.tolist(), alpha.tolist(), sigma.tolist(), strict=True)
record.table([head, *[(str(i), f"{a:.4f}", f"{s:.4f}", f"{(a / s) ** 2:.4g}") for i, a, s in columns]])

# %% [markdown]
# ## 3.6 Further: time conditioning
#
# Both networks had to guess how much noise they see. Diffusion models are usually conditioned on it: the timestep
# becomes an embedding that enters the network in several places. BasicUNet gets the plainest form, a second input
# channel that holds the time everywhere, which is one setting. Data, order, noise, seed and number of steps stay the
# same.

# %%
conditioned = fn.Run.create(
    DATA,
    recipe="chapter-basic",
    output_dir=RUNS / "basic-unet-time",
    settings={**shared, "train.num_images": BASIC_IMAGES, "net.time_conditioning": True},
    device=DEVICE,
)
conditioned_history = record.train("BasicUNet with time conditioning", conditioned)
histories = {"without": basic_history, "with": conditioned_history}
both = f"{basic_history.part} each"
for which, history in histories.items():
    count, last = history.last()
    name = f"BasicUNet {which} time conditioning, mean loss of the last {count:,} images"
    record.measure("3.6", name, last, note=both)
curves = {which: history.curve() for which, history in histories.items()}
figure = lines(curves, "images seen", "mean loss", "Training loss without and with time conditioning")
record.figure("3.6-time-conditioning", figure, f"Each point is the mean over a twentieth of the training ({both}).")

# %% [markdown]
# The training loss is a mean over all amounts. On images that neither network was trained on, with the same noise for
# both, the error can be measured at each amount.

# %%
has_test = "test" in splits(DataOptions(DATA))
test = fn.load(DATA, "test") if has_test else data
some = test.fetch(torch.arange(min(TEST_IMAGES, len(test))))
test = replace(test, images=some[0], labels=some[1])
where = f"{len(test):,} {'test' if has_test else 'training'} images"
AMOUNTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@torch.no_grad()
def error_at(net: torch.nn.Module, amount: float) -> float:
    """The mean squared error of the predictions for all test images at one amount."""
    torch.manual_seed(SEED)
    squared = 0.0
    for images in test.images.split(256):
        x, t = images.float() / 255, torch.full((len(images),), amount)
        predicted = net(fn.corrupt(x, t).to(device.name), 1000 * t.to(device.name)).cpu()
        squared += float((predicted - x).square().mean()) * len(x)
    return squared / len(test)


nets = {"without": basic_net, "with": conditioned.denoiser().net}
errors = {which: [error_at(net, amount) for amount in AMOUNTS] for which, net in nets.items()}
for which, values in errors.items():
    note = f"mean over {len(AMOUNTS)} amounts, {where}, the same noise for both; {both}"
    record.measure("3.6", f"BasicUNet {which} time conditioning, error", float(np.mean(values)), note=note)
change = [100 * (b / a - 1) for a, b in zip(errors["without"], errors["with"], strict=True)]
curves = {"without": (AMOUNTS, [0.0] * len(AMOUNTS)), "with": (AMOUNTS, change)}
figure = lines(curves, "amount of noise", "difference in %", "Error with and without time conditioning")
record.figure("3.6-error-by-amount", figure, f"{where} at each amount, relative to the network without ({both}).")

# %% [markdown]
# ## 3.6 Further: the number of steps
#
# More steps are more network evaluations. How much do they help? A classifier that was trained on the real images looks
# at samples that all start from the same noise. Its confidence is the mean probability of the likeliest class; the
# one-class share is that of the samples of which one class has more than 90 %.
#
# A classifier must choose some class. After one step all samples are nearly the same mean image, and it may be certain
# about that one. So the table also has the share of the commonest class: near 1, the other two numbers mean nothing.

# %%
SCORES = ("confidence", "one-class share", "share of the commonest class")


def score(name: str, images: torch.Tensor, note: str) -> list[float]:
    """The three SCORES of bytes (N, C, H, W)."""
    top, likeliest = classifier.probabilities(images).max(1)
    shares = [top.double().mean(), (top > 0.9).double().mean(), likeliest.bincount().max() / len(images)]
    for what, share in zip(SCORES, shares, strict=True):
        record.keep("3.6", f"{name}, {what}", float(share), note=note)
    return [float(share) for share in shares]


labelled = data.labels is not None and len(data.spec.classes) > 1
if labelled:
    if CLASSIFIER_STEPS:
        classifier = train_classifier(data, steps=CLASSIFIER_STEPS)
    else:
        classifier = cached_classifier(data, cache_dir() / "classifiers")
    record.measure("3.6", "the classifier's accuracy on real images", accuracy(classifier, test), note=where)
    real = score("real images", test.images, where)
    found: dict[str, list[list[float]]] = {"BasicUNet": [], "UNet2DModel": []}
    for run, num, history in ((basic, NUM_SAMPLES, basic_history), (unet2d, UNET2D_NUM_SAMPLES, unet2d_history)):
        for n in STEP_COUNTS:
            samples = torch.from_numpy(run.sample(num, steps=n).images).permute(0, 3, 1, 2)
            name = f"{history.name}, {n} step{'s' * (n > 1)}"
            found[history.name].append(score(name, samples.contiguous(), f"{num} samples; {history.part}"))
        print(f"{history.name}: {num} samples at each number of steps ({history.part})")
    found["real images"] = [real] * len(STEP_COUNTS)
else:
    print("These images have no classes, so no classifier can score samples.")

# %%
if labelled:
    for i, what in enumerate(SCORES[:2]):
        curves = {name: (STEP_COUNTS, [values[i] for values in table]) for name, table in found.items()}
        figure = lines(curves, "steps", what, f"{what.capitalize()} by number of steps", log_x=True)
        caption = f"BasicUNet ({basic_history.part}), UNet2DModel ({unet2d_history.part}) and {where}."
        record.figure(f"3.6-{what.replace(' ', '-')}", figure, caption)
    columns = [[" / ".join(f"{value:.3f}" for value in values) for values in table] for table in found.values()]
    record.table([("steps", *found), *zip(map(str, STEP_COUNTS), *columns, strict=True)], " / ".join(SCORES))

# %% [markdown]
# ## Published and ours
#
# Parameter counts are those of the notebook, losses those of the chapter that follows it. `chapter.json` beside this
# page holds every number for programs.

# %%
if record.compared:
    record.table(record.comparison())
else:
    print(f"The images are {describe(data)}, not MNIST, so no published numbers can stand beside ours.")
record.write(device=device.name, reason=device.reason)

# %% [markdown]
# ## How to go on
#
# The networks are ordinary run folders, so every command works on them. The recipe `default` is what fromnoise makes of
# the same equation: Gaussian noise, a network conditioned on time and class, and averaged weights.

# %%
print(f"fromnoise show {basic.path}")
print(f"fromnoise sample {basic.path} --steps 40 --seeds 0-15 --out film.gif")
print(f"fromnoise train {DATA}")
