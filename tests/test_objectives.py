"""What a batch means for the loss: the count that makes micro-batches equal one large batch."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainkit.errors import ConfigError
from trainkit.objectives import Output, penalised, supervised

torch.manual_seed(0)
WEIGHTS = torch.tensor([1.0, 0.5, 3.0, 2.0])


def labels(*shape):
    return torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(1))


def masked(*shape, by):
    targets = labels(*shape)
    targets[targets == 3] = by
    return targets


SCORES, PIXELS = torch.randn(12, 4), torch.randn(12, 4, 5)
CASES = {
    "classes": (nn.CrossEntropyLoss(), SCORES, labels(12)),
    "pixels": (nn.CrossEntropyLoss(), PIXELS, labels(12, 5)),
    "smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1), SCORES, labels(12)),
    "padding": (nn.CrossEntropyLoss(), PIXELS, masked(12, 5, by=-100)),
    "chosen padding": (nn.CrossEntropyLoss(ignore_index=3), SCORES, labels(12)),
    "weights": (nn.CrossEntropyLoss(weight=WEIGHTS), SCORES, labels(12)),
    "weights and smoothing": (nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1), SCORES, labels(12)),
    "weights and padding": (nn.CrossEntropyLoss(weight=WEIGHTS), PIXELS, masked(12, 5, by=-100)),
    "probabilities": (nn.CrossEntropyLoss(), SCORES, torch.rand(12, 4)),
    "weighted probabilities": (nn.CrossEntropyLoss(weight=WEIGHTS), SCORES, torch.rand(12, 4)),
    "probabilities of pixels": (nn.CrossEntropyLoss(), PIXELS, torch.rand(12, 4, 5)),
    "log likelihood": (nn.NLLLoss(weight=WEIGHTS, ignore_index=0), SCORES.log_softmax(1), labels(12)),
    "yes or no": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)), SCORES, (SCORES > 0.3).float()),
    "regression": (nn.MSELoss(), SCORES, torch.randn(12, 4)),
    "absolute": (nn.L1Loss(), SCORES, torch.randn(12, 4)),
    "huber": (nn.HuberLoss(), PIXELS, torch.randn(12, 4, 5)),
    "unknown": (lambda predictions, targets: functional.mse_loss(predictions, targets), SCORES, torch.randn(12, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_micro_batches_weighted_by_count_equal_the_whole(case):
    loss, predictions, targets = CASES[case]
    objective = supervised(loss)
    whole = objective(nn.Identity(), (predictions, targets))
    parts = [objective(nn.Identity(), (predictions[a:b], targets[a:b])) for a, b in [(0, 5), (5, 6), (6, 12)]]
    assert torch.equal(whole.loss, loss(predictions, targets))
    assert float(sum(part.count for part in parts)) == pytest.approx(float(whole.count))
    mean = sum(part.loss * part.count for part in parts) / whole.count
    torch.testing.assert_close(mean, whole.loss)


@pytest.mark.parametrize(
    ("case", "count"),
    [
        ("classes", 12),
        ("pixels", 60),
        ("padding", int((labels(12, 5) != 3).sum())),
        ("chosen padding", int((labels(12) != 3).sum())),
        ("weights", float(WEIGHTS[labels(12)].sum())),
        ("probabilities", 12),
        ("probabilities of pixels", 60),
        ("yes or no", 48),
        ("regression", 48),
        ("unknown", 12),
    ],
)
def test_counts(case, count):
    loss, _, targets = CASES[case]
    assert supervised(loss).count(targets) == pytest.approx(count)


def test_the_count_of_an_unknown_loss_is_the_samples():
    objective = supervised(lambda predictions, targets: predictions.mean())
    assert objective.kind is None
    assert objective.count(["a", "b", "c"]) == 3


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (nn.CrossEntropyLoss(), "classification"),
        (nn.NLLLoss(), "classification"),
        (nn.BCEWithLogitsLoss(), "binary"),
        (nn.MSELoss(), "regression"),
        (nn.CosineEmbeddingLoss(), None),
    ],
)
def test_the_kind_says_which_metrics_suit(loss, kind):
    assert supervised(loss).kind == kind
    assert penalised(supervised(loss), l2=1.0).kind == kind


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_other_reductions_are_refused(reduction):
    with pytest.raises(ConfigError, match=f"CrossEntropyLoss has reduction='{reduction}'; an objective needs 'mean'"):
        supervised(nn.CrossEntropyLoss(reduction=reduction))


class Sum(nn.Module):
    def forward(self, a, b):
        return a + 2 * b


@pytest.mark.parametrize("inputs", [(1.0, 2.0), [1.0, 2.0], {"b": 2.0, "a": 1.0}])
def test_several_inputs_are_spread_over_the_arguments(inputs):
    output = supervised(lambda predictions, targets: torch.tensor(predictions))(Sum(), (inputs, [0]))
    assert (output.predictions, output.targets) == (5.0, [0])


@pytest.mark.parametrize("batch", [torch.ones(2, 2), (torch.ones(2),), 5, {"x": 1, "y": 2}])
def test_a_batch_that_is_no_pair_is_refused(batch):
    with pytest.raises(ConfigError, match=r"wants batches of \(inputs, targets\).*write an objective"):
        supervised(nn.MSELoss())(nn.Identity(), batch)


def test_class_weights_move_along():
    objective = penalised(supervised(nn.CrossEntropyLoss(weight=WEIGHTS.clone())))
    objective.to(torch.device("meta"))
    assert objective.objective.loss.weight.device.type == "meta"
    assert objective.objective.count(labels(12).to("meta")).device.type == "meta"


def test_penalties_are_on_the_weights_and_not_on_biases_or_frozen_ones():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[1].weight.requires_grad_(False)
    batch = torch.ones(4, 3), torch.zeros(4, 1)
    plain, both = supervised(nn.MSELoss()), penalised(supervised(nn.MSELoss()), l1=0.5, l2=0.25)
    weight = model[0].weight
    expected = plain(model, batch).loss + 0.5 * weight.abs().sum() + 0.125 * (weight**2).sum()
    output = both(model, batch)
    torch.testing.assert_close(output.loss, expected)
    assert (output.count, output.targets is batch[1]) == (4, True)


def test_the_l2_penalty_is_the_weight_decay_of_sgd():
    a = nn.Linear(3, 2, bias=False)
    b = nn.Linear(3, 2, bias=False)
    b.load_state_dict(a.state_dict())
    batch = torch.ones(4, 3), torch.zeros(4, 2)
    penalised(supervised(nn.MSELoss()), l2=0.1)(a, batch).loss.backward()
    torch.optim.SGD(a.parameters(), lr=0.5).step()
    supervised(nn.MSELoss())(b, batch).loss.backward()
    torch.optim.SGD(b.parameters(), lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(a.weight, b.weight)


def test_validation_has_no_penalty():
    model, batch = nn.Linear(3, 2).eval(), (torch.ones(4, 3), torch.zeros(4, 2))
    plain = supervised(nn.MSELoss())
    assert torch.equal(penalised(plain, l1=1.0)(model, batch).loss, plain(model, batch).loss)


def test_a_model_without_matrices_has_no_penalty():
    def objective(model, batch):
        return Output(model.bias.sum(), 1)

    model = nn.LayerNorm(3)
    assert torch.equal(penalised(objective, l1=1.0, l2=1.0)(model, None).loss, model.bias.sum())


@pytest.mark.parametrize("penalties", [{"l1": -1.0}, {"l2": -1.0}])
def test_negative_penalties_are_refused(penalties):
    with pytest.raises(ConfigError, match="penalties must not be negative"):
        penalised(supervised(nn.MSELoss()), **penalties)
