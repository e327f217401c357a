"""The recipe is sound, and it learns what its head promises."""

from pathlib import Path

import torch
import trainkit

from my_project.__main__ import config_dir
from my_project.data import spirals
from my_project.model import Net


def test_the_recipe_is_sound() -> None:
    findings = trainkit.check("mine", config_dir=config_dir())
    assert [str(found) for found in findings if found.severity != "info"] == []


def test_the_recipe_learns(tmp_path: Path) -> None:
    run = f"run_dir={tmp_path / 'run'}"
    result = trainkit.run("mine", run, config_dir=config_dir())
    assert result.status == "completed"
    assert result.metrics["test/accuracy"] > 0.98


def test_the_model_gives_a_score_for_each_class() -> None:
    assert Net(2, 3)(torch.zeros(5, 2)).shape == (5, 3)


def test_the_sets_share_no_point() -> None:
    sets = spirals(samples=200)
    points = [tuple(point.tolist()) for part in sets for point, _ in part]
    assert len(points) == len(set(points)) == 200
