"""Whose code a config of one's own may name: judged by the text, and by what it means."""

import functools
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import trainkit
from trainkit.config.targets.lookup import TargetError, resolve
from trainkit.config.targets.trusted import BLOCKED, HARMLESS, PUBLIC, UNITS, Trusted, untrustable

GOOD = [
    *("torch.nn.Linear", "torch.nn.modules.linear.Linear", "torch.relu", "torch.nn.functional.gelu", "torch.tensor"),
    *("torch.optim.AdamW", "torch.optim.swa_utils.AveragedModel"),
    *("torch.float32", "torch.nn.Embedding.from_pretrained"),
    *("torch.nn.Module.load_state_dict", "torch.utils.data.TensorDataset", "torch.compile", "torch.Tensor.float"),
    *("torchvision.models.resnet18", "torchvision.models.ResNet18_Weights", "torchvision.transforms.InterpolationMode"),
    *("torchvision.transforms.v2.Compose", "torchvision.ops.MLP", "torchvision.datasets.FakeData"),
    *("trainkit.recipes.models.MLP", "trainkit.supervised", "trainkit.objectives.penalised", "trainkit.Callback"),
    *("trainkit.callbacks.EarlyStopping", "trainkit.checkpoint.Store"),
    *("trainkit.data.Splits", "trainkit.optim.NoAverage"),
    *("builtins.dict", "collections.OrderedDict", "pathlib.Path", "hydra.utils.get_object", "hydra.utils.get_class"),
]
BAD = [
    *("os.system", "posix.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.open", "sys.exit"),
    *("builtins.getattr", "builtins.__import__", "importlib.import_module", "pickle.loads", "marshal.loads", "runpy"),
    *("shutil.rmtree", "functools.partial", "operator.methodcaller", "logging.config.dictConfig", "ctypes.CDLL"),
    *("json.loads", "socket.socket", "threading.Thread", "inspect.getsource", "code.interact", "itertools.starmap"),
    *("torch.load", "torch.save", "torch.hub.load"),
    *("torch.jit.load", "torch.package.PackageImporter", "torch.from_file"),
    *("torch.ops.load_library", "torch.classes.load_library"),
    *("torch.utils.cpp_extension.load", "torch.serialization.load"),
    *("torch.utils.model_zoo.load_url", "torch.multiprocessing.spawn", "torch.export.load", "torch.onnx.export"),
    *("torch.os.system", "torch.sys.exit", "torch.serialization.pickle.loads", "torch.nn.modules.module.functools"),
    *("torch.nn.modules.module.functools.partial", "torch.nn.functional.torch.load", "torch.nn.init.torch.hub.load"),
    *("torch.optim.optimizer.torch.jit.load", "torch.storage.io.open", "torch.UntypedStorage.from_file"),
    *("torchvision.datasets.folder.os.remove", "torchvision.datasets.utils.download_url", "torchvision.io.torch.load"),
    *("torchvision.models._api.importlib.import_module", "torchvision.datasets.mnist.shutil.rmtree"),
    *("torch.nn.Module.__init__.__globals__", "torch.nn.Linear.__class__", "torch.__builtins__", "torch.nn.__dict__"),
    *(
        "trainkit.run",
        "trainkit.compose",
        "trainkit.commands.train.main",
        "trainkit.config.targets.instantiate.instantiate",
    ),
    *("trainkit.checkpoint.files.write_text", "trainkit.checkpoint.read"),
    *("trainkit.run.evil.Net", "trainkit.tests.x.Net"),
    *("trainkit.recipes.models.pairwise"),
    *("trainkit.recipes.data.embedded.numpy.load", "trainkit.data.loader.torch.load"),
    *("hydra.utils.instantiate", "hydra.utils.call", "hydra._internal.utils._locate", "omegaconf.OmegaConf.load"),
    *("yaml.unsafe_load", "yaml.load", "pip.main", "setuptools.setup", "numpy.load", "numpy.array", "rich.print"),
    *("", " torch.nn.Linear", "torch.nn.Linear ", "torch.nn..Linear", ".torch", "torch:nn", "torch.nn.Linear()", "a b"),
]


@pytest.mark.parametrize("target", GOOD)
def test_parts_of_a_training_may_be_named(target: str) -> None:
    assert resolve(target, Trusted()) is not None


@pytest.mark.parametrize("target", BAD)
def test_nothing_else_may(target: str) -> None:
    with pytest.raises(TargetError) as error:
        resolve(target, Trusted())
    assert len(str(error.value).splitlines()) == 1
    if target not in ("numpy.array", "rich.print"):
        for trusted in (Trusted(("torch", "trainkit", "os", "numpy", "yaml", "hydra")), Trusted(anyone=True)):
            with pytest.raises(TargetError):
                resolve(target, trusted)


@pytest.mark.parametrize("name", ["torch.utils.bottleneck", "torch.utils.bundled_inputs", "torch.distributed.launch"])
def test_what_is_blocked_by_its_name_is_not_even_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(TargetError):
        resolve(f"{name}.anything", Trusted())
    assert name not in sys.modules


