"""The Hydra config groups, as package data: `trainkit.configs` in a wheel, `configs/` in a checkout."""
