"""``trainkit.check`` as a user calls it: what it takes and leaves alone, and what it says of what it cannot use."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import trainkit


class Tokens(Dataset[Any]):
    """Sentences whose first token tells the class."""

    def __init__(self, named: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(1, 50, (200, 12), generator=generator)
        self.named = named

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        inputs = {"ids": self.ids[index], "mask": torch.ones(12, dtype=torch.bool)}
        target = (self.ids[index, 0] > 25).long()
        return {**inputs, "labels": target} if self.named else (inputs, target)


class Reader(nn.Module):
    """Takes its inputs by name, and gives its own loss when it is given labels; softmax is one too many."""

    def __init__(self, *, soft: bool) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 32), nn.Linear(32, 2)
        self.soft = soft

    def forward(self, ids: Tensor, mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        scores = self.head(self.embedding(ids)[:, 0] * mask[:, :1])
        if self.soft:
            scores = scores.softmax(1)
        outputs = {"scores": scores}
        return outputs if labels is None else {**outputs, "loss": nn.functional.cross_entropy(scores, labels)}


def scored(outputs: dict[str, Tensor], target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs["scores"], target)


def own_step(model: nn.Module, batch: dict[str, Tensor], loss: Any, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    value: Tensor = model(**batch)["loss"]
    value.backward()
    optimizer.step()
    return value


FORMS: dict[str, tuple[bool, dict[str, Any]]] = {
    "pairs of a dictionary and a target": (False, {"loss": scored}),
    "dictionaries to a model with a loss of its own": (True, {}),
    "dictionaries and a train_step of the user's": (True, {"train_step": own_step}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("soft", [True, False])
def test_inputs_may_have_names(form: str, soft: bool) -> None:
    named, more = FORMS[form]
    torch.manual_seed(0)
    model = Reader(soft=soft)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    findings = trainkit.check(model, train_set=Tokens(named), optimizer=optimizer, **more)
    found = {finding.rule for finding in findings if finding.severity != "info"}
    assert found == ({"softmax-before-cross-entropy"} if soft else set())


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loader_is_taken_with_its_batch_size_order_and_collate(shuffle: bool) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(120, 8)
    targets = inputs[:, :3].argmax(1)
    order = targets.argsort()
    data = TensorDataset(inputs[order], torch.arange(120), targets[order])

    def without_index(samples: list[Any]) -> tuple[Tensor, Tensor]:
        x, _, y = zip(*samples, strict=True)
        return torch.stack(x), torch.stack(y)

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    loader = DataLoader(data, batch_size=24, shuffle=shuffle, collate_fn=without_index)
    findings = trainkit.check(
        model,
        loss=nn.CrossEntropyLoss(),
        train_set=loader,
        val_set=DataLoader(data),
        optimizer=torch.optim.Adam(model.parameters()),
    )
    rules = {finding.rule for finding in findings if finding.severity != "info"}
    assert rules == {"leak-between-splits"} | (set() if shuffle else {"sorted-not-shuffled"})


def trained() -> tuple[nn.Module, torch.optim.Optimizer, Any, TensorDataset]:
    """Return a model in the middle of a training, with gradients, optimizer state and mixed modes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    inputs = torch.randn(90, 8)
    data = TensorDataset(inputs, inputs[:, :3].argmax(1))
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[:30]), data.tensors[1][:30]).backward()
        optimizer.step()
    scheduler.step()
    model[1].eval()
    return model, optimizer, scheduler, data


@pytest.mark.parametrize("deep", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_training_goes_on_as_if_it_had_not_been_checked(deep: bool) -> None:
    model, optimizer, scheduler, data = trained()
    gradients = [parameter.grad for parameter in model.parameters()]
    before = copy.deepcopy(
        [model.state_dict(), optimizer.state_dict(), scheduler.state_dict(), gradients, data.tensors]
    )
    modes, noise = [module.training for module in model.modules()], torch.get_rng_state()
    trainkit.check(
        model,
        loss=nn.CrossEntropyLoss(),
        train_set=data,
        val_set=data,
        optimizer=optimizer,
        scheduler=scheduler,
        deep=deep,
    )
    after = [model.state_dict(), optimizer.state_dict(), scheduler.state_dict(), gradients, data.tensors]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert [parameter.grad for parameter in model.parameters()] == gradients or all(
        parameter.grad is gradient for parameter, gradient in zip(model.parameters(), gradients, strict=True)
    )
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), noise)


