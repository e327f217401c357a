"""The checkpoints of a run: ``step-N.ckpt`` files with manifests, and the links ``last.ckpt`` and ``best.ckpt``."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import IO, Any, cast

import torch

from trainkit.checkpoint import disk
from trainkit.checkpoint.copies import Buffers, blocks, compacted
from trainkit.checkpoint.files import (
    TEMPORARY,
    link_atomically,
    make_folder,
    probe,
    remove,
    write_atomically,
    write_text,
)
from trainkit.checkpoint.index import free_path, holds_a_run, of_step, present_in, take_over
from trainkit.checkpoint.manifest import Manifest, manifest_path
from trainkit.checkpoint.migrations import FORMAT
from trainkit.checkpoint.plain import Unsavable, are_finite, rebuilt, survey
from trainkit.checkpoint.reading import problem, set_aside
from trainkit.checkpoint.retention import newest_regular, superfluous
from trainkit.checkpoint.writer import Writer
from trainkit.errors import ConfigError, TrainingError
from trainkit.timing import Every, Moment, duration

RETRY_SECONDS = 60.0
"""After a save that failed, another is due this much later, if none is before."""

logger = logging.getLogger("trainkit")


class Store:
    """A folder of checkpoints, each written whole before an older one goes.

    A save writes the file, then its manifest, then the links, each under another name first, put on the disk and
    renamed; the manifest is what makes it count. An error of the file system ends no training: it is warned of, stands
    in ``failure``, and the next save tries again.

    Args:
        folder: Made when it is opened.
        every: How often to save besides at the end, such as ``"1ep"``, ``"500st"`` or ``"30min"``; None: only then.
        keep_last: How many of the newest to keep, at least 2: the newest may turn out to be damaged.
        keep_best: How many of the best to keep, by the monitored metric.
        keep_every: Keep one for each such duration for good, such as ``"10ep"``.
        background: Copy the state and let a thread write it, so that training waits for the copy only.
    """

    failure: str | None = None
    """Why the last save failed; None if it did not."""
    lost_best = False
    """Whether one that was to be the best failed; whoever keeps the record takes that in, and sets it back."""

    def __init__(
        self,
        folder: str | Path,
        *,
        every: str | None = "1ep",
        keep_last: int = 2,
        keep_best: int = 1,
        keep_every: str | None = None,
        background: bool = False,
    ) -> None:
        for name, number in (("keep_last", keep_last), ("keep_best", keep_best)):
            if type(number) is not int:
                raise ConfigError(f"checkpoint.{name}={number}: must be a whole number")
        if not isinstance(background, bool):
            raise ConfigError(f"checkpoint.background={background}: must be true or false")
        if keep_last < 2:
            raise ConfigError(
                f"checkpoint.keep_last={keep_last}: must be at least 2, so that one is left if the newest is damaged"
            )
        if keep_best < 1:
            raise ConfigError(f"checkpoint.keep_best={keep_best}: must be at least 1; the best one always stays")
        self.folder, self.background = Path(folder), background
        self.keep_last, self.keep_best = keep_last, keep_best
        self.keep_every = duration(keep_every) if keep_every else None
        self.about: dict[str, Any] = {}
        self._every = Every(duration(every) if every else None)
        self._writer, self._buffers = Writer(), Buffers()
        self._present: tuple[Manifest, ...] | None = None
        self._abandoned: frozenset[str] = frozenset()
        self._undeletable: set[str] = set()
        self._requested = self._regular = self._warned_of_space = self._is_full = False
        self._retry_at = 0.0

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def best(self) -> Path:
        return self.folder / "best.ckpt"

    @property
    def regular(self) -> Path | None:
        """The newest checkpoint that was saved by plan (``every``, or as the best), not for a signal or at an end."""
        self.flush()
        newest = newest_regular(self._live)
        return self.folder / newest.name if newest else None

    def open(self, moment: Moment) -> None:
        """Make the folder, sweep out what a crash left half-written, and count what is due from ``moment`` on.

        Raises:
            ConfigError: If nothing can be written there, or a run that starts would write over another one.
        """
        self.flush()
        starts = moment.epochs == 0 and moment.steps == 0
        if starts and holds_a_run(self.folder):
            raise ConfigError(
                f"{self.folder} holds the checkpoints of a run: resume it, or give another run_dir to keep it"
            )
        try:
            make_folder(self.folder)
            for leftover in self.folder.glob(f"{TEMPORARY}*"):
                os.unlink(leftover)
            for copy in present_in(self.folder) if starts else ():  # of a run from elsewhere that died at once
                self._delete(copy)
                remove(self.best)
            probe(self.folder)
        except OSError as error:
            raise self._unwritable(error) from None
        self._present = present_in(self.folder)
        self._abandoned = frozenset(one.name for one in self._present if one.serial and one.step > moment.steps)
        self._every.start(moment)
        self._warn_if_short(max((one.size for one in self._present), default=0))

    def is_due(self, moment: Moment) -> bool:
        """Say whether it is time for a checkpoint; raises what a save in the background raised."""
        self._writer.settle(wait=False)
        planned = self._every.is_due(moment)
        self._regular |= planned
        again = self.failure is not None and moment.seconds >= self._retry_at
        if self._requested:
            self._requested, again = False, True
        return planned or again

    def request(self) -> None:
        """Let the next ``is_due`` say yes; may be called by a signal handler."""
        self._requested = True

    def ranks(self, score: float | None) -> bool:
        """Say whether a checkpoint of this score, higher is better, would be among the ``keep_best`` best."""
        if score is None or not isfinite(score):
            return False
        return sum(one.score is not None and one.score >= score for one in self._live) < self.keep_best

    def check(self, state: dict[str, Any]) -> None:
        """Refuse a state that could not be saved, before any training is spent on it.

        Raises:
            ConfigError: Naming the dotted path, such as ``callbacks.mine.fn``, its type, and what to return instead.
        """
        try:
            survey({"about": self.about, **state})
        except Unsavable as error:
            raise ConfigError(str(error)) from None

    def save(
        self, state: dict[str, Any], moment: Moment, *, best: bool = False, score: float | None = None
    ) -> Path | None:
        """Write ``state``, tensors and plain types, as the newest checkpoint, and as the best one if it is.

        Args:
            state: Saved as it is now, whatever becomes of it while a thread writes it.
            moment: Where the run stands.
            best: Whether ``best.ckpt`` is to name it.
            score: How good it is, higher is better.

        Returns:
            The file; None if it is not there: an error of the file system stands in ``failure``, or a thread writes it.

        Raises:
            TrainingError: If a weight is not finite, so that what is saved is always good to go on from, or if the
                state holds something else than tensors and plain types.
        """
        self.flush()
        regular, self._regular = self._regular or best, False
        weights = {part: state.get(part) or {} for part in ("model", "averaging")}
        if not all(are_finite(part) for part in weights.values()):
            raise TrainingError(
                f"step {moment.steps}: a weight is not finite, so nothing was saved; the last good ones are in "
                f"{self.folder}. Try a smaller optimizer.lr or trainer.gradient_clip_val=1.0"
            )
        content = {"format": FORMAT, "about": self.about, **state}
        try:
            found = blocks(survey(content))
        except Unsavable as error:
            raise TrainingError(f"step {moment.steps}: nothing was saved: {error}") from None
        content = rebuilt(content, self._buffers.copied(found) if self.background else compacted(found))
        score = None if score is None or not isfinite(score) else float(score)
        planned = Manifest("", 0, moment, score, best, regular, {})
        attempt = partial(self._attempt, content, planned, sum(block.size for block in found))
        if not self.background:
            return attempt()
        self._writer.start(attempt)
        return None

    def flush(self) -> None:
        """Wait for the checkpoint that a thread writes, and raise what it raised."""
        self._writer.settle(wait=True)

    def adopt_best(self, source: Path, step: int) -> bool:
        """Let ``best.ckpt`` name the checkpoint of ``step`` that stands beside ``source``, copied if that is elsewhere.

        Returns False if there is none: it was moved away or damaged, or a run went on from there and found a better
        one. ``best.ckpt`` is then gone until a better one is saved.

        Raises:
            ConfigError: If it cannot be copied.
        """
        self.flush()
        folder = source.resolve().parent
        best = of_step(folder, step)
        try:
            if folder != self.folder.resolve():
                make_folder(self.folder)
                best = take_over(best, self.folder) if best else None
            elif best not in (None, source.resolve()) and (reason := problem(best)):
                set_aside(best, reason, source)
                best = None
            if best is not None:
                link_atomically(self.best, best.name)
            else:
                remove(self.best)
        except OSError as error:
            raise self._unwritable(error) from None
        self._present = present_in(self.folder)
        return best is not None

    @property
    def _known(self) -> tuple[Manifest, ...]:
        """What is in the folder; read when it is first needed, and kept by this run alone from there on."""
        if self._present is None:
            self._present = present_in(self.folder)
        return self._present

    @property
    def _live(self) -> list[Manifest]:
        """Without what lay ahead of the moment that the run was resumed from."""
        return [one for one in self._known if one.name not in self._abandoned]

    def _attempt(self, content: dict[str, Any], planned: Manifest, needed: int) -> Path | None:
        """Save, and note an error of the file system; the training goes on without this checkpoint."""
        moment = planned.moment
        try:
            if self._is_full and disk.free(self.folder) < needed:  # do not fill up the little that is left
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            path = self._commit(content, planned)
        except OSError as error:
            reason = disk.reason(error, self.folder.absolute(), needed)
            good = max((one for one in self._known if one.serial), key=lambda one: one.serial, default=None)
            reason += f"; last good: step {good.step}" if good else "; nothing was saved before"
            if self.failure is None:
                logger.warning(
                    "THE CHECKPOINT OF STEP %d WAS NOT SAVED: %s. Training goes on, and the next save tries again",
                    moment.steps,
                    reason,
                )
            self._is_full = error.errno in disk.SPACE
            self.failure, self._retry_at = reason, moment.seconds + RETRY_SECONDS
            self.lost_best |= planned.best
            return None
        if self.failure is not None:
            logger.info("step %d: checkpoints are saved again", moment.steps)
        self.failure, self._is_full = None, False
        self._prune()
        self._warn_if_short(self._known[-1].size)
        return path

    def _commit(self, content: dict[str, Any], planned: Manifest) -> Path:
        """Put a checkpoint on the disk: the file, the manifest, from which on it counts, and the links."""
        path = free_path(self.folder, planned.step)
        written = write_atomically(path, lambda stream: torch.save(content, cast(IO[bytes], stream)))
        serial = 1 + max((one.serial for one in self._known), default=0)
        manifest = replace(planned, name=path.name, serial=serial, files={path.name: written})
        try:
            write_text(manifest_path(path), manifest.text())
        except BaseException:
            if not os.path.lexists(manifest_path(path)):
                remove(path)
            raise
        self._present = (*self._known, manifest)
        if manifest.best:  # before the last one: killed in between, the run goes on from before and finds it best again
            link_atomically(self.best, path.name)
        link_atomically(self.last, path.name)
        return path

    def _prune(self) -> None:
        """Delete what is not to be kept; the newest is safe by now. What cannot be deleted is tried again."""
        linked = {os.readlink(link) for link in (self.last, self.best) if link.is_symlink()}
        gone = superfluous(
            self._known,
            self._live,
            linked,
            keep_last=self.keep_last,
            keep_best=self.keep_best,
            keep_every=self.keep_every,
        )
        for old in gone:
            try:
                self._delete(old)
            except OSError as error:
                if old.name not in self._undeletable:
                    logger.warning("%s cannot be deleted: %s", self.folder / old.name, error.strerror)
                self._undeletable.add(old.name)
            else:
                self._present = tuple(one for one in self._known if one.name != old.name)

    def _delete(self, old: Manifest) -> None:
        """Delete the file before its manifest: cut short, what is left is known to be nothing."""
        for path in (self.folder / old.name, manifest_path(self.folder / old.name)):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _warn_if_short(self, size: int) -> None:
        """Warn once if two more checkpoints do not fit: the next is written before an old one goes."""
        if not size or self._warned_of_space or (free := disk.free(self.folder)) >= 2 * size:
            return
        self._warned_of_space = True
        logger.warning(
            "%s (%s) is almost full: a checkpoint takes %s, and %s are free. Make room, or keep fewer",
            disk.device(self.folder),
            self.folder.absolute(),
            disk.in_words(size),
            disk.in_words(free),
        )

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(f"checkpoints cannot be written to {self.folder.absolute()}: {error.strerror}")


class NoStore(Store):
    """The store of a run without a folder: nothing is ever due."""

    def __init__(self) -> None:
        super().__init__(os.devnull, every=None)

    @property
    def regular(self) -> Path | None:
        """None."""
        return None

    def open(self, moment: Moment) -> None:
        """Need nothing."""

    def request(self) -> None:
        """Have nothing to save to."""

    def ranks(self, score: float | None) -> bool:
        """Say no: nothing is kept."""
        return False

    def check(self, state: dict[str, Any]) -> None:
        """Take any state: it is not saved."""

    def adopt_best(self, source: Path, step: int) -> bool:
        """Keep the record of the best, though not its weights."""
        return True

    def save(
        self, state: dict[str, Any], moment: Moment, *, best: bool = False, score: float | None = None
    ) -> Path | None:
        """Save nothing."""
        return None
