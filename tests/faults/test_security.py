"""Files from strangers: nothing in a checkpoint, a config or a run folder runs code or leaks a secret."""

import io
import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy
import pytest
import torch
import yaml

from trainkit.__main__ import _run
from trainkit.checkpoint.manifest import read_manifest
from trainkit.config.composing.compose import compose, plain


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command line in this process, in the test's folder; it must end with an exit code, not an exception."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        return Answer(_run(list(arguments)), *capsys.readouterr())

    return run


QUICK = ("recipe=mlp", "trainer.max_epochs=1", "~callbacks.progress", "~callbacks.predictions", "~loggers.tensorboard")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch; to be read only."""
    folder = tmp_path_factory.mktemp("pristine") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert _run([*QUICK, "run_dir=run"]) == 0
    return folder


@pytest.fixture
def run(pristine: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be made hostile."""
    return Path(shutil.copytree(pristine, tmp_path / "run", symlinks=True))


def newest(run: Path) -> Path:
    return (run / "checkpoints" / "last.ckpt").resolve()


def sign(checkpoint: Path) -> None:
    """Let the manifest speak for the checkpoint as it now is, as a stranger can who made both."""
    path = checkpoint.with_suffix(".json")
    content = json.loads(path.read_text())
    data = checkpoint.read_bytes()
    content["files"] = {checkpoint.name: {"size": len(data), "sha256": sha256(data).hexdigest()}}
    del content["checksum"]
    content["checksum"] = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))
    assert read_manifest(checkpoint).size == len(data)  # it is believed


def plant(run: Path, state: object, **options: object) -> None:
    torch.save(state, newest(run), **options)
    sign(newest(run))


def state_of(run: Path) -> dict:
    return torch.load(newest(run), weights_only=True)


MARKER = "marker"


class Calls:
    """Pickles as a call of a function, with the state that is set on its result."""

    def __init__(self, function: Callable[..., object], *arguments: object, state: object = None) -> None:
        self.reduced = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self) -> tuple:
        return self.reduced


TOUCH = f"touch {MARKER}"
CREATE = f"open({MARKER!r}, 'w').close()"
PAYLOADS = {
    "posix.system": Calls(os.system, TOUCH),
    "builtins.eval": Calls(eval, CREATE),
    "builtins.exec": Calls(exec, CREATE),
    "builtins.getattr": Calls(getattr, Path, "home"),
    "subprocess.Popen": Calls(subprocess.Popen, ["touch", MARKER]),
    "io.open": Calls(open, MARKER, "w"),
    "torch.serialization.load": Calls(torch.load, "other.pt"),
    "torch.hub.load": Calls(torch.hub.load, ".", "model"),
    "_codecs.lookup": Calls(__import__("codecs").lookup, "utf8"),
    "numpy._core.multiarray._reconstruct": numpy.array([Calls(os.system, TOUCH)], dtype=object),
}
COMMANDS = {
    "train": ["resume=run"],
    "train with a recipe": [*QUICK, "resume=run"],
    "train on": [*QUICK, "run_dir=run", "resume=auto"],
    "train on from its own config": ["run_dir=run", "resume=auto"],
    "weights": [*QUICK, "resume=weights:run"],
    "eval": ["eval", "resume=run"],
    "eval with a recipe": ["eval", "recipe=mlp", "resume=run/checkpoints/last.ckpt"],
    "inspect": ["ckpt", "inspect", "run"],
    "verify": ["ckpt", "verify", "run"],
    "verify one": ["ckpt", "verify", "run/checkpoints/last.ckpt"],
    "diff": ["ckpt", "diff", "run", "run"],
    "average": ["ckpt", "average", "run", "run", "--out", "soup.ckpt"],
    "export": ["ckpt", "export", "run", "--out", "weights.pt"],
}


def require_refused(answer: Answer, named: str, tmp_path: Path) -> None:
    told = answer.out + answer.err
    assert answer.code in (1, 2)
    assert not (tmp_path / MARKER).exists()
    assert named in told
    assert ".ckpt" in told  # the file
    assert "weights_only" not in told
    assert "safe_globals" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("command", COMMANDS)
