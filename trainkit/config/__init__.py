"""Configs: composing, checking and building. Nothing outside this package imports Hydra or OmegaConf."""
