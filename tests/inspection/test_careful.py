"""What new rules must leave alone: right code that looks like the bug."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from trainkit.inspection import first_step, inspect
from trainkit.inspection.loop import watching

N = 240


def rules(model: nn.Module, **arguments: Any) -> list[str]:
    torch.manual_seed(0)
    found = inspect(model, batch_size=16, optimizer=torch.optim.Adam(model.parameters(), lr=1e-3), **arguments)
    return [finding.rule for finding in found]


# ---------------------------------------------------------------------------- temperatures


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 6), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([functional.normalize(tower(x), dim=1) for tower in (self.one, self.two)], 1)


def others(scores: Tensor) -> Tensor:
    n = len(scores)
    return scores[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)


def joined(positive: Tensor, negative: Tensor) -> Tensor:
    return functional.cross_entropy(torch.cat([positive, negative], 1), torch.zeros(len(positive), dtype=torch.long))


def divided_after(z: Tensor, _: Tensor) -> Tensor:
    a, b = z.unbind(1)
    return joined((a * b).sum(1, keepdim=True) / 0.1, others(a @ b.T) / 0.1)


def divided_within_the_sum(z: Tensor, _: Tensor) -> Tensor:
    a, b = z.unbind(1)
    return joined((a * b / 0.1).sum(1, keepdim=True), others(a @ b.T) / 0.1)


def divided_before_the_product(z: Tensor, _: Tensor) -> Tensor:
    a, b = z.unbind(1)
    return joined((a * b).sum(1, keepdim=True) / 0.1, others((a / 0.1) @ b.T))


def divided_on_one_side(z: Tensor, _: Tensor) -> Tensor:
    a, b = z.unbind(1)
    return joined((a * b).sum(1, keepdim=True), others(a @ b.T) / 0.1)


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [(divided_after, 0), (divided_within_the_sum, 0), (divided_before_the_product, 0), (divided_on_one_side, 1)],
)
def test_a_temperature_is_the_same_wherever_it_divides(loss: Any, wrong: int) -> None:
    data = TensorDataset(torch.randn(N, 8), torch.arange(N))
    assert rules(Towers(), loss=loss, train_set=data).count("temperature-on-one-side") == wrong


# ---------------------------------------------------------------------------- label maps


class Maps(Dataset[Any]):
    """Pictures with maps of classes 0 to 2."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.maps = torch.randint(0, 3, (N, 1, 8, 8), generator=generator).float()

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Any:
        image = functional.interpolate(self.maps[index][None], (12, 12), mode="bilinear")
        mask = functional.interpolate(self.maps[index][None], (12, 12), mode="nearest-exact")
        return image[0], mask[0, 0].long()


class Reassigned(Maps):
    def __getitem__(self, index: int) -> Any:
        out = functional.interpolate(self.maps[index][None], (12, 12), mode="bilinear")
        image = out[0]
        out = functional.interpolate(self.maps[index][None], (12, 12), mode="nearest-exact")
        return image, out[0, 0].long()


class Blended(Maps):
    def __getitem__(self, index: int) -> Any:
        mask = functional.interpolate(self.maps[index][None], (12, 12), mode="bilinear")
        return mask[0], mask[0, 0].long()


@pytest.mark.parametrize(("data", "wrong"), [(Maps, 0), (Reassigned, 0), (Blended, 1)])
def test_only_what_becomes_the_label_map_must_not_be_blended(data: type[Maps], wrong: int) -> None:
    found = rules(nn.Conv2d(1, 3, 3, padding=1), loss=nn.CrossEntropyLoss(), train_set=data())
    assert found.count("labels-interpolated") == wrong


# ---------------------------------------------------------------------------- targets among the inputs


def dice(output: Tensor, target: Tensor) -> Tensor:
    share = output.sigmoid().squeeze(1)
    return 1 - 2 * (share * target).sum() / (share + target).sum()


def test_a_target_that_is_added_in_a_ratio_is_no_reward() -> None:
    x = torch.randn(N, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] + x[:, 1] > 0).float()
    data = TensorDataset(torch.cat([x, y[:, None]], 1), y)
    assert "target-in-inputs" in rules(nn.Linear(9, 1), loss=dice, train_set=data)


# ---------------------------------------------------------------------------- steps that validate


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))


def learn(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> Tensor:
    optimizer.zero_grad()
    value: Tensor = loss(model(batch[0]), batch[1])
    value.backward()
    optimizer.step()
    return value


def leaves(model: nn.Module) -> None:
    model.eval()


def restores(model: nn.Module) -> None:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for module, mode in modes:
        module.training = mode


def copies(model: nn.Module) -> None:
    model = copy.deepcopy(model)
    model.eval()


COUNT = [0]


def step_leaves(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> Tensor:
    COUNT[0] += 1
    if COUNT[0] % 1000 == 0:
        leaves(model)
    return learn(model, batch, loss, optimizer)


def step_restores(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> Tensor:
    COUNT[0] += 1
    if COUNT[0] % 1000 == 0:
        restores(model)
    return learn(model, batch, loss, optimizer)


def step_copies(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> Tensor:
    COUNT[0] += 1
    if COUNT[0] % 1000 == 0:
        copies(model)
    return learn(model, batch, loss, optimizer)


@pytest.mark.parametrize(("step", "wrong"), [(step_leaves, 1), (step_restores, 0), (step_copies, 0)])
def test_a_validation_within_a_step_must_restore_the_mode_and_no_more(step: Any, wrong: int) -> None:
    x = torch.randn(N, 8, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, (x[:, 0] > 0).long())
    found = rules(classifier(), loss=nn.CrossEntropyLoss(), train_set=data, train_step=step)
    assert found.count("trains-in-eval") == wrong


# ---------------------------------------------------------------------------- errors of the check itself


def test_an_error_in_a_hook_of_the_check_is_not_blamed_on_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(N, 8)
    data = TensorDataset(x, (x[:, 0] > 0).long())

    def fails(*_: Any) -> None:
        raise IndexError("ours")

    monkeypatch.setattr(first_step, "HERE", first_step.Path(__file__).parent)
    monkeypatch.setattr(watching._Watch, "_entered", fails)
    found = rules(classifier(), loss=nn.CrossEntropyLoss(), train_set=data, train_step=learn)
    assert "rule-failed" in found
    assert "step-fails" not in found


def test_an_error_in_the_step_is_told_as_its_own() -> None:
    def step(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> Tensor:
        return learn(model, (batch[0].flatten(), batch[1]), loss, optimizer)  # a wrong shape, which a layer raises at

    x = torch.randn(N, 8)
    data = TensorDataset(x, (x[:, 0] > 0).long())
    assert "step-fails" in rules(classifier(), loss=nn.CrossEntropyLoss(), train_set=data, train_step=step)
