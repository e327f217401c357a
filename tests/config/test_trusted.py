"""Whose code a config of one's own may name: judged by the text, and by what it means."""

import functools
import itertools
import operator
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import trainkit
import trainkit.config.targets.trusted as trusted_module
from trainkit.config.targets.lookup import TargetError, resolve
from trainkit.config.targets.trusted import (
    BLOCKED,
    HARMLESS,
    PUBLIC,
    UNITS,
    Trusted,
    _names_of_builtin,
    how_to_trust,
    reason_by_object,
    true_names,
    untrustable,
)

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
    *("math.cos", "operator.mul", "operator.itemgetter", "itertools.chain", "functools.partial", "fractions.Fraction"),
    *("datetime.timedelta", "collections.defaultdict", "pathlib.PurePosixPath"),
    *(
        "torch.arange",
        "torch.device",
        "torch.Generator",
        "torch.manual_seed",
        "torch.distributions.Normal",
        "torch.cat",
    ),
    *(
        "torch.amp.GradScaler",
        "torch.special.expit",
        "torch.fft.rfft",
        "torch.linalg.norm",
        "torch.nn.init.xavier_normal_",
    ),
    *(
        "torch.nn.utils.parametrizations.weight_norm",
        "torch.nn.utils.clip_grad_norm_",
        "torch.nn.functional.max_pool2d",
    ),
    *("torch.ao.quantization.QuantStub", "torch.vmap", "torch.einsum", "torch.no_grad", "torch.FloatTensor"),
    *("torch.set_float32_matmul_precision", "torch.cuda.is_available", "torch.backends.mps.is_available", "torch.Size"),
    *("torch.utils.data.default_collate", "torch.nn.Module.parameters", "torch.Tensor.relu", "torch.channels_last"),
    *("torchvision.tv_tensors.Image", "torchvision.io.decode_image", "torchvision.io.ImageReadMode.RGB"),
    *(
        "torchvision.models.get_model",
        "torchvision.transforms.v2.functional.resize",
        "torchvision.ops.FrozenBatchNorm2d",
    ),
    *("builtins.dict", "collections.OrderedDict", "pathlib.Path", "hydra.utils.get_object", "hydra.utils.get_class"),
]
WRITING = [
    *("torchvision.io.write_file", "torchvision.io.write_png", "torchvision.utils.save_image", "torch.jit.trace"),
    *("torch.utils.tensorboard.SummaryWriter", "torch.distributed.FileStore", "torch.distributed.TCPStore"),
    *("torch.utils.data.datapipes.iter.FileOpener", "torch.profiler.profile", "torch.fork", "torch.Graph"),
    *("torch.ThroughputBenchmark", "torch.autograd.profiler.profile", "torch.cuda.memory._dump_snapshot"),
    *("torch.fx.GraphModule", "torch._C._jit_get_operation", "torch._C.Graph", "torch.cuda.graphs.graph"),
    *("torch.monitor.TensorboardEventHandler", "torch.futures.Future", "torch._strobelight.x", "torch.utils.X"),
]
"""Of torch and torchvision, and no part of a training."""
BAD = [
    *("torch.utils.hipify.hipify_python.hipify", "torch.PyTorchFileWriter", "torch.utils.benchmark.Timer"),
    *("torch._C.PyTorchFileWriter", "torch.utils.benchmark.utils.cpp_jit.get_compat_bindings"),
    *("torch.import_ir_module", "torch._C.import_ir_module", "torch._C._VariableFunctions.from_file"),
    *(
        "numpy.lib.format.open_memmap",
        "operator.call",
        "operator.attrgetter",
        "functools.reduce",
        "collections.namedtuple",
    ),
    *("os.system", "posix.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.open", "sys.exit"),
    *("builtins.getattr", "builtins.__import__", "importlib.import_module", "pickle.loads", "marshal.loads", "runpy"),
    *("shutil.rmtree", "operator.methodcaller", "logging.config.dictConfig", "ctypes.CDLL"),
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
        "from operator import methodcaller, getitem as call\n"
        "calls = methodcaller('x')\nappend = [].append\nlower = 'X'.lower\n"
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
HOSTILE += " call itertools peek os.sep os.environ torch.serialization.MAGIC_NUMBER"


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


def test_what_is_harmless_is_a_plain_class_or_computes() -> None:
    for name, found in HARMLESS.items():
        module, _, attribute = name.rpartition(".")
        assert getattr(sys.modules.get(module) or __import__(module), attribute) is found
        assert isinstance(found, type) or module in ("math", "operator")
    assert not HARMLESS.keys() & set(BLOCKED)
    callers = (
        operator.call,
        operator.methodcaller,
        operator.attrgetter,
        itertools.starmap,
        functools.reduce,
        map,
        filter,
        eval,
    )
    assert not {id(found) for found in HARMLESS.values()} & {id(caller) for caller in callers}


def test_what_is_harmless_is_known_wherever_it_says_it_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since Python 3.13 ``pathlib.Path`` says that it is of ``pathlib._local``."""
    moved = type("Path", (), {"__module__": "pathlib._local"})
    for name in ("pathlib.Path", "collections.deque"):
        assert not reason_by_object(HARMLESS[name], name, Trusted())
    assert "pathlib._local.Path" in reason_by_object(moved, "pathlib.Path", Trusted())
    monkeypatch.setattr(trusted_module, "_HARMLESS_IDS", {id(moved)})
    assert not reason_by_object(moved, "pathlib.Path", Trusted())


@pytest.mark.parametrize("target", WRITING)
def test_of_torch_and_torchvision_parts_of_a_training_alone_may_be_named(target: str) -> None:
    with pytest.raises(TargetError) as error:
        resolve(target, Trusted())
    assert len(str(error.value)) < 400
    for whole in ("torch", "torchvision", "torch._C", "torch.utils"):
        with pytest.raises(TargetError):
            resolve(target, Trusted((whole,)))
        assert untrustable(whole)


def test_another_part_of_torch_is_trusted_by_its_module() -> None:
    for target, module in {
        "torchvision.io.write_file": "torchvision.io.image",
        "torchvision.utils.save_image": "torchvision.utils",
        "torch.jit.trace": "torch.jit",
        "torch.profiler.profile": "torch.profiler",
        "torch.utils.data.datapipes.iter.FileOpener": "torch.utils.data.datapipes.iter",
    }.items():
        with pytest.raises(TargetError, match=r"a config may name .*\. If you mean it: trusted_packages=") as error:
            resolve(target, Trusted())
        assert str(error.value).endswith(f"trusted_packages=[{module}]")
        assert not untrustable(module)
        with pytest.raises(TargetError):
            resolve(target, Trusted(("torch.profiler.x", "torchvision.transforms")))
        assert resolve(target, Trusted((module,)))
    with pytest.raises(TargetError, match="loads code"):
        resolve("torch.jit.load", Trusted(("torch.jit",)))


@pytest.mark.parametrize("name", ["torch.utils.viz", "torch.distributed.tensor.examples", "torch._numpy"])
def test_what_is_no_part_is_not_even_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(TargetError, match="no part of a training"):
        resolve(f"{name}.anything", Trusted())
    assert name not in sys.modules


def test_what_writes_is_known_by_any_name(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "more.py").write_text(
        "from torchvision.io import write_file\nfrom torch import PyTorchFileWriter as W, import_ir_module\n"
        "from torch.utils import tensorboard\nimport torch\nwait = torch._C.wait\nparse = torch.parse_ir\n"
    )
    for name in (
        "write_file",
        "W",
        "import_ir_module",
        "tensorboard.SummaryWriter",
        "torch.jit.trace",
        "wait",
        "parse",
    ):
        with pytest.raises(TargetError):
            resolve(f"{package}.more.{name}", Trusted((package,), (tmp_path,)))


class Fast:
    """As makers of extensions in C++ have it: bound to a record of their own, and of a module that says nothing."""


@pytest.mark.parametrize("makers", ["pybind11_builtins", "nanobind", "pybind11_detail"])
def test_functions_of_extensions_are_judged_by_the_module_they_are_in(
    makers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fast, "__module__", makers)
    record = Fast()
    for module, wanted in {makers: "fast_ext.run", None: "fast_ext.run", "other_ext": "other_ext.run"}.items():
        told = SimpleNamespace(__self__=record, __module__=module, __name__="run")
        assert _names_of_builtin(told, "fast_ext.run") == [wanted]
    assert untrustable(makers)
    assert not how_to_trust(makers)


def test_a_function_of_c_that_is_found_in_a_capsule_is_judged_by_its_module() -> None:
    import torch._C  # its functions are made by pybind11

    function = torch._C._jit_get_operation
    assert true_names(function, "torch._C._jit_get_operation") == ["torch._C._jit_get_operation"]
    assert "pybind11" in type(function.__self__).__module__ + type(function.__self__).__name__


def test_the_standard_library_is_told_to_be_for_no_config() -> None:
    with pytest.raises(TargetError, match="the standard library is not for configs"):
        resolve("json.loads", Trusted())
    assert untrustable("math") == "may not be trusted: the standard library is not for configs"


def test_newer_hydra_refuses_no_more() -> None:
    """Of the standard library nothing is left that calls, reads or writes; a few names stand for Hydra's lists."""
    for function in (subprocess.run, pickle.loads, functools.reduce, eval, map, type, torch.load):
        with pytest.raises(TargetError):
            resolve(f"{function.__module__}.{function.__qualname__}", Trusted(anyone=True))
