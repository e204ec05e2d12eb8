"""How long a step takes, and when to wait for an asynchronous device."""

import math
import time

from fromnoise.train.step_timer import LONGEST, StepTimer


def test_on_a_cpu_every_step_is_timed_and_the_first_slow_ones_do_not_count():
    timer = StepTimer(asynchronous=False)
    assert timer.median == math.inf and timer.latest == 0.0
    for seconds in (9.0, 5.0, 1.0, 1.0, 8.0, 1.0, 1.0):
        timer.record(1, seconds)
    assert timer.window == 1 and timer.steps == 7 and timer.seconds == 26.0
    assert timer.median == 1.0 and timer.latest == 1.0


def test_an_asynchronous_device_is_waited_for_about_every_fifth_of_a_second():
    timer = StepTimer(asynchronous=True)
    for _ in range(20):
        timer.record(timer.window, timer.window * 0.01)
    assert 0.1 <= timer.window * 0.01 <= 0.4 and timer.median == 0.01
    for _ in range(20):
        timer.record(timer.window, timer.window * 2.0)
    assert timer.window == 1
    for _ in range(20):
        timer.record(timer.window, timer.window * 1e-5)
    assert timer.window == LONGEST


def test_steps_in_which_kernels_are_captured_are_not_timed():
    timer = StepTimer(asynchronous=True, warmup=4)
    for seconds in (5.0, 4.0, 3.0, 2.0):
        timer.record(1, seconds)
    assert timer.median == math.inf and timer.steps == 0 and timer.window == 1
    timer.record(1, 0.01)
    assert timer.median == 0.01 and timer.steps == 1


def test_only_the_time_inside_steps_counts(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    timer = StepTimer(asynchronous=True)

    def step(seconds):
        with timer:
            now[0] += seconds
        now[0] += 100.0  # a preview, a checkpoint

    step(1.0)
    step(3.0)
    timer.synchronized(2)
    assert timer.seconds == 4.0 and timer.steps == 2 and timer.latest == 2.0
    step(7.0)
    timer.discard()
    step(1.0)
    timer.synchronized(1)
    assert timer.seconds == 5.0 and timer.latest == 1.0


def test_a_restart_forgets_all_but_the_last_step():
    timer = StepTimer(asynchronous=False)
    for seconds in (5.0, 5.0, 5.0, 3.0):
        timer.record(1, seconds)
    timer.restart()
    assert timer.latest == timer.median == 3.0 and timer.steps == 4
    timer.record(1, 1.0)
    assert timer.median == 1.0


def test_one_long_step_is_a_pause_and_two_are_a_slow_machine():
    timer = StepTimer(asynchronous=False)
    assert timer.lasting == 0.0
    timer.record(1, 0.1)
    assert timer.lasting == 0.1
    timer.record(1, 3600.0)
    assert timer.lasting == 0.1 and timer.latest == 3600.0
    timer.record(1, 5.0)
    assert timer.lasting == 5.0
