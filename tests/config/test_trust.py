"""What a config that came with a run may build."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torchvision

from trainkit.config.composing.compose import compose, composed, plain
from trainkit.config.composing.recipes import options
from trainkit.config.targets.trust import UNPICKLING, hold, require_trustable
from trainkit.errors import ConfigError

RECIPES = [("mlp", "model=sequential"), ("mlp", "averaging=ema"), ("mlp", "averaging=swa"), ("cnn", "model=nested")]


@pytest.mark.parametrize("recipe", options("recipe"))
def test_what_trainkit_itself_composes_is_held_to_be_good(recipe: str) -> None:
    hold(plain(composed([f"recipe={recipe}"]).config))  # its weights need not be there


@pytest.mark.parametrize(("recipe", "override"), RECIPES)
def test_so_are_its_options(recipe: str, override: str) -> None:
    hold(plain(compose(recipe, override, "metrics=classification")))


@pytest.mark.parametrize("optimizer", options("optimizer"))
def test_so_are_its_optimizers(optimizer: str) -> None:
    hold(plain(compose("mlp", f"optimizer={optimizer}")))


@pytest.mark.parametrize("schedule", options("schedule"))
def test_so_are_its_schedules(schedule: str) -> None:
    hold(plain(compose("mlp", f"schedule={schedule}")))


PRETRAINED = [
    ("cnn", "model=torchvision", "model.name=resnet18", "data=image_folder", "data.classes=5", "head.outputs=5"),
    ("cnn", "model=timm", "model.name=resnet18", "data=image_folder", "data.classes=5", "freeze=gradual"),
    ("mlp", "freeze=discriminative", "head.name={layers.7: 10}", "weights.rename={a.*: b.*}"),
]


@pytest.mark.parametrize("values", PRETRAINED)
def test_so_are_networks_by_name_with_their_plan(values: tuple[str, ...]) -> None:
    config = plain(composed([f"recipe={values[0]}", *values[1:]]).config)
    hold(config)
    for path in ("options", "name"):
        spoilt = {**config, "model": {**config["model"], path: {"_target_": "os.system", "command": "true"}}}
        with pytest.raises(ConfigError, match=r"os\.system"):
            hold(spoilt)
    spoilt = {**config, "freeze": {"rules": [{"match": "*", "options": {"x": {"_target_": "os.system"}}}]}}
    with pytest.raises(ConfigError, match=r"os\.system"):
        hold(spoilt)


GOOD = {
    "model": ["torch.nn.Linear", "torchvision.models.resnet18", "torchvision.models.ResNet", "torch.nn.modules.Linear"],
    "optimizer": ["torch.optim.SGD", "torch.optim.adamw.AdamW"],
    "objective": ["trainkit.objectives.supervised"],
    "callbacks.mine": ["trainkit.callbacks.EarlyStopping", "trainkit.callbacks.Progress"],
    "loggers.mine": ["trainkit.loggers.TensorBoard"],
    "metrics.mine": ["trainkit.metrics.Classification"],
    "data.augment": ["torchvision.transforms.v2.RandomCrop", "torchvision.transforms.InterpolationMode"],
    "data.datasets.inner": ["torchvision.datasets.FakeData", "torch.nn.Identity"],
}
BAD = {
    "model": [
        "torch.optim.SGD",
        "torch.nn.functional.relu",
        "torchvision.models.get_model",
        "trainkit.recipes.data.digits",
    ],
    "optimizer": ["torch.nn.Linear", "torch.optim.swa_utils.update_bn", "torch.optim.lr_scheduler.StepLR"],
    "objective": ["trainkit.objectives.penalised", "trainkit.recipes.data.digits", "torch.optim.SGD"],
    "callbacks.mine": ["torch.nn.Linear", "trainkit.callbacks.recorder.Recorder", "trainkit.checkpoint.Store"],
    "loggers.mine": ["torch.nn.Linear", "trainkit.callbacks.Progress"],
    "metrics.mine": ["torch.nn.Linear"],
    "averaging": ["torch.nn.Linear"],
    "checkpoint": ["torch.nn.Linear"],
    "data.datasets": ["trainkit.objectives.supervised", "torchvision.datasets.FakeData"],
    "data.augment": ["trainkit.checkpoint.Store", "trainkit.loggers.TensorBoard", "torch.optim.SGD"],
    "data.datasets.inner": ["torchvision.datasets.LSUN", "torchvision.datasets.lsun.LSUNClass"],
}


def placed(path: str, target: object) -> dict:
    config: dict = {"_target_": target}
    for key in reversed(path.split(".")):
        config = {key: config}
    return config


@pytest.mark.parametrize(("path", "target"), [(path, target) for path, many in GOOD.items() for target in many])
def test_what_has_the_role_may_stand_there(path: str, target: str) -> None:
    hold(placed(path, target))


@pytest.mark.parametrize(("path", "target"), [(path, target) for path, many in BAD.items() for target in many])
def test_what_has_another_role_may_not(path: str, target: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{path}._target_='{target}'")):
        hold(placed(path, target))


def test_each_data_set_that_unpickles_files_is_known() -> None:
    """CIFAR's are held against a checksum before that; any other, of a newer torchvision, must be looked at."""
    found = set()
    for name in torchvision.datasets.__all__:
        module = sys.modules[getattr(torchvision.datasets, name).__module__]
        if re.search(r"pickle\.load|allow_pickle=True|weights_only=False", inspect.getsource(module)):
            found.add(module.__name__)
    assert found - {"torchvision.datasets.cifar"} == set(UNPICKLING)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of the user's own, which notes that it was imported."""
    folder = tmp_path / "mine_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import os\nfrom torch import nn\nfrom subprocess import Popen\nfrom os import system\n"
        "class Net(nn.Linear): pass\nclass Other: pass\ndef make(): pass\nanswer = 42\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    sys.modules.pop(folder.name, None)


