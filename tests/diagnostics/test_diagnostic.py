"""What all diagnostics promise: the same training bit for bit, a resume that goes on, and no trace afterwards."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import Kept, mlp, task, trainer
from rich.console import Console
from torch import Tensor, nn

from trainkit import Callback, Output, Trainer
from trainkit.checkpoint import Store
from trainkit.data.loader import samples_in
from trainkit.diagnostics import Activations, Clipping, Doctor, Gradients, Histograms, Learning, Throughput, Updates
from trainkit.diagnostics.diagnostic import Sampled
from trainkit.errors import TrainingError
from trainkit.optim import FreezePlan
from trainkit.state import same


def every_one(every: int = 3) -> list[Callback]:
    watching = [Activations(every, ["*"], 20), Gradients(every, ["*"]), Updates(every, ["*"])]
    return [
        *watching,
        Histograms(every),
        Clipping(every),
        Throughput(every),
        Learning(every),
        Doctor(1, console=Console(file=io.StringIO())),
    ]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4),
    )  # fmt: skip


def state(fitted: Trainer) -> dict[str, Any]:
    """Return all that a checkpoint holds, but for the diagnostics themselves, the clock, and how much was logged."""
    found = {name: part for name, part in fitted.state_dict().items() if not name.startswith("callbacks.")}
    found["counters"] = {
        name: value for name, value in found["counters"].items() if name not in ("seconds", "logged", "logged_step")
    }
    found["metrics"] = {name: value for name, value in found["metrics"].items() if "per_second" not in name}
    found.pop("parts")
    return found


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"gradient_clip_val": 0.5, "accumulate_grad_batches": 3},
    "bf16": {"precision": "bf16"},
    "often validated": {"val_check_interval": 5},
    "skipping": {"on_nonfinite": "skip"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("every", [1, 3])
def test_a_training_is_the_same_bit_for_bit_with_all_of_them(options: dict[str, Any], every: int) -> None:
    def trained(callbacks: Sequence[Callback]) -> dict[str, Any]:
        model = network()
        adam = torch.optim.AdamW(model.parameters(), 0.01)
        fitted = trainer(model, callbacks, optimizer=adam, val=task(64), max_epochs=3, **options)
        fitted.fit()
        return state(fitted)

    one, other = trained([]), trained(every_one(every))
    assert one.keys() == other.keys()
    assert [name for name in one if not same(one[name], other[name])] == []


def test_it_is_the_same_under_a_freeze_plan() -> None:
    def trained(callbacks: Sequence[Callback]) -> dict[str, Any]:
        model, plan = network(), FreezePlan([{"match": "@head"}, {"match": "*", "from": "1ep"}])
        adam = torch.optim.AdamW(plan.parameter_groups(model, 0.01), 0.01)
        fitted = trainer(model, callbacks, optimizer=adam, freeze=plan, max_epochs=3)
        fitted.fit()
        return state(fitted)

    assert same(trained([]), trained(every_one()))


@pytest.mark.parametrize("stop", [1, 10, 18, 32, 40])
def test_a_resumed_run_logs_and_says_what_the_unbroken_one_does(stop: int, tmp_path: Path) -> None:
    def run(kept: Kept, folder: str, **options: Any) -> Trainer:
        model = network()
        adam = torch.optim.AdamW(model.parameters(), 0.01)
        store = Store(tmp_path / folder)
        return trainer(model, every_one(), optimizer=adam, val=task(64), loggers=[kept], store=store, **options)

    whole, first, second = Kept(), Kept(), Kept()
    expected = run(whole, "whole", max_epochs=4)
    expected.fit()
    run(first, "broken", max_epochs=4, max_steps=stop).fit()
    resumed = run(second, "broken", max_epochs=4)
    resumed.resume(tmp_path / "broken")
    resumed.fit()

    def curves(*logs: Kept) -> dict[tuple[int, str], float]:
        records = [record for log in logs for record in log.records]
        named = ((step, name, value) for step, values in records for name, value in values.items())
        wanted = ("activations/", "gradients/", "updates/")
        return {(step, name): value for step, name, value in named if name.startswith(wanted)}

    assert curves(whole) == curves(first, second)
    for name, callback in resumed.callbacks.items():
        if isinstance(callback, Sampled):
            assert same(callback.state_dict(), expected.callbacks[name].state_dict()), name


def test_the_first_step_and_every_kth_are_looked_at() -> None:
    kept = Kept()
    trainer(network(), every_one(5), loggers=[kept], max_steps=12).fit()
    for name in ("activations/std_median", "gradients/norm_max", "updates/ratio_median"):
        assert list(kept.curve(name)) == [1, 5, 10]


def test_the_curves_of_one_step_are_one_record() -> None:
    kept = Kept()
    trainer(network(), every_one(5), loggers=[kept], max_steps=12).fit()
    at_five = [values for step, values in kept.records if step == 5 and "updates/ratio_median" in values]
    assert len(at_five) == 1
    assert {name.split("/")[0] for name in at_five[0]} >= {"activations", "gradients", "updates", "throughput"}


def test_they_stand_in_the_record_that_the_run_writes_of_the_step_and_are_no_metrics() -> None:
    kept = Kept()
    fitted = trainer(network(), every_one(4), loggers=[kept], max_steps=8)  # which logs every fourth too
    fitted.fit()
    (at_four,) = [values for step, values in kept.records if step == 4]
    assert {"train/loss", "updates/ratio_median", "throughput/samples_per_second"} <= at_four.keys()
    assert not any(name.startswith(("updates/", "throughput/")) for name in fitted.metrics)


def test_the_curves_of_a_step_whose_record_is_never_written_are_kept() -> None:
    class Broken(nn.CrossEntropyLoss):
        calls = 0

        def forward(self, *arguments: Any) -> Tensor:
            Broken.calls += 1
            return super().forward(*arguments) * (float("nan") if Broken.calls == 4 else 1.0)

    class Careless(Trainer):  # takes bad steps, which the meter finds only as the run logs
        def train_step(self, window: Sequence[Any]) -> Output:
            (batch,) = window
            output = self.objective(self.model, batch)
            self.meter.add(output.loss.detach(), output.count)
            self.counters.step += 1
            self.counters.samples += samples_in(batch)
            return output

    kept = Kept()
    fitted = trainer(network(), every_one(4), loss=Broken(), cls=Careless, loggers=[kept], max_steps=8)
    with pytest.raises(TrainingError, match="step 4: the loss is nan"):
        fitted.fit()
    assert [step for step, values in kept.records if "throughput/samples_per_second" in values] == [4]
    assert not any("train/loss" in values for _, values in kept.records)


class Draws(Callback):
    """Puts a curve into the record at each moment but the start."""

    def on_step_end(self, trainer: Trainer, output: Output) -> Any:
        trainer.curves |= {"at/step": trainer.counters.step, "train/loss": -1.0}
        return "nonsense"  # no number of a step: it is called after each

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        trainer.curves["at/validation"] = trainer.counters.step

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.curves["at/epoch"] = trainer.counters.step

    def on_fit_end(self, trainer: Trainer) -> None:
        trainer.curves["at/fit"] = trainer.counters.step


def test_curves_stand_at_their_step_whatever_the_moment_and_metrics_win() -> None:
    kept = Kept()
    trainer(network(), [Draws()], val=task(64), loggers=[kept], max_epochs=2, log_every_n_steps=4).fit()
    assert kept.curve("at/step") == {step: step for step in range(1, 33)}
    assert kept.curve("at/validation") == kept.curve("at/epoch") == {16: 16, 32: 32}
    assert kept.curve("at/fit") == {32: 32}
    logged = kept.curve("train/loss")
    assert all((loss == -1.0) == (step % 4 > 0) for step, loss in logged.items())


def test_a_logger_that_fails_hides_no_error() -> None:
    class Full(Kept):
        def log(self, values: dict[str, float], counters: Any, axis: str) -> None:
            raise TrainingError("disk")

    class Raises(Callback):
        def on_step_end(self, trainer: Trainer, output: Output) -> None:
            trainer.curves["mine"] = 1.0
            raise ValueError("the first")

    fitted = trainer(network(), [Raises()], loggers=[Full()], max_steps=3)
    with pytest.raises(ValueError, match="the first"):
        fitted.fit()
    assert "the last curves were not logged either: disk" in fitted.warnings


def test_after_a_rollback_each_kth_step_is_looked_at_anew(tmp_path: Path) -> None:
    class Once(nn.CrossEntropyLoss):
        calls = 0

        def forward(self, *arguments: Any) -> Tensor:
            Once.calls += 1
            return super().forward(*arguments) * (float("nan") if Once.calls == 13 else 1.0)

    kept = Kept()
    options = {"run_dir": tmp_path, "store": Store(tmp_path / "checkpoints", every="8st"), "on_nonfinite": "rollback"}
    trainer(network(), every_one(5), loss=Once(), loggers=[kept], max_steps=16, **options).fit()
    steps = [step for step, values in kept.records if "updates/ratio_median" in values]
    assert steps == [1, 5, 10, 10, 15]


def test_a_few_curves_are_drawn_unless_more_are_asked_for() -> None:
    kept = Kept()
    trainer(network(), [Activations(1), Gradients(1), Updates(1)], loggers=[kept], max_steps=1).fit()
    names = {name for _, values in kept.records for name in values if not name.startswith("train/")}
    assert len(names) <= 12
    assert not any(name.count("/") > 1 for name in names)


def test_a_step_that_is_left_out_is_looked_at_when_it_is_repeated() -> None:
    class Sometimes(nn.CrossEntropyLoss):
        calls = 0

        def forward(self, *arguments: Any) -> Tensor:
            Sometimes.calls += 1
            return super().forward(*arguments) * (float("nan") if Sometimes.calls == 4 else 1.0)

    kept = Kept()
    fitted = trainer(network(), every_one(4), loss=Sometimes(), loggers=[kept], max_steps=8, on_nonfinite="skip")
    fitted.fit()
    assert list(kept.curve("updates/ratio_median")) == [1, 4, 8]
    assert fitted.counters.nonfinite == 1


def test_nothing_is_left_after_a_fit() -> None:
    model = network()
    fitted = trainer(model, every_one(1), max_steps=3)
    fitted.fit()
    assert not {"train_step", "eval_step"} & vars(fitted).keys()
    assert "windows" not in vars(fitted.data)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in model.parameters())


def test_another_that_steps_between_keeps_its_place() -> None:
    """As the recorder of verify-resume does, before or after."""
    seen: list[int] = []

    class Between(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            inner = trainer.train_step

            def watched(window: Sequence[Any]) -> Output:
                seen.append(trainer.counters.step)
                return inner(window)

            trainer.train_step = watched  # type: ignore[method-assign]

    for callbacks in ([Between(), *every_one(2)], [*every_one(2), Between()]):
        seen.clear()
        kept = Kept()
        trainer(network(), callbacks, max_steps=6, loggers=[kept]).fit()
        assert seen == [0, 1, 2, 3, 4, 5]
        assert list(kept.curve("updates/ratio_median")) == [1, 2, 4, 6]


class Players(nn.Module):
    """Two networks, of which the whole is never called."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = mlp(8, 16, 4), mlp(4, 16, 1)


