"""Training from Python and from the command line, in this process; ``test_main.py`` has the real ones."""

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bases import shared
from hydra.core.hydra_config import HydraConfig
from torch import Tensor

import trainkit
from trainkit.__main__ import _run
from trainkit.commands.training import flatten
from trainkit.config.build import Parts, build_evaluator, build_parts
from trainkit.data import Loader
from trainkit.errors import ConfigError

SHORT = ("trainer.max_epochs=2", "callbacks.predictions=null")


@pytest.fixture(scope="module", autouse=True)
def _files_are_composed_once() -> Iterator[None]:
    with shared():
        yield


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def weights(result: trainkit.Result) -> Tensor:
    return torch.cat([p.detach().flatten() for p in result.model.parameters()])


def saved(folder: str | Path, name: str = "last") -> dict:
    return torch.load(Path(folder) / "checkpoints" / f"{name}.ckpt", weights_only=True)


def equal(one: dict, other: dict) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items()) and list(one) == list(other)


# ---------------------------------------------------------------------- from Python


def test_a_run_gives_metrics_folder_model_and_why_it_ended(tmp_path: Path) -> None:
    result = trainkit.run("mlp", *SHORT)
    assert (result.status, result.stop_reason) == ("completed", "max_epochs=2 reached")
    assert {"train/loss", "val/loss", "val/accuracy", "test/loss", "test/accuracy"} <= set(result.metrics)
    assert result.run_dir.parent == Path("runs") / "mlp"
    assert result.model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_the_same_config_twice_in_a_process_gives_the_same_and_two_folders() -> None:
    first, second = trainkit.run("mlp", *SHORT), trainkit.run("mlp", *SHORT)
    assert torch.equal(weights(first), weights(second))
    assert first.run_dir != second.run_dir
    assert {n: v for n, v in first.metrics.items() if "per_second" not in n} == {
        n: v for n, v in second.metrics.items() if "per_second" not in n
    }


def test_another_config_after_it_gives_something_else() -> None:
    first, second = trainkit.run("mlp", *SHORT), trainkit.run("mlp", *SHORT, "seed=1")
    assert not torch.equal(weights(first), weights(second))
    assert set(trainkit.run("linear", *SHORT).metrics) >= {"test/rmse", "test/mae", "test/r2"}


def test_the_model_comes_with_the_best_weights_and_these_were_tested() -> None:
    """A rate that grows with every step: the last epochs are worse than the best one."""
    growing = "+schedule={interval:step,scheduler:{_target_:torch.optim.lr_scheduler.ExponentialLR,gamma:1.06}}"
    result = trainkit.run("mlp", "trainer.max_epochs=6", "run_dir=run", "~schedule", growing)
    best, last = saved("run", "best"), saved("run", "last")
    assert best["counters"]["step"] < last["counters"]["step"]
    assert equal(result.model.state_dict(), best["model"])
    assert not equal(result.model.state_dict(), last["model"])
    parts = build_parts(trainkit.compose("mlp"), None)
    evaluator = build_evaluator(parts)
    evaluator.load_weights(best)
    assert evaluator.test(parts.loader("test"))["test/loss"] == result.metrics["test/loss"]


def test_the_test_may_be_left_out() -> None:
    assert not any(name.startswith("test/") for name in trainkit.run("mlp", *SHORT, "test=false").metrics)
    assert "test/loss" not in trainkit.run("mlp", *SHORT, "trainer.limit_test_batches=0").metrics


def test_a_wrong_config_raises_and_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such recipe"):
        trainkit.run("mpl")
    with pytest.raises(trainkit.ConfigError, match=r"trainer.device=gpu: must be .* Did you mean 'cuda'"):
        trainkit.run("mlp", "trainer.device=gpu")
    assert list(tmp_path.iterdir()) == []


def test_workers_do_not_change_a_bit() -> None:
    crop = "data.augment={_target_:torchvision.transforms.v2.RandomCrop,size:8,padding:1}"
    without, with_two = (trainkit.run("mlp", *SHORT, crop, f"data.num_workers={n}") for n in (0, 2))
    assert torch.equal(weights(without), weights(with_two))


