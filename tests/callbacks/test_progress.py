"""A bar on a terminal, plain lines elsewhere, and next to nothing per step."""

import io
import re
import timeit
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import TensorDataset

from trainkit import Callback, Loader, Trainer, supervised
from trainkit.callbacks import Progress
from trainkit.callbacks.progress import NEVER

ESCAPE = "\x1b"


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Fails(Callback):
    def on_epoch_end(self, trainer: Any) -> None:
        raise RuntimeError("on purpose")


def trainer_with(*callbacks: Callback, **settings: Any) -> Trainer:
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(40, 4), torch.randint(3, (40,)))
    model = nn.Linear(4, 3)
    settings = {"max_epochs": 3, "log_every_n_steps": 2, "monitor": "val/accuracy", "mode": "max"} | settings
    return Trainer(
        model,
        supervised(nn.CrossEntropyLoss()),
        torch.optim.SGD(model.parameters(), lr=0.05),
        Loader(data, batch_size=10, shuffle=True),
        Loader(data, batch_size=20),
        callbacks=list(callbacks),
        **settings,
    )


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def shown_on_a_terminal(*callbacks: Callback, **settings: Any) -> str:
    """Train with the bar on a terminal of 80 columns and return all that was written to it."""
    console = Console(file=Terminal(), width=80, legacy_windows=False)
    assert console.is_interactive
    trainer_with(Progress(console), *callbacks, **settings).fit()
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


LINE = (
    r"epoch {}/3  train/loss \d\.\d+  val/loss \d\.\d+  val/accuracy \d\.\d+  lr 0\.05  "
    r"samples/s [\d,]+  \d+\.\d s"
)


def test_without_a_terminal_one_plain_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = trainer_with(Progress())
    trainer.fit()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3, "the sanity validation shows nothing"
    for epoch, line in enumerate(lines, 1):
        assert re.fullmatch(LINE.format(epoch), line), line
    assert f"train/loss {trainer.metrics['train/loss_epoch']:#.4g}  " in lines[-1]
    assert f"val/accuracy {trainer.metrics['val/accuracy']:#.4g}  " in lines[-1]


@pytest.mark.parametrize("variable", ["TERM", "FORCE_COLOR"])
def test_neither_a_dumb_terminal_nor_a_coloured_file_is_animated(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, {"TERM": "dumb", "FORCE_COLOR": "1"}[variable])
    file = Terminal() if variable == "TERM" else io.StringIO()
    trainer_with(Progress(Console(file=file))).fit()
    assert ESCAPE not in file.getvalue()
    assert len(file.getvalue().splitlines()) == 3


def test_an_epoch_that_was_not_finished_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    trainer_with(Progress(), max_steps=6).fit()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3"]


def test_a_long_line_is_not_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    trainer_with(Progress(), max_epochs=1).fit()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_on_a_terminal_a_bar_with_values_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainkit.callbacks.progress.INTERVAL", 0.0)
    text = without_escapes(shown_on_a_terminal())
    assert re.search(r"epoch 2/3 [━╸╺]+ +3/4", text)
    assert re.search(r"epoch 3/3 [━╸╺]+ +4/4", text)
    assert re.search(r"loss \d\.\d+  val/accuracy \d\.\d+  lr 0\.05  samples/s [\d,]+  ETA 0:00", text)
    assert "epoch 4" not in text
    assert max(map(len, re.split(r"[\r\n]+", text))) <= 80


def test_the_bar_is_drawn_a_few_times_a_second_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainkit.callbacks.progress.INTERVAL", NEVER)
    text = without_escapes(shown_on_a_terminal())
    counts = re.findall(r"epoch (\d)/3 [━╸╺]+ +(\d)/4", text)
    assert set(counts) == {("1", "0"), ("3", "4")}, "between the start and the end of the fit nothing was due"


@pytest.mark.parametrize("callbacks", [(), (Fails(),)], ids=["end", "exception"])
def test_the_bar_is_closed(callbacks: tuple[Callback, ...]) -> None:
    console = Console(file=Terminal(), width=80, legacy_windows=False)
    progress = Progress(console)
    trainer = trainer_with(progress, *callbacks)
    if callbacks:
        with pytest.raises(RuntimeError, match="on purpose"):
            trainer.fit()
    else:
        trainer.fit()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count(f"{ESCAPE}[?25l") == text.count(f"{ESCAPE}[?25h") == 1, "the cursor is shown again"
    assert progress._bar is None


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = r"\x1b\[[0-9;]*3[0-9](;5;\d+|;2;[\d;]+)?m"
    assert re.search(colour, shown_on_a_terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(colour, shown_on_a_terminal())


def test_a_training_of_unknown_length_has_a_bar_without_an_end() -> None:
    console = Console(file=Terminal(), width=80, legacy_windows=False)
    like = trainer_with()
    trainer = Trainer(
        like.model,
        like.objective,
        like.optimizer,
        _Stream(list(like.train_loader)),
        callbacks=[Progress(console)],
        max_epochs=2,
    )
    trainer.fit()
    text = without_escapes(console.file.getvalue())  # type: ignore[attr-defined]
    assert re.search(r"epoch 2/2 ━+ +4/\?", text)
    assert "ETA" not in text


class _Stream:
    """Batches whose number nobody knows."""

    def __init__(self, batches: list[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        return iter(self._batches)


def test_the_time_left_goes_by_the_steps_of_this_fit() -> None:
    progress = Progress()
    trainer = trainer_with(progress)
    progress.on_fit_start(trainer)
    assert progress._time_left(trainer) == ""
    trainer.counters.step = 4
    progress._fit_started -= 4 * 1800.0
    assert progress._time_left(trainer) == "4:00:00"


def test_a_step_costs_less_than_a_microsecond() -> None:
    hook = Progress().on_step_end
    output: Any = object()  # not looked at, so nothing waits for the device
    seconds = min(timeit.repeat(lambda: hook(output, output), number=20_000, repeat=7)) / 20_000
    assert seconds < 1e-6
