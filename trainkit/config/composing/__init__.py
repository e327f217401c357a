"""Composing a config from a command line and the files behind it, with all mistakes at once. Imports no torch."""
