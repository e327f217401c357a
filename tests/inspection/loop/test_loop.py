"""The loop's rules: nothing of the user's is touched, events are told apart, rates are simulated in their unit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LinearLR, SequentialLR, StepLR
from torch.utils.data import DataLoader, TensorDataset

from trainkit.findings import Finding
from trainkit.inspection import Subject, inspect
from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.loop.figures import number, part
from trainkit.inspection.loop.train_step import steps
from trainkit.inspection.loop.watching import watched

COUNTS = {"steps": 0}
TARGET = nn.Linear(8, 3)


def data(count: int = 120) -> TensorDataset:
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, 8, generator=generator)
    return TensorDataset(x, x[:, :3].argmax(1))


def counted_step(model: Any, batch: Any, loss: Any, optimizer: Any) -> Tensor:
    global LAST
    COUNTS["steps"] += 1
    LAST = COUNTS["steps"]
    optimizer.zero_grad()
    value: Tensor = loss(model(batch[0]), batch[1])
    value.backward()
    optimizer.step()
    helped(TARGET, model)
    return value.detach()


LAST = 0


def helped(target: nn.Module, model: nn.Module) -> None:
    with torch.no_grad():
        for one, other in zip(target.parameters(), model.parameters(), strict=True):
            one.lerp_(other, 0.01)


def found(**parts: Any) -> list[Finding]:
    torch.manual_seed(0)
    model = parts.pop("model", None) or nn.Linear(8, 3)
    given = {"loss": nn.CrossEntropyLoss(), "train_set": data(), "val_set": data(60), "batch_size": 20}
    given["optimizer"] = lambda model: torch.optim.SGD(model.parameters(), lr=0.1)
    return inspect(model, **{**given, **parts})


def stepping(step: Any) -> Subject:
    model = nn.Linear(8, 3)
    subject = Subject(model, nn.CrossEntropyLoss(), data(), optimizers=[torch.optim.SGD(model.parameters(), lr=0.1)])
    subject.train_step, subject.batch_size = step, 20
    return subject


def rules(**parts: Any) -> set[str]:
    return {finding.rule for finding in found(**parts)}


def test_a_step_leaves_globals_and_models_beside_it_as_they_are() -> None:
    before = copy.deepcopy(TARGET.state_dict())
    assert list(steps(stepping(counted_step))) == []
    assert COUNTS == {"steps": 0}
    assert LAST == 0
    assert all(torch.equal(before[name], value) for name, value in TARGET.state_dict().items())


def test_a_closure_gets_copies_too() -> None:
    seen: list[int] = []

    def step(model: Any, batch: Any, loss: Any, optimizer: Any) -> Tensor:
        seen.append(1)
        return counted_step(model, batch, loss, optimizer)

    assert list(steps(stepping(step))) == []
    assert seen == []


def test_a_method_gets_a_copy_of_its_object() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.steps = 0

        def step(self, model: Any, batch: Any, loss: Any, optimizer: Any) -> Tensor:
            self.steps += 1
            return counted_step(model, batch, loss, optimizer)

    trainer = Trainer()
    assert list(steps(stepping(trainer.step))) == []
    assert trainer.steps == 0


def test_what_torch_offers_is_put_back() -> None:
    before = (nn.utils.clip_grad_norm_, Tensor.backward, torch.optim.Optimizer.zero_grad, StepLR.step)
    rules(train_step=counted_step)
    assert before == (nn.utils.clip_grad_norm_, Tensor.backward, torch.optim.Optimizer.zero_grad, StepLR.step)


def test_events_come_in_order_with_their_lines() -> None:
    seen = watched(stepping(counted_step))
    assert [event.kind for event in seen.steps[0]] == ["zero_grad", "forward", "backward", "step"]
    assert [event.line.text for event in seen.events("step") if event.line][:1] == ["optimizer.step()"]
    assert all(seen.moved)
    assert not any(event.carried for event in seen.events("step"))


def test_an_average_s_share_is_measured() -> None:
    averages = watched(stepping(counted_step)).averages
    assert {(name, key) for name, key, _ in averages} == {("TARGET", "weight")}
    assert all(kept == pytest.approx(0.99, abs=1e-3) for *_, kept in averages)


def test_shared_parameters_of_several_losses_are_an_aside_where_the_user_steps() -> None:
    def two(model: nn.Module) -> list[Any]:
        return [torch.optim.SGD(model.parameters(), lr=0.1), torch.optim.SGD(model.parameters(), lr=0.01)]

    def step(model: Any, batch: Any, loss: Any, optimizers: Any) -> Tensor:
        for optimizer in optimizers:
            optimizer.zero_grad()
            value: Tensor = loss(model(batch[0]), batch[1])
            value.backward()
            optimizer.step()
        return value.detach()

    by_loop = [f for f in found(optimizer=two) if f.rule == "parameter-twice"]
    by_user = [f for f in found(optimizer=two, train_step=step) if f.rule == "parameter-twice"]
    assert [f.severity for f in by_loop] == ["warning"]
    assert [f.severity for f in by_user] == ["info"]


@pytest.mark.parametrize(
    ("interval", "epochs", "length", "wrong"),
    [("step", 20, 120, False), ("epoch", 20, 120, True), ("epoch", 20, 20, False)],
)
def test_a_sequence_of_schedules_has_the_length_of_its_parts(
    interval: Any, epochs: int, length: int, wrong: bool
) -> None:
    def make(optimizer: Any) -> Any:
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, length - 5)
        return SequentialLR(optimizer, [LinearLR(optimizer, 0.1, total_iters=5), cosine], [5])

    assert ("schedule-unit" in rules(scheduler=make, scheduler_interval=interval, epochs=epochs)) is wrong


def test_a_factor_of_the_inverse_root_is_no_rate() -> None:
    def make(optimizer: Any) -> Any:
        return LambdaLR(optimizer, lambda step: 64**-0.5 * min((step + 1) ** -0.5, (step + 1) * 30**-1.5))

    def unit(model: nn.Module) -> Any:
        return torch.optim.Adam(model.parameters(), lr=1.0)

    assert not {"schedule-gives-rate", "schedule-dies"} & rules(
        scheduler=make, scheduler_interval="step", epochs=20, optimizer=unit
    )


def test_an_evaluation_that_shuffles_is_not_suspected() -> None:
    def evaluate(model: Any, val_set: Any) -> float:
        model.eval()
        with torch.no_grad():
            right = sum(int((model(x).argmax(1) == y).sum()) for x, y in DataLoader(val_set, 32, shuffle=True))
        model.train()
        return right / len(val_set)

    assert [str(f) for f in found(evaluate=evaluate) if f.severity != "info"] == []


def test_a_small_last_batch_is_a_warning_and_a_large_one_an_aside() -> None:
    def evaluate(model: Any, val_set: Any) -> float:
        model.eval()
        with torch.no_grad():
            values = [float((model(x).argmax(1) == y).float().mean()) for x, y in DataLoader(val_set, SIZE[0])]
        model.train()
        return sum(values) / len(values)

    for size, severity in ((50, "warning"), (35, "info")):
        SIZE[0] = size
        assert [f.severity for f in found(evaluate=evaluate) if f.rule == "average-of-batches"] == [severity]


SIZE = [0]


def test_a_limit_may_be_given_by_name() -> None:
    def step(model: Any, batch: Any, loss: Any, optimizer: Any) -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(model(batch[0]), batch[1])
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=5.0)
        optimizer.step()
        return value.detach()

    assert [str(f) for f in found(train_step=step) if f.severity != "info"] == []


def test_figures_and_parts() -> None:
    assert (number({"a": 1}), number([2.0, 3]), number("x")) == (1.0, 2.0, None)
    assert len(part(data(), [3, 5])) == 2
    assert torch.equal(part(list(data()), [3])[0][0], data()[3][0])


def test_copies_are_apart_from_what_cannot_be_copied() -> None:
    class Stubborn:
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("no")

    stubborn = Stubborn()

    def step(model: Any, batch: Any, loss: Any, optimizer: Any) -> Any:
        return stubborn

    model = nn.Linear(8, 3)
    with copies_with(Subject(model), step) as copies:
        assert copies.functions[0](None, None, None, None) is stubborn
        assert copies.model is not model


def test_a_root_of_a_mean_is_no_mean_of_batches() -> None:
    def evaluate(model: Any, val_set: Any) -> float:
        model.eval()
        with torch.no_grad():
            total = sum(float((model(x)[:, 0] - y).square().sum()) for x, y in DataLoader(val_set, 40))
        model.train()
        return (total / len(val_set)) ** 0.5

    assert "average-of-batches" not in rules(evaluate=evaluate)


class Ranks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.to(self.net[0].weight.dtype)).float()


def test_weights_that_were_made_half_precision_later_are_saved_all_the_same() -> None:
    assert "state-not-saved" not in rules(model=Ranks().to(torch.bfloat16))
