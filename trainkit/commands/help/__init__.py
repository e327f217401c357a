"""``--help`` and ``trainkit help``: answers at once, without torch."""
