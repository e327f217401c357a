"""Metrics against numbers worked out by hand."""

import pytest
import torch
from torch.nn.functional import one_hot

from trainkit.metrics import BinaryAccuracy, Classification, Regression, default_metrics, read

NAMES = ("accuracy", "precision", "recall", "f1")


def scores(predicted, classes):
    return one_hot(torch.tensor(predicted), classes).float()


def values(metric):
    return {name: float(value) for name, value in metric.compute().items()}


def test_classification_by_hand():
    # class 0: 2 of 3 found, predicted 3 times; class 1: 1 of 2 found, predicted twice; class 2: 1 of 1, predicted once
    metric = Classification(NAMES)
    metric.update(scores([0, 0, 1, 1, 0, 2], 3), torch.tensor([0, 0, 0, 1, 1, 2]))
    assert values(metric) == pytest.approx(
        {
            "accuracy": 4 / 6,
            "precision": (2 / 3 + 1 / 2 + 1) / 3,
            "recall": (2 / 3 + 1 / 2 + 1) / 3,
            "f1": (4 / 6 + 2 / 4 + 1) / 3,
        }
    )


def test_a_class_never_predicted_has_precision_zero():
    metric = Classification(NAMES)
    metric.update(scores([0, 0, 0, 0], 2), torch.tensor([0, 0, 0, 1]))
    assert values(metric) == pytest.approx({"accuracy": 0.75, "precision": 0.375, "recall": 0.5, "f1": (6 / 7) / 2})


def test_a_class_that_never_occurs_counts_as_zero():
    metric = Classification(NAMES)
    metric.update(scores([0, 1], 4), torch.tensor([0, 1]))
    assert values(metric) == pytest.approx({"accuracy": 1.0, "precision": 0.5, "recall": 0.5, "f1": 0.5})


def test_confusion_has_targets_in_rows():
    metric = Classification()
    metric.update(scores([1, 1, 0], 2), torch.tensor([0, 1, 1]))
    assert metric.confusion.tolist() == [[0, 1], [1, 1]]


def test_batches_add_up_to_the_whole():
    predictions, targets = torch.randn(50, 4), torch.randint(0, 4, (50,))
    whole, parts = Classification(NAMES), Classification(NAMES)
    whole.update(predictions, targets)
    for a, b in [(0, 1), (1, 33), (33, 50)]:
        parts.update(predictions[a:b], targets[a:b])
    assert values(parts) == values(whole)


def test_ignored_targets_do_not_count():
    metric = Classification(("accuracy",), ignore_index=7)
    metric.update(scores([[0, 1], [1, 1]], 2).transpose(1, 2), torch.tensor([[0, 7], [0, 1]]))
    assert values(metric) == {"accuracy": pytest.approx(2 / 3)}
    assert int(metric.confusion.sum()) == 3


def test_class_probabilities_count_as_their_greatest():
    metric = Classification()
    metric.update(scores([0, 1], 2), torch.tensor([[0.9, 0.1], [0.6, 0.4]]))
    assert values(metric) == {"accuracy": 0.5}


def test_nothing_seen_gives_nothing():
    assert Classification().compute() == {}
    assert Regression().compute() == {}


def test_binary_accuracy_by_hand():
    metric = BinaryAccuracy()
    metric.update(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 1.0, 0.9]))
    metric.update(torch.tensor([-3.0]), torch.tensor([0.0]))
    assert float(metric.compute()) == 0.75


def test_regression_by_hand():
    metric = Regression()
    metric.update(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    metric.update(torch.tensor([[6.0]]), torch.tensor([[7.0]]))
    # errors 0, -2, -1; targets 1, 4, 7 with mean 4 and variance 6
    assert values(metric) == pytest.approx({"mae": 1.0, "rmse": (5 / 3) ** 0.5, "r2": 1 - (5 / 3) / 6})


def test_r2_survives_a_large_mean():
    metric, targets = Regression(("r2",)), torch.arange(100.0) + 1e5
    metric.update(targets + 1, targets)
    assert values(metric) == {"r2": pytest.approx(1 - 1 / 833.25, rel=1e-6)}


@pytest.mark.parametrize("metric", [Classification(), BinaryAccuracy(), Regression()])
def test_reset_forgets(metric):
    right, wrong = torch.eye(2), torch.eye(2).flip(1)
    metric.update(right, wrong)
    metric.reset()
    metric.update(right, right)
    perfect = read({"accuracy": metric}, "x")
    metric.reset()
    metric.update(right, right)
    assert read({"accuracy": metric}, "x") == perfect
    assert perfect.get("x/accuracy", 1.0) == 1.0
    assert perfect.get("x/mae", 0.0) == 0.0


def test_the_objective_chooses_the_default_metrics():
    assert {kind: list(default_metrics(kind)) for kind in ("classification", "binary", "regression", None)} == {
        "classification": ["classification"],
        "binary": ["accuracy"],
        "regression": ["regression"],
        None: [],
    }


def test_read_names_values_by_prefix():
    one, several = BinaryAccuracy(), Regression(("mae", "rmse"))
    one.update(torch.tensor([1.0]), torch.tensor([1.0]))
    several.update(torch.tensor([3.0]), torch.tensor([1.0]))
    values = read({"right": one, "regression": several}, "val")
    assert values == {"val/right": 1.0, "val/mae": 2.0, "val/rmse": 2.0}
    assert all(type(value) is float for value in values.values())


@pytest.mark.gpu
def test_collecting_does_not_synchronise():
    predictions, targets = torch.eye(3, device="cuda"), torch.arange(3, device="cuda")
    metrics = [(Classification(), targets), (Regression(), predictions), (BinaryAccuracy(), predictions)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for metric, wanted in metrics:
            metric.update(predictions, wanted)
            metric.update(predictions, wanted)
    finally:
        torch.cuda.set_sync_debug_mode("default")
