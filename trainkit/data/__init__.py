"""Data: the keyed loader and the splits of a run."""

from trainkit.data.loader import Loader as Loader
from trainkit.data.splits import Splits as Splits
