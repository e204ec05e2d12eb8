"""The number of threads follows the load or the pace, late enough not to go up and down with every burst."""

from __future__ import annotations

import pytest

from fromnoise.common.cpus import Load
from fromnoise.common.thread_rule import LONGEST, ThreadRule, threads_for


def numbers(rule: ThreadRule, *free: float) -> list[int]:
    """What the rule decides on in windows of a second with so many free CPUs."""
    return [rule.decide(Load(1.0, cpus)) for cpus in free]


@pytest.mark.parametrize(
    ("free", "most", "wanted"),
    [(2, 2, 2), (1.7, 2, 2), (1, 2, 1), (0.2, 2, 1), (-1, 8, 1), (63, 64, 63), (61.5, 32, 32)],
)
def test_as_many_threads_as_free_cpus(free: float, most: int, wanted: int) -> None:
    assert threads_for(free, most) == wanted
    assert ThreadRule(most, most).start(Load(2.0, free)) == wanted


def test_an_idle_machine_changes_nothing() -> None:
    rule = ThreadRule(2, 2)
    assert set(numbers(rule, *[1.9, 2.0, 1.68] * 50)) == {2}


def test_one_burst_changes_nothing_and_two_busy_windows_do() -> None:
    assert numbers(ThreadRule(2, 2), 1, 2, 1, 2, 1, 1, 1) == [2, 2, 2, 2, 2, 1, 1]


def test_it_rises_when_the_machine_stays_empty() -> None:
    assert numbers(ThreadRule(2, 1), 2, 2, 1, 2, 2, 2, 2) == [1, 1, 1, 1, 1, 2, 2]


def test_changes_that_do_not_last_make_it_patient() -> None:
    rule, changes, before = ThreadRule(2, 2), 0, 2
    for second in range(600):  # busy for four seconds, idle for six
        now = rule.decide(Load(1.0, 1 if second % 10 < 4 else 2))
        changes, before = changes + (now != before), now
    assert changes <= 5
    assert numbers(rule, *[2] * LONGEST)[-1] == 2, "it rises in the end"


def test_a_large_machine_falls_at_once_and_rises_in_large_steps() -> None:
    rule = ThreadRule(64, 64)
    assert numbers(rule, 63, 63)[-1] == 63
    assert numbers(rule, 40, 41)[-1] == 41, "the larger of what the windows speak for"
    assert numbers(rule, *[44] * 10)[-1] == 41, "three more threads are not worth a change"
    assert numbers(rule, 50, 48, 49)[-1] == 48
    assert numbers(rule, *[64] * 3)[-1] == 64


def test_programs_at_low_priority_count_only_where_they_do_not_step_back() -> None:
    polite = Load(1.0, 1.0, yielding=7.0)  # they use what we leave
    rule = ThreadRule(8, 8)
    assert rule.start(polite) == 8 and rule.decide(polite) == 8
    stubborn = ThreadRule(8, 8)
    contended = Load(1.0, 4.0, yielding=4.0)
    assert [stubborn.decide(contended) for _ in range(3)] == [8, 4, 4]
    assert {stubborn.decide(contended) for _ in range(290)} == {4}
    assert max(stubborn.decide(contended) for _ in range(20)) == 8, "tried again after five minutes"


def paced(rule: ThreadRule, seconds: dict[int, float], windows: int) -> list[int]:
    """What the rule decides on where a step takes `seconds` by number of threads, and the load is not known."""
    return [rule.decide(Load(1.0, None), seconds[rule.number]) for _ in range(windows)]


def test_by_pace_fewer_threads_are_tried_and_kept_where_they_are_faster() -> None:
    rule = ThreadRule(4, 4)
    assert set(paced(rule, {4: 0.03, 2: 0.04, 1: 0.05}, 50)) == {4}, "an idle machine"
    busy = paced(rule, {4: 0.3, 2: 0.2, 1: 0.06}, 200)
    assert busy.count(1) > 150 and busy[-1] in (1, 2)
    idle = paced(rule, {4: 0.03, 2: 0.04, 1: 0.05}, 300)
    assert set(idle[-100:]) == {4}


def test_by_pace_a_trial_that_does_not_help_is_undone_and_becomes_rare() -> None:
    rule = ThreadRule(2, 2)
    paced(rule, {2: 0.03, 1: 0.05}, 5)
    slower_everywhere = paced(rule, {2: 0.06, 1: 0.10}, 400)
    assert slower_everywhere[-1] == 2
    assert 1 <= slower_everywhere.count(1) <= 12


def test_without_load_and_pace_nothing_changes() -> None:
    rule = ThreadRule(4, 3)
    assert {rule.decide(Load(1.0, None)) for _ in range(20)} == {3}
