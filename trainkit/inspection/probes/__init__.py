"""Exact probes: what must not change an evaluation, and whether it does; and an audit of the data."""