def test_early_stopping_by_patience_ends_the_run_well() -> None:
    still = ("optimizer.lr=0", "optimizer.weight_decay=0", "schedule=constant")
    result = trainkit.run("mlp", "callbacks.early_stopping.patience=2", "run_dir=run", *still)
    assert result.status == "stopped"
    assert result.stop_reason.startswith("early stopping: val/loss has not improved")
    summary = json.loads(Path("run/summary.json").read_text())
    assert (summary["status"], summary["epochs"], summary["best"]["epoch"]) == ("stopped", 3, 1)
    assert "test/accuracy" in result.metrics


def test_an_average_is_what_is_validated_kept_and_tested() -> None:
    result = trainkit.run("mlp", *SHORT, "averaging=ema", "averaging.decay=0.9", "run_dir=run")
    state = saved("run", "best")
    averaged = {n.removeprefix("module."): v for n, v in state["averaging"].items() if n != "n_averaged"}
    assert equal(result.model.state_dict(), averaged)
    assert not equal(state["model"], averaged)


@pytest.mark.parametrize(
    ("mode", "steps", "folder"),
    [
        ("fast", 1, False),
        ("overfit", 2 * 3, True),
        ("limit", 2 * 1, True),
        ("anomaly", 2 * 17, True),
        ("profile", 2 * 17, True),
    ],
)
def test_debug_modes(mode: str, steps: int, folder: bool, tmp_path: Path) -> None:
    result = trainkit.run("mlp", f"debug={mode}", *([] if mode == "fast" else SHORT))
    assert (result.run_dir is not None) is (tmp_path / "runs").exists() is folder
    if folder:
        assert json.loads((result.run_dir / "summary.json").read_text())["steps"] == steps
    assert "test/accuracy" in result.metrics


def test_overfitting_learns_its_batches_by_heart() -> None:
    result = trainkit.run("mlp", "debug=overfit", "callbacks.predictions=null")
    assert result.metrics["val/accuracy"] == 1.0


def test_a_layer_may_learn_at_a_rate_of_its_own() -> None:
    frozen = "freeze.rules=[{match:'layers.1.*',lr:0,weight_decay:0}]"
    first = trainkit.compose("mlp")
    result = trainkit.run("mlp", *SHORT, frozen)
    before, after = build_parts(first, None).model.state_dict(), result.model.state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} == {"layers.1.weight", "layers.1.bias"}


# ---------------------------------------------------------------------- resuming


def test_resume_auto_starts_in_an_empty_folder_goes_on_and_then_has_nothing_to_do(line, capsys) -> None:
    command = ("recipe=mlp", "run_dir=run", "resume=auto", "trainer.max_epochs=3", "schedule=constant")
    start = line(*command, "trainer.max_steps=20")
    assert start.code == 0
    assert "resume=auto: no checkpoint in run yet, so this starts the run" in start.out
    middle = line(*command)
    assert "resumed from run/checkpoints/step-00000020.ckpt at step 20" in middle.out
    assert "max_epochs=3 reached, 51 steps" in middle.out
    before, metrics = saved("run"), json.loads(Path("run/summary.json").read_text())["metrics"]
    end = line(*command)
    assert end.code == 0
    assert "epoch" not in end.out.split("resumed from")[1].split("ended")[0]
    assert json.loads(Path("run/summary.json").read_text())["metrics"] == metrics
    assert equal(saved("run")["model"], before["model"])
    straight = trainkit.run("mlp", "trainer.max_epochs=3", "schedule=constant", "run_dir=straight")
    assert equal(saved("straight")["model"], before["model"])
    assert straight.metrics["test/loss"] == metrics["test/loss"]


