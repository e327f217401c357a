"""The three data sets of a run."""

from trainkit.data import Splits


def test_validation_and_test_may_be_missing():
    train = [1, 2, 3]
    splits = Splits(train)
    assert splits == (train, None, None)
    assert (splits.train, splits.val, splits.test) == (train, None, None)
