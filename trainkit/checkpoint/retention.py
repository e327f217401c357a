"""Which checkpoints a run may delete."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from trainkit.checkpoint.manifest import Manifest
from trainkit.timing import Duration


def superfluous(
    present: Sequence[Manifest],
    live: Sequence[Manifest],
    linked: Collection[str],
    *,
    keep_last: int,
    keep_best: int,
    keep_every: Duration | None,
) -> list[Manifest]:
    """Return the checkpoints that nothing asks to keep, the oldest first.

    Args:
        present: All there are.
        live: Those of the run as it went, without what lay ahead of the point that it was resumed from.
        linked: Names that ``last.ckpt`` and ``best.ckpt`` name.
        keep_last: So many of the newest by serial stay.
        keep_best: So many with the highest scores stay.
        keep_every: The first checkpoint after each such duration stays for good.
    """
    order = sorted(present, key=lambda one: (one.serial, one.step))
    kept = set(linked) | {one.name for one in order[-keep_last:]} | {one.name for one in best_of(live, keep_best)}
    if planned := newest_regular(live):
        kept.add(planned.name)
    if keep_every is not None:
        for part in (live, [one for one in present if one not in live]):
            kept |= {one.name for one in _first_of_each(part, keep_every)}
    return [one for one in order if one.name not in kept]


def best_of(live: Sequence[Manifest], number: int) -> list[Manifest]:
    """Return the checkpoints with the highest scores; of equal ones the older."""
    scored = [(-one.score, one.serial, one) for one in live if one.score is not None]
    return [one for _, _, one in sorted(scored, key=lambda entry: entry[:2])[:number]]


def newest_regular(live: Sequence[Manifest]) -> Manifest | None:
    """Return the newest checkpoint that was planned, not asked for by a signal."""
    return max((one for one in live if one.regular), key=lambda one: one.serial, default=None)


def _first_of_each(part: Sequence[Manifest], every: Duration) -> list[Manifest]:
    first: dict[int, Manifest] = {}
    for one in sorted(part, key=lambda one: one.serial):
        if one.serial and (count := every.count(one.moment)):
            first.setdefault(count, one)
    return list(first.values())
