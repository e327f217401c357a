"""What a run saves and when it is saved again; trainkit.checkpointed beneath the Trainer."""

import errno
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from trainkit import Callback, ConfigError, Loader, Trainer, TrainingError, supervised
from trainkit.checkpoint import Store, newest, read
from trainkit.checkpointed import mark_of
from trainkit.locks import held


def trainer_of(folder: Path | None, *callbacks: Callback, **settings) -> Trainer:
    torch.manual_seed(3)
    data = TensorDataset(torch.randn(40, 4), torch.randint(3, (40,)))
    model = nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    settings = {"max_epochs": 2, "device": "cpu", "run_dir": folder, **settings}
    loader = Loader(data, 8, shuffle=True)
    return Trainer(
        model, supervised(nn.CrossEntropyLoss()), optimizer, loader, Loader(data, 8), callbacks=callbacks, **settings
    )


def serials(folder: Path) -> int:
    return len(list((folder / "checkpoints").glob("step-*.ckpt")))


def test_the_last_state_is_not_saved_twice(tmp_path: Path) -> None:
    """The last epoch's checkpoint is the run's; a finished run that is resumed changes nothing."""
    store = Store(tmp_path / "checkpoints", keep_last=9)
    trainer_of(tmp_path, store=store).fit()
    assert serials(tmp_path) == 2
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    again = trainer_of(tmp_path, store=Store(tmp_path / "checkpoints", keep_last=9))
    again.resume(tmp_path)
    again.fit()
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before
    assert (again.ending.status, again.ending.reason) == ("completed", "max_epochs=2 reached")


def test_a_state_read_by_the_caller_is_taken_as_it_is(tmp_path: Path) -> None:
    trainer_of(tmp_path / "one").fit()
    state = read(tmp_path / "one")
    onward = trainer_of(tmp_path / "two", max_epochs=3)
    onward.resume(tmp_path / "one", state)
    assert onward.counters.step == 10
    onward.fit()
    assert onward.counters.step == 15


def test_marks_tell_states_apart_but_not_by_the_clock(tmp_path: Path) -> None:
    trainer = trainer_of(None)
    one = trainer.state_dict()
    assert mark_of(trainer.state_dict()) == mark_of(one)
    trainer.counters.step += 1
    assert mark_of(trainer.state_dict()) != mark_of(one)
    trainer.counters.step -= 1
    trainer.best.value = 0.5
    assert mark_of(trainer.state_dict()) != mark_of(one)


class Holds(Callback):
    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"inner": [self.value]}


@pytest.mark.parametrize("value", [lambda: 1, open], ids=["lambda", "builtin"])
def test_what_cannot_be_saved_is_refused_before_the_first_step(tmp_path: Path, value) -> None:
    trainer = trainer_of(tmp_path, Holds(value))
    with pytest.raises(ConfigError, match=r"callbacks\.Holds\.inner"):
        trainer.fit()
    assert trainer.counters.step == 0


def test_without_a_folder_nothing_is_asked_of_the_state() -> None:
    trainer = trainer_of(None, Holds(lambda: 1))
    trainer.fit()
    assert trainer.counters.step == 10


def test_going_back_needs_somewhere_to_go(tmp_path: Path) -> None:
    trainer = trainer_of(None, on_nonfinite="rollback")
    with torch.no_grad():
        trainer.model.weight.mul_(float("nan"))
    with pytest.raises(TrainingError, match="no checkpoint to go back to"):
        trainer.fit()