def test_trusted_packages_are_named_by_the_refusal_and_then_taken() -> None:
    with pytest.raises(TargetError, match=r"numpy is not trusted\. If you trust its code: trusted_packages=\[numpy\]"):
        resolve("numpy.array", Trusted())
    assert resolve("numpy.array", Trusted(("numpy",)))([1]).sum() == 1
    assert resolve("numpy.random.default_rng", Trusted(("numpy.random",)))
    with pytest.raises(TargetError):
        resolve("numpy.array", Trusted(("numpy.random", "num")))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of the user's own, which notes that it was imported."""
    folder = tmp_path / "mine_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import os, subprocess, functools, pickle, torch, numpy\n"
        "from torch import nn, load as reading\nfrom os import system\nfrom rich import print as shown\n"
        "from subprocess import Popen as Worker\nfrom numpy import array\n"
        "from trainkit.checkpoint import read as peek\n"
        "class Net(nn.Linear):\n"
        "    run = os.system\n"
        "    @classmethod\n    def small(cls): return cls(1, 1)\n"
        "    @staticmethod\n    def large(): return Net(9, 9)\n"
        "class Runs(subprocess.Popen): pass\n"
        "later = functools.partial(os.system, 'touch x')\nfine = functools.partial(Net, 3)\n"
        "evaluated = eval\nloads = pickle.loads\nnet = Net(1, 1)\nshell = net.run\nrate = 0.5\n"
        "from operator import methodcaller\ncalls = methodcaller('x')\nappend = [].append\nlower = 'X'.lower\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder.name
    sys.modules.pop(folder.name, None)


def test_ones_own_package_lies_in_a_folder_of_the_project(package: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="there is no module"):
        resolve(f"{package}.Net", Trusted())
    sys.path.append(str(tmp_path))
    with pytest.raises(TargetError, match=rf"{package} is not trusted"):
        resolve(f"{package}.Net", Trusted((), (tmp_path / "elsewhere",)))
    assert package not in sys.modules  # what the text refuses is not imported
    for trusted in (Trusted((), (tmp_path,)), Trusted((package,)), Trusted(anyone=True)):
        for name in ("Net", "Net.small", "Net.large", "fine", "net", "rate", "Runs", "nn.Linear"):
            assert resolve(f"{package}.{name}", trusted) is not None


HOSTILE = "os.system subprocess.run system Worker reading later evaluated loads shell calls append lower torch.hub.load"
HOSTILE += " Net.run functools.partial pickle.loads numpy.load Net.__init__ torch.os.system nn.functional.torch.load"
HOSTILE += " peek os.sep os.environ torch.serialization.MAGIC_NUMBER"


@pytest.mark.parametrize("name", HOSTILE.split())
def test_nothing_leads_out_of_ones_own_package(name: str, package: str, tmp_path: Path) -> None:
    for trusted in (Trusted((), (tmp_path,)), Trusted((), (tmp_path,), anyone=True)):
        with pytest.raises(TargetError):
            resolve(f"{package}.{name}", trusted)


def test_what_another_package_gave_must_be_trusted_too(package: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"is really numpy\.array, and numpy is not trusted.*\[numpy\]"):
        resolve(f"{package}.array", Trusted((), (tmp_path,)))
    assert resolve(f"{package}.array", Trusted(("numpy",), (tmp_path,)))


def test_installed_packages_are_nobodys_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment lies in the project's folder, as often as not."""
    site = tmp_path / ".venv" / "lib" / "site-packages"
    (site / "stranger_of_tests").mkdir(parents=True)
    (site / "stranger_of_tests" / "__init__.py").write_text("class Net: pass\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    for folders in ((tmp_path,), (site,), (tmp_path, site)):
        with pytest.raises(TargetError, match=r"trusted_packages=\[stranger_of_tests\]"):
            resolve("stranger_of_tests.Net", Trusted((), folders))
    assert "stranger_of_tests" not in sys.modules
    installed = (site / "stranger_of_tests",)  # whose configs lie inside it, and were chosen by --config-dir
    assert resolve("stranger_of_tests.Net", Trusted((), installed))
    sys.modules.pop("stranger_of_tests")


def test_the_standard_library_is_nobodys_own() -> None:
    with pytest.raises(TargetError, match="may not be named by any config"):
        resolve("json.loads", Trusted((), (Path(sys.prefix), Path("/"))))


def test_a_config_says_whom_it_trusts() -> None:
    config = {"trusted_packages": ["timm", 3, "mine"]}
    assert Trusted.of(config).packages == ("timm", "mine")
    assert Trusted.of({}).packages == Trusted.of({"trusted_packages": None}).packages == ()
    assert Trusted.of({}).folders == (Path.cwd(),)
    assert Trusted.of({}, ["a", "b"]).folders == (Path("a").resolve(), Path("b").resolve())


@pytest.mark.parametrize("name", ["os", "hydra", "omegaconf.x", "yaml", "dill", "pip", "", "a b", "x-y", 3])
def test_what_does_anything_cannot_be_trusted(name: object) -> None:
    assert untrustable(name)
    assert not untrustable("timm")
    assert not untrustable("my_package.models")


def test_the_public_names_of_trainkit_that_a_config_may_have_are_known() -> None:
    parts = {name for name, module in trainkit._NAMES.items() if module.split(".")[0] in UNITS}
    assert parts == set(PUBLIC)


def test_what_is_harmless_is_a_plain_class() -> None:
    for name in HARMLESS:
        module, _, attribute = name.rpartition(".")
        assert isinstance(getattr(sys.modules.get(module) or __import__(module), attribute), type)
    assert not HARMLESS & set(BLOCKED)


def test_newer_hydra_refuses_no_more() -> None:
    """Of the standard library nothing is left that calls, reads or writes; a few names stand for Hydra's lists."""
    for function in (subprocess.run, pickle.loads, functools.reduce, eval, map, type, torch.load):
        with pytest.raises(TargetError):
            resolve(f"{function.__module__}.{function.__qualname__}", Trusted(anyone=True))
