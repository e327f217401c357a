"""Configs that Python code makes (dicts, DictConfigs, dataclasses, hydra-zen) pass the same check as files do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

import pytest
from bases import shared
from hydra.core.config_store import ConfigStore
from hydra_zen import ZenStore, builds, just, make_config
from omegaconf import MISSING, DictConfig, OmegaConf

import trainkit
from trainkit.errors import ConfigError

CODE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from trainkit.data import Splits

class Net(nn.Module):
    def __init__(self, width: int = 4, classes: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, classes))

    def forward(self, points):
        return self.layers(points)

def quadrants(samples: int = 96) -> Splits:
    points = torch.randn(samples, 2, generator=torch.Generator().manual_seed(0))
    points, labels = points.chunk(3), (points.prod(dim=1) > 0).long().chunk(3)
    return Splits(*map(TensorDataset, points, labels))
"""
NET, QUADRANTS, SGD = "own_code.Net", "own_code.quadrants", "torch.optim.SGD"
FILES = {
    "model/net.yaml": f"_target_: {NET}\nwidth: 8\nclasses: ${{data.classes}}\n",
    "data/quadrants.yaml": f"defaults: [default, _self_]\ndatasets: {{_target_: {QUADRANTS}}}\nclasses: 2\n",
    "optimizer/plain.yaml": f"_target_: {SGD}\nlr: 0.3\n",
    "recipe/mine.yaml": (
        "# @package _global_\n"
        "defaults: [{override /model: net}, {override /data: quadrants}, {override /optimizer: plain}, "
        "{override /objective: classification}]\n"
        "name: mine\ntrainer: {max_epochs: 2}\n"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of one's own, with code and configs, that the tests stand in."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "own_code.py").write_text(CODE)
    for name, text in FILES.items():
        (folder / "configs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "configs" / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch, shared(folder / "configs"):
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder
    del sys.modules["own_code"]


def metrics(*given: Any, **options: Any) -> dict[str, float]:
    """Train, and return what came out, less what depends on the clock."""
    found = trainkit.run(*given, **options).metrics
    return {name: value for name, value in found.items() if "per_second" not in name}


def mistakes(config: Any, *overrides: str, **options: Any) -> list[str]:
    """Return what the check finds wrong."""
    return [str(found) for found in trainkit.check(config, *overrides, **options) if found.severity != "info"]


# ---------------------------------------------------------------------- one config in many forms


def plain(**more: Any) -> dict[str, Any]:
    """The recipe above as one mapping: what it says, and the rest by trainkit's defaults."""
    return {
        "name": "mine",
        "objective": "classification",
        "model": {"_target_": NET, "width": 8, "classes": "${data.classes}"},
        "data": {"datasets": {"_target_": QUADRANTS}, "classes": 2},
        "optimizer": {"_target_": SGD, "lr": 0.3},
        "trainer": {"max_epochs": 2},
    } | more


@dataclass
class NetConfig:
    width: int = 8
    classes: str = "${data.classes}"
    _target_: str = NET


@dataclass
class DataConfig:
    datasets: Any = field(default_factory=lambda: {"_target_": QUADRANTS})
    classes: int = 2


@dataclass
class OptimizerConfig:
    lr: float = 0.3
    _target_: str = SGD


@dataclass
class MineConfig:
    name: str = "mine"
    objective: str = "classification"
    model: NetConfig = field(default_factory=NetConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: Any = field(default_factory=lambda: {"max_epochs": 2})


def zen(**more: Any) -> Any:
    """The same by hydra-zen, which names each target by the module that it is defined in."""
    from own_code import Net, quadrants
    from torch.optim import SGD as PlainDescent

    parts = {
        "name": "mine",
        "objective": "classification",
        "model": builds(Net, width=8, classes="${data.classes}"),
        "data": make_config(datasets=builds(quadrants), classes=2),
        "optimizer": builds(PlainDescent, lr=0.3),
        "trainer": {"max_epochs": 2},
    }
    return make_config(**parts | more)


FORMS: dict[str, Callable[[], Any]] = {
    "dict": plain,
    "DictConfig": lambda: OmegaConf.create(plain()),
    "dataclass": lambda: MineConfig,
    "instance": MineConfig,
    "structured": lambda: OmegaConf.structured(MineConfig),
    "hydra-zen": zen,
    "composed": lambda: trainkit.compose("mine", config_dir="configs"),
    "option": lambda: {"recipe": "mine"},
}
each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def of_files(project: Path) -> dict[str, float]:
    """What the recipe's own files give."""
    return metrics("mine", "run_dir=of_files", config_dir="configs")


@each_form
def test_each_form_trains_as_the_files_do(form: str, of_files: dict[str, float], tmp_path: Path) -> None:
    assert metrics(FORMS[form](), f"run_dir={tmp_path / 'run'}", config_dir="configs") == of_files
    assert (tmp_path / "run" / "summary.json").is_file()


@each_form
def test_each_form_is_found_sound(form: str) -> None:
    assert mistakes(FORMS[form](), config_dir="configs") == []


@each_form
def test_each_form_composes_to_the_same(form: str) -> None:
    wanted = OmegaConf.to_container(trainkit.compose("mine", config_dir="configs"))
    found = OmegaConf.to_container(trainkit.compose(FORMS[form](), config_dir="configs"))
    for node in (wanted, found):
        node["optimizer"]["_target_"] = node["optimizer"]["_target_"].replace("optim.sgd.SGD", "optim.SGD")
    assert found == wanted


@each_form
def test_overrides_win_over_each_form(form: str) -> None:
    config = trainkit.compose(FORMS[form](), "model.width=5", "trainer.max_epochs=7", config_dir="configs")
    assert (config.model.width, config.trainer.max_epochs, config.optimizer.lr) == (5, 7, 0.3)


@each_form
def test_a_given_config_stays_as_it_is(form: str) -> None:
    given = FORMS[form]()
    kept = OmegaConf.to_yaml(OmegaConf.create(given) if isinstance(given, dict) else OmegaConf.structured(given))
    trainkit.compose(given, "model.width=5", config_dir="configs")
    now = OmegaConf.to_yaml(OmegaConf.create(given) if isinstance(given, dict) else OmegaConf.structured(given))
    assert now == kept


# ---------------------------------------------------------------------- what is wrong is found in each of them

MISTAKES = [
    ("trainer.max_epoch", 3, "trainer.max_epoch", "max_epochs"),
    ("trainer.max_epochs", "ten", "trainer.max_epochs", "whole number"),
    ("trainer.max_epochs", -1, "trainer.max_epochs", "at least 0"),
    ("data.batch_siez", 8, "data.batch_siez", "batch_size"),
    ("data.batch_size", 0, "data.batch_size", "at least 1"),
    ("optimizer.weight_decy", 0.1, "optimizer.weight_decy", "weight_decay"),
    ("optimizer.lr", "fast", "optimizer.lr", "number"),
    ("model.widht", 8, "model.widht", "width"),
    ("model.width", "wide", "model.width", "whole number"),
    ("model.width", "${data.clases}", "model.width", "data.classes"),
    ("data.classes", "???", "data.classes", "must be given"),
    ("monitor.mode", "smallest", "monitor.mode", "min"),
    ("monitor.metric", "val/acuracy", "monitor.metric", "val/accuracy"),
    ("model._target_", "own_code.Nett", "model", "own_code.Net"),
    ("model._target_", "torch.optim.Adam", "model", "Module"),
    ("model._target_", "os.system", "model", "os"),
]


def as_dataclass(node: dict[str, Any]) -> Any:
    """Return an instance of a dataclass with these fields, nested as they are."""
    fields = []
    for key, value in node.items():
        inner = as_dataclass(value) if isinstance(value, dict) else value
        fields.append((key, Any, field(default_factory=lambda inner=inner: inner)))
    return make_dataclass("Made", fields)()


def with_mistake(form: str, path: str, value: Any) -> Any:
    """Return a form of the config with one value changed or added."""
    group, key = path.split(".")
    node = plain().get(group, {}) | {key: value}
    if form == "hydra-zen":
        return zen(**{group: node if "_target_" in node else make_config(**node)})
    config = plain(**{group: node})
    return {"dict": dict, "DictConfig": OmegaConf.create, "dataclass": as_dataclass}[form](config)


@pytest.mark.parametrize("form", ["dict", "DictConfig", "dataclass", "hydra-zen"])
@pytest.mark.parametrize(("path", "value", "place", "told"), MISTAKES)
def test_a_mistake_is_found(form: str, path: str, value: Any, place: str, told: str, tmp_path: Path) -> None:
    config = with_mistake(form, path, value)
    findings = trainkit.check(config)
    assert [finding.severity for finding in findings[:1]] == ["error"]
    assert findings[0].place.startswith(place)
    assert told in str(findings[0])
    before = sorted(tmp_path.iterdir())
    for call in (trainkit.compose, trainkit.run):
        with pytest.raises(ConfigError) as raised:
            call(config, f"run_dir={tmp_path / 'run'}")
        assert place in str(raised.value)
        assert len(str(raised.value).splitlines()) < 15
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, value, _, _ in MISTAKES])
def test_a_mistake_of_python_is_told_as_the_one_of_a_line(path: str, value: Any) -> None:
    """By the same rule, of the same place, with the same cure; only who set it differs."""
    text = {"???": "'???'"}.get(value, value)
    line = trainkit.check("mine", f"{path}={text}", config_dir="configs")
    python = trainkit.check(with_mistake("dict", path, value), config_dir="configs")
    rules = {"unknown-argument": "unknown-key"}  # which is found first: on a line before the signature is asked
    assert {(rules.get(f.rule, f.rule), f.place) for f in python} == {
        (rules.get(f.rule, f.rule), f.place) for f in line
    }


def test_all_mistakes_come_at_once() -> None:
    config = plain(trainer={"max_epoch": 3}, optimizer={"_target_": SGD, "lr": "fast"}, monitr={"mode": "min"})
    places = {finding.place for finding in trainkit.check(config, "data.batch_size=0")}
    assert places >= {"trainer.max_epoch", "optimizer.lr", "data.batch_size", "monitr"}


@pytest.mark.parametrize("config", [3, [1], object(), {"trainer": 3}, {3: 4}, {"model": object()}, int, MISSING, {}])
def test_what_is_no_config_is_refused_in_words(config: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        trainkit.run(config)
    assert len(str(raised.value).splitlines()) < 15
    assert "Traceback" not in str(raised.value)


# ---------------------------------------------------------------------- groups that are replaced, not mixed


def test_a_node_with_a_target_of_its_own_takes_the_place_of_the_recipes() -> None:
    """AdamW's betas, of the recipe, are not given to SGD."""
    config = trainkit.compose({"recipe": "mlp", "optimizer": {"_target_": SGD, "lr": 0.1}})
    assert OmegaConf.to_container(config.optimizer) == {"_target_": SGD, "lr": 0.1}


def test_a_node_without_a_target_changes_values_of_the_recipes() -> None:
    config = trainkit.compose({"recipe": "mlp", "optimizer": {"lr": 0.1}})
    assert (config.optimizer._target_, config.optimizer.lr, config.optimizer.weight_decay) == (
        "torch.optim.AdamW",
        0.1,
        0.1,
    )


def test_a_group_of_the_recipe_can_be_left_out() -> None:
    config = trainkit.compose({"recipe": "mlp", "averaging": None, "loggers": None})
    assert not config.get("loggers")
    assert mistakes({"recipe": "mlp", "loggers": None}) == []


# ---------------------------------------------------------------------- registered with Hydra


@pytest.fixture
def registered() -> Iterator[ConfigStore]:
    """Hydra's store of configs, put back afterwards."""
    store = ConfigStore.instance()
    before = {name: dict(node) if isinstance(node, dict) else node for name, node in store.repo.items()}
    yield store
    store.repo = before


def test_a_registered_dataclass_is_an_option(registered: ConfigStore, of_files: dict[str, float], tmp_path) -> None:
    registered.store(group="model", name="registered", node=NetConfig)
    given = ("mine", "model=registered", f"run_dir={tmp_path / 'run'}")
    assert mistakes(*given, config_dir="configs") == []
    assert metrics(*given, config_dir="configs") == of_files


def test_values_of_a_registered_dataclass_are_checked(registered: ConfigStore) -> None:
    registered.store(group="model", name="registered", node=NetConfig)
    for override, told in (("model.width=wide", "whole number"), ("model.widht=3", "model.width")):
        findings = trainkit.check("mine", "model=registered", override, config_dir="configs")
        assert [finding.place for finding in findings] == [override.split("=")[0]]
        assert told in str(findings[0])


def test_a_misspelt_registered_option_finds_its_name(registered: ConfigStore) -> None:
    registered.store(group="model", name="registered", node=NetConfig)
    (finding,) = trainkit.check("mine", "model=registred", config_dir="configs")
    assert "registered" in str(finding)


def test_hydra_zens_store_adds_options(registered: ConfigStore, of_files: dict[str, float], tmp_path: Path) -> None:
    from own_code import Net

    own = ZenStore()
    own(builds(Net, width=8, classes="${data.classes}"), group="model", name="zen")
    own.add_to_hydra_store()
    given = ("mine", "model=zen", f"run_dir={tmp_path / 'run'}")
    assert metrics(*given, config_dir="configs") == of_files


# ---------------------------------------------------------------------- more of hydra-zen


def test_a_full_signature_and_positional_arguments() -> None:
    from own_code import Net
    from torch import nn

    full = builds(Net, populate_full_signature=True)
    assert mistakes(zen(model=full)) == []
    layers = builds(
        nn.Sequential, builds(nn.Linear, 2, out_features=8, populate_full_signature=True), builds(nn.Identity)
    )
    assert mistakes(zen(model=layers)) == []
    config = trainkit.compose(zen(model=layers))
    assert config.model._args_[0]._args_ == [2]
    wrong = builds(nn.Sequential, {"_target_": "torch.nn.Linear", "in_featurs": 2, "out_features": 3})
    findings = trainkit.check(zen(model=wrong))
    assert findings
    assert all(finding.place.startswith("model._args_[0]") for finding in findings)


def test_a_function_itself_is_an_argument_by_just(tmp_path: Path) -> None:
    from torch.nn.functional import cross_entropy

    by_function = zen(objective=builds(trainkit.supervised, just(cross_entropy)))
    assert mistakes(by_function) == []
    result = trainkit.run(by_function, f"run_dir={tmp_path / 'run'}")
    assert result.metrics["val/loss"] < 0.7
    assert mistakes(zen(objective=builds(trainkit.supervised, just(os.system))))


@pytest.mark.parametrize("path", ["os.system", "builtins.eval", "torch.load"])
def test_just_leads_nowhere_that_a_target_may_not(path: str) -> None:
    model = {"_target_": NET, "width": {"_target_": "hydra_zen.funcs.get_obj", "path": path}}
    found = mistakes(plain(model=model))
    assert path.split(".")[0] in found[0]
    assert "may not be named by any config" in found[0]


def test_what_hydra_zen_would_call_by_itself_is_refused_in_words() -> None:
    """``zen_meta`` comes as a call of hydra-zen's own, which imports whatever the config names."""
    from own_code import Net

    found = mistakes(zen(model=builds(Net, width=8, zen_meta={"note": 1})))
    assert found[0].startswith("model._target_=hydra_zen.funcs.zen_processing: ")
    assert "Traceback" not in found[0]


def test_a_composed_config_may_be_changed_and_run(of_files: dict[str, float], tmp_path: Path) -> None:
    config = trainkit.compose("mine", config_dir="configs")
    assert isinstance(config, DictConfig)
    config.trainer.max_epochs = 1
    config.run_dir = str(tmp_path / "run")
    result = trainkit.run(config)
    assert result.stop_reason == "max_epochs=1 reached"
    assert result.metrics["val/loss"] != of_files["val/loss"]
    config.trainer.max_epochs = "ten"
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs=ten"):
        trainkit.run(config)