def test_a_trusted_package_gives_classes_of_the_role_and_functions(package: str) -> None:
    hold(placed("model", f"{package}.Net"), [package])
    hold(placed("model", f"{package}.make"), [package])
    hold(placed("data.datasets.inner", f"{package}.Other"), [package])
    for wrong in ("Other", "system", "Popen", "os.system", "answer", "absent", "Net.__init__", "Net.__class__", "_x"):
        with pytest.raises(ConfigError, match="trusted_packages"):
            hold(placed("model", f"{package}.{wrong}"), [package])


def test_without_trust_a_package_is_not_even_imported(package: str) -> None:
    for trust in ([], ["mine"], [f"{package}.inner"], [f"{package}_too"]):
        with pytest.raises(ConfigError, match=rf"^model\._target_='{package}\.Net': runs/one may not have this built"):
            hold(placed("model", f"{package}.Net"), trust, "runs/one")
    assert package not in sys.modules


def test_nothing_is_imported_if_one_of_many_is_refused(package: str) -> None:
    config = {**placed("model", f"{package}.Net"), **placed("optimizer", "os.system")}
    with pytest.raises(ConfigError, match=r"optimizer\._target_='os\.system'"):
        hold(config, [package])
    assert package not in sys.modules


@pytest.mark.parametrize(
    "name", ["os", "torch", "subprocess.Popen", "", "a b", "../x", "numpy", "my..x", "_x", "trainkit"]
)
def test_trust_is_for_packages_of_ones_own(name: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(f"trusted_packages=[{name}]:")):
        require_trustable([name])


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"name": "${oc.env:HOME}"}, "name='${oc.env:HOME}': the run has text that wants resolving"),
        ({"a": [{"b": "x${hydra:runtime.cwd}"}]}, "a.0.b='x${hydra:runtime.cwd}'"),
        ({"a": {1: 2}}, "a.1: the run has a key that is no text"),
        ({"a": {"_mode_": "x"}}, "a._mode_: the run has a directive"),
        ({"a": {"_partial_": "true"}}, "a._partial_: the run has a directive"),
        ({"defaults": ["x"]}, "defaults: the run has a directive"),
        ({"a": {1}}, "a: the run has a set there"),
        ({"model": {"_target_": ["torch.nn.Linear"]}}, "model._target_="),
        ({"model": {"_target_": None}}, "model._target_="),
        ({"checkpoint": {"folder": "/tmp/x"}}, "checkpoint.folder='/tmp/x': the run may not say where to write"),
        ({"loggers": {"x": {"log_dir": "y"}}}, "loggers.x.log_dir='y'"),
    ],
)
def test_what_a_resolved_config_does_not_hold_is_refused(config: dict, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        hold(config)
    assert str(error.value).startswith(told)
    assert len(str(error.value).splitlines()) == 1


def test_depth_and_size_are_bounded() -> None:
    deep: dict = {}
    for _ in range(60):
        deep = {"a": deep}
    with pytest.raises(ConfigError, match="nested more than 50"):
        hold(deep)
    with pytest.raises(ConfigError, match="entries"):
        hold({"a": [0] * 100_001})


def test_a_name_that_is_really_another_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a trusted module imported for its own use is not trusted along."""

    class Elsewhere(torch.nn.Linear):
        pass

    monkeypatch.setattr(torch.nn, "Alias", Elsewhere, raising=False)
    with pytest.raises(ConfigError, match=r"it is really .*Elsewhere"):
        hold(placed("model", "torch.nn.Alias"))


def test_no_way_leads_through_a_module_of_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("elsewhere")
    module.Linear = torch.nn.Linear
    monkeypatch.setattr(torch.nn, "imported", module, raising=False)
    with pytest.raises(ConfigError, match="it leads to elsewhere"):
        hold(placed("model", "torch.nn.imported.Linear"))
