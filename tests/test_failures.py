"""trainkit.failures: what is told of an error, and that telling never hides it. Real runs: tests/faults."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from trainkit import ConfigError, Loader, Trainer, TrainingError, failures, supervised
from trainkit.failures import explained


def trainer_of(dataset, model=None, **settings) -> Trainer:
    model = model or nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = Loader(dataset, 8)
    settings = {"max_epochs": 1, "device": "cpu", **settings}
    return Trainer(model, supervised(nn.CrossEntropyLoss()), optimizer, loader, **settings)


def tensors(bad_label: int | None = None) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (32,), generator=generator)
    if bad_label is not None:
        targets[bad_label] = 3
    return TensorDataset(torch.randn(32, 4, generator=generator), targets)


class OneByOne(Dataset):
    """The same, one sample at a time, so that only the first batch is looked at beforehand."""

    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        return self.inner[index]


@pytest.mark.parametrize("make", [tensors, lambda label: OneByOne(tensors(label))])
def test_38_a_label_that_the_head_has_no_output_for_is_told_before_the_first_step(make) -> None:
    trainer = trainer_of(make(5))
    with pytest.raises(ConfigError, match=r"sample 5 .*label 3.*3 outputs"):
        trainer.fit()
    assert trainer.counters.step == 0


def test_38_a_later_one_is_told_at_its_step() -> None:
    trainer = trainer_of(OneByOne(tensors(21)))
    with pytest.raises(TrainingError, match=r"step 3: .*sample 21 .*label 3"):
        trainer.fit()
    assert trainer.counters.step == 2


def test_an_error_of_the_users_own_stays_what_it_is() -> None:
    class Own(nn.Linear):
        def forward(self, x):
            if self.training:
                raise LookupError("mine")
            return super().forward(x)

    with pytest.raises(LookupError, match="mine") as caught:
        trainer_of(tensors(), Own(4, 3)).fit()
    assert caught.value.__cause__ is None


def test_an_error_of_the_model_is_not_taken_for_one_of_looking_into_it() -> None:
    class Own(nn.Linear):
        def forward(self, x):
            if len(x) == 6:  # the last batch
                raise LookupError("mine")
            return super().forward(x)

    trainer = trainer_of(TensorDataset(*(tensor[:30] for tensor in tensors().tensors)), Own(4, 3))
    with pytest.raises(LookupError, match="mine") as caught:
        trainer.fit()
    assert caught.value.__notes__ == ["in step 4, epoch 1, batch 3"]
    assert trainer.warnings == []


def test_an_explanation_that_fails_does_not_hide_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(tensors())

    def broken(*arguments):
        raise ZeroDivisionError("in the explanation")

    monkeypatch.setattr(failures, "_explained", broken)
    error = ValueError("first")
    assert explained(trainer, error) is error
    assert "ZeroDivisionError" in trainer.warnings[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt("SIGTERM"), SystemExit(3), ConfigError("a"), TrainingError("b")])
def test_what_is_told_already_is_not_looked_into(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_explained", None)
    assert explained(trainer_of(tensors()), error) is error


def test_memory_that_runs_out_on_the_cpu_is_told_too() -> None:
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
    told = explained(trainer_of(tensors()), error)
    assert isinstance(told, TrainingError)
    assert "out of memory on cpu" in str(told)
