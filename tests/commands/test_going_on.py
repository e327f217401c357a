"""``resume=``: what each of its forms means."""

import json
import shutil
from pathlib import Path

import pytest

import trainkit
from trainkit import ConfigError, TrainingError
from trainkit.checkpoint import Store
from trainkit.commands.going_on import origin_of, set_aside


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))


def test_null_begins_anew_where_there_is_no_run(tmp_path: Path) -> None:
    assert origin_of(None, None) is None
    assert origin_of(None, tmp_path / "new") is None
    assert origin_of("auto", tmp_path / "new") is None


def test_auto_goes_on_with_the_newest(run: Path) -> None:
    origin = origin_of("auto", run)
    assert (origin.path.name, origin.state["counters"]["step"], origin.weights_only) == (
        "step-00000034.ckpt",
        34,
        False,
    )


def test_auto_falls_back_and_says_so_and_gives_up_only_without_any(run: Path, caplog) -> None:
    for name, step in (("step-00000034.ckpt", 17), ("step-00000017.ckpt", None)):
        path = run / "checkpoints" / name
        path.write_bytes(path.read_bytes()[:-100])
        if step is None:
            with pytest.raises(TrainingError, match="step-00000017"):
                origin_of("auto", run)
        else:
            assert origin_of("auto", run).state["counters"]["step"] == step
            assert [name in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("resume", ["auto", "weights"])
def test_what_goes_on_with_a_folder_needs_one(resume: str) -> None:
    with pytest.raises(ConfigError, match="give run_dir=PATH too"):
        origin_of(resume, None)


def test_a_path_is_a_run_a_folder_or_a_file(run: Path) -> None:
    for path in (run, run / "checkpoints", run / "checkpoints" / "best.ckpt"):
        assert origin_of(str(path), None).state["counters"]["step"] in (17, 34)


def test_another_run_is_not_written_over(run: Path, tmp_path: Path) -> None:
    for resume in (None, str(shutil.copytree(run, tmp_path / "other", symlinks=True))):
        with pytest.raises(ConfigError, match="holds a run already"):
            origin_of(resume, run)


def test_weights_are_of_the_run_in_run_dir_or_of_a_path(run: Path) -> None:
    for origin in (origin_of("weights", run), origin_of(f"weights:{run}", None)):
        assert origin.weights_only
        assert origin.state["counters"]["step"] == 34


def test_a_run_that_begins_anew_with_its_weights_keeps_the_former_one(run: Path) -> None:
    before = {p.relative_to(run): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    for number in (1, 2):
        result = trainkit.run("mlp", f"run_dir={run}", "resume=weights", "data.batch_size=32", "trainer.max_epochs=1")
        assert (result.status, result.run_dir) == ("completed", run)
        aside = run / f"before-{number}"
        assert json.loads((aside / "summary.json").read_text())["status"] == "completed"
    first = run / "before-1"
    kept = {p.relative_to(first): p.read_bytes() for p in first.rglob("*") if p.is_file()}
    assert kept == before


def test_nothing_is_moved_from_an_empty_folder(run: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    origin = origin_of(f"weights:{run}", tmp_path / "new")
    assert set_aside(origin, tmp_path / "new") is origin
    assert list((tmp_path / "new").iterdir()) == []


def test_the_checkpoints_are_set_aside_last(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, the folder still holds the run, which the same command then sets aside whole."""
    origin, renamed, rename = origin_of("weights", run), [], Path.rename

    def killed(path: Path, target: Path) -> Path:
        if len(renamed) == 3:
            raise KeyboardInterrupt
        renamed.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        set_aside(origin, run)
    monkeypatch.undo()
    assert "checkpoints" not in renamed
    assert set_aside(origin_of("weights", run), run).path.is_file()
    assert not (run / "metrics.jsonl").exists()


def test_a_best_one_that_was_copied_there_is_no_run_yet(run: Path, tmp_path: Path) -> None:
    """The start that copied it was killed before its first save: the same command begins again."""
    store = Store(tmp_path / "new" / "checkpoints")
    assert store.adopt_best(run / "checkpoints" / "last.ckpt", 34)
    assert origin_of(str(run), tmp_path / "new").state["counters"]["step"] == 34
