"""Checkpoints: written whole or not at all, and read back safely."""

from trainkit.checkpoint.migrations import FORMAT as FORMAT
from trainkit.checkpoint.reading import find as find
from trainkit.checkpoint.reading import newest as newest
from trainkit.checkpoint.reading import problem as problem
from trainkit.checkpoint.reading import read as read
from trainkit.checkpoint.store import NoStore as NoStore
from trainkit.checkpoint.store import Store as Store
