"""Sweeps: each value is checked before a job starts; and what ``--cfg`` and ``--info`` print."""

import sys
from pathlib import Path

import pytest

from trainkit.config.composing.line import Line, read_line
from trainkit.config.composing.sweeps import composed_sweep, run_sweep, show, sweep_values
from trainkit.errors import ConfigError, TrainingError
from trainkit.findings import Finding


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(*words: str) -> Line:
    return read_line([*words, "-m"])


def test_each_value_of_a_sweep_comes_once() -> None:
    assert sweep_values(line("recipe=mlp,cnn", "seed=range(0,3)", "name=x", "optimizer.lr=choice(1,2)")) == [
        ["recipe=mlp", "seed=0", "name=x", "optimizer.lr=1"],
        ["recipe=cnn", "seed=0", "name=x", "optimizer.lr=1"],
        ["recipe=mlp", "seed=1", "name=x", "optimizer.lr=1"],
        ["recipe=mlp", "seed=2", "name=x", "optimizer.lr=1"],
        ["recipe=mlp", "seed=0", "name=x", "optimizer.lr=2"],
    ]
    assert sweep_values(line("recipe=mlp", "optimizer=glob(adam*)"))[1:] == [["recipe=mlp", "optimizer=adamw"]]
    assert sweep_values(line("recipe=mlp", "optimizer.lr=interval(0.1,1)"))[1:] == [["recipe=mlp", "optimizer.lr=1.0"]]


def test_a_sweep_calls_the_job_for_each_config(empty: Path) -> None:
    calls = []

    def job(composed, overrides, folder) -> float:
        calls.append((composed.config.seed, composed.config.model.in_features, overrides, folder))
        return 0.0

    before = sys.argv
    run_sweep(line("recipe=mlp", "seed=4,5"), job)
    assert [call[:3] for call in calls] == [
        (4, 64, ["recipe=mlp", "seed=4"]),
        (5, 64, ["recipe=mlp", "seed=5"]),
    ]
    folders = [call[3].relative_to(empty) for call in calls]
    assert [folder.name for folder in folders] == ["0", "1"]
    assert {folder.parts[:3] for folder in folders} == {("runs", "mlp", "sweeps")}
    assert sys.argv is before


def test_recipes_by_path_own_groups_and_new_keys_can_be_swept(empty: Path) -> None:
    (empty / "configs" / "flavour").mkdir(parents=True)
    (empty / "configs" / "flavour" / "sour.yaml").write_text("# @package _global_\ntags: [sour]\n")
    (empty / "mine.yaml").write_text("defaults: [mlp, _self_]\nname: mine\n")
    words = ["recipe=./mine.yaml,linear", "flavour=sour", "optimizer.foreach=true,false", "--config-dir", "configs"]
    calls = []
    run_sweep(line(*words), lambda composed, overrides, folder: calls.append((composed, overrides)))
    assert [overrides for _, overrides in calls] == [
        [f"recipe={recipe}", "flavour=sour", f"optimizer.foreach={value}"]
        for recipe in ("./mine.yaml", "linear")
        for value in ("True", "False")
    ]
    assert [one.config.name for one, _ in calls] == ["mine", "mine", "linear", "linear"]
    assert [one.config.optimizer.foreach for one, _ in calls] == [True, False, True, False]
    assert all(one.config.tags == ["sour"] and one.findings == [] for one, _ in calls)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("recipe=mlp lr=1,2", "lr=1: there is no such key. Did you mean 'optimizer.lr'?"),
        ("recipe=mlp optimizer=adam,sdg", "optimizer=sdg: there is no such option. Did you mean 'sgd'?"),
        ("recipe=mlp,mpl seed=1,2", "recipe=mpl: there is no such recipe. Did you mean 'mlp'?"),
        ("recipe=mlp name=${nowhere},x seed=1,2", "name=${nowhere}: there is no such key nowhere"),
        ("recipe=mlp seed=range(3", "seed=range(3: cannot be read. A ) is missing"),
        ("recipe=mlp run_dir=x seed=1,2", "run_dir=x: names the folder of one run. The one of a sweep is hydra.sweep."),
        ("recipe=mlp name=../x seed=1,2", "name=../x: names a folder under runs/, so it must be a plain file name"),
        ("recipe=mlp name=ok,a/b", "name=ok,a/b: names a folder under runs/, so it must be a plain file name"),
        ("recipe=mlp name=.x", "name=.x: names a folder under runs/"),
        ("recipe=mlp hydra.sweep.dirr=x", "hydra.sweep.dirr: there is no such"),
        ("recipe=mlp --lr 1,2", "--lr 1,2: a value is given by KEY=VALUE. Did you mean 'optimizer.lr=1,2'?"),
    ],
)
def test_a_wrong_value_ends_a_sweep_before_its_first_job(words: str, told: str, empty: Path) -> None:
    with pytest.raises(ConfigError) as error:
        run_sweep(line(*words.split()), lambda *arguments: pytest.fail("a job was started"))
    assert told in str(error.value)
    assert list(empty.iterdir()) == []


def test_what_is_wrong_with_all_values_is_told_once_and_what_is_with_one_too() -> None:
    words = ["recipe=mlp", "optimizer.lr=1,2", "trainer.max_epoch=3", "optimizer=adam,sgd", "optimizer.nesterv=true"]
    found = composed_sweep(line(*words))[1]
    assert [finding.place for finding in found] == ["trainer.max_epoch", "optimizer.nesterv"]


