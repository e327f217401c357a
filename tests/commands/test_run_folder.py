"""The run folder: its name, and each file that the contract promises."""

import json
import subprocess
import threading
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import trainkit
from trainkit.commands import run_folder
from trainkit.commands.run_folder import command, create
from trainkit.config.composing.compose import compose, plain
from trainkit.errors import ConfigError


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------- its name


def test_a_folder_is_named_by_recipe_and_time() -> None:
    folder = create(None, "mlp")
    assert folder.parent == Path("runs/mlp")
    assert folder.is_dir()
    stamp = folder.name
    assert [len(part) for part in stamp.replace("_", "-").split("-")] == [4, 2, 2, 2, 2, 2]


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        @staticmethod
        def now() -> "Clock":
            return Clock()

        def strftime(self, form: str) -> str:
            return "2026-01-02_03-04-05"

    monkeypatch.setattr(run_folder, "datetime", Clock)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(create(None, "mlp").name)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stamp = "2026-01-02_03-04-05"
    assert sorted(found) == [stamp, *(f"{stamp}_{number}" for number in range(1, 8))]


def test_a_folder_that_is_named_is_made_or_used_again() -> None:
    assert create("a/b", "mlp") == Path("a/b")
    (Path("a/b") / "kept").touch()
    create("a/b", "mlp")
    assert [path.name for path in Path("a/b").iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "", "a\\b", "a\nb", "/abs"])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a plain file name"):
        create(None, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run_dir", ["file", "file/run", "/proc/run", "bad\0name"])
def test_a_folder_that_cannot_be_written_to_is_refused(run_dir: str) -> None:
    Path("file").touch()
    told = r"is a file|cannot be a folder|cannot be written to|without control characters"
    with pytest.raises(ConfigError, match=told):
        create(run_dir, "mlp")


def test_the_folder_of_all_runs_that_cannot_be_made_is_refused() -> None:
    Path("runs").touch()
    with pytest.raises(ConfigError, match="run_dir=runs/mlp: cannot be written to"):
        create(None, "mlp")


# ---------------------------------------------------------------------- its files


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_holds_what_the_contract_promises_and_nothing_else(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        ".lock",
        "config.yaml",
        "overrides.yaml",
        "metrics.jsonl",
        "summary.json",
        "log.txt",
        "checkpoints",
        "tensorboard",
    }


def test_the_config_is_resolved_and_the_overrides_lead_to_it(finished: Path) -> None:
    text = (finished / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    overrides = yaml.safe_load((finished / "overrides.yaml").read_text())
    assert overrides == ["recipe=mlp", "trainer.max_epochs=2", "trainer.log_every_n_steps=10", "run_dir=run"]
    assert yaml.safe_load(text) == plain(compose(None, *overrides))


def test_overrides_of_any_kind_are_read_back(tmp_path: Path) -> None:
    overrides = ['name="a b"', "tags=[x,'y: z']", "+note=ü # no comment", "~loggers"]
    run_folder.write_config(tmp_path, "a: 1\n", overrides)
    assert yaml.safe_load((tmp_path / "overrides.yaml").read_text()) == overrides


def test_every_record_has_step_epoch_and_time(finished: Path) -> None:
    found = records(finished)
    assert all(list(record)[:3] == ["step", "epoch", "time"] and len(record) > 3 for record in found)
    assert [record["time"] for record in found] == sorted(record["time"] for record in found)
    by_name = {
        name: [(record["step"], record["epoch"]) for record in found if name in record]
        for name in (
            "train/loss",
            "train/learning_rate",
            "train/loss_epoch",
            "val/loss",
            "val/accuracy",
            "test/accuracy",
        )
    }
    steps = [(10, 1), (17, 1), (20, 2), (30, 2), (34, 2)]
    epochs = [(17, 1), (34, 2)]
    assert by_name == {
        "train/loss": steps,
        "train/learning_rate": steps,
        "train/loss_epoch": epochs,
        "val/loss": epochs,
        "val/accuracy": epochs,
        "test/accuracy": [(34, 2)],
    }
    assert all(isinstance(value, int | float) for record in found for value in record.values())


def test_the_summary_has_the_keys_of_the_contract_and_the_last_values(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert list(summary) == [
        "status",
        "stop_reason",
        "metrics",
        "best",
        "steps",
        "epochs",
        "seconds",
        "samples_per_second",
        "seed",
        "weights",
        "freeze",
        "warnings",
        "command",
        "versions",
        "git_commit",
    ]
    last: dict = {}
    for record in records(finished):
        last |= {name: value for name, value in record.items() if "/" in name}
    assert summary["metrics"] == last
    lowest = min((record for record in records(finished) if "val/loss" in record), key=lambda r: r["val/loss"])
    assert summary["best"] == {
        "metric": "val/loss",
        "value": lowest["val/loss"],
        "epoch": lowest["epoch"],
        "step": lowest["step"],
    }
    assert (summary["status"], summary["stop_reason"]) == ("completed", "max_epochs=2 reached")
    assert (summary["steps"], summary["epochs"], summary["seed"]) == (34, 2, 0)
    assert summary["samples_per_second"] == pytest.approx(2 * 1078 / summary["seconds"], rel=0.02)
    assert summary["versions"]["trainkit"] == trainkit.__version__
    assert summary["versions"]["torch"] == torch.__version__
    assert summary["command"].startswith("python -m trainkit recipe=mlp trainer.max_epochs=2 ")


def test_checkpoints_load_as_tensors_and_plain_types(finished: Path) -> None:
    folder = finished / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {
        "last.ckpt",
        "best.ckpt",
        "step-00000017.ckpt",
        "step-00000017.json",
        "step-00000034.ckpt",
        "step-00000034.json",
    }
    last, best = (torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
    assert (last["counters"]["step"], last["counters"]["epoch"]) == (34, 2)
    assert best["counters"]["step"] == json.loads((finished / "summary.json").read_text())["best"]["step"]
    assert not any(name.startswith(("_orig_mod.", "module.")) for name in last["model"])


def test_tensorboard_has_the_curves(finished: Path) -> None:
    (path,) = (finished / "tensorboard").glob("events.out.tfevents.*")
    tags = {value.tag for event in EventFileLoader(str(path)).Load() for value in event.summary.value}
    assert {"train/loss", "epoch/val/loss", "epoch/test/accuracy", "val/confusion_matrix"} <= tags


def test_a_value_that_is_not_finite_is_null_in_the_summary(tmp_path: Path) -> None:
    trainer = trainkit.Trainer(
        model := torch.nn.Linear(1, 1),
        trainkit.supervised(torch.nn.MSELoss()),
        torch.optim.SGD(model.parameters()),
        [(torch.zeros(1, 1), torch.zeros(1, 1))],
        max_epochs=1,
    )
    trainer.metrics |= {"val/loss": float("nan"), "val/top": float("inf"), "val/good": 1.0}
    run_folder.write_summary(tmp_path, trainer, [])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["metrics"] == {"val/loss": None, "val/top": None, "val/good": 1.0}
    assert summary["best"] is None


# ---------------------------------------------------------------------- the command and the commit


def test_secrets_are_masked_and_nothing_else_is() -> None:
    shown = command("train", ["+loggers.x.api_key=abc", "+db.Password=p w", "+hub_token=t", "optimizer.lr=1", "seed=1"])
    assert shown == (
        "python -m trainkit '+loggers.x.api_key=***' '+db.Password=***' '+hub_token=***' optimizer.lr=1 seed=1"
    )
    assert command("train", ["+keys.seed=3", "~secret"]) == "python -m trainkit +keys.seed=3 '~secret'"


def test_a_shell_takes_the_command_as_it_is_told() -> None:
    overrides = ["model.hidden=[3, 4]", "name=it's", "data.augment={_target_:a.B,size:8}", "+x=$HOME", "~loggers"]
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command('eval', overrides)}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert words == ["python", "-m", "trainkit", "eval", *overrides]


def test_secrets_of_a_run_do_not_stand_in_its_summary_and_log(tmp_path: Path) -> None:
    trainkit.run("mlp", "+data.api_token=hush", "run_dir=run", "trainer.max_steps=1")
    for name in ("summary.json", "log.txt"):
        text = (tmp_path / "run" / name).read_text()
        assert "hush" not in text
        assert "api_token=***" in text


def test_what_a_kill_left_half_written_is_swept(tmp_path: Path) -> None:
    """Of the run folder and of tensorboard's; the checkpoints have their own broom."""
    run = tmp_path / "run"
    left = [run / ".tmp-123-config.yaml", run / "tensorboard" / ".tmp-123-events"]
    (run / "tensorboard").mkdir(parents=True)
    for path in left:
        path.write_text("half")
    run_folder.create(run, "mlp")
    assert all(path.exists() for path in left)  # another run may be at work there: only its lock says that it is not
    run_folder.sweep(run)
    assert not any(path.exists() for path in left)