@pytest.mark.parametrize("where", ["", "checkpoints", "checkpoints/last.ckpt", "checkpoints/step-00000017.ckpt"])
def test_a_run_goes_on_in_a_folder_of_its_own_from_a_checkpoint(where: str, finished: Path) -> None:
    before = (finished / "metrics.jsonl").read_bytes()
    command = ("trainer.max_epochs=3", "schedule=constant", "run_dir=onward", f"resume={finished / where}")
    assert trainkit.run("mlp", *command).status == "completed"
    assert saved("onward")["counters"]["step"] == 51
    assert (finished / "metrics.jsonl").read_bytes() == before


# ---------------------------------------------------------------------- other people's code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of somebody else, and a recipe of theirs."""
    root = tmp_path / "theirs"
    for name, text in {
        "their_package/__init__.py": "",
        "their_package/nets.py": (
            "from torch import nn\n"
            "class Net(nn.Module):\n"
            "    def __init__(self, width):\n"
            "        super().__init__()\n"
            "        self.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Tanh(), nn.Linear(width, 10))\n"
            "    def forward(self, x):\n"
            "        return self.body(x)\n"
        ).replace("LazyLinear(width)", "Linear(64, width)"),
        "configs/recipe/theirs.yaml": (
            "# @package _global_\n# Their net.\ndefaults:\n  - override /model: theirs\n  - override /data: digits\n"
            "  - override /objective: classification\nname: theirs\ntrainer:\n  max_epochs: 2\n"
        ),
        "configs/model/theirs.yaml": "_target_: their_package.nets.Net\nwidth: 32\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(root)
    for name in [name for name in sys.modules if name.split(".")[0] == "their_package"]:
        monkeypatch.delitem(sys.modules, name)  # of another test's folder, which is no part of this project
    return str(root / "configs")


def test_a_model_of_somebody_elses_package_trains_unchanged(package: str) -> None:
    """The arguments of the recipe's own model go, theirs come."""
    theirs = "model={_target_:their_package.nets.Net,width:16}"
    result = trainkit.run("mlp", "~model", f"+{theirs}", *SHORT)
    assert type(result.model).__module__ == "their_package.nets"
    assert result.model.body[1].weight.shape == (16, 64)
    assert result.metrics["test/accuracy"] > 0.5


def test_a_recipe_of_ones_own_trains_from_python(package: str) -> None:
    result = trainkit.run("theirs", "model.width=24", config_dir=package)
    assert result.run_dir.parent == Path("runs/theirs")
    assert result.model.body[1].out_features == 24


def test_a_recipe_of_ones_own_trains_sweeps_and_evaluates_from_the_command_line(line, package: str) -> None:
    trained = line("recipe=theirs", "--config-dir", package, "run_dir=run")
    assert trained.code == 0
    printed = next(row for row in trained.out.splitlines() if row.startswith("evaluate"))
    evaluated = line(*printed.split("trainkit ")[1].split())
    tested = json.loads(Path("run/summary.json").read_text())["metrics"]["test/loss"]
    assert (evaluated.code, evaluated.out.split()[1]) == (0, f"{tested:.4f}")
    assert line(f"--config-dir={package}", "-m", "recipe=theirs", "model.width=8,12").code == 0
    summaries = [json.loads(path.read_text()) for path in Path("runs/theirs/sweeps").glob("*/*/summary.json")]
    widths = [f"python -m trainkit recipe=theirs model.width={width} --config-dir {package}" for width in (8, 12)]
    assert sorted(summary["command"] for summary in summaries) == sorted(widths)


# ---------------------------------------------------------------------- sweeps and Hydra's flags


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_sweep_trains_each_job_in_a_folder_of_its_own(line, flag: str, place: int) -> None:
    arguments = ["recipe=mlp", "seed=3,4", "trainer.max_steps=2"]
    arguments.insert(place, flag)
    assert line(*arguments).code == 0
    folders = sorted(path.parent for path in Path("runs/mlp/sweeps").glob("*/*/summary.json"))
    assert [folder.name for folder in folders] == ["0", "1"]
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    assert [summary["seed"] for summary in summaries] == [3, 4]
    assert summaries[0]["command"] == "python -m trainkit recipe=mlp seed=3 trainer.max_steps=2"
    assert all((folder / name).exists() for folder in folders for name in ("config.yaml", "log.txt", "checkpoints"))


def test_a_sweep_has_many_folders_so_run_dir_is_refused(line, tmp_path: Path) -> None:
    answer = line("recipe=mlp", "seed=1,2", "run_dir=run", "-m")
    assert (answer.code, answer.err) == (
        2,
        "trainkit: run_dir=run: names the folder of one run. The one of a sweep is hydra.sweep.dir=PATH\n",
    )
    assert list(tmp_path.iterdir()) == []
    assert line("recipe=mlp", "seed=1,2", "hydra.sweep.dir=swept", "trainer.max_steps=1", "-m").code == 0
    assert sorted(path.parent.name for path in Path("swept").glob("*/summary.json")) == ["0", "1"]


def test_a_failing_job_ends_the_sweep_with_its_code(line) -> None:
    answer = line("recipe=mlp", "optimizer.lr=1e-3,1e8,1e-2", "trainer.max_epochs=2", "-m")
    assert answer.code == 1
    assert answer.err.startswith("trainkit: step ")
    assert len(list(Path("runs").glob("mlp/sweeps/*/*/checkpoints/best.ckpt"))) == 1


@pytest.mark.parametrize("flags", [["--cfg", "job"], ["-c", "job"], ["--cfg=job"]])
def test_the_config_is_shown_and_nothing_started(line, flags: list[str], tmp_path: Path) -> None:
    answer = line(*flags, "recipe=mlp", "optimizer.lr=0.125")
    assert answer.code == 0
    assert answer.out.startswith("name: mlp\n")
    assert "  lr: 0.125\n" in answer.out
    assert "hydra:" not in answer.out
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what goes wrong


@pytest.fixture
def used(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that may be spoilt, and other things that are no run."""
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "nothing.ckpt").write_bytes(b"")
    half = (finished / "checkpoints" / "last.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(half[: len(half) // 2])
    torch.save({"weights": torch.zeros(2)}, tmp_path / "strange.ckpt")
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("recipe=mpl", "recipe=mpl: there is no such recipe. Did you mean 'mlp'?"),
        ("", "usage: python -m trainkit"),
        ("model=mlp", "trainkit: no recipe was given. Recipes: cnn, distillation, linear, lora, mlp, transfer"),
        ("tarin recipe=mlp", "tarin: no such command. Did you mean 'train'? Commands: train, eval"),
        ("recipe=mlp nonsense", "nonsense: neither a flag nor KEY=VALUE"),
        ("recipe=mlp model=mlpp", "model=mlpp: there is no such option. Did you mean 'mlp'?"),
        ("recipe=mlp lr=0.1", "lr=0.1: there is no such key. Did you mean 'optimizer.lr'?"),
        ("recipe=mlp trainer.lr=0.1", "trainer.lr=0.1: there is no such key. Did you mean 'optimizer.lr'?"),
        ("recipe=mlp trainer.max_epochs=ten", "trainer.max_epochs=ten: must be a whole number, at least 0, or null"),
        ("recipe=mlp optimizer.lr=fast", "optimizer.lr=fast: must be a number, at least 0"),
        ("recipe=mlp trainer.device=gpu", "trainer.device=gpu: must be "),
        ("recipe=mlp trainer.device=cuda:99", "trainer.device=cuda:99: not on this machine, which has cpu"),
        ("recipe=mlp run_dir=text.ckpt", "run_dir=text.ckpt: is a file; a run needs a folder"),
        ("recipe=mlp run_dir=text.ckpt/run", "run_dir=text.ckpt/run: cannot be a folder: Not a directory"),
        ("recipe=mlp name=a/b", "name=a/b: must be a plain file name"),
        ("recipe=mlp name=..", "name=..: must be a plain file name"),
        ("recipe=mlp data=mnist data.download=false", "data=mnist: these files are not in "),
        ("recipe=mlp resume=nowhere", "resume=nowhere: no checkpoint there"),
        (
            "recipe=mlp resume=auto",
            "resume=auto: goes on with the run in run_dir (override resume=auto). Give run_dir=PATH too",
        ),
        ("recipe=mlp resume=text.ckpt", "text.ckpt: cannot be read as a checkpoint"),
        ("recipe=mlp resume=nothing.ckpt", "nothing.ckpt: cannot be read as a checkpoint"),
        ("recipe=mlp resume=half.ckpt", "half.ckpt: cannot be read as a checkpoint"),
        ("recipe=mlp resume=strange.ckpt", "strange.ckpt: not a checkpoint of trainkit"),
        ("recipe=mlp resume=run model.hidden=[32]", "the checkpoint's weights do not fit the model"),
        ("recipe=cnn resume=run", "the checkpoint's weights do not fit the model"),
        ("recipe=mlp resume=run optimizer=sgd", "optimizer._target_: the run cannot go on with another one"),
        ("recipe=mlp resume=run seed=3", "seed: the run cannot go on with another one"),
        ("recipe=mlp schedule.interval=hour", "schedule.interval=hour: must be step or epoch"),
        ("recipe=mlp schedule.warmup=5moons", "schedule.warmup=5moons: must be "),
        ("recipe=mlp +optimizer.foo=1", "optimizer.foo=1: "),
        ("recipe=mlp monitor.metric=val/acuracy", "monitor.metric=val/acuracy: the run logs "),
        ("recipe=mlp monitor.mode=up", "monitor.mode=up: must be min or max"),
        ("recipe=mlp --config-dir nowhere", "--config-dir nowhere: there is no such folder"),
        ("eval recipe=mlp", "eval needs weights: resume=RUN_FOLDER or resume=CHECKPOINT"),
    ],
)
def test_what_is_wrong_costs_one_short_message(line, arguments: str, told: str) -> None:
    answer = line(*arguments.split())
    assert answer.code == 2
    assert answer.err.removeprefix("trainkit: ").startswith(told.removeprefix("trainkit: "))
    assert len(answer.err.splitlines()) <= 10
    assert max(map(len, answer.err.splitlines())) < 600
    assert "Traceback" not in answer.err


def test_a_folder_that_the_system_keeps_to_itself_is_refused(line) -> None:
    answer = line("recipe=mlp", "run_dir=/proc/trainkit")
    assert (answer.code, answer.err.split(": cannot")[0]) == (2, "trainkit: run_dir=/proc/trainkit")


def test_a_typo_in_the_monitor_names_the_metrics_there_are(line) -> None:
    answer = line("recipe=mlp", "monitor.metric=val/acuracy")
    assert "val/loss" in answer.err
    assert answer.err.endswith("Did you mean 'val/accuracy'?\n")


def test_a_training_that_diverges_exits_with_1_and_leaves_the_earlier_checkpoints(line) -> None:
    doubling = "+schedule={scheduler:{_target_:torch.optim.lr_scheduler.ExponentialLR,gamma:2}}"
    answer = line(
        "recipe=mlp", "run_dir=run", "~schedule", doubling, "checkpoint.every=3st", "trainer.log_every_n_steps=1"
    )
    assert answer.code == 1
    assert answer.err.startswith("trainkit: step ")
    assert "the loss is" in answer.err
    assert answer.err.count("optimizer.lr") == 1
    assert len(answer.err.splitlines()) <= 9
    last = saved("run")
    assert 0 < last["counters"]["step"] < int(answer.err.split()[2].rstrip(":"))
    assert all(value.isfinite().all() for value in last["model"].values())
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["status"] == "failed"
    assert "the loss is" in summary["stop_reason"]
    assert line("eval", "recipe=mlp", "resume=run/checkpoints/last.ckpt").code == 0


def test_the_traceback_is_there_for_those_who_ask(line, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = line("recipe=mpl", "--traceback")
    monkeypatch.setenv("TRAINKIT_DEBUG", "1")
    for answer in (asked, line("recipe=mpl")):
        assert answer.code == 2
        assert answer.err.startswith("Traceback")
        assert "recipe=mpl: there is no such recipe" in answer.err


def test_flatten_gives_leaves_by_path() -> None:
    node = {"model": {"_target_": "x", "hidden": [1, 2], "norm": None}, "lr": 0.1, "deep": {"a": {"b": True}}}
    assert flatten(node) == {"model.hidden": [1, 2], "lr": 0.1, "deep.a.b": True}


def test_a_sweep_leaves_the_warnings_of_its_jobs_on(line, caplog: pytest.LogCaptureFixture) -> None:
    """Hydra's own way to be quiet would disable all loggers that there are."""
    assert line("recipe=mlp", "trainer.max_steps=1", "seed=0,1", "-m").code == 0
    names = ["trainkit", *(name for name in logging.root.manager.loggerDict if name.startswith("trainkit."))]
    assert not [name for name in names if logging.getLogger(name).disabled]
    logging.getLogger("trainkit").warning("heard")
    assert "heard" in caplog.text


class Unreadable(torch.utils.data.Dataset):
    """A test set of which no sample can be had."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> None:
        raise KeyboardInterrupt("SIGTERM") if index == 3 else LookupError("gone")


@pytest.mark.parametrize(("index", "status"), [(0, "failed"), (3, "preempted")])
def test_a_test_that_fails_is_not_told_as_completed(tmp_path: Path, monkeypatch, index: int, status: str) -> None:
    """The training is saved and whole; the summary says how the command ended."""
    trained = Parts.loader

    def loader(parts: Parts, name: str):
        return Loader(torch.utils.data.Subset(Unreadable(), [index]), 1) if name == "test" else trained(parts, name)

    monkeypatch.setattr(Parts, "loader", loader)
    with pytest.raises((trainkit.TrainingError, KeyboardInterrupt)):
        trainkit.run("mlp", "trainer.max_steps=1", f"run_dir={tmp_path / 'run'}")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == (status, 1)


OWN_METRIC = """
class Acc:
    def __init__(self) -> None:
        self.reset()

    def update(self, predictions, targets) -> None:
        self.right += (predictions.argmax(1) == targets).sum().item()

    def compute(self) -> float:
        return float(self.right)

    def reset(self) -> None:
        self.right = 0
"""


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["+metrics.acc={_target_:own_metric_of_train.Acc}", "monitor.metric=val/accuracy", "monitor.mode=max"],
            "monitor.metric=val/accuracy: the run logs val/acc, val/loss",
        ),
        (
            ["objective.loss={_target_:torch.nn.BCEWithLogitsLoss}", "data.classes=null", "data.outputs=10"],
            "objective=classification suits class labels",
        ),
        (
            ["model={_target_:torch.nn.Conv2d,in_channels:3,out_channels:10,kernel_size:3}"],
            "does not take the data's batches, float32 of shape (64, 1, 8, 8)",
        ),
    ],
)
def test_what_does_not_suit_the_first_batch_is_refused_before_anything_is_written(
    overrides: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "own_metric_of_train.py").write_text(OWN_METRIC)
    monkeypatch.syspath_prepend(str(code))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert _run(["recipe=mlp", "trusted_packages=[own_metric_of_train]", *overrides]) == 2
    assert said in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_the_banner_tells_a_change_by_the_key_that_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(["recipe=mlp", "data.split_seed=3", "trainer.fast_dev_run=true"]) == 0
    told = capsys.readouterr().out
    assert "data.split_seed=3 (" in told
    assert "data.datasets.split_seed" not in told


def test_the_config_is_shown_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(["recipe=mlp", "+loggers.w={_target_:own.Logger,api_key:hunter22}", "--cfg", "job"]) == 0
    told = capsys.readouterr()
    assert "api_key: ***" in told.out
    assert "hunter22" not in told.out + told.err


def test_what_info_asks_of_hydra_is_gone_afterwards(line) -> None:
    assert line("recipe=mlp", "--info").code == 0
    assert HydraConfig.instance().cfg is None
