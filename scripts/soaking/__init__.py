"""Long tests of killed runs: ``scripts/soak``."""
