"""Diagnostics: callbacks that look at every k-th step from within, and the doctor's note on what they saw."""

from typing import Any

from trainkit.diagnostics.activations import Activations as Activations
from trainkit.diagnostics.clipping import Clipping as Clipping
from trainkit.diagnostics.gradients import Gradients as Gradients
from trainkit.diagnostics.histograms import Histograms as Histograms
from trainkit.diagnostics.learning import Learning as Learning
from trainkit.diagnostics.symptoms import Symptom as Symptom
from trainkit.diagnostics.throughput import Throughput as Throughput
from trainkit.diagnostics.updates import Updates as Updates


def __getattr__(name: str) -> Any:
    if name == "Doctor":  # rich is imported only for those who want to see it
        from trainkit.diagnostics.doctor import Doctor

        return Doctor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
