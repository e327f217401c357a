"""Checkpoints: written whole or not at all, and read back safely."""

from trainkit.checkpoint.store import NoStore as NoStore
from trainkit.checkpoint.store import Store as Store
from trainkit.checkpoint.store import find as find
from trainkit.checkpoint.store import read as read
