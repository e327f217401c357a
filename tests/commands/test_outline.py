"""The outline of a config must be what Hydra composes, as far as neither resolves anything."""

from pathlib import Path
from typing import Any

import pytest

from trainkit.commands.help.outline import comments_in, described_groups, file_of, outline
from trainkit.config.composing.compose import composed
from trainkit.config.composing.recipes import folder, groups, head, options, recipes
from trainkit.config.paths import at, is_there

CHOICES = [f"{group}={option}" for group in groups() if group != "recipe" for option in options(group)]
LINES = [
    *([f"recipe={recipe.name}"] for recipe in recipes()),
    *(["recipe=mlp", choice] for choice in CHOICES if choice != "data=default"),
    ["recipe=cnn", "data=mnist", "~callbacks.progress", "metrics=classification"],
    ["recipe=mlp", "optimizer.lr=3e-4", "model.hidden=[1,2]", "debug=overfit", "trainer.max_epochs=7"],
    ["recipe=mlp", "+optimizer.amsgrad=true", "name=other", "debug=null"],
    ["recipe=linear", "~debug", "schedule=step", "schedule.scheduler.gamma=0.5"],
]


def told(node: Any) -> Any:
    """Values as they are compared: numbers alike whether YAML or OmegaConf read them."""
    if isinstance(node, dict):
        return {str(key): told(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [told(value) for value in node]
    return float(node) if isinstance(node, int) and not isinstance(node, bool) else node


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_it_is_what_hydra_composes(line: list[str]) -> None:
    whole = composed(line)
    raw = whole.config if whole.raw is None else whole.raw
    expected = told(_plain(raw))
    found = outline(line)
    mine = told(found.config)
    mine.pop("hydra", None)
    assert mine == expected
    for group, option in whole.choices.items():
        if group in found.choices:
            assert found.choices[group] == option, group


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=False)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A config folder of somebody's own: a recipe that builds on another, and nested groups."""
    texts = {
        "recipe/mine.yaml": "# @package _global_\n# Mine.\n# Expected: much\ndefaults:\n  - mlp\n"
        "  - override /model: net\n  - override /optimizer: sgd\n  - _self_\nname: mine\ntrainer: {max_epochs: 3}\n",
        "model/net.yaml": "# A net.\n_target_: my.Net\nwidth: 32  # how wide\nclasses: ${data.classes}\n",
        "extra/one.yaml": "x: 1\ny: {z: 2}\n",
        "circle/a.yaml": "defaults: [b]\n",
        "circle/b.yaml": "defaults: [a]\nx: 1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        ["recipe=mine"],
        ["recipe=mine", "model=cnn"],
        ["recipe=mine", "optimizer=adam", "debug=limit"],
        ["recipe=mlp", "model=net"],
        ["recipe=mlp", "+extra=one"],
    ],
    ids=" ".join,
)
def test_it_is_what_hydra_composes_of_ones_own_files(mine: Path, line: list[str]) -> None:
    whole = composed(line, config_dir=mine)
    found = outline(line, mine)
    assert told(found.config) | {"hydra": None} == told(_plain(whole.raw)) | {"hydra": None}
    assert found.choices["model"] == whole.choices["model"]


def test_it_says_which_files_it_comes_from(mine: Path) -> None:
    found = outline(["recipe=mine"], mine)
    assert found.files["model"] == mine / "model" / "net.yaml"
    assert found.files["optimizer"] == folder() / "optimizer" / "sgd.yaml"
    assert found.own("recipe") == {"name": "mine", "trainer": {"max_epochs": 3}}
    assert found.own("debug") == {}


@pytest.mark.parametrize(
    "line",
    [
        ["recipe=nothing"],
        ["recipe="],
        ["model={a: 1}"],
        ["optimizer.lr=[1"],
        ["a.b.c=1"],
        ["=3"],
        ["~"],
        ["recipe=mlp", "optimizer@x=adam", "model.hidden={"],
        ["+circle=a"],
        ["recipe=./nowhere.yaml"],
        ["averaging=" + "x" * 300],
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_left_out_and_never_raises(mine: Path, line: list[str]) -> None:
    assert outline(line, mine).config["seed"] == 0


def test_a_broken_file_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name, text in {"broken": b"a: [", "list": b"[1]", "latin": "é: 1".encode("latin-1")}.items():
        (tmp_path / "model" / f"{name}.yaml").write_bytes(text)
        assert outline([f"model={name}"], tmp_path).config.get("model", {}) == {}


def test_a_recipe_is_found_by_its_path(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    assert file_of("recipe", "./recipe/mine.yaml") == Path("recipe/mine.yaml")
    assert outline(["recipe=./recipe/mine.yaml"], mine).config["name"] == "mine"
    assert file_of("model", "./model/net.yaml") is None


def test_heads_and_comments_are_read(mine: Path) -> None:
    about = head(mine / "recipe" / "mine.yaml")
    assert (about.description, about.note("Expected"), about.note("Run")) == ("Mine.", "much", "")
    assert comments_in(mine / "model" / "net.yaml") == {"width": "how wide"}
    assert head(mine / "nowhere.yaml").description == ""


def test_each_group_of_the_root_is_described_but_for_the_obvious() -> None:
    found = described_groups()
    assert found["schedule"] == "the learning rate over time"
    assert next(iter(found)) == "model"
    assert set(found) <= set(groups())


def test_paths_lead_through_mappings_and_lists() -> None:
    config = {"a": {"b": [1, {"c": None}]}, "n": None}
    assert at(config, "a.b.1") == {"c": None}
    assert at(config, "a.b.0") == 1
    assert at(config, "a.b.7") is at(config, "a.x.y") is at(config, "n.m") is None
    assert at(config, "") == config
    assert all(is_there(config, path) for path in ("a", "n", "a.b.1.c", "a.b[1].c"))
    assert not any(is_there(config, path) for path in ("", "a.c", "a.b.2", "n.m", "z"))
