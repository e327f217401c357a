"""Recording a run step by step, as digests, and ending its process where a plan says so: see ``verify-resume``."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainkit.callbacks.callback import Callback
from trainkit.callbacks.digests import GENERATORS, attributes, digest, digests, sample_digests
from trainkit.data.loader import Loader

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer

JOURNAL, PLAN = "journal.jsonl", "plan.json"
OF_THE_CLOCK = ("seconds", "time", "per_second")
"""The last word in the name of a number that a clock gives; no two runs agree on it."""
TRAINED = ("model", "optimizer", "schedule", "averaging", "precision")
"""Parts of a state in which a name does not make a clock of anything."""
MOMENTS = {
    "before": "before the update",
    "gradients": "between gradients and update",
    "after": "after the update",
    "save": "inside a save",
    "validation": "inside a validation",
    "end": "at the very end",
}
_write, _fsync, _replace = os.write, os.fsync, os.replace  # as they are before a save is about to be cut


class Recorder(Callback):
    """Writes a line for each step with the digest of all that shaped it, and stops the run after ``steps``.

    It draws no random number and changes nothing that a checkpoint holds. ``journal.jsonl`` is only ever appended to,
    a line by one system call, so that a kill loses none; runs of the same folder go on with the same journal. Where
    ``plan.json`` lists kills, each process of the run takes the first that is left, and ends itself by SIGKILL there:
    at its moment of the first step from its number on, at the end of the fit if that moment never came.

    Args:
        folder: Where ``journal.jsonl`` goes and ``plan.json`` may be.
        steps: Stop the run after this many optimizer steps.
    """

    def __init__(self, folder: str, steps: int) -> None:
        self.folder, self.steps = Path(folder), steps
        self._process = 0
        self._kill: dict[str, Any] | None = None
        self._batch: dict[str, Any] = {}
        self._expected: Iterator[Any] | None = None
        self._at_start: dict[str, tuple[str, str]] = {}

    def on_fit_start(self, trainer: Trainer) -> None:
        """Note the start, look up this process's kill, and see each batch and each validation step from now on."""
        before = read_journal(self.folder)
        self._process = sum(line["kind"] == "start" for line in before)
        kills = sum(line["kind"] == "kill" for line in before)
        plan = json.loads(path.read_text()) if (path := self.folder / PLAN).exists() else []
        self._kill = plan[kills] if kills < len(plan) else None
        self._at_start = hidden(trainer)
        self._note(
            "start",
            trainer,
            threads=torch.get_num_threads(),
            parameters=_parameters(trainer),
            generators={path: kind for path, (kind, _) in self._at_start.items() if kind in GENERATORS.values()},
        )
        self._watch(trainer)
        if self._kill and self._kill["moment"] == "save" and self._kill["step"] <= trainer.counters.step:
            self._cut_a_save(trainer)
        if trainer.counters.step >= self.steps:
            trainer.stop(self._reason)

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Look up which samples the epoch's rest is to hold."""
        self._expected = None
        if isinstance(loader := trainer.train_loader, Loader):
            epoch = 0 if trainer.settings.overfit_batches else trainer.counters.epoch
            self._expected = loader.indices(epoch, trainer.counters.batch)

    def on_gradients(self, trainer: Trainer) -> None:
        """Note the gradients."""
        named = trainer.model.named_parameters()
        self._batch["gradients"] = {name: digest(p.grad) for name, p in named if p.grad is not None}
        self._die(trainer, "gradients", trainer.counters.step + 1)

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        """Write the line of the step; stop the run if it was the last."""
        self._note("step", trainer, loss=digest(output.loss.detach()), state=_state(trainer), **self._batch)
        self._die(trainer, "after", trainer.counters.step)
        if self._kill and self._kill["moment"] == "save" and self._kill["step"] <= trainer.counters.step:
            self._cut_a_save(trainer)
        if trainer.counters.step >= self.steps:
            trainer.stop(self._reason)

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Write what a validation gave."""
        values = {name: digest(value) for name, value in metrics.items() if not is_of_the_clock(name)}
        self._note("validation", trainer, metrics=values)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write that an epoch is over."""
        self._note("epoch", trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Carry out a kill whose moment never came, and note what changed of what no checkpoint holds."""
        if self._kill:
            self._carry_out(trainer, "end")
        now = hidden(trainer)
        moved = {path: kind for path, (kind, value) in now.items() if self._at_start.get(path, (kind, ""))[1] != value}
        self._note("end", trainer, moved=moved)
        self._unwatch(trainer)

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Leave the trainer as it was."""
        self._unwatch(trainer)

    @property
    def _reason(self) -> str:
        return f"{self.steps} steps recorded"

    def _watch(self, trainer: Trainer) -> None:
        """Step between the loop and its two methods, whichever class they are of."""
        train_step, eval_step = trainer.train_step, trainer.eval_step

        def watched(window: Sequence[Any]) -> Output:
            self._batch = self._seen(window)
            self._die(trainer, "before", trainer.counters.step + 1)
            return train_step(window)

        def watched_eval(model: torch.nn.Module, batch: Any) -> Output:
            output = eval_step(model, batch)
            self._die(trainer, "validation", trainer.counters.step)
            return output

        trainer.train_step = watched  # type: ignore[method-assign]
        trainer.eval_step = watched_eval  # type: ignore[method-assign]

    @staticmethod
    def _unwatch(trainer: Trainer) -> None:
        """Let go of the trainer: in a circle of references it would outlive the fit, and its workers with it."""
        for name in ("train_step", "eval_step"):
            vars(trainer).pop(name, None)

    def _seen(self, window: Sequence[Any]) -> dict[str, Any]:
        """Return which samples each batch of a window holds, as the loader orders them, and what is in it."""
        indices = [] if self._expected is None else [next(self._expected).tolist() for _ in window]
        samples = [sample_digests(batch, len(chosen)) for batch, chosen in zip(window, indices, strict=False)]
        return {"indices": indices, "samples": samples, "batches": digests(list(window))}

    def _die(self, trainer: Trainer, moment: str, step: int) -> None:
        if self._kill and self._kill["moment"] == moment and self._kill["step"] <= step:
            self._carry_out(trainer, moment)

    def _carry_out(self, trainer: Trainer, moment: str) -> None:
        """End the process as the machine would, once the journal says so."""
        self._note("kill", trainer, moment=moment, sync=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def _cut_a_save(self, trainer: Trainer) -> None:
        """End the process at one of the next calls that make a file: before, after, or halfway through a write."""
        assert self._kill is not None
        left, late = self._kill["call"], self._kill["late"]

        def cutting(call: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0 and not late:
                    if call is _write:
                        _write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    self._carry_out(trainer, "save")
                result = call(*arguments, **named)
                if left < 0:
                    self._carry_out(trainer, "save")
                return result

            return counted

        os.write, os.fsync, os.replace = cutting(_write), cutting(_fsync), cutting(_replace)

    def _note(self, kind: str, trainer: Trainer, *, sync: bool = False, **more: Any) -> None:
        counters = trainer.counters
        line = {"kind": kind, "process": self._process, "position": counters.total_batches, "step": counters.step}
        line |= {"epoch": counters.epoch, "batch": counters.batch, **more}
        append(self.folder / JOURNAL, line, sync=sync)


def append(path: Path, line: dict[str, Any], *, sync: bool = False) -> None:
    """Append a line of JSON by one system call; after a line that was cut off, on a new one."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        rest = memoryview(b"\n" * torn + json.dumps(line).encode() + b"\n")
        while rest:
            rest = rest[_write(descriptor, rest) :]
        if sync:
            _fsync(descriptor)
    finally:
        os.close(descriptor)


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal in the order in which they were written, none where there is no journal."""
    path, lines = folder / JOURNAL, []
    for text in path.read_bytes().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:  # cut off by a kill
            continue
    return lines


def is_of_the_clock(path: str) -> bool:
    """Say whether the number of this name, or at this path of a state, is that of a time or a speed."""
    if path.partition(".")[0] in TRAINED:
        return False
    return re.search(rf"(^|[/._])({'|'.join(OF_THE_CLOCK)})$", path) is not None


def hidden(trainer: Trainer) -> dict[str, tuple[str, str]]:
    """Return what the data set, model, objective and callbacks of the user hold outside of any checkpoint."""
    data = getattr(trainer.train_loader, "dataset", trainer.train_loader)
    roots = {"model": trainer.model, "objective": trainer.objective, "data.train": data}
    found: dict[str, tuple[str, str]] = {}
    for name, root in roots.items():
        found |= attributes(root, name)
    for name, callback in trainer.callbacks.items():
        if not type(callback).__module__.startswith("trainkit."):
            saved = callback.state_dict()
            inside = attributes(callback, f"callbacks.{name}").items()  # callbacks.NAME.ATTRIBUTE...
            found |= {path: value for path, value in inside if path.split(".")[2] not in saved}
    return found


def _state(trainer: Trainer) -> dict[str, str]:
    """Return the digest of each item of what a checkpoint of this moment would hold, but for the clock's."""
    state = digests({name: part for name, part in trainer.state_dict().items() if name != "about"})
    return {path: value for path, value in state.items() if not is_of_the_clock(path)}


def _parameters(trainer: Trainer) -> list[str]:
    """Return the names of the optimizer's parameters, in the order by which its state numbers them."""
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    return [names.get(id(p), "") for group in trainer.optimizer.param_groups for p in group["params"]]
