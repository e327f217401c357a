"""Measure one contender in this process: ``python -m benchmark.measure CONTENDER WORK SAMPLES FITS RESULT``."""

import gc
import json
import resource
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from benchmark import contenders
from benchmark.works import STAMPS, Work, datasets


def fit(contender: str, work: Work) -> dict[str, float]:
    """Train once and return the CPU time of a step, without the first ones, and the validation accuracy."""
    STAMPS.clear()
    gc.collect()
    torch.manual_seed(1)
    accuracy = getattr(contenders, contender)(work)
    if len(STAMPS) != work.steps:
        raise RuntimeError(f"{contender} took {len(STAMPS)} steps, not {work.steps}")
    first = min(20, work.steps // 8)
    return {"step_us": 1e6 * (STAMPS[-1] - STAMPS[first]) / (len(STAMPS) - 1 - first), "accuracy": accuracy}


if __name__ == "__main__":
    contender, name, samples, fits, result = sys.argv[1:]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sets, done = datasets(int(samples)), []
    for _ in range(int(fits)):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            done.append(fit(contender, Work(*sets, Path(folder), features=name == "mlp-features")))
    peak = {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}  # Linux counts in KiB
    Path(result).write_text(json.dumps(min(done, key=lambda fit: fit["step_us"]) | peak))  # the least disturbed one
