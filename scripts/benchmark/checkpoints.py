"""Measure for how long a checkpoint stops the training: `scripts/bench ckpt`.

The state is that of a model of so many parameters with AdamW's two moments, 12 bytes a parameter. Each round saves it
once in each way, in an order that rotates, and deletes it again; ratios are taken within a round.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from trainkit.checkpoint import Store, read
from trainkit.timing import Moment

PLAIN, SYNCED, STORE, BACKGROUND = "torch.save", "torch.save + fsync", "Store", "Store, background"
WIDTH = 1024
HEAD = """| way | loop blocked s | ratio (min-max) | until on the disk s | peak MiB above the state |
| --- | ---: | ---: | ---: | ---: |"""

Seconds = tuple[float, float]
"""For which the loop was blocked, and until the file was on the disk, as far as the way cares."""


def state_of(parameters: int) -> dict[str, dict[str, torch.Tensor]]:
    """Return weights and moments in matrices of 1024 columns, some 4 million numbers each."""
    rows, largest = max(1, parameters // WIDTH), 4096
    sizes = [min(largest, rows - start) for start in range(0, rows, largest)]
    parts = ("model", "exp_avg", "exp_avg_sq")
    return {part: {f"layer.{n}.weight": torch.randn(size, WIDTH) for n, size in enumerate(sizes)} for part in parts}


def ways(state: dict[str, dict[str, torch.Tensor]], folder: Path) -> dict[str, Callable[[], Seconds]]:
    """Return what is compared: functions that save the state once."""
    stores = {name: Store(folder / name, background=name == BACKGROUND) for name in (STORE, BACKGROUND)}
    for store in stores.values():
        store.open(Moment(0.0, 0, 0.0))
    step = 0

    def save_plainly(sync: bool) -> Seconds:
        start = perf_counter()
        with open(folder / "plain.pt", "wb") as file:
            torch.save(state, file)
            if sync:
                os.fsync(file.fileno())
            done = perf_counter()
            os.fsync(file.fileno())  # leaves nothing to be written during the next measurement
        (folder / "plain.pt").unlink()
        return done - start, done - start

    def save(store: Store) -> Seconds:
        nonlocal step
        step += 1
        start = perf_counter()
        store.save(state, Moment(0.0, step, 0.0))
        blocked = perf_counter() - start
        store.flush()
        done = perf_counter() - start
        if store.failure:
            raise SystemExit(f"bench: {store.failure}")
        return blocked, done

    return {
        PLAIN: lambda: save_plainly(False),
        SYNCED: lambda: save_plainly(True),
        STORE: lambda: save(stores[STORE]),
        BACKGROUND: lambda: save(stores[BACKGROUND]),
    }


def memory(key: str) -> float:
    """Return MiB of this process: ``VmRSS`` now, or ``VmHWM``, the peak since it was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{key}:"))) / 1024


def main(arguments: list[str]) -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser("scripts/bench ckpt", description=__doc__)
    parser.add_argument("--parameters", type=int, default=100_000_000, help="of the model (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="a place on the disk to measure (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    options = parser.parse_args(arguments)
    bytes_needed = 12 * options.parameters
    if (free := shutil.disk_usage(options.folder).free) < 6 * bytes_needed:
        parser.error(f"{options.folder} has {free >> 20} MiB free, {6 * bytes_needed >> 20} are needed")
    state = state_of(options.parameters)
    baseline, rounds, first = memory("VmRSS"), [], {}
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        saves = ways(state, Path(name))
        order = list(saves)
        for number in range(options.rounds + 1):
            results = {}
            for way in order:
                Path("/proc/self/clear_refs").write_text("5")  # forget the peak
                before = memory("VmRSS")
                results[way] = saves[way]()
                peaks[way] = max(peaks.get(way, 0.0), memory("VmHWM") - (baseline if way == BACKGROUND else before))
            if number:  # in the first round files and buffers are new
                rounds.append(results)
            else:
                first = results
            order.append(order.pop(0))
            print(f"round {number} of {options.rounds} done", file=sys.stderr)
        whole = read(Path(name) / BACKGROUND)
        if any(not torch.equal(whole[part][key], tensor) for part in state for key, tensor in state[part].items()):
            raise SystemExit("bench: what was read back is not what was saved")
    threads = torch.get_num_threads()
    print(f"{options.parameters} parameters with AdamW state, {bytes_needed >> 20} MiB, {len(rounds)} rounds, ", end="")
    print(f"{threads} threads, ratios to {PLAIN}\n\n{HEAD}")
    for way in saves:
        ratios = [results[way][0] / results[PLAIN][0] for results in rounds]
        cells = [way, f"{median(results[way][0] for results in rounds):.3f}"]
        cells += [f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"]
        cells += [f"{median(results[way][1] for results in rounds):.3f}", f"{peaks[way]:.0f}"]
        print(f"| {' | '.join(cells)} |")
    blocked, plain = first[BACKGROUND][0], first[PLAIN][0]
    print(f"\nThe first save in the background, which makes its buffers: {blocked:.3f} s, {blocked / plain:.2f}")
    if options.json:
        record = {"parameters": options.parameters, "first": first, "rounds": rounds, "peaks_mib": peaks}
        options.json.write_text(json.dumps(record, indent=2))
