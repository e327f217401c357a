"""Validation, test and predict: what is measured, on which weights, in which mode, and what they leave untouched."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from trainkit import Callback, ConfigError, Loader, Output, Trainer, supervised
from trainkit.evaluator import Evaluator
from trainkit.optim import WeightAverage
from trainkit.settings import Settings

CPU: dict[str, Any] = {"device": "cpu", "num_sanity_val_steps": 0}


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3))


def dataset(samples: int = 50) -> TensorDataset:
    torch.manual_seed(3)
    return TensorDataset(torch.randn(samples, 6), torch.randint(3, (samples,)))


def trainer_of(model: nn.Module, train: Any, val: Any = None, **options: Any) -> Trainer:
    objective = options.pop("objective", None) or supervised(nn.CrossEntropyLoss())
    optimizer = torch.optim.SGD(model.parameters(), options.pop("lr", 0.1))
    return Trainer(model, objective, optimizer, train, val, **{"max_epochs": 1, **CPU, **options})


def evaluator_of(model: nn.Module, loss: nn.Module | None = None) -> Evaluator:
    return Evaluator(model, supervised(loss or nn.CrossEntropyLoss()), Settings(max_epochs=1, device="cpu"))


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize("batch_size", [50, 8, 7])
def test_loss_and_metrics_are_those_of_the_whole_set_for_any_batch_size(batch_size: int) -> None:
    model, data = network(), dataset()
    values = evaluator_of(model).evaluate("val", Loader(data, batch_size))
    inputs, targets = data.tensors
    with torch.no_grad():
        scores = model.eval()(inputs)
    assert values["val/loss"] == pytest.approx(cross_entropy(scores, targets).item(), rel=1e-5)
    assert values["val/accuracy"] == pytest.approx((scores.argmax(1) == targets).float().mean().item())


def test_targets_to_ignore_do_not_count() -> None:
    model, (inputs, targets) = network(), dataset().tensors
    targets[11:40] = -1
    loss = nn.CrossEntropyLoss(ignore_index=-1)
    values = evaluator_of(model, loss).evaluate("val", Loader(TensorDataset(inputs, targets), 8))  # one is all ignored
    with torch.no_grad():
        assert values["val/loss"] == pytest.approx(loss(model.eval()(inputs), targets).item(), rel=1e-5)


@pytest.mark.parametrize(("limit", "batches"), [(2, 2), (0.5, 3), (100, 7), (None, 7)])
def test_limits_are_batches_or_shares(limit: int | float | None, batches: int) -> None:
    seen: list[int] = []

    def objective(model: nn.Module, batch: Any) -> Output:
        seen.append(len(batch[0]))
        return Output(model(batch[0]).mean(), len(batch[0]))

    loader = Loader(dataset(), 8)
    trainer = trainer_of(network(), loader, objective=objective, limit_val_batches=limit, limit_test_batches=limit)
    trainer.validate(loader)
    assert len(seen) == batches
    trainer.test(loader)
    assert len(seen) == 2 * batches


def test_test_values_are_remembered_under_their_own_names() -> None:
    trainer = trainer_of(network(), [], None)
    values = trainer.test(Loader(dataset(), 8))
    assert values.keys() == {"test/loss", "test/accuracy"}
    assert values.items() <= trainer.metrics.items()


def test_an_evaluation_without_a_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="the loader gave no batch"):
        evaluator_of(network()).evaluate("val", [])
    with pytest.raises(ConfigError, match="give a loader"):
        trainer_of(network(), []).validate()


def test_an_eval_step_of_ones_own_is_used_for_validation_test_and_predictions() -> None:
    class Doubles(Trainer):
        def eval_step(self, model: nn.Module, batch: Any) -> Output:
            output = super().eval_step(model, batch)
            return Output(output.loss * 2, output.count, output.predictions + 100, output.targets)

    def values(kind: type[Trainer]) -> tuple[float, float, Tensor]:
        model = network()
        trainer = kind(model, supervised(nn.CrossEntropyLoss()), None, [], max_epochs=1, **CPU)  # type: ignore[arg-type]
        loader = Loader(dataset(), 8)
        return trainer.validate(loader)["val/loss"], trainer.test(loader)["test/loss"], trainer.predict(loader)

    plain, doubled = values(Trainer), values(Doubles)
    assert doubled[:2] == (2 * plain[0], 2 * plain[1])
    assert torch.equal(doubled[2], plain[2] + 100)


# ---------------------------------------------------------------------- predictions


@pytest.mark.parametrize("form", ["pairs", "inputs", "inputs of one each"])
def test_predictions_come_in_the_order_of_the_samples(form: str) -> None:
    model, (inputs, targets) = network(), dataset().tensors
    loader: Any = {
        "pairs": Loader(TensorDataset(inputs, targets), 8),
        "inputs": inputs.split(8),
        "inputs of one each": Loader(TensorDataset(inputs), 8),
    }[form]
    predictions = trainer_of(model, []).predict(loader)
    assert model.training
    torch.testing.assert_close(predictions, model.eval()(inputs).detach())
    assert not predictions.requires_grad


def test_predictions_that_are_no_tensors_come_as_a_list() -> None:
    class Names(nn.Module):
        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            return {"sum": inputs.sum(1)}

    inputs = dataset().tensors[0]
    results = evaluator_of(Names()).predict(inputs.split(20))
    assert [result["sum"].tolist() for result in results] == [part.sum(1).tolist() for part in inputs.split(20)]


# ---------------------------------------------------------------------- modes


class Modes(nn.Module):
    """Notes, at each forward pass, its own mode and whether gradients are off."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(6, 3), []

    def forward(self, inputs: Tensor) -> Tensor:
        assert self.layer.training == self.training
        self.seen.append((self.training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return self.layer(inputs)


TRAINING, INFERENCE, NO_GRADIENT = (True, True, False), (False, False, True), (False, False, False)


@pytest.mark.parametrize(("inference_mode", "evaluation"), [(True, INFERENCE), (False, NO_GRADIENT)])
def test_the_model_is_in_the_right_mode_at_every_moment(inference_mode: bool, evaluation: Any) -> None:
    batches, model = list(Loader(dataset(32), 8)), Modes()
    model.eval()  # the loop sets the mode, whatever came before
    options = {"num_sanity_val_steps": 1, "val_check_interval": 2, "inference_mode": inference_mode}
    trainer = trainer_of(model, batches, batches[:1], max_epochs=2, **options)
    trainer.fit()
    epoch = [TRAINING, TRAINING, evaluation, TRAINING, TRAINING, evaluation]
    assert model.seen == [evaluation, *epoch, *epoch]
    model.seen.clear()
    trainer.test(batches[:1])
    trainer.predict(batches[:1])
    assert model.seen == [evaluation] * 2
    assert model.training


def test_a_layer_that_train_keeps_in_eval_mode_stays_so_after_a_validation() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head, self.seen = nn.BatchNorm1d(6), nn.Linear(6, 3), []

        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self.body.eval()
            return self

        def forward(self, inputs: Tensor) -> Tensor:
            self.seen.append((self.training, self.body.training, self.head.training))
            return self.head(self.body(inputs))

    batches, model = list(Loader(dataset(32), 8)), Frozen()
    trainer_of(model, batches, batches, val_check_interval=1, max_epochs=2).fit()
    assert set(model.seen) == {(True, False, True), (False, False, False)}
    assert model.body.running_mean.eq(0).all()


def test_a_layer_put_to_eval_by_hand_stays_so_after_a_validation() -> None:
    class Freezes(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            trainer.model[1].eval()

    batches, model = list(Loader(dataset(32), 8)), network()
    trainer_of(model, batches, batches, val_check_interval=1, callbacks=[Freezes()]).fit()
    assert [layer.training for layer in model] == [True, False, True, True]


def test_a_failing_evaluation_puts_the_mode_back() -> None:
    model = network()
    with pytest.raises(RuntimeError):
        evaluator_of(model).evaluate("val", [(torch.zeros(2, 5), torch.zeros(2).long())])
    assert all(module.training for module in model.modules())


def test_a_validation_changes_neither_weights_nor_buffers_nor_generators() -> None:
    model, loader = network(), Loader(dataset(), 8, shuffle=True)
    trainer = trainer_of(model, loader)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    first, second = trainer.validate(loader), trainer.validate(loader)
    assert first == second
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_random_model_is_validated_with_the_same_draws_each_time() -> None:
    class Noisy(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs + torch.randn_like(inputs))

    evaluator, loader = evaluator_of(Noisy(6, 3)), Loader(dataset(), 8)
    assert evaluator.evaluate("val", loader) == evaluator.evaluate("val", loader)


# ---------------------------------------------------------------------- averaged and best weights


def loss_of(weights: dict[str, Tensor], data: TensorDataset) -> float:
    model = network()
    model.load_state_dict(weights)
    with torch.no_grad():
        return cross_entropy(model.eval()(data.tensors[0]), data.tensors[1]).item()


def averaged_run(folder: Path) -> Trainer:
    data = dataset()
    train, val = Loader(data, 8, shuffle=True), Loader(data, 25)
    averaging = WeightAverage("ema", decay=0.9)
    trainer = trainer_of(network(), train, val, averaging=averaging, max_epochs=3, run_dir=folder, lr=0.5)
    trainer.fit()
    return trainer


def test_an_average_is_what_is_validated_and_the_model_what_is_trained(tmp_path: Path) -> None:
    trainer = averaged_run(tmp_path)
    average, model = trainer.averaging.weights(trainer.model).state_dict(), trainer.model.state_dict()
    assert trainer.metrics["val/loss"] == pytest.approx(loss_of(average, dataset()), rel=1e-5)
    assert trainer.metrics["val/loss"] != pytest.approx(loss_of(model, dataset()), rel=1e-3)
    without = trainer_of(network(), trainer.train_loader, lr=0.5, max_epochs=3)
    without.fit()
    assert all(torch.equal(value, model[name]) for name, value in without.model.state_dict().items())


def test_restoring_the_best_loads_the_averaged_weights(tmp_path: Path) -> None:
    trainer = averaged_run(tmp_path)
    assert trainer.restore_best()
    assert loss_of(trainer.model.state_dict(), dataset()) == pytest.approx(trainer.best.value, rel=1e-5)
    assert trainer.validate()["val/loss"] == pytest.approx(trainer.best.value, rel=1e-6)


def test_the_best_are_those_of_the_best_validation_not_of_the_last(tmp_path: Path) -> None:
    data, values = dataset(), []

    class Worsens(Callback):
        """Turns the rate up after two epochs, so that the best lies in the middle."""

        def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
            values.append((metrics["val/loss"], trainer.counters.step))
            trainer.optimizer.param_groups[0]["lr"] = 0.1 if len(values) < 3 else 30.0

    loader = Loader(data, 10)
    trainer = trainer_of(network(), loader, loader, max_epochs=5, run_dir=tmp_path, callbacks=[Worsens()])
    trainer.fit()
    best, step = min(values)
    assert 0 < step < trainer.counters.step
    assert (trainer.best.value, trainer.best.step, trainer.best.epoch) == (best, step, step // 5)
    assert trainer.restore_best()
    assert loss_of(trainer.model.state_dict(), data) == pytest.approx(best, rel=1e-5)


def test_without_a_checkpoint_there_is_no_best_to_restore() -> None:
    loader = Loader(dataset(), 10)
    trainer = trainer_of(network(), loader, loader)
    trainer.fit()
    assert not trainer.restore_best()
