"""How many images fit into a time budget, and when it is over."""

import math

import pytest

from fromnoise.train.budget import Budget


def test_a_plan_is_whole_batches_that_fit():
    now = [100.0]
    budget = Budget(started=90.0, seconds=60.0, now=lambda: now[0])
    assert not budget.should_replan(4, 10) and not budget.should_replan(20, 4.0)
    assert budget.should_replan(5, 5.0), "8 % of the budget, at least five steps"
    planned = budget.plan_images(640, per_second=100.0, batch=64)
    assert planned % 64 == 0 and 640 < planned <= 640 + 50 * 100
    now[0] = 150.9  # 102 % is 151.2, and the checkpoint takes its quarter of a second
    assert not budget.exhausted() and budget.exhausted(step_seconds=0.1)
    now[0] = 151.0
    assert budget.exhausted()


def test_the_images_are_planned_again_when_the_machine_has_changed():
    now = [0.0]
    budget, made = Budget(started=0.0, seconds=100.0, now=lambda: now[0]), []
    for second in range(1, 99):
        now[0] = float(second)
        if budget.should_replan(10 * second, float(second)):
            made.append((second, budget.plan_images(0, per_second=50.0 if second < 30 else 100.0, batch=1)))
    assert [second for second, _ in made] == [8, 21, 41, 61, 81, 91, 97]
    slow, still, fast, *later = (images for _, images in made)
    remaining = [0.97 * (100 - second) - 1 for second, _ in made]
    assert [slow, still] == pytest.approx([50 * seconds for seconds in remaining[:2]], abs=1)
    assert [fast, *later] == pytest.approx([100 * seconds for seconds in remaining[2:]], abs=1)


def test_validations_are_as_many_as_the_budget_affords():
    budget = Budget(started=0.0, seconds=100.0, now=lambda: 20.0, validations=8, validation_images=1000)
    assert budget.affordable_validations(1000.0) == 9 and budget.affordable_validations(500.0) == 6
    assert budget.affordable_validations(50.0) == 0
    assert Budget(0.0, 100.0, validations=8).affordable_validations(1e6) == 0
    plain = Budget(started=0.0, seconds=100.0, now=lambda: 20.0).plan_images(0, 1000.0, 10)
    assert plain - budget.plan_images(0, 1000.0, 10) == pytest.approx(2160, abs=10), (
        "the four fifths of nine measurements that are to come"
    )


def test_evaluations_take_their_share_of_the_time():
    plain, evaluated = (Budget(0.0, 100.0, now=lambda: 0.0, evaluation_seconds=s) for s in (0.0, 0.01))
    assert plain.plan_images(0, 100.0, 1) == 2 * evaluated.plan_images(0, 100.0, 1) == pytest.approx(9600)


def trained(budget, now, speed, *, began=0.0, step=0.1, batch=10):
    """(images seen, total) at the end of a training of `budget` in steps of `step` seconds at `speed(second)`."""
    seen, total, steps, spent = 0.0, None, 0, 0.0
    now[0] = began
    while (total is None or seen < total) and not budget.exhausted(step):
        per_second = speed(now[0])
        needed = math.inf if total is None else (total - seen) / per_second
        if budget.should_replan(steps, spent, needed):
            total = budget.plan_images(int(seen), per_second, batch)
        now[0], steps, spent, seen = now[0] + step, steps + 1, spent + step, seen + per_second * step
    return seen, total


@pytest.mark.parametrize("change", [0.25, 0.41, 0.5, 0.61, 0.7])
def test_a_machine_that_becomes_ten_times_as_fast_trains_to_the_end_of_its_budget(change):
    now = [0.0]
    budget = Budget(0.0, 60.0, now=lambda: now[0])
    seen, total = trained(budget, now, lambda second: 1000.0 if second > 60 * change else 100.0)
    assert seen >= total and 0.93 * 60 < now[0] <= 60, "a second and 3 % of what remained are reserved"
    assert budget.plans <= 8, "one more than without the change"


def test_a_machine_that_keeps_its_speed_is_planned_no_more_often():
    for seconds in (10.0, 60.0, 600.0):
        now = [0.0]
        budget = Budget(0.0, seconds, now=lambda: now[0])  # noqa: B023 - called within the turn
        seen, total = trained(budget, now, lambda second: 100.0 if second % 2 < 1 else 130.0)
        assert seen >= total and budget.plans <= 7


@pytest.mark.parametrize("loading", [50.0, 56.0, 57.5])
def test_what_loading_leaves_is_planned_too(loading):
    """Without a plan the rate would never fall."""
    now = [loading]
    budget = Budget(0.0, 60.0, now=lambda: now[0])
    seen, total = trained(budget, now, lambda second: 100.0, began=loading, step=0.02)
    assert total is not None and seen >= total and loading + (60 - loading) / 2 < now[0] <= 60.0


def test_slow_steps_are_planned_from_fewer_of_them():
    now = [0.0]
    budget = Budget(0.0, 60.0, now=lambda: now[0])
    assert not budget.should_replan(0, 0.0)
    now[0] = 9.0
    assert not budget.should_replan(1, 9.0)
    now[0] = 18.0
    assert budget.should_replan(2, 18.0), "a fifth of the time went into two steps"
