"""How many images fit into a time budget, and when it is over."""

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
    for second in range(1, 96):
        now[0] = float(second)
        if budget.should_replan(10 * second, float(second)):
            made.append((second, budget.plan_images(0, per_second=50.0 if second < 30 else 100.0, batch=1)))
    assert [second for second, _ in made] == [8, 21, 41, 61, 81, 91]
    slow, still, fast, *later = (images for _, images in made)
    assert slow == 50 * (92 - 4) and still == 50 * (79 - 4) and fast == 100 * (59 - 4)
    assert later == [100 * 35, 100 * 15, 100 * 5]


def test_validations_are_as_many_as_the_budget_affords():
    budget = Budget(started=0.0, seconds=100.0, now=lambda: 20.0, validations=8, validation_images=1000)
    assert budget.affordable_validations(1000.0) == 9 and budget.affordable_validations(500.0) == 6
    assert budget.affordable_validations(50.0) == 0
    assert Budget(0.0, 100.0, validations=8).affordable_validations(1e6) == 0
    plain = Budget(started=0.0, seconds=100.0, now=lambda: 20.0).plan_images(0, 1000.0, 10)
    assert plain - budget.plan_images(0, 1000.0, 10) == 2160, "the four fifths of nine measurements that are to come"


def test_evaluations_take_their_share_of_the_time():
    plain, evaluated = (Budget(0.0, 100.0, now=lambda: 0.0, evaluation_seconds=s) for s in (0.0, 0.01))
    assert plain.plan_images(0, 100.0, 1) == 2 * evaluated.plan_images(0, 100.0, 1) == pytest.approx(9600)