def test_a_user_signal_asks_the_store(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    trainer.store.open(trainer.moment)
    assert not trainer.store.is_due(trainer.moment)
    trainer._interrupt.save()
    assert trainer.store.is_due(trainer.moment)


def test_the_best_is_the_one_whose_weights_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full when a better value comes leaves the record with the weights that it belongs to."""
    trainer = trainer_of(tmp_path, max_epochs=3)
    rename, full = os.replace, []

    def replace(source, target, **options):
        if full and "checkpoints" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target, **options)

    monkeypatch.setattr(os, "replace", replace)
    values = iter([3.0, 2.0, 1.0])

    def validate(loader=None):
        trainer.metrics["val/loss"] = next(values)
        full[:] = [True] * (trainer.counters.step == 15)
        return {"val/loss": trainer.metrics["val/loss"]}

    monkeypatch.setattr(trainer, "validate", validate)
    with pytest.raises(TrainingError, match="not saved"):
        trainer.fit()
    assert trainer.best.value == 2.0
    assert read(tmp_path / "checkpoints" / "best.ckpt")["best"]["value"] == 2.0


class Given:
    """A metric whose values are given."""

    def __init__(self, *values: float) -> None:
        self.values = iter(values)

    def reset(self) -> None: ...

    def update(self, predictions, targets) -> None: ...

    def compute(self) -> torch.Tensor:
        return torch.tensor(next(self.values))


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(("fails", "value", "step"), [(2, 3.0, 15), (3, 3.25, 25), (5, 3.0, 15)])
def test_the_record_of_the_best_is_that_of_best_ckpt_whichever_save_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: bool, fails: int, value: float, step: int
) -> None:
    commit, calls = Store._commit, []

    def failing(*args):
        calls.append(None)
        if len(calls) == fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return commit(*args)

    monkeypatch.setattr(Store, "_commit", failing)
    values = Given(5.0, 4.0, 3.0, 3.5, 3.25, 3.75)
    store = Store(tmp_path / "checkpoints", background=background)
    trainer = trainer_of(
        tmp_path, store=store, metrics={"given": values}, monitor="val/given", max_epochs=6, num_sanity_val_steps=0
    )
    trainer.fit()
    assert len(calls) >= fails
    assert (trainer.best.value, trainer.best.step) == (value, step)
    saved = read(store.best)
    assert (saved["counters"]["step"], saved["best"]["value"]) == (step, value)


class Signals(Callback):
    def on_fit_start(self, trainer) -> None:
        signal.raise_signal(signal.SIGTERM)


class Looks(Callback):
    def on_epoch_start(self, trainer) -> None:
        assert read(newest(trainer.store.folder))["counters"]["step"] == trainer.counters.step == 10


@pytest.mark.parametrize("callback", [Signals(), Looks()])
def test_a_run_from_elsewhere_can_be_gone_on_with_before_its_first_step(tmp_path: Path, callback: Callback) -> None:
    """A signal that comes at once leaves a checkpoint, and a kill finds one too."""
    trainer_of(tmp_path / "one").fit()
    trainer = trainer_of(tmp_path / "two", callback, max_epochs=3)
    trainer.resume(tmp_path / "one")
    trainer.fit()
    assert read(tmp_path / "two")["counters"]["step"] == (10 if isinstance(callback, Signals) else 15)


def test_a_best_one_that_is_damaged_does_not_keep_a_run_from_its_end(tmp_path: Path) -> None:
    values = {"metrics": {"given": Given(2.0, 3.0, 2.5)}, "monitor": "val/given", "num_sanity_val_steps": 0}
    trainer_of(tmp_path, **values).fit()
    best = tmp_path / "checkpoints" / "step-00000005.ckpt"
    data = bytearray(best.read_bytes())
    data[len(data) // 2] ^= 1
    best.write_bytes(data)
    again = trainer_of(tmp_path, max_epochs=3, **values)
    again.resume(newest(tmp_path / "checkpoints"))
    assert again.best.value is None
    assert [text for text in again.warnings if "the best checkpoint so far, of step 5, is lost" in text]
    again.fit()
    assert (again.best.value, again.best.step) == (2.5, 15)
    assert again.restore_best()


def test_a_fit_holds_its_folder_against_other_processes(tmp_path: Path) -> None:
    """Also one that was started from Python, without the command line."""
    codes = []

    class Rival(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            child = os.fork()
            if child == 0:
                try:
                    with held(tmp_path):
                        os._exit(0)
                except ConfigError:
                    os._exit(2)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    trainer_of(tmp_path, Rival()).fit()
    assert codes == [2]
    with held(tmp_path):
        pass
