"""How good are the samples of a distilled run in 1, 2 and 4 network evaluations, and what makes them better?

    python benchmarks/few_steps.py runs/mnist --images 60000 "" at_noise=0.7 learning_rate=4e-3,huber=0.3
    python benchmarks/few_steps.py runs/mnist --distilled runs/mnist-distilled

Each word is a variant of `fromnoise distill`: at_noise, huber or matched (0: without distribution matching) of
`fromnoise.distillation.training`, the number of trajectories, or a setting of train (without its "train."); "" is the
verb itself. All learn the same number of images from the same trajectories, so that figures do not depend on what else
the machine does. With --distilled a run that the verb made is measured as it is. Rows join
docs/results/few-steps-<data>.json, and the table beside it is made of all that is there.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import RESULTS, in_words, keep, machine, short, table

MEASURES = ("frechet_distance", "class_accuracy", "precision", "recall")


def variant_of(words: str) -> dict[str, Any]:
    """Name -> value."""
    return {name: float(value) for name, _, value in (word.partition("=") for word in words.split(",") if word)}


def measured(model: Any, num: int, reference: Any, steps: int) -> dict[str, float]:
    """The MEASURES of `num` samples, and network evaluations."""
    import torch

    from fromnoise.metrics.class_accuracy import class_accuracy
    from fromnoise.metrics.frechet import frechet_distance, statistics
    from fromnoise.metrics.precision_recall import precision_recall

    began = time.perf_counter()
    samples = model.sample(num, **({"steps": steps} if steps else {}))
    seconds = time.perf_counter() - began
    images = torch.from_numpy(samples.images).permute(0, 3, 1, 2).contiguous()
    embedded = reference.features.of(images)
    shares = precision_recall(reference.random_part(num), embedded)
    labels = None if samples.labels is None else torch.tensor(samples.labels)
    accuracy = class_accuracy(reference.classifier, images, labels).accuracy if reference.classifier else None
    values = (frechet_distance(statistics(embedded), reference.statistics), accuracy, shares.precision, shares.recall)
    return {"nfe": samples.evaluations, "seconds": seconds, **dict(zip(MEASURES, values, strict=True))}


def trial(run: Any, changes: dict[str, Any], images: int, kept: Path, seed: int) -> Any:
    """The model that `run` becomes by `changes` of the verb."""
    from fromnoise.distillation import trajectories as made_as
    from fromnoise.distillation.training import AT_NOISE, HUBER, MATCHED, PointBatches, PointTrainer
    from fromnoise.model.build import build_objective
    from fromnoise.run.distill import of_trajectories, student_settings

    changes = dict(changes)
    at_noise, huber = changes.pop("at_noise", AT_NOISE), changes.pop("huber", HUBER)
    matched, count = changes.pop("matched", MATCHED), int(changes.pop("trajectories", 20_000))
    model = run.model(**of_trajectories(run.settings))
    settings, sigma_data = student_settings(run.settings, {"train.num_images": images}), run.metadata["sigma_data"]
    whole = {name: int(value) for name, value in changes.items() if name in ("train_batch_size", "lr_warmup_images")}
    options = replace(settings.train, **{**changes, **whole}, seed=seed)
    points = PointBatches(model.process, options.train_batch_size, seed, at_noise)
    weights = b"".join(file.read_bytes() for file in sorted(run.checkpoint().glob("*.safetensors")))
    constants = {name: value for name, value in vars(made_as).items() if name.isupper()}
    of = hashlib.sha256(weights + repr((model.sampling, constants)).encode()).hexdigest()[:12]  # no others are ours
    folder = kept / f"{of}-{count}"
    points.trajectories = made_as.stored_trajectories(folder) or made_as.make_trajectories(model, folder, most=count)
    teacher = model.with_net(copy.deepcopy(model.denoiser.net)), build_objective(settings.objective, sigma_data)
    trainer = PointTrainer(model.denoiser, points, options, images, None, huber, teacher=teacher, matched=matched)
    for _ in trainer.steps():
        pass
    return replace(model.with_net(trainer.best_net.eval()), sampling=settings.sample, distilled=True)


def rows_of(args: argparse.Namespace, run: Any) -> list[dict[str, Any]]:
    from fromnoise.evaluation.reference import build_reference
    from fromnoise.run import Run

    reference, num, seed = build_reference(run.data), {"num": args.num}, run.settings.train.seed
    if args.own:
        return [
            {
                "variant": f"the run itself, seed {seed}",
                **num,
                "steps": {"own": measured(run.model(), args.num, reference, 0)},
            }
        ]
    found = []
    for words in [] if args.distilled else args.variants or [""]:
        began = time.perf_counter()
        model = trial(run, variant_of(words), args.images, args.kept, args.seed)
        about = {
            "variant": words,
            "images": args.images,
            "seed": args.seed,
            "train_seconds": time.perf_counter() - began,
        }
        steps = {str(n): measured(model, args.num, reference, n) for n in (1, 2, 4)}
        found.append({**about, **num, "steps": steps})
    if args.distilled:
        made = Run(args.distilled)
        length = made.settings.train.budget or "no budget"
        words, images = f"the verb, {length}, seed {seed}", made.model().images
        steps = {str(n): measured(made.model(), args.num, reference, n) for n in (1, 2, 4)}
        found.append({"variant": words, "images": images, **num, "steps": steps})
    return found


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    rows = []
    for row in found["rows"]:
        for steps, one in row["steps"].items():
            accuracy = "" if one["class_accuracy"] is None else f"{100 * one['class_accuracy']:.2f}"
            name = row["variant"] or "as the verb"
            rows.append(
                [name, f"{row.get('images', 0):,}", steps, str(one["nfe"]), short(one["frechet_distance"]), accuracy]
                + [f"{one[name]:.3f}" for name in ("precision", "recall")]
                + [f"{row['num']:,}", short(one["seconds"])]
            )
    heading = [
        "variant",
        "images seen",
        "steps",
        "NFE",
        "FD",
        "class accuracy, %",
        "precision",
        "recall",
        "samples",
        "seconds",
    ]
    return (
        f"# Few steps: {found['data']}\n\n`python benchmarks/few_steps.py`, {in_words(found['machine'])}. FD in the "
        f"project's own features.\n\n{table(heading, rows)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("variants", nargs="*")
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--num", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own", action="store_true", help="measure the run itself, as it samples")
    parser.add_argument("--distilled", help="measure this run, which `fromnoise distill` made")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "few-steps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_intermixed_args()
    import torch

    torch.set_num_threads(args.threads)
    from fromnoise.run import Run

    run = Run(args.run, device="cpu")
    stem = args.out or RESULTS / f"few-steps-{run.metadata['data']['name']}"
    place = stem.with_suffix(".json")
    there = json.loads(place.read_text())["rows"] if place.exists() else []
    found = {"data": run.metadata["data"]["name"], "machine": machine(), "rows": [*there, *rows_of(args, run)]}
    keep(stem, found, page(found))


if __name__ == "__main__":
    main()
