"""Section 3.6, second half, measured: what do more steps of sampling bring?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fromnoise.chapter import blocks, words
from fromnoise.chapter.blocks import block
from fromnoise.chapter.networks import Trained
from fromnoise.chapter.parts import stated
from fromnoise.chapter.telling import Telling, told
from fromnoise.chapter.told import HeldOut
from fromnoise.chapter.words import filled
from fromnoise.data.download import cache_dir
from fromnoise.figures.curves import lines
from fromnoise.metrics.class_accuracy import SURE, Judgement, judge
from fromnoise.metrics.classifier import Classifier, accuracy, cached_classifier, train_classifier
from fromnoise.report.html import Table

Scores = dict[str, dict[int, Judgement]]  # network -> number of steps -> what the judge says


def quality_by_steps(telling: Telling, basic: Trained, unet2d: Trained, unseen: HeldOut) -> None:
    """Both networks' samples at several numbers of steps, judged; and real held-out images as the line to reach."""
    if telling.data.labels is None or len(telling.spec.classes) < 2:
        telling.more(filled(words.NO_JUDGE))
        return
    parts = telling.parts
    plan = {
        "BasicUNet": (basic, parts.step_counts, parts.judged),
        "UNet2DModel": (unet2d, parts.unet2d_step_counts, parts.unet2d_judged),
    }
    code = block(blocks.STEPS, counts=parts.step_counts, num=parts.judged)
    telling.more(filled(words.STEPS, sure=SURE, real=f"{len(unseen.images):,} {unseen.words}"), code)
    judging = _judge(telling)
    real = judge(judging, unseen.images.images)
    note = f"of {len(unseen.images):,} {unseen.words}"
    telling.measured("the judge's accuracy on real images", accuracy(judging, unseen.images), note=note, digits=3)
    _note(telling, "real images", real, note)
    scores = {name: _scores(telling, name, *planned, judging) for name, planned in plan.items()}
    made = ", ".join(f"{name} {n} samples ({stated(t.images, parts)})" for name, (t, _, n) in plan.items())
    steps = sorted(set(parts.step_counts) | set(parts.unet2d_step_counts))
    for what, title in (("confidence", "Confidence of the judge"), ("one_class", "One-class share")):
        picture = lines(_curves(scores, real, steps, what), "steps of sampling", title.lower(), title, log_x=True)
        telling.show(f"steps-{what.replace('_', '-')}", picture, f"{title} by number of steps: {made}.")
    telling.lay(
        _table(scores, real, steps),
        f"Confidence / one-class share / share of the commonest class: {made}; real images: {note}.",
    )
    telling.more(_reading(scores, real))


def _reading(scores: Scores, real: Judgement) -> str:
    """What was measured, in words: where each network is clearest, leaving out where one class holds too much."""
    most = (1 + max(real.histogram)) / 2
    peaks = []
    for name, found in scores.items():
        clear = {n: j.confidence for n, j in found.items() if max(j.histogram) <= most}
        if clear:
            best = max(clear, key=lambda n: (clear[n], -n))
            peaks.append(f"{name} is clearest at {best} step{'s' * (best > 1)}, confidence {clear[best]:.2f}")
    peaks.append(f"real images reach {real.confidence:.2f}")
    return f"Where no class holds more than {most:.2f} of the pictures: {'; '.join(peaks)}."


def _note(telling: Telling, name: str, found: Judgement, note: str) -> None:
    """Three numbers, one printed line."""
    shares = {
        "confidence": found.confidence,
        "one-class share": found.one_class,
        "share of the commonest class": max(found.histogram),
    }
    for what, share in shares.items():
        telling.record(f"{name}, {what}", share, note=note, digits=3)
    telling.say(f"{name}: {', '.join(f'{what} {share:.3f}' for what, share in shares.items())} ({note})")


def _judge(telling: Telling) -> Classifier:
    """The classifier; where its training is cut short it is not kept."""
    telling.say("training the judge, a classifier on the real images")
    if telling.parts.judge_steps is None:
        return cached_classifier(telling.data, cache_dir() / "classifiers")
    return train_classifier(telling.data, steps=telling.parts.judge_steps)


def _scores(
    telling: Telling, name: str, trained: Trained, counts: Sequence[int], num: int, judging: Classifier
) -> dict[int, Judgement]:
    """A Judgement on `num` samples, from the same noise each time, for each number of steps."""
    scores = {}
    for steps in counts:
        made = torch.from_numpy(trained.run.sample(num, steps=steps).images)
        scores[steps] = judge(judging, made.permute(0, 3, 1, 2).contiguous())
        called = f"{name}, {steps} step" + ("s" if steps > 1 else "")
        _note(telling, called, scores[steps], f"{num} samples; {stated(trained.images, telling.parts)}")
    return scores


def _curves(
    scores: Scores, real: Judgement, steps: Sequence[int], what: str
) -> dict[str, tuple[list[int], list[float]]]:
    """One line for each network, and a flat one for real images."""
    curves = {name: (list(found), [getattr(j, what) for j in found.values()]) for name, found in scores.items()}
    return {**curves, "real images": (list(steps), [getattr(real, what)] * len(steps))}


def _table(scores: Scores, real: Judgement, steps: Sequence[int]) -> Table:
    """A row for each number of steps and one for real images, a column for each network."""
    rows = [[str(n), *[_cell(found.get(n)) for found in scores.values()]] for n in steps]
    return [["steps", *scores], *rows, ["real images", *[_cell(real)] * len(scores)]]


def _cell(found: Judgement | None) -> str:
    if found is None:
        return "–"
    return " / ".join(told(share, 3) for share in (found.confidence, found.one_class, max(found.histogram)))
