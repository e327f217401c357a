"""The doctor's note: what is wrong with a training, in at most five sentences."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from trainkit.callbacks.callback import Callback
from trainkit.callbacks.progress import StandardOutput
from trainkit.diagnostics.diagnostic import Diagnostic
from trainkit.diagnostics.symptoms import sentences
from trainkit.errors import ConfigError

if TYPE_CHECKING:
    from trainkit.trainer import Trainer

log = logging.getLogger("trainkit")

NOTHING = "nothing to say"


class Doctor(Callback):
    """Writes a note at the end of a run on what the diagnostics beside it found: the weightiest first, with a cure.

    It goes to the terminal, to ``log.txt``, to the loggers as a text, and as ``doctor`` into ``summary.json``. A run
    that an error ended gets one too, if there is something to say.

    Args:
        every_n_epochs: Write one after so many epochs too, where it says something else than the one before; None: at
            the end only.
        sentences: The most sentences.
        console: Where to write; None takes the standard output.
    """

    def __init__(self, every_n_epochs: int | None = None, sentences: int = 5, console: Console | None = None) -> None:
        for key, value in {"every_n_epochs": every_n_epochs, "sentences": sentences}.items():
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(f"diagnostics.doctor.{key}={value}: must be a whole number, at least 1")
        self.every_n_epochs, self.sentences = every_n_epochs, sentences
        self._console = console
        self.note: list[str] = []
        """The sentences of the last note; none where there was nothing to say."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write a note in every n-th epoch, if there is something to say that was not said already."""
        if self.every_n_epochs is None or trainer.counters.epoch % self.every_n_epochs:
            return
        if _headlines(self.diagnose(trainer)) != _headlines(self.note):
            self._write(trainer, f"doctor's note after epoch {trainer.counters.epoch}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write the note, unless the process must go."""
        if trainer.ending.status != "preempted":
            self._write(trainer, "doctor's note")

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Write the note on a run that failed, if there is something to say."""
        if isinstance(error, Exception) and self.diagnose(trainer):
            self._write(trainer, "doctor's note")

    def diagnose(self, trainer: Trainer) -> list[str]:
        """Return the sentences of a note on the run so far."""
        diagnostics = [callback for callback in trainer.callbacks.values() if isinstance(callback, Diagnostic)]
        return sentences((s for diagnostic in diagnostics for s in diagnostic.symptoms(trainer)), self.sentences)

    def _write(self, trainer: Trainer, title: str) -> None:
        self.note = self.diagnose(trainer)
        numbered = [f"{number}. {sentence}" for number, sentence in enumerate(self.note, 1)]
        lines = [f"{title}:", *numbered] if numbered else [f"{title}: {NOTHING}"]
        log.info("\n".join(lines))
        for line in lines:
            (self._console or StandardOutput()).print(Text(line), soft_wrap=True)
        trainer.loggers.text("doctor", "\n".join(numbered) or NOTHING.capitalize(), trainer.counters)


def _headlines(note: list[str]) -> list[str]:
    """Return what a note says without its numbers, which change from epoch to epoch."""
    return [sentence.partition(":")[0] for sentence in note]