def test_each_value_is_checked() -> None:
    checked = []

    def check(composed) -> list[Finding]:
        checked.append((composed.config.seed, composed.config.optimizer._target_.rpartition(".")[2]))
        return [*composed.findings]

    run_sweep(line("recipe=mlp", "seed=1,2", "optimizer=adam,sgd"), lambda *arguments: None, check)
    assert checked == [(1, "Adam"), (2, "Adam"), (1, "SGD")]


def test_the_value_of_a_job_reaches_hydra(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty / "recorder.py").write_text(
        "values = []\n"
        "from hydra.experimental.callback import Callback\n"
        "class Recorder(Callback):\n"
        "    def on_job_end(self, config, job_return, **rest):\n"
        "        values.append(job_return.return_value)\n"
    )
    monkeypatch.syspath_prepend(empty)
    run_sweep(
        line("recipe=mlp", "seed=3,4", "+hydra.callbacks.recorder._target_=recorder.Recorder"),
        lambda composed, overrides, folder: composed.config.seed / 2,
    )
    assert sys.modules["recorder"].values == [1.5, 2.0]
    del sys.modules["recorder"]


@pytest.mark.parametrize("kind", [ConfigError, TrainingError, ValueError])
def test_what_a_job_raises_ends_the_sweep_and_comes_out_as_it_is(kind: type[Exception], capfd) -> None:
    calls = []

    def job(composed, overrides, folder) -> None:
        calls.append(composed.config.seed)
        raise kind("so it is")

    with pytest.raises(kind, match=r"^so it is$"):
        run_sweep(line("recipe=mlp", "seed=4,5"), job)
    assert calls == [4]
    assert capfd.readouterr() == ("", "")


def test_the_config_is_shown_as_hydra_does(capsys: pytest.CaptureFixture[str], empty: Path) -> None:
    show(read_line(["--cfg", "job", "recipe=mlp", "optimizer.amsgrad=true"]))
    shown = capsys.readouterr().out
    assert "amsgrad: true" in shown
    assert "in_features: ${data.features}" in shown
    show(read_line(["recipe=mlp", "--cfg", "job", "--resolve"]))
    assert "in_features: 64" in capsys.readouterr().out
    show(read_line(["recipe=mlp", "--cfg", "job", "-p", "optimizer"]))
    assert capsys.readouterr().out.startswith("# @package optimizer\n_target_: torch.optim.AdamW")
    assert list(empty.iterdir()) == []


def test_what_is_shown_is_checked_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'optimizer\.lr'\?"):
        show(read_line(["--cfg", "job", "recipe=mlp", "lr=3"]))
    with pytest.raises(ConfigError, match="--resolve: goes with --cfg"):
        show(read_line(["--resolve", "recipe=mlp"]))
    assert capsys.readouterr().out == ""


def test_what_hydra_composed_is_shown(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [mlp, _self_]\n")
    show(read_line(["--info", "defaults", "recipe=./mine.yaml"]))
    assert "optimizer/adamw" in "".join(capfd.readouterr())


def test_a_name_may_hold_what_hydra_knows_in_a_job_alone(empty: Path) -> None:
    names = []
    words = ["recipe=mlp", "seed=1,2", "name=n${hydra:job.num}"]
    run_sweep(line(*words), lambda composed, overrides, folder: names.append((composed.config.name, folder)))
    assert [name for name, _ in names] == ["n0", "n1"]
    assert names[0][1].is_relative_to(empty / "runs" / "mlp" / "sweeps")


def test_what_is_chosen_as_none_reaches_the_jobs(empty: Path) -> None:
    found = []
    words = ["recipe=mlp", "seed=1,2", "loggers=null", "~debug"]
    run_sweep(
        line(*words), lambda composed, overrides, folder: found.append((composed.plain.get("loggers"), overrides))
    )
    assert found == [(None, ["recipe=mlp", f"seed={seed}", "loggers=null", "~debug"]) for seed in (1, 2)]


def test_an_interval_wants_another_sweeper(empty: Path) -> None:
    with pytest.raises(ConfigError, match=r"^optimizer\.lr=interval\(0\.1,1\): Hydra's own sweeper cannot draw"):
        run_sweep(line("recipe=mlp", "optimizer.lr=interval(0.1,1)"), lambda *arguments: pytest.fail("a job ran"))


def test_the_config_of_a_sweep_is_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"^--cfg: shows the config of one run; leave out -m"):
        show(line("seed=1,2", "--cfg", "job"))


def test_the_config_shown_is_the_one_that_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    show(read_line(["--cfg", "job", "recipe=mlp", "optimizer={_target_:torch.optim.SGD,lr:0.1}", "-p", "optimizer"]))
    assert capsys.readouterr().out == "# @package optimizer\n_target_: torch.optim.SGD\nlr: 0.1\n"
    with pytest.raises(ConfigError, match="--package optimzer: there is no such node"):
        show(read_line(["--cfg", "job", "recipe=mlp", "-p", "optimzer"]))


def test_what_hydra_could_not_read_or_merge_reaches_the_jobs_all_the_same(empty: Path) -> None:
    found = []
    words = ["recipe=cnn", "seed=1,2", "data.augment=[{_target_:mine.Crop}]", "data.folder=a=b"]
    run_sweep(line(*words), lambda composed, *rest: found.append((composed.findings, composed.plain["data"])))
    assert [(findings, data["augment"], data["folder"]) for findings, data in found] == [
        ([], [{"_target_": "mine.Crop"}], "a=b")
    ] * 2