def test_45_a_payload_runs_in_no_command_and_is_named(command: str, run: Path, trainkit, tmp_path: Path) -> None:
    """Real processes: the message names the file and the global, and offers no way to run it."""
    plant(run, {**state_of(run), "metrics": Calls(os.system, TOUCH)})
    answer = trainkit(*COMMANDS[command])
    require_refused(Answer(answer.code, answer.out, answer.err), "posix.system", tmp_path)
    assert not (tmp_path / "soup.ckpt").exists()
    assert not (tmp_path / "weights.pt").exists()


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_45_each_kind_of_payload_is_refused(name: str, protocol: int, run: Path, line, tmp_path: Path) -> None:
    plant(run, {**state_of(run), "metrics": PAYLOADS[name]}, pickle_protocol=protocol)
    for command in ("eval", "inspect", "verify", "train with a recipe"):
        require_refused(line(*COMMANDS[command]), name, tmp_path)


def test_45_in_each_field_of_a_checkpoint(run: Path, line, tmp_path: Path) -> None:
    state = state_of(run)
    fields = [(name,) for name in state] + [("model", "layers.1.weight"), ("about", "config"), ("optimizer", "state")]
    fields += [(f"extra {kind}",) for kind in ("list", "tuple", "key")]
    calls = Calls(os.system, TOUCH)
    for field in fields:
        hostile = dict(state)
        if field[0].startswith("extra"):
            hostile["extra"] = {"list": [calls], "tuple": (0, calls), "key": {("a", 1): calls}}[field[0].split()[1]]
        elif len(field) == 2:
            hostile[field[0]] = {**state[field[0]], field[1]: calls}
        else:
            hostile[field[0]] = calls
        plant(run, hostile)
        for command in ("eval", "inspect"):
            require_refused(line(*COMMANDS[command]), "posix.system", tmp_path)


def persistent(run: Path, pickled: bytes) -> None:
    """Put another pickle into the checkpoint's archive."""
    path = newest(run)
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, pickled if name.endswith("data.pkl") else data)
    sign(path)


def storage_trick() -> bytes:
    """A pickle whose storage's type is a function that is to be called."""
    return b"\x80\x02(X\x07\x00\x00\x00storagecposix\nsystem\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ."


def build_trick() -> bytes:
    """A pickle that sets the state of an object to what is a call."""
    return b"\x80\x02ccollections\nOrderedDict\n)Rcposix\nsystem\nX\x0c\x00\x00\x00touch marker\x85Rb."


def old_operations() -> bytes:
    """A pickle of protocol 0, with INST."""
    return b"(S'touch marker'\niposix\nsystem\n."


@pytest.mark.parametrize(
    "pickled", [storage_trick(), build_trick(), old_operations()], ids=["storage", "build", "inst"]
)
def test_45_tricks_with_storages_and_states(pickled: bytes, run: Path, line, tmp_path: Path) -> None:
    persistent(run, pickled)
    for command in ("eval", "inspect", "verify"):
        require_refused(line(*COMMANDS[command]), "posix.system", tmp_path)


