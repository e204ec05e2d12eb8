"""How long a step takes, and when to wait for a device that works behind."""

import math

from fromnoise.train.step_timer import LONGEST, Pace


def test_on_a_cpu_every_step_is_timed_and_the_first_slow_ones_do_not_count():
    pace = Pace(behind=False)
    assert pace.usual == math.inf and pace.last == 0.0
    for seconds in (9.0, 5.0, 1.0, 1.0, 8.0, 1.0, 1.0):
        pace.timed(1, seconds)
    assert pace.window == 1 and pace.steps == 7 and pace.seconds == 26.0
    assert pace.usual == 1.0 and pace.last == 1.0


def test_a_device_behind_is_waited_for_about_every_fifth_of_a_second():
    pace = Pace(behind=True)
    for _ in range(20):
        pace.timed(pace.window, pace.window * 0.01)
    assert 0.1 <= pace.window * 0.01 <= 0.4 and pace.usual == 0.01
    for _ in range(20):
        pace.timed(pace.window, pace.window * 2.0)
    assert pace.window == 1
    for _ in range(20):
        pace.timed(pace.window, pace.window * 1e-5)
    assert pace.window == LONGEST


def test_steps_in_which_kernels_are_recorded_are_not_timed():
    pace = Pace(behind=True, warm=4)
    for seconds in (5.0, 4.0, 3.0, 2.0):
        pace.timed(1, seconds)
    assert pace.usual == math.inf and pace.steps == 0 and pace.window == 1
    pace.timed(1, 0.01)
    assert pace.usual == 0.01 and pace.steps == 1
