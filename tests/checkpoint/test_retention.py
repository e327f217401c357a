"""Which checkpoints go: never a newest, a best, a linked or a kept one."""

import pytest

from trainkit.checkpoint.files import Written
from trainkit.checkpoint.manifest import Manifest
from trainkit.checkpoint.retention import best_of, newest_regular, superfluous
from trainkit.timing import Moment, duration


def made(step, serial=None, score=None, regular=True):
    name = f"step-{step:08d}.ckpt"
    moment = Moment(step / 10, step, step * 60.0)
    return Manifest(name, step if serial is None else serial, moment, score, False, regular, {name: Written(1, "")})


def gone(present, live=None, linked=(), keep_last=2, keep_best=1, keep_every=None):
    found = superfluous(
        present,
        present if live is None else live,
        linked,
        keep_last=keep_last,
        keep_best=keep_best,
        keep_every=duration(keep_every) if keep_every else None,
    )
    return [one.step for one in found]


def test_the_newest_by_serial_stay_whatever_their_step():
    present = [made(10, serial=1), made(20, serial=2), made(5, serial=3), made(6, serial=4)]
    assert gone(present) == [10, 20]
    assert gone(present, keep_last=3) == [10]
    assert gone(present[:2]) == []
    assert gone([]) == []


def test_the_best_by_score_stay_of_equal_ones_the_older():
    present = [made(1, score=0.5), made(2, score=0.9), made(3, score=0.9), made(4), made(5, score=0.1), made(6)]
    assert [one.step for one in best_of(present, 2)] == [2, 3]
    assert gone(present) == [1, 3, 4]
    assert gone(present, keep_best=3) == [4]


def test_what_a_link_names_stays():
    present = [made(step) for step in range(1, 6)]
    assert gone(present, linked=("step-00000002.ckpt", "step-00000005.ckpt")) == [1, 3]


@pytest.mark.parametrize(
    ("every", "kept"), [("10st", [10, 21, 30, 44]), ("1ep", [10, 21, 30, 44]), ("20min", [21, 44])]
)
def test_the_first_after_each_duration_stays_for_good(every, kept):
    present = [made(step) for step in (4, 8, 10, 17, 21, 26, 30, 44, 45, 46)]
    left = list(present)
    for number in range(3, len(present) + 1):  # whenever it is asked
        seen = [one for one in left if one.serial <= present[number - 1].serial]
        dropped = gone(seen, keep_every=every)
        left = [one for one in left if one.step not in dropped]
    assert [one.step for one in left] == sorted({*kept, 45, 46})


def test_a_run_gone_on_from_an_older_one_keeps_its_own_milestones():
    ahead = [made(10, serial=1), made(20, serial=2), made(30, serial=3)]
    own = [made(12, serial=4), made(21, serial=5), made(22, serial=6), made(23, serial=7)]
    assert gone([*ahead, *own], live=[ahead[0], *own], keep_every="10st") == [12]


def test_scores_ahead_of_the_point_gone_on_from_do_not_count():
    ahead, own = (
        [made(30, serial=3, score=0.99)],
        [made(12, serial=4, score=0.5), made(13, serial=5), made(14, serial=6)],
    )
    assert gone([*ahead, *own], live=own) == [30]


def test_the_newest_planned_one_stays():
    present = [made(1), made(2), made(3, regular=False), made(4, regular=False)]
    assert newest_regular(present) == present[1]
    assert newest_regular([]) is None
    assert gone(present) == [1]


def test_one_taken_over_from_elsewhere_goes_first_and_is_no_milestone():
    present = [made(50, serial=0), made(60), made(61), made(62)]
    assert gone(present, linked=("step-00000050.ckpt",)) == [60]
    assert gone(present, keep_every="10st") == [50]
