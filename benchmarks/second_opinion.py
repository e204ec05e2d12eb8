"""A second opinion: samples measured in the features of a classifier that the project never uses.

    python benchmarks/second_opinion.py RUN [RUN ...] SAMPLES.npz --data mnist --num 10000

`fromnoise evaluate` measures in features of one small classifier, by which recipes are chosen, so that they may come to
suit it. This one has another architecture (residual, with group normalisation, averaged to 128 features behind a GELU),
another augmentation, loss and seed, and is trained for longer. It stands in for one from outside: nothing is ever
chosen by it. Its scale is its own, so read the ratio to the row of test images. Trained once for a set of images, in
minutes on one thread, and kept in `.second-opinion` beside this file by its settings; weights whose checksum is not the
one noted are trained again. Rows of an earlier page by the same classifier stay. Writes
docs/results/second-opinion-<name>.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import RESULTS, keep, processor, short, table
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator, key
from fromnoise.data import DataOptions, unseen
from fromnoise.data import load as load_images
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import Pixels
from fromnoise.evaluation.reference import Reference, build_reference
from fromnoise.evaluation.samples import draw_samples
from fromnoise.metrics.features import Features
from fromnoise.metrics.frechet import frechet_distance, statistics
from fromnoise.metrics.precision_recall import precision_recall
from fromnoise.run import Run

KEPT = Path(__file__).resolve().parent / ".second-opinion"
BATCH = 500  # images measured at once


@dataclass(frozen=True)
class Training:
    """All that decides the classifier besides the images. `epochs` counts images seen; the rate falls as a cosine."""

    version: int = 1
    width: int = 24
    epochs: float = 10.0
    batch: int = 128
    rate: float = 3e-3
    decay: float = 0.05
    turn: float = 0.2  # radians; `grow` and `move` are shares of the side
    grow: float = 0.12
    move: float = 0.07
    seed: int = 8128


class Residual(nn.Module):
    """x + branch(x); the branch normalises first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.GroupNorm(width // 8, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(width // 8, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x + self.branch(x)


class SecondClassifier(nn.Module):
    """A 5x5 convolution, two levels of residual blocks, 128 features averaged over places, one linear layer."""

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2),
            Residual(width),
            nn.Conv2d(width, 2 * width, 2, stride=2),
            Residual(2 * width),
            Residual(2 * width),
            nn.GroupNorm(width // 8, 2 * width),
            nn.GELU(),
            nn.Conv2d(2 * width, 128, 3, stride=2, padding=1),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(128, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of float images (B, C, H, W) in 0..1."""
        return self.head(self.trunk(x.contiguous(memory_format=torch.channels_last)))

    @torch.no_grad()
    def features(self, images: Pixels) -> Tensor:
        """float32 (N, 128) of uint8 (N, C, H, W)."""
        starts = range(0, len(images), BATCH)
        whole = (images[begin : begin + BATCH].float() / 255 for begin in starts)
        return torch.cat([self.trunk(x.contiguous(memory_format=torch.channels_last)) for x in whole])

    @torch.no_grad()
    def accuracy(self, embedded: Tensor, labels: Tensor | None) -> float | None:
        """Share of features (N, 128) that are assigned to their label; None without labels."""
        return None if labels is None else float((self.head(embedded).argmax(1) == labels).double().mean())


def varied(x: Tensor, how: Training, random: torch.Generator) -> Tensor:
    """Each image turned, enlarged and moved by a little of its own."""
    angle, grow, right, down = (torch.rand(4, len(x), generator=random) * 2 - 1).unbind()
    angle, size = angle * how.turn, 1 + grow * how.grow
    rows = [angle.cos() * size, -angle.sin() * size, 2 * how.move * right]
    rows += [angle.sin() * size, angle.cos() * size, 2 * how.move * down]
    places = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, places, padding_mode="border", align_corners=False)


def trained(data: ArrayData, how: Training) -> SecondClassifier:
    """A classifier of the classes of `data`, whose weights follow from it and `how`."""
    if data.labels is None:
        raise DataError(f"{data.name} has no labels, and a classifier needs them; give labelled data")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(how.seed, "second opinion"))
        net = SecondClassifier(data.spec.channels, len(data.spec.classes), how.width)
    random, batch = generator(how.seed, "second opinion"), min(how.batch, len(data))
    steps = max(1, round(how.epochs * len(data) / batch))
    optimizer = torch.optim.AdamW(net.parameters(), how.rate, weight_decay=how.decay, fused=True)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.rate, total_steps=max(2, steps), pct_start=0.1)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(data), generator=random)])
        chosen, order = order[:batch], order[batch:]
        x = varied(data.fetch(chosen)[0].float() / 255, how, random)
        loss = F.cross_entropy(net(x), data.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        if step % 500 == 0:
            print(f"training the second classifier: step {step:,} of {steps:,}, loss {loss.item():.3f}", flush=True)
    return net.eval()


def classifier(data: ArrayData, how: Training, folder: Path = KEPT) -> tuple[SecondClassifier, str]:
    """`trained`, kept in `folder` by settings and images, and its checksum."""
    about: dict[str, Any] = {"settings": asdict(how), "images": data.fingerprint}
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    weights, noted = folder / f"{name}.safetensors", folder / f"{name}.json"
    if weights.exists() and noted.exists():
        content = weights.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if json.loads(noted.read_text())["sha256"] == digest:
            net = SecondClassifier(data.spec.channels, len(data.spec.classes), how.width)
            net.load_state_dict(load(content))
            return net.eval(), digest
    began = time.perf_counter()
    net = trained(data, how)
    content = save({name: value.contiguous() for name, value in net.state_dict().items()})
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(content)
    about |= {"sha256": digest, "seconds": round(time.perf_counter() - began), "threads": torch.get_num_threads()}
    noted.write_text(json.dumps(about, indent=1) + "\n")
    return net, digest


class Spaces:
    """The real images in both spaces of features, and what is measured of others beside them."""

    def __init__(self, train: ArrayData, how: Training, folder: Path = KEPT) -> None:
        self.train, self.own = train, build_reference(train)
        self.net, self.digest = classifier(train, how, folder)
        space = Features("second", "the second classifier", 128, "", self.digest[:16], self.net.features)
        self.second = Reference(train, space, self.own.pixels, None)

    def measured(self, images: Tensor, labels: Tensor | None) -> dict[str, Any]:
        """Distances to the training images, precision, recall and class accuracy of uint8 (N, C, H, W)."""
        embedded = self.net.features(images)
        near = precision_recall(self.second.random_part(len(images)), embedded)
        return {
            "count": len(images),
            "second": frechet_distance(statistics(embedded), self.second.statistics),
            "own": frechet_distance(statistics(self.own.features.of(images)), self.own.statistics),
            "pixels": frechet_distance(statistics(self.own.pixels.of(images)), self.own.pixel_statistics),
            "precision": near.precision,
            "recall": near.recall,
            "class_accuracy": self.net.accuracy(embedded, labels),
        }


def measured_run(run: Run, spaces: Spaces, num: int) -> dict[str, Any]:
    """The row of `num` samples of a run, as its settings make them."""
    if run.data.fingerprint != spaces.train.fingerprint:
        raise DataError(f"{run.path} was trained on other images; name its data with --data")
    drawn = draw_samples(run.model(), num)
    settings, lines = run.settings, [line for line in run.folder.read_metrics() if "seconds" in line]
    length = settings.train.budget or f"{settings.train.num_images:,} images"
    about = f"predicts {settings.objective.prediction}, width {settings.net.width}, {settings.sample.steps} steps"
    return {
        "name": f"{length}: {about}, seed {settings.train.seed}",
        "images_seen": int(run.checkpoint().name),
        "seconds": lines[-1]["seconds"] if lines else None,
        "sampling": dict(drawn.sampling),
        **spaces.measured(drawn.images, drawn.labels),
    }


def measured_file(path: Path, spaces: Spaces, num: int) -> dict[str, Any]:
    """The row of the first `num` samples of an .npz or a folder; labels count where their names are the data's."""
    samples = load_images(DataOptions(str(path), holdout=0.0, range="full"))
    labels = samples.labels if samples.spec.classes == spaces.train.spec.classes else None
    return {
        "name": path.name,
        **spaces.measured(samples.images[:num], None if labels is None else labels[:num]),
    }


def kept_rows(path: Path, rows: list[dict[str, Any]], test: dict[str, Any], weights: str) -> list[dict[str, Any]]:
    """The rows of an earlier page that were measured by the same classifier on as many samples, and not again now."""
    earlier = json.loads(path.read_text()) if path.exists() else {"weights": None, "test": None, "rows": []}
    if earlier["weights"] != weights or earlier["test"] != test:
        return []
    return [one for one in earlier["rows"] if one["name"] not in {new["name"] for new in rows}]


def row(one: dict[str, Any], test: dict[str, Any]) -> list[str]:
    """A line of the table."""
    accuracy, sampling = one["class_accuracy"], one.get("sampling")
    made = f"{one['images_seen']:,}" if "images_seen" in one else ""
    how = f"{sampling['evaluations']}, {sampling['seconds']:.0f} s" if sampling else ""
    return [
        one["name"],
        made,
        how,
        short(one["second"]),
        f"{one['second'] / test['second']:.1f}",
        short(one["own"]),
        f"{one['own'] / test['own']:.1f}",
        short(one["pixels"]),
        f"{one['precision']:.3f}",
        f"{one['recall']:.3f}",
        "" if accuracy is None else f"{100 * accuracy:.1f} %",
    ]


HEADING = (
    "samples", "images seen", "evaluations, time", "FD", "to test", "own FD", "to test", "of pixels", "precision",
    "recall", "class accuracy",
)  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = table(HEADING, [row(one, found["test"]) for one in (found["test"], *found["rows"])])
    right = f"{100 * found['accuracy']:.2f} %"
    return (
        f"# A second opinion: {found['name']}\n\n`python benchmarks/second_opinion.py`, {found['num']:,} samples of "
        f"each run, on {found['processor']}. FD, precision, recall and class accuracy are those of a classifier that "
        f"the project never uses: another architecture, augmentation, loss and seed; {right} of the test images right; "
        f"128 features; weights `{found['weights'][:16]}`. It stands in for one from outside: nothing is ever chosen by"
        " it, and its scale is its own, so read the ratios to the test images. Beside it, the distances in the "
        f"project's own features and those of pixels.\n\n{lines}\n"
    )


def main() -> None:
    """Measure, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="*", type=Path, help="run folders, .npz files and folders of images")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--name", help="of the page (default: the data's)")
    parser.add_argument("--epochs", type=float, default=Training.epochs, help="of the classifier's training")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where the classifier is kept")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    args = parser.parse_args()
    options = DataOptions(args.data)
    train = load_images(options)
    spaces = Spaces(train, Training(epochs=args.epochs), args.kept)
    test = unseen(options, train)
    assert test is not None and test.labels is not None, "a second opinion needs labelled test images"
    real = {"name": "test images", **spaces.measured(test.images[: args.num], test.labels[: args.num])}
    rows = []
    for path in args.samples:
        is_run = (path / "config.json").exists()
        rows.append(measured_run(Run(path), spaces, args.num) if is_run else measured_file(path, spaces, args.num))
        print(f"{path}: {rows[-1]['second']:.4g}", flush=True)
    name = args.name or train.name
    stem = args.output_dir / f"second-opinion-{name}"
    found = {
        "name": name,
        "num": args.num,
        "processor": processor(),
        "accuracy": real["class_accuracy"],
        "weights": spaces.digest,
        "training": asdict(Training(epochs=args.epochs)),
        "test": real,
        "rows": [*kept_rows(stem.with_suffix(".json"), rows, real, spaces.digest), *rows],
    }
    keep(stem, found, page(found))


if __name__ == "__main__":
    main()
