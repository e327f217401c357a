"""The fixtures of ``runs``, for all tests of faults."""

from runs import faulty as faulty
from runs import start as start
from runs import trainkit as trainkit