def test_what_is_ignored_is_left_out_by_rule_by_place_and_by_both() -> None:
    torch.manual_seed(0)
    model = Reader(soft=True)
    parts = {
        "loss": scored,
        "train_set": Tokens(named=False),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
    }
    (finding,) = [each for each in trainkit.check(model, **parts) if each.rule == "softmax-before-cross-entropy"]
    for pattern in (finding.rule, f"{finding.rule}@{finding.place}", f"@{finding.place}", "softmax-*"):
        rules = {each.rule for each in trainkit.check(model, **parts, ignore=[pattern])}
        assert finding.rule not in rules, pattern
    assert finding.rule in {each.rule for each in trainkit.check(model, **parts, ignore=[f"{finding.rule}@elsewhere"])}


@pytest.mark.parametrize(("given", "shown"), [({"a": 1}, "dict"), (Reader, "the class Reader"), ("mlp", "str")])
def test_what_is_no_module_is_refused_in_one_line(given: Any, shown: str) -> None:
    with pytest.raises(TypeError, match=f"check\\(\\) takes loss beside an nn.Module, and it was given {shown}$"):
        trainkit.check(given, loss=nn.MSELoss())


def test_a_model_alone_is_read() -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = [nn.Linear(4, 4) for _ in range(3)]
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x).relu()
            return self.head(x)

    (finding,) = trainkit.check(Blocks())
    assert (finding.rule, finding.severity, finding.place) == ("unregistered-module", "error", "Blocks.blocks")


def test_what_cannot_be_looked_at_is_told_with_its_cure() -> None:
    class Broken(Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            raise OSError(f"no file {index}")

    class Locked(nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("holds a lock")

    data = TensorDataset(torch.randn(8, 4), torch.randn(8, 1))
    for model, train_set, cure in (
        (nn.Linear(4, 1), Broken(), "collate"),
        (Locked(4, 1), data, "__deepcopy__"),
        (nn.Linear(3, 1), data, "Mend that line"),
    ):
        findings = trainkit.check(model, loss=nn.MSELoss(), train_set=train_set)
        assert any(cure in finding.fix for finding in findings), findings


@pytest.mark.parametrize(("width", "deep"), [(16, False), (1800, False), (1800, True)])
def test_short_trainings_that_are_left_out_are_told(width: int, deep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainkit.inspection.learning.lessons.SECONDS", 1.0)  # of what else a deep check trains
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
    x = torch.randn(16, 8)
    findings = trainkit.check(
        model,
        loss=nn.CrossEntropyLoss(),
        train_set=TensorDataset(x, (x[:, 0] > 0).long()),
        optimizer=torch.optim.SGD(model.parameters(), 0.01),
        batch_size=4,
        deep=deep,
    )
    left_out = [finding for finding in findings if finding.rule == "not-tried"]
    assert [finding.severity for finding in left_out] == ["info"] * (width > 1000 and not deep)
    assert all("--deep" in finding.fix for finding in left_out)


class Logarithm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.log()


@pytest.mark.parametrize("slow", [False, True])
def test_a_slow_step_is_not_taken_again_for_extreme_samples_and_that_is_told(
    slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainkit.inspection.step.trial.SLOW", 0.0 if slow else 1e9)
    monkeypatch.setattr("trainkit.inspection.step.trial.RECORDED", 1e9)
    x = torch.randn(64, 5, generator=torch.Generator().manual_seed(0)).abs() + 0.1
    x[50] = 0.0  # the one sample whose logarithm breaks is in no ordinary batch
    model = nn.Sequential(Logarithm(), nn.Linear(5, 2))
    findings = trainkit.check(
        model, loss=nn.CrossEntropyLoss(), train_set=TensorDataset(x, (x[:, 0] > 0.7).long()), batch_size=8
    )
    assert any(finding.rule == "numbers-break" for finding in findings) is not slow
    assert any("one step on the extreme samples left out" in str(finding) for finding in findings) is slow


def test_a_check_leaves_no_seed_for_devices_that_are_not_in_use() -> None:
    waiting = len(torch.cuda._queued_calls)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    trainkit.check(model, loss=nn.MSELoss(), train_set=TensorDataset(torch.randn(40, 3), torch.randn(40, 1)))
    assert len(torch.cuda._queued_calls) == waiting
