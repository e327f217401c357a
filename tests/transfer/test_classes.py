"""Whether the data of two runs are of the same classes."""

from typing import Any

import pytest

from trainkit.transfer import same_classes


def config(outputs: int = 5, **datasets: Any) -> dict[str, Any]:
    return {"data": {"datasets": {"_target_": "pictures", **datasets}, "outputs": outputs, "batch_size": 1}}


@pytest.mark.parametrize(
    ("own", "other", "same"),
    [
        (config(), config(), True),
        (config(), config() | {"model": "another"}, True),
        (config(only=[0, 1]), config(only=[0, 1], split_seed=3, fractions=[0.5, 0.5, 0], augment="crop"), True),
        (config(only=None), config(), True),
        (config(size=8, preprocessing={"mean": [0.5]}), config(size=9), True),
        (config(only=[0, 1]), config(only=[2, 3]), False),
        (config(only=[0, 1]), config(), False),
        (config(folder="cats"), config(folder="dogs"), False),
        (config(_target_="pictures"), config(_target_="sounds"), False),
        (config(5), config(6), False),
        (config(), None, False),
        (config(), {}, False),
        ({}, {}, False),
        ({"data": None}, {"data": None}, False),
    ],
)
def test_the_function_and_what_says_the_classes_decide(own: Any, other: Any, same: bool) -> None:
    assert same_classes(own, other) is same
