"""Shapes up to a failure: the module is named, its inputs are shown, and nothing stays."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from trainkit import Loader, Trainer, supervised
from trainkit.autopsy import shapes_until_failure
from trainkit.autopsy.shapes import shapes_of


class Branch(nn.Module):
    def __init__(self, classes: int = 3, wrong: int = 0) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(16 + wrong, classes)

    def forward(self, x: torch.Tensor, second: torch.Tensor | None = None) -> torch.Tensor:
        return self.head(self.pool(self.stem(x)).flatten(1))


class Whole(nn.Module):
    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.body = Branch(wrong=1 if where == "inner" else 0)
        self.last = nn.Linear(4 if where == "last" else 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.last(self.body(x))
        if self.where == "own":
            return y + torch.ones(7)
        return y


@pytest.mark.parametrize(
    ("where", "module", "inputs"),
    [("inner", "body.head", "[2, 16]"), ("last", "last", "[2, 3]"), ("own", "", "[2, 1, 8, 8]")],
)
def test_the_module_that_fails_is_named_with_what_came_before(where: str, module: str, inputs: str) -> None:
    model = Whole(where)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    failure = shapes_until_failure(model, torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert failure is not None
    assert failure.module == module
    (failed,) = [flow for flow in failure.flows if flow.failed]
    assert failed.inputs == inputs
    table = failure.table()
    assert table.splitlines()[0] == f"shapes up to {module or 'the model'} ({failed.kind}):"
    assert table.splitlines()[-1].endswith("-> fails")
    assert "body.stem.0 (Conv2d)" in table
    assert "[2, 1, 8, 8]  -> [2, 4, 6, 6]" in table
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_a_model_that_takes_its_inputs_has_no_failure() -> None:
    assert shapes_until_failure(Whole(""), torch.randn(2, 1, 8, 8)) is None


@pytest.mark.parametrize("inputs", [(torch.ones(2, 1, 8, 8), torch.ones(2)), {"x": torch.ones(2, 1, 8, 8)}])
def test_several_inputs_are_given_as_an_objective_gives_them(inputs) -> None:
    failure = shapes_until_failure(Branch(wrong=2), inputs, name="net")
    assert failure is not None
    assert failure.module == "net.head"


def test_shapes_of_any_nesting() -> None:
    pair = (torch.ones(2, 3), torch.ones(4, dtype=torch.long))
    assert shapes_of(pair) == "([2, 3], [4] int64)"
    assert shapes_of({"a": torch.ones(1), "b": None}) == "{a: [1], b: NoneType}"
    assert shapes_of([torch.ones(1)] * 5) == "([1], [1], [1], [1], ...)"
    packed = nn.utils.rnn.pack_padded_sequence(torch.ones(2, 3, 4), [3, 2], batch_first=True)
    assert "[5, 4]" in shapes_of(packed)


def trainer_of(model: nn.Module, size: int = 16) -> Trainer:
    data = TensorDataset(torch.randn(size, 1, 8, 8), torch.zeros(size, dtype=torch.long))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return Trainer(model, supervised(nn.CrossEntropyLoss()), optimizer, Loader(data, 8), max_epochs=1, device="cpu")


def test_the_error_of_a_training_shows_them() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        trainer_of(Whole("inner")).fit()
    (table,) = caught.value.__notes__
    assert table.startswith("shapes up to body.head (Linear):")
    assert "[8, 16]" in table


def test_an_error_late_in_a_training_shows_them_too() -> None:
    """Of the last, smaller batch."""

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Branch()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.body(x)
            return y.view(8, 3) if self.training else y

    with pytest.raises(RuntimeError, match="invalid for input of size") as caught:
        trainer_of(Late(), 20).fit()
    assert caught.value.__notes__[0] == "in step 3, epoch 1, batch 2"
    assert "shapes up to the model (Late):" in caught.value.__notes__[1]
    assert "[4, 1, 8, 8]" in caught.value.__notes__[1]


def test_an_error_outside_of_the_model_shows_none() -> None:
    def objective(model: nn.Module, batch: object) -> None:
        raise ValueError("mine")

    trainer = trainer_of(Whole(""))
    trainer.objective = objective
    with pytest.raises(ValueError, match="mine") as caught:
        trainer.fit()
    assert getattr(caught.value, "__notes__", []) == []
