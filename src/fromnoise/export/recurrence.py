"""A sampling plan as a loop: the x of each evaluation from the last few, so that any number of steps is one table.

A plan says every x_k in terms of all that came before it; every sampler here remembers only the last few:

    x_{k+1} = sum_{m<p} r_km x_{k-m} + sum_{m<p} b_km x0_{k-m} + sum_{m<2} c_km z_{d_km}

The weights are found from the plan by least squares, with the least p that gives all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fromnoise.export.plan import Combination, SamplingPlan

MEMORIES = (1, 2, 3, 4)  # of the last x and x0; iPNDM takes four
DRAWS = 2  # of fresh noise in one x: a step may use its own and the next step's
_EXACT = 1e-9  # of weights, whose images and noise have about the size 1


@dataclass(frozen=True)
class Recurrence:
    """memory: p above. x, x0: (n, p), fresh: (n, 2), the weights of evaluation k's successor; draws: (n, 2), which
    fresh noise. n evaluations, the last of whose successors is the sample."""

    memory: int
    x: np.ndarray
    x0: np.ndarray
    fresh: np.ndarray
    draws: np.ndarray


def recurrence(plan: SamplingPlan) -> Recurrence:
    """`plan` as a loop; ValueError where an x is not a sum of the last few."""
    width = len(plan.evaluations)
    vectors = [_vector(one.x, width, len(plan.fresh_steps)) for one in plan.evaluations]
    vectors.append(_vector(plan.sample, width, len(plan.fresh_steps)))
    for memory in MEMORIES:
        rows = [_row(vectors, k, memory, width) for k in range(width)]
        if all(row is not None for row in rows):
            weights = np.array([row[0] for row in rows if row])
            x, x0, fresh = np.split(weights, [memory, 2 * memory], axis=1)
            return Recurrence(memory, x, x0, fresh, np.array([row[1] for row in rows if row], np.int64))
    raise ValueError("this sampler remembers more than a loop carries")


def _vector(weights: Combination, evaluations: int, draws: int) -> np.ndarray:
    """(1 + evaluations + draws,): the weights of noise, x0 predictions and fresh noise."""
    vector = np.zeros(1 + evaluations + draws)
    vector[0] = weights.noise
    vector[1 : 1 + len(weights.x0)] = weights.x0
    vector[1 + evaluations : 1 + evaluations + len(weights.fresh)] = weights.fresh
    return vector


def _row(vectors: list[np.ndarray], k: int, memory: int, evaluations: int) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """(weights, draws) of the x after evaluation k, None where the last `memory` do not give it."""
    target = vectors[k + 1]
    used = np.flatnonzero(target[1 + evaluations :])
    newest = int(used[-1]) if len(used) else 0
    draws = tuple(max(newest - m, 0) for m in range(DRAWS))
    columns = np.zeros((len(target), 2 * memory + DRAWS))
    for m in range(min(memory, k + 1)):
        columns[:, m] = vectors[k - m]
        columns[1 + k - m, memory + m] = 1
    for place, draw in enumerate(dict.fromkeys(draws) if len(used) else ()):
        columns[1 + evaluations + draw, 2 * memory + place] = 1
    weights = np.linalg.lstsq(columns, target, rcond=None)[0]
    exact = bool(np.abs(columns @ weights - target).max() < _EXACT)
    return (weights, draws) if exact else None
