"""The typed schema of every key of trainkit's own and of the classes that its configs ship. Imports no torch."""
