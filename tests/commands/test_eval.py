"""``trainkit eval``."""

import json
import shutil
from pathlib import Path

import pytest


def printed(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


def final_test_metrics(run: Path) -> dict[str, str]:
    """The test metrics that a run ended with."""
    metrics = json.loads((run / "summary.json").read_text())["metrics"]
    return {name: f"{value:.4f}" for name, value in metrics.items() if name.startswith("test/")}


@pytest.mark.parametrize("where", ["", "checkpoints", "checkpoints/best.ckpt"])
def test_the_best_weights_of_a_run_test_as_at_its_end(line, finished: Path, where: str) -> None:
    answer = line("eval", "recipe=mlp", f"resume={finished / where}")
    assert (answer.code, answer.err) == (0, "")
    assert printed(answer.out) == final_test_metrics(finished)


def test_a_checkpoint_is_taken_as_it_is_named(line, finished: Path) -> None:
    first = line("eval", "recipe=mlp", f"resume={finished}/checkpoints/step-00000017.ckpt")
    assert first.code == 0
    assert printed(first.out) != final_test_metrics(finished)


def test_of_a_run_folder_the_best_checkpoint_is_meant_not_the_last(line, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run", symlinks=True)
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    best.unlink()
    best.symlink_to("step-00000017.ckpt")
    early = line("eval", "recipe=mlp", "resume=run/checkpoints/step-00000017.ckpt")
    assert line("eval", "recipe=mlp", "resume=run") == early


def test_evaluating_writes_nothing(line, finished: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    line("eval", "recipe=mlp", f"resume={finished}")
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []


def test_metrics_data_and_limits_come_from_the_line(line, finished: Path) -> None:
    answer = line("eval", "recipe=mlp", f"resume={finished}", "metrics=classification", "data.val_batch_size=10")
    assert printed(answer.out).keys() == {f"test/{n}" for n in ("loss", "accuracy", "precision", "recall", "f1")}
    limited = line("eval", "recipe=mlp", f"resume={finished}", "data.val_batch_size=10", "trainer.limit_test_batches=1")
    tenths = 10 * float(printed(limited.out)["test/accuracy"])
    assert tenths == pytest.approx(round(tenths))  # of ten samples


def test_validation_data_serve_where_there_are_no_test_data(line, finished: Path) -> None:
    answer = line("eval", "recipe=mlp", f"resume={finished}", "data.datasets.fractions=[0.5,0.5,0]")
    assert answer.code == 0
    assert "test/accuracy" in printed(answer.out)


def test_averaged_weights_are_the_ones_that_count(line) -> None:
    assert line("recipe=mlp", "run_dir=run", "averaging=ema", "averaging.decay=0.9", "trainer.max_epochs=2").code == 0
    assert printed(line("eval", "recipe=mlp", "resume=run").out) == final_test_metrics(Path("run"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["recipe=mlp"], "eval needs weights: resume=RUN_FOLDER or resume=CHECKPOINT"),
        (["recipe=mlp", "resume=nowhere"], "resume=nowhere: no checkpoint there"),
        (["recipe=mlp", "resume=RUN", "model.hidden=[3]"], "the checkpoint's weights do not fit the model"),
        (["recipe=cnn", "resume=RUN"], "the checkpoint's weights do not fit the model"),
        (["recipe=mlp", "resume=RUN", "-m"], "-m: this command takes no such flag"),
        (["recipe=mlp", "resume=RUN", "data.datasets.fractions=[1,0,0]"], "eval needs data: this config has neither"),
    ],
)
def test_what_cannot_be_evaluated_is_told(line, finished: Path, arguments: list[str], told: str) -> None:
    answer = line("eval", *(argument.replace("RUN", str(finished)) for argument in arguments))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"trainkit: {told}")
    assert len(answer.err.splitlines()) <= 10


def test_without_a_recipe_the_config_that_came_with_the_weights_is_taken(line, finished: Path, tmp_path: Path) -> None:
    told = line("eval", "recipe=mlp", f"resume={finished}")
    assert line("eval", f"resume={finished}") == told
    assert line("eval", f"resume={finished}/checkpoints/best.ckpt") == told
    limited = line("eval", f"resume={finished}", "data.val_batch_size=10", "trainer.limit_test_batches=1")
    assert limited.code == 0
    assert limited.out != told.out


def test_the_config_of_a_run_of_ones_own_code_needs_its_package_by_name(line, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine_of_eval.py").write_text("from trainkit.recipes.models import MLP\nclass Net(MLP): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = ["model._target_=mine_of_eval.Net", "trainer.max_epochs=1"]
    assert line("recipe=mlp", "run_dir=run", *mine).code == 0
    told = line("eval", "recipe=mlp", "resume=run", *mine)
    refused = line("eval", "resume=run")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("trainkit: model._target_='mine_of_eval.Net': run may not have this built")
    assert "trusted_packages=[mine_of_eval]" in refused.err
    assert line("eval", "resume=run", "trusted_packages=[mine_of_eval]") == told
    former = line("eval", "resume=run", "--trust", "mine_of_eval")
    assert (former.code, "trusted_packages=[mine_of_eval]" in former.err) == (2, True)