def test_45_older_formats_are_not_read_at_all(run: Path, line, tmp_path: Path) -> None:
    """The legacy pickle, a plain pickle and the tar of torch's first years: their readers run code."""
    calls = Calls(os.system, TOUCH)
    torch.save({"model": calls}, tmp_path / "legacy.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"model": calls}))
    with tarfile.open(tmp_path / "tar.ckpt", "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            member, data = tarfile.TarInfo(name), pickle.dumps(calls)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    for name, told in {"legacy": "posix.system", "plain": "posix.system", "tar": "oldest format (tar)"}.items():
        for command in (["eval", "recipe=mlp", f"resume={name}.ckpt"], ["ckpt", "inspect", f"{name}.ckpt"]):
            answer = line(*command)
            assert (answer.code, answer.out) == (2, "")
            assert f"{name}.ckpt: " in answer.err
            assert told in answer.err
    assert not (tmp_path / MARKER).exists()


TEXTS = {
    "yaml": f"a: !!python/object/apply:os.system ['{TOUCH}']\n",
    "pickle": pickle.dumps(Calls(os.system, TOUCH)).decode("latin1"),
    "json": json.dumps({"py/object": "os.system", "__reduce__": [TOUCH], "_target_": "os.system"}) + "\n",
    "deep": "[" * 100_000 + "\n",
    "interpolation": "a: ${oc.env:HOME}\n_target_: os.system\n",
}
FILES = ["config.yaml", "overrides.yaml", "metrics.jsonl", "summary.json", "log.txt", ".lock"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("file", [*FILES, "manifest"])
def test_45_in_each_text_of_a_run_folder(file: str, text: str, run: Path, line, tmp_path: Path) -> None:
    path = newest(run).with_suffix(".json") if file == "manifest" else run / file
    path.write_bytes(TEXTS[text].encode("latin1"))
    state = state_of(run)
    for command in ("eval", "verify"):
        answer = line(*COMMANDS[command])
        assert answer.code in (0, 1, 2)
        if file == "manifest":
            assert answer.code in (1, 2)
            assert "manifest" in answer.out + answer.err
    if file == "config.yaml":
        torch.save({**state, "about": {}}, newest(run))  # so that it is the only config
        sign(newest(run))
        answer = line(*COMMANDS["eval"])
        assert answer.code == 2
        assert len(answer.err.splitlines()) == 1
    if file in ("metrics.jsonl", "summary.json", "manifest"):
        assert line(*COMMANDS["train on"]).code in (0, 1, 2)  # the files of the run that goes on
    assert not (tmp_path / MARKER).exists()


# ---------------------------------------------------------------------- configs

TARGETS = [
    *("os.system", "os.popen", "os.execv", "os.remove", "posix.system", "subprocess.Popen", "subprocess.run"),
    *("builtins.eval", "builtins.exec", "builtins.open", "builtins.__import__", "builtins.getattr", "builtins.compile"),
    *("shutil.rmtree", "pathlib.Path.write_text", "importlib.import_module", "runpy.run_path", "code.interact"),
    *("pickle.loads", "marshal.loads", "ctypes.CDLL", "functools.partial", "logging.os.system", "socket.create_server"),
    *("torch.load", "torch.hub.load", "torch.jit.load", "torch.ops.load_library", "torch.utils.cpp_extension.load"),
    *("torch.classes.load_library", "torch.serialization.load", "torch.multiprocessing.spawn", "torch.save"),
    *("torch.nn.modules.module.os.system", "torch.nn.functional.os.system", "torch.nn.Module.__init__.__globals__"),
    *(
        "torch.nn.parallel.distributed.os.system",
        "torch.nn.modules.module.functools.partial",
        "torch.nn.init.torch.load",
    ),
    *("torch.optim.optimizer.torch.load", "torch.optim.sys.modules", "torch.optim.Optimizer.__subclasses__"),
    *("torchvision.datasets.LSUN", "torchvision.datasets.utils.download_url", "torchvision.datasets.utils.os.system"),
    *("torchvision.models.get_model", "torchvision.models._api.importlib.import_module", "torchvision.io.read_file"),
    *("numpy.load", "numpy.save", "numpy.fromfile", "yaml.unsafe_load", "hydra.utils.instantiate", "hydra.main"),
    *(
        "hydra.utils.get_method",
        "hydra._internal.hydra.Hydra",
        "hydra.core.plugins.Plugins",
        "omegaconf.OmegaConf.load",
    ),
    *(
        "trainkit.commands.train.run",
        "trainkit.compose",
        "trainkit.checkpoint.files.write_text",
        "trainkit.run.evil.Net",
    ),
    *("trainkit.config.build.instantiate", "trainkit.callbacks.recorder.Recorder", "trainkit.tests.evil.Net"),
    *("canary_module.Net", "canary_module", "torch.nn.canary_module.Net", " canary_module.Net", "canary_module:Net"),
    *("torch.nn..Linear", "torch.nn.Linear ", "torch.nn.Lınear", ".torch.nn.Linear", "", "torch", "torch.nn"),
]
PLACES = {
    "model": lambda node: {"model": node},
    "nested": lambda node: {"model": {"_target_": "torch.nn.Sequential", "inner": {"deep": node}}},
    "list": lambda node: {"model": {"_target_": "torch.nn.Sequential", "layers": [[1, [node]]]}},
    "_args_": lambda node: {"model": {"_target_": "torch.nn.Sequential", "_args_": [node]}},
    "_partial_": lambda node: {"objective": {**node, "_partial_": True}},
    "datasets": lambda node: {"data": {"datasets": node}},
    "augment": lambda node: {"data": {"datasets": {"_target_": "trainkit.recipes.data.digits", "augment": [node]}}},
    "callback": lambda node: {"callbacks": {"mine": node}},
    "logger": lambda node: {"loggers": {"mine": node}},
    "scheduler": lambda node: {"schedule": {"scheduler": node}},
    "nowhere": lambda node: {"tags": [node]},
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that can be imported, as any file beside the run can, and leaves the marker when it is."""
    (tmp_path / "canary_module.py").write_text(f"{CREATE}\nclass Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / MARKER
    sys.modules.pop("canary_module", None)


@cache
def shipped() -> str:
    """Return the config of a shipped recipe, composed once."""
    return json.dumps(plain(compose("mlp")))


def hostile(run: Path, change: dict, where: str) -> None:
    """Give the run a config with this change, in its checkpoint or in ``config.yaml`` alone."""
    config = json.loads(shipped())
    for key, value in change.items():
        config[key] = {**config[key], **value} if key == "data" else value
    state = state_of(run)
    state["about"] = {"config": json.dumps(config)} if where == "checkpoint" else {}
    plant(run, state)
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def test_46_there_are_enough_targets() -> None:
    assert len(set(TARGETS)) >= 60


@pytest.mark.parametrize("where", ["checkpoint", "config.yaml"])
def test_46_no_target_of_a_strangers_config_is_called_or_imported(where: str, run: Path, line, canary: Path) -> None:
    """Exit 2 with one line that names the key, the target, and how to trust."""
    for target in TARGETS if where == "checkpoint" else TARGETS[::5]:
        hostile(run, PLACES["model"]({"_target_": target, "_args_": [TOUCH]}), where)
        answer = line("eval", "resume=run")
        assert (answer.code, answer.out) == (2, ""), target
        assert len(answer.err.splitlines()) == 1
        assert f"model._target_={target[:100]!r}" in answer.err
        assert "trusted_packages=[" in answer.err
        assert "canary_module" not in sys.modules
        assert not canary.exists()


@pytest.mark.parametrize("place", PLACES)
def test_46_wherever_it_stands(place: str, run: Path, line, canary: Path) -> None:
    for target in ("os.system", "canary_module.Net", "logging.os.system", "torch.load", "trainkit.run.evil.Net"):
        hostile(run, PLACES[place]({"_target_": target, "command": TOUCH}), "checkpoint")
        commands = [["eval", "resume=run"], ["resume=run"], ["run_dir=run", "resume=auto"]]
        for command in commands if target == "os.system" else commands[:1]:
            answer = line(*command)
            assert (answer.code, answer.out) == (2, "")
            assert f"_target_='{target}'" in answer.err
        assert "canary_module" not in sys.modules
        assert not canary.exists()


def test_46_a_run_folder_is_no_part_of_the_package(run: Path, tmp_path: Path, monkeypatch, line) -> None:
    """In a checkout ``trainkit`` finds packages beside itself, so a run folder there could pass for one of its own."""
    import trainkit

    (run / "evil.py").write_text(f"{CREATE}\nfrom torch import nn\nclass Net(nn.Linear): pass\n")
    monkeypatch.setattr(trainkit, "__path__", [*trainkit.__path__, str(tmp_path)])
    hostile(run, {"model": {"_target_": "trainkit.run.evil.Net", "in_features": 64, "out_features": 10}}, "checkpoint")
    assert line("eval", "resume=run").code == 2
    assert not (tmp_path / MARKER).exists()
    sys.modules.pop("trainkit.run", None)


def test_46_through_an_interpolation(run: Path, line, canary: Path) -> None:
    for target in ("${name}", "${oc.env:TARGET}", "${oc.decode:'os.system'}"):
        hostile(run, {"name": "os.system", "model": {"_target_": target}}, "checkpoint")
        answer = line("eval", "resume=run")
        assert answer.code == 2
        assert "model._target_" in answer.err
    assert not canary.exists()


def test_46_hydras_own_part_of_a_strangers_config_is_not_used(run: Path, line, canary: Path) -> None:
    hydra = {"callbacks": {"x": {"_target_": "canary_module.Net"}}, "job_logging": {"class": "canary_module.Net"}}
    hostile(run, {"hydra": {**hydra, "searchpath": ["file:///"], "output_subdir": "x"}}, "checkpoint")
    assert line("eval", "resume=run").code == 0
    assert not canary.exists()
    hostile(run, {"defaults": ["/hydra/launcher: evil"]}, "checkpoint")
    assert line("eval", "resume=run").code == 2


def test_46_real_processes_refuse_too_and_ones_own_package_is_trusted_by_name(run: Path, trainkit, tmp_path) -> None:
    (tmp_path / "my_package.py").write_text(f"{CREATE}\nfrom torch import nn\nclass Net(nn.Linear): pass\n")
    flat = "torch.nn.Flatten"
    node = {"_target_": "my_package.Net", "in_features": 64, "out_features": 10}
    hostile(run, {"model": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": flat}, node]}}, "checkpoint")
    refused = trainkit("eval", "resume=run")
    assert refused.code == 2
    assert "model._args_.1._target_='my_package.Net'" in refused.err
    assert not (tmp_path / MARKER).exists()
    trusted = trainkit("eval", "resume=run", "trusted_packages=[my_package]")
    assert (tmp_path / MARKER).exists()
    assert "do not fit the model" in trusted.err  # it was built, and these are not its weights
    assert trainkit("eval", "resume=run", "trusted_packages=[os]").code == 2


# ---------------------------------------------------------------------- resolving, secrets

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("bomb", [LAUGHS, "a: " + "{b: " * 20_000, "- " * 100_000, "a: [" + "1, " * 349_000 + "]"])
def test_47_a_bomb_of_yaml_is_refused_at_once(bomb: str, run: Path, line) -> None:
    plant(run, {**state_of(run), "about": {}})
    (run / "config.yaml").write_text(bomb)
    started = time.monotonic()
    answer = line("eval", "resume=run")
    assert answer.code == 2
    assert time.monotonic() - started < 20  # it takes a tenth of a second; a bomb would take the machine
    assert "config.yaml" in answer.err or "entries" in answer.err


def test_47_a_secret_of_the_environment_reaches_no_file(run: Path, trainkit, tmp_path: Path) -> None:
    canary = "canary-of-the-environment"
    for where, commands in {
        "checkpoint": [["resume=run"], ["eval", "resume=run"]],
        "config.yaml": [["resume=run"]],
    }.items():
        hostile(run, {"name": "${oc.env:STOLEN}", "tags": ["${oc.env:STOLEN}"]}, where)
        for command in commands:
            answer = trainkit(*command, STOLEN=canary)
            assert answer.code == 2
            assert "wants resolving" in answer.err
    assert found_in(tmp_path, canary) == []


def found_in(folder: Path, word: str) -> list[str]:
    """Return the files that hold a word, as it stands or with a null between its characters."""
    plain, wide = word.encode(), word.encode("utf-16-le")
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if plain in (data := path.read_bytes()) or wide in data]


def test_48_values_of_secret_keys_reach_no_file(trainkit, tmp_path: Path) -> None:
    """Not the configs, the summary with its command, the log, TensorBoard or the checkpoints."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text(
        "import trainkit\n"
        "from trainkit.recipes.models import MLP\n"
        "class Net(MLP):\n"
        "    def __init__(self, api_key, **rest):\n"
        "        assert api_key == 'canary-5'\n"
        "        super().__init__(**rest)\n"
        "class Hub(trainkit.Callback):\n"
        "    def __init__(self, token, password, private_key, service, note):\n"
        "        assert (token, note, service['api_key']) == ('canary-1', 'canary-6', 'canary-3')\n"
    )
    hub = "+callbacks.hub"
    answer = trainkit(
        *("recipe=mlp", "trainer.max_epochs=1", "run_dir=out/run", f"{hub}._target_=mine.Hub", f"{hub}.token=canary-1"),
        *(f"{hub}.password='canary-2'", f"{hub}.note=${{oc.env:MY_SECRET_TOKEN}}", "+model.api_key=canary-5"),
        f"{hub}.service={{api_key: canary-3, url: 'http://me:canary-4@host/x', n_tokens: 7}}",
        *("model._target_=mine.Net", f"{hub}.private_key=${{oc.env:MY_OTHER}}"),
        MY_SECRET_TOKEN="canary-6",
        MY_OTHER="canary-7",
    )
    assert answer.code == 0, answer.err
    assert "canary" not in answer.out + answer.err
    assert found_in(tmp_path / "out", "canary-") == []
    config = yaml.safe_load((tmp_path / "out/run/config.yaml").read_text())
    hub = {"_target_": "mine.Hub", "token": "***", "password": "***", "note": "***", "private_key": "***"}
    service = {"api_key": "***", "url": "http://me:***@host/x", "n_tokens": 7}
    assert config["callbacks"]["hub"] == {**hub, "service": service}
    assert config["model"]["api_key"] == "***"
    checkpoint = torch.load(tmp_path / "out/run/checkpoints/last.ckpt", weights_only=True)
    assert json.loads(checkpoint["about"]["config"])["callbacks"]["hub"] == {**hub, "service": service}
    environment = {name: value for name, value in os.environ.items() if len(value) > 20 and value not in sys.path}
    texts = "".join(path.read_text() for path in (tmp_path / "out/run").glob("*.*") if path.is_file())
    dumped = [n for n, v in environment.items() if f"{n}={v}" in texts or f'"{n}": "{v}"' in texts]
    assert dumped == []


# ---------------------------------------------------------------------- names, sizes, links, servers

ODD = [
    ("name=../../etc", 2),
    ("name=a/b", 2),
    ("name=.hidden", 2),
    ("name=..", 2),
    ('name="a\nb"', 2),
    ("name='a\x1b[31mb'", 2),
    (f"name={'x' * 300}", 2),
    ("name=''", 2),
    ("run_dir=../../etc", 2),
    ("run_dir=a/../../etc", 2),
    ('run_dir="a\nb"', 2),
    (f"run_dir={'x' * 300}", 2),
    (f"run_dir={'x/' * 3000}", 2),
    ("run_dir=file", 2),
    ("run_dir=file/inside", 2),
    ("run_dir=/proc/nothing", 2),
    ("run_dir=2026", 0),
    ("name='<script>'", 0),
    ("name='with space'", 0),
    ("name='ünïcode'", 0),
]


@pytest.mark.parametrize(("override", "code"), ODD, ids=[repr(override)[:40] for override, _ in ODD])
def test_44_odd_names_stay_under_runs_or_are_refused(override: str, code: int, line, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = set(tmp_path.parent.iterdir())
    answer = line(*QUICK, override)
    assert answer.code == code
    assert set(tmp_path.parent.iterdir()) == before
    made = {path.name for path in tmp_path.iterdir()} - {"file"}
    assert made <= ({"runs", "2026"} if code == 0 else {"runs"})
    if code:
        assert answer.out == ""
        assert len(answer.err.splitlines()) <= 2
        assert answer.err.startswith(f"trainkit: {override.split('=')[0]}=")
    assert (tmp_path / "file").read_text() == "x"


def test_44_a_sweep_stays_under_runs_too(line, tmp_path: Path) -> None:
    before = set(tmp_path.parent.iterdir())
    answer = line(*QUICK, "name=../../elsewhere", "seed=0,1", "-m")
    assert (answer.code, set(tmp_path.parent.iterdir())) == (2, before)
    assert list(tmp_path.iterdir()) == []


SIZES = """
import resource, sys, time
from pathlib import Path
from trainkit.checkpoint import read
from trainkit.errors import ConfigError
own = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (own + (1 << 30), own + (1 << 30)))
for path in sys.argv[1:]:
    started = time.process_time()
    try:
        read(path)
        print(Path(path).name, "read")
    except ConfigError as error:
        print(Path(path).name, round(time.process_time() - started, 2), str(error).split(": ", 1)[1], sep="|")
"""


def test_49_sizes_are_refused_before_they_are_allocated(tmp_path: Path) -> None:
    """With 1 GB to spare, and within seconds of processor time."""
    weight = torch.zeros(1)
    files = {
        "terabyte": {"format": 1, "model": {"w": weight.expand(1 << 38)}},
        "named often": {"format": 1, "model": {f"{n}": torch.zeros(1).expand(1 << 27) for n in range(100)}},
        "meta": {"format": 1, "model": {"w": torch.empty(1 << 40, device="meta")}},
        "bytearray": {"format": 1, "model": Calls(bytearray, 1 << 40)},
        "keys": {f"key {n:07}": n for n in range(1_000_000)},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    assert (tmp_path / "terabyte").stat().st_size < 3000
    torch.save({"format": 1, "model": {"w": torch.zeros(1 << 25)}}, tmp_path / "zip bomb")
    repack(tmp_path / "zip bomb", lambda name: name, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "zip bomb").stat().st_size < 1_000_000
    torch.save({"format": 1, "model": {"w": torch.zeros(100)}}, tmp_path / "declared")
    data = (tmp_path / "declared").read_bytes()
    (tmp_path / "declared").write_bytes(data.replace(b"cpuq\x06Kd", b"cpuq\x06M\xff\xff"[:8]))
    for name, path in {"dots": "../../../{}", "absolute": "/etc/{}"}.items():
        torch.save({"format": 1, "model": {"w": weight}}, tmp_path / name)
        repack(tmp_path / name, path.format, zipfile.ZIP_STORED)
    with zipfile.ZipFile(tmp_path / "members", "w") as archive:
        for number in range(210_000):
            archive.writestr(zipfile.ZipInfo(f"x/{number}"), b"")
    names = [*files, "zip bomb", "declared", "dots", "absolute", "members"]
    done = subprocess.run(
        [sys.executable, "-c", SIZES, *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    told = {row.split("|")[0]: row.split("|")[1:] for row in done.stdout.splitlines()}
    assert set(told) == set(names), done.stdout + done.stderr
    assert {name: float(row[0]) for name, row in told.items() if float(row[0]) > 5} == {}
    for name, reason in {"zip bomb": "compressed", "dots": "lead out", "members": "members", "keys": "names"}.items():
        assert reason in told[name][1]


def repack(path: Path, renamed: Callable[[str], str], compression: int) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(renamed(name)), data, compression)


def test_49_links_out_of_a_run_folder_are_refused(run: Path, line, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere.ckpt"
    shutil.copy(newest(run), secret)
    shutil.copy(newest(run).with_suffix(".json"), tmp_path / "elsewhere.json")
    for link in ("last.ckpt", "best.ckpt"):
        (run / "checkpoints" / link).unlink()
        (run / "checkpoints" / link).symlink_to("../../elsewhere.ckpt")
    for command in (
        ["eval", "resume=run"],
        ["resume=run"],
        ["ckpt", "inspect", "run"],
        ["ckpt", "export", "run", "--out", "w.pt"],
    ):
        answer = line(*command)
        assert (answer.code, answer.out) == (2, "")
        assert "leads out of its folder" in answer.err
    answer = line("ckpt", "verify", "run")
    assert answer.code == 1
    assert len(re.findall("leads out of its folder", answer.out)) == 2
    plant_link = run / "config.yaml"
    plant_link.unlink()
    plant_link.symlink_to("/etc/hostname")
    answer = line("ckpt", "verify", "run")
    assert Path("/etc/hostname").read_text().strip() not in answer.out
    assert "config.yaml" in answer.out


@pytest.mark.parametrize("name", ["metrics.jsonl", "log.txt", "summary.json", "checkpoints", "tensorboard", ".lock"])
def test_49_a_run_that_goes_on_writes_to_no_file_elsewhere(name: str, run: Path, line, tmp_path: Path) -> None:
    """A link in a stranger's run folder could have the log of the run appended to any file of the user."""
    outside = tmp_path / "outside"
    if name in ("checkpoints", "tensorboard"):
        (run / "tensorboard").mkdir(exist_ok=True)
        (run / name).rename(outside)
    else:
        outside.write_text("export PATH\n")
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside)
    before = sorted(outside.iterdir()) if outside.is_dir() else outside.read_text()
    answer = line(*QUICK, "run_dir=run", "resume=auto", "trainer.max_epochs=2")
    assert (answer.code, answer.out) == (2, "")
    assert (f"its {name} is a link" in answer.err) or name == ".lock"
    assert (sorted(outside.iterdir()) if outside.is_dir() else outside.read_text()) == before


def listening(pid: int) -> list[str]:
    """Return the addresses that a process listens on, as the kernel lists them."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(entry)))
        except FileNotFoundError:
            continue
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[9] in inodes and (fields[3] == "0A" or table.startswith("udp")):
                found.append(f"{table} {fields[1]}")
    return found


def test_50_a_run_listens_nowhere(start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert listening(os.getpid())  # the eye sees
    command = start("recipe=mlp", "trainer.max_epochs=200", "name='<script>'", "data.num_workers=1")
    deadline, looks = time.monotonic() + 60, 0
    while looks < 20 and time.monotonic() < deadline:
        if list(tmp_path.glob("runs/*/*/checkpoints/last.ckpt")):
            looks += 1
            assert listening(command.pid) == []
        time.sleep(0.05)
    os.kill(command.pid, 15)
    assert command.wait().code == 143
    assert looks == 20
    (run,) = tmp_path.glob("runs/<script>/*")
    pages = [path for path in run.rglob("*") if path.suffix in (".html", ".htm", ".svg", ".md")]
    assert [path for path in pages if "<script>" in path.read_text()] == []