class Turns(Trainer):
    def train_step(self, window: Sequence[Any]) -> Output:
        (batch,) = window
        inputs, _ = self.to_device(batch)
        for lost in (lambda one: self.model.other(one).mean(), lambda one: one.square().mean()):
            self.optimizer.zero_grad()
            loss = lost(self.model.one(inputs))
            loss.backward()
            self.optimizer.step()
        self.counters.step += 1
        self.counters.samples += samples_in(batch)
        return Output(loss.detach(), len(inputs))


def test_a_train_step_of_ones_own_is_watched_as_far_as_it_goes() -> None:
    kept = Kept()
    fitted = trainer(Players(), every_one(2), cls=Turns, loggers=[kept], max_steps=4)
    fitted.fit()
    for name in ("activations/one.0/std", "gradients/other.2/norm", "updates/one.2/ratio"):
        assert list(kept.curve(name)) == [1, 2, 4], name
    assert fitted.callbacks["Doctor"].note == []  # type: ignore[attr-defined]


def test_gradients_and_updates_are_seen_where_the_model_is_compiled() -> None:
    model, kept = mlp(8, 16, 4), Kept()
    model._compiled_call_impl = model._call_impl
    trainer(model, every_one(2), loggers=[kept], max_steps=2).fit()
    assert list(kept.curve("gradients/norm_max")) == list(kept.curve("updates/ratio_max")) == [1, 2]
    assert kept.curve("activations/std_median") == {}
