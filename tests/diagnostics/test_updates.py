"""Updates against plain copies of the weights, for any optimizer; and rates that are far off."""

from typing import Any

import pytest
import torch
from fits import Kept, examined, mlp, trainer
from torch import nn

from trainkit import Callback
from trainkit.diagnostics import Learning, Updates, updates


class Copies(Callback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_fit_start(self, trainer: Any) -> None:
        self.on_step_end(trainer, None)

    def on_step_end(self, trainer: Any, output: Any) -> None:
        self.weights.append({name: p.detach().clone() for name, p in trainer.model.named_parameters()})


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, fused=True),
        lambda p: torch.optim.RMSprop(p, 0.01),
    ],
)
def test_ratios_are_those_of_copies(optimizer: Any) -> None:
    model, kept, copies = mlp(8, 16, 4), Kept(), Copies()
    callbacks = [copies, Updates(3, layers=["2"])]
    trainer(model, callbacks, optimizer=optimizer(model.parameters()), loggers=[kept], max_steps=7).fit()
    curve, norms = kept.curve("updates/2/ratio"), kept.curve("updates/weight_norm")
    assert list(curve) == list(norms) == [1, 3, 6]
    for step, ratio in curve.items():
        before, after = copies.weights[step - 1], copies.weights[step]
        change = torch.cat([(after[f"2.{n}"] - before[f"2.{n}"]).flatten() for n in ("weight", "bias")]).norm()
        weights = torch.cat([before[f"2.{n}"].flatten() for n in ("weight", "bias")]).norm()
        assert ratio == pytest.approx((change / weights).item(), rel=1e-4)
        assert norms[step] == pytest.approx(torch.cat([w.flatten() for w in before.values()]).norm().item(), rel=1e-4)


def test_of_a_large_tensor_some_elements_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def ratio() -> float:
        model, kept = mlp(8, 64, 64, 4), Kept()
        trainer(model, [Updates(1)], loggers=[kept], lr=0.1, max_steps=1).fit()
        return kept.curve("updates/ratio_median")[1]

    exact = ratio()
    monkeypatch.setattr(updates, "MOST_ELEMENTS", 500)
    assert ratio() == pytest.approx(exact, rel=0.3)
    assert updates.some(torch.zeros(64, 64)).numel() <= 500
    assert updates.some(torch.zeros(64, 64).t()).numel() <= 4096


def test_frozen_weights_are_not_kept() -> None:
    model, kept = mlp(8, 16, 4), Kept()
    model[0].requires_grad_(False)
    head = torch.optim.SGD(model[2].parameters(), 0.1)
    trainer(model, [Updates(1, layers=["*"])], optimizer=head, loggers=[kept], max_steps=1).fit()
    assert "updates/2/ratio" in kept.records[0][1]
    assert "updates/0/ratio" not in kept.records[0][1]


def test_a_rate_that_is_far_too_small_is_told_with_one_that_is_not() -> None:
    rules, note, _ = examined(mlp(8, 16, 4), Updates(10), Learning(4), lr=1e-9, log_every_n_steps=4)
    assert rules == ["updates-small", "unlearned"]
    assert len(note) == 1
    assert "hence nothing is learned" in note[0]
    assert float(note[0].split("optimizer.lr=")[1].split(".")[0].rstrip(".")) > 1e-5 or "e-" in note[0]


def test_a_rate_that_learns_is_nobodys_business() -> None:
    model = mlp(8, 16, 4)
    _, note, _ = examined(model, diagnostic := Updates(10), Learning(4), lr=0.02, max_epochs=10)
    assert updates.SMALL < max(diagnostic._ratios.values) < updates.LARGE
    assert note == []


def test_a_rate_that_is_far_too_large_is_told_with_what_it_did() -> None:
    model = mlp(8, 16, 16, 4)
    rules, note, _ = examined(
        model, Updates(10), Learning(4), optimizer=torch.optim.Adam(model.parameters(), 30.0), max_epochs=6
    )
    assert "updates-large" in rules
    assert note[0].startswith("The steps are too large for the weights: |change| / |weights| was ")
    assert "try optimizer.lr=" in note[0]


def test_bad_numbers_are_laid_at_the_door_of_the_rate() -> None:
    rules, note, _ = examined(mlp(8, 16, 4), Updates(50), Learning(50), lr=1e9)
    assert rules == ["updates-large", "non-finite"]
    assert len(note) == 1
    assert "hence the numbers went bad" in note[0]


def test_large_first_steps_alone_are_no_symptom() -> None:
    model = mlp(8, 16, 4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.01)  # so that Adam's first step is as large as the weights
    adam = torch.optim.Adam(model.parameters(), 0.01)
    _, note, _ = examined(model, diagnostic := Updates(5), Learning(4), optimizer=adam, max_epochs=20)
    assert diagnostic._peak[1] > updates.SURELY_LARGE
    assert note == []


def test_adams_first_step_does_not_hide_that_all_others_are_too_small() -> None:
    model = mlp(8, 16, 4)
    adam = torch.optim.Adam(model.parameters(), 1e-4, betas=(0.0, 0.999))
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1.0 if step == 0 else 1e-3)
    data = torch.randn(64, 8), torch.randint(4, (64,))
    rules, note, _ = examined(
        model, Updates(5), Learning(4), optimizer=adam, schedule=schedule, data=data, max_epochs=20
    )
    assert "updates-small" in rules
    assert note[0].startswith("The steps are too small for the weights: ")


@pytest.mark.parametrize("decay", [0.5, 0.0])
def test_weights_that_their_decay_takes_away_are_named_and_no_others(decay: float) -> None:
    model = mlp(8, 16, 4)
    data = torch.randn(64, 8), torch.randint(4, (64,))
    sgd = torch.optim.SGD(model.parameters(), 0.1, weight_decay=decay)
    rules, note, _ = examined(model, Updates(5), Learning(4), optimizer=sgd, data=data, max_epochs=40)
    assert ("weights-shrinking" in rules) is bool(decay)
    if decay:
        assert note[0].startswith("The weights shrink to nothing: their norm fell from ")
        assert "with optimizer.weight_decay=0.5; hence nothing is learned" in note[0]
        assert "try optimizer.weight_decay=0.006, " in note[0]


def test_a_step_that_raises_lets_go_of_the_copies() -> None:
    class Failing(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            raise ValueError("no")

    diagnostic = Updates(1)
    with pytest.raises(ValueError, match="no"):
        trainer(mlp(8, 16, 4).append(Failing()), [diagnostic]).fit()
    assert (diagnostic._before, diagnostic._now) == ([], [])
