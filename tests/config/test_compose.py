"""Composing configs, from Python and as Hydra's command line does."""

import sys
from pathlib import Path

import pytest

import trainkit
from trainkit.config.compose import compose, hydra_main, plain, read_line, to_yaml
from trainkit.errors import ConfigError, TrainingError

DOWNLOADED = ("data=mnist", "data=fashion_mnist", "data=cifar10")


@pytest.mark.parametrize("choice", DOWNLOADED)
@pytest.mark.parametrize("recipe", ["mlp", "cnn"])
def test_data_that_must_be_downloaded_compose_without(recipe: str, choice: str) -> None:
    """Every other option is built in ``test_build.py``."""
    config = compose(recipe, choice, "data.download=false")
    assert config.data.datasets.download is False
    assert plain(config)["model"].get("in_features", config.data.features) == config.data.features


def test_overrides_win_over_the_recipe_and_later_ones_over_earlier() -> None:
    config = compose("mlp", "trainer.max_epochs=3", "trainer.max_epochs=4", "+optimizer.amsgrad=true", "~loggers")
    assert (config.trainer.max_epochs, config.optimizer.amsgrad) == (4, True)
    assert "loggers" not in config


def test_debug_wins_over_the_recipe_and_the_command_line_over_both() -> None:
    assert compose("mlp", "debug=limit").trainer.max_epochs == 3
    assert compose("mlp", "debug=limit", "trainer.max_epochs=7").trainer.max_epochs == 7


def test_the_recipe_may_stand_among_the_overrides() -> None:
    assert compose(None, "seed=3", "recipe=cnn") == compose("cnn", "seed=3")


def test_values_are_resolved() -> None:
    config = compose("mlp", "data.features=12")
    assert "${" not in to_yaml(config)
    assert config.model.in_features == 12


def test_composing_twice_leaves_nothing_behind() -> None:
    first = compose("mlp")
    compose("linear", "seed=5")
    assert compose("mlp") == first
    assert trainkit.compose("mlp") == first


def test_a_folder_of_ones_own_adds_recipes_and_options(tmp_path: Path) -> None:
    for name, text in {
        "recipe/mine.yaml": "# @package _global_\ndefaults: [mlp, override /optimizer: lion, _self_]\n\nname: mine\n",
        "optimizer/lion.yaml": "_target_: mine.Lion\nlr: 3e-5\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    config = compose("mine", config_dir=tmp_path)
    assert (config.name, config.optimizer._target_, config.data.features) == ("mine", "mine.Lion", 64)
    with pytest.raises(ConfigError, match="recipe=mine: there is no such recipe"):
        compose("mine")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model=mlpp"], "model=mlpp: there is no such option. Did you mean 'mlp'? Options: cnn, linear, mlp"),
        (["lr=3e-4"], "lr: there is no such key. Did you mean 'optimizer.lr'?"),
        (["trainer.max_epoch=3"], "trainer.max_epoch: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["data.lr=1"], "data.lr: there is no such key. Did you mean 'optimizer.lr'?"),
        (
            ["~callbacks.earlystopping"],
            "~callbacks.earlystopping: there is no such key, or its value is null. Did you mean",
        ),
        (["~optimizer.fused"], "~optimizer.fused: there is no such key, or its value is null."),
        (["modle=mlp"], "modle: there is no such key. Did you mean 'model'?"),
        (["model.hidden=[1,2"], "model.hidden=[1,2: cannot be read"),
        (["nonsense"], "nonsense: cannot be read; write KEY=VALUE"),
        (["name=${nome}"], "${nome}: there is no such key to take a value from. Did you mean 'name'?"),
        (["optimizer=null"], "GROUP=OPTION: an option is a name"),
        (["data=default"], "data.datasets: must be given a value"),
        (["recipe=mpl"], "recipe=mpl: there is no such recipe. Did you mean 'mlp'?"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose("mlp", *overrides)
    assert str(error.value).startswith(told)
    assert len(str(error.value).splitlines()) == 1


# ---------------------------------------------------------------------- the command line


def test_a_line_is_taken_apart_wherever_its_flags_stand(tmp_path: Path) -> None:
    line = read_line(
        ["-m", "recipe=mlp", "--config-dir", str(tmp_path), "~loggers", "+tags=[a]", "--cfg", "job", "++x=1"]
    )
    assert line.overrides == ["recipe=mlp", "~loggers", "+tags=[a]", "++x=1"]
    assert line.flags == ["-m", "--cfg", "job"]
    assert line.config_dir == str(tmp_path)
    assert line.shown == [*line.overrides, "--config-dir", str(tmp_path)]


def test_the_config_folder_may_be_joined_by_an_equals_sign(tmp_path: Path) -> None:
    assert read_line([f"--config-dir={tmp_path}"]).folder_flag == ["--config-dir", str(tmp_path)]
    assert read_line(["recipe=mlp"]).folder_flag == []


def test_trust_may_be_given_more_than_once_and_belongs_to_the_line() -> None:
    line = read_line(["resume=x", "--trust", "a", "--trust=b.c"])
    assert (line.trust, line.overrides, line.flags) == (["a", "b.c"], ["resume=x"], [])
    assert line.shown == ["resume=x", "--trust", "a", "--trust", "b.c"]


def test_a_config_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / 'of "mine", [own]'
    (folder / "optimizer").mkdir(parents=True)
    (folder / "optimizer" / "lion.yaml").write_text("_target_: mine.Lion\n")
    assert compose("mlp", "optimizer=lion", config_dir=folder).optimizer._target_ == "mine.Lion"


@pytest.mark.parametrize("name", ["../x", "a/b", "ok,../x", ".x", "\x1b", "x" * 300])
def test_a_sweeps_folder_stays_under_runs(name: str, empty: Path) -> None:
    with pytest.raises(ConfigError, match="names a folder under runs/"):
        hydra_main(lambda *arguments: None, ["recipe=mlp", f"name={name}", "seed=1,2", "-m"])
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["recipe=mlp", "--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
        (["recipe=mlp", "nonsense"], "nonsense: neither a flag nor key=value"),
    ],
)
def test_a_wrong_line_is_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_line(arguments)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sweep_calls_the_job_for_each_config(empty: Path) -> None:
    calls = []

    def job(config, overrides, sweep_folder) -> float:
        calls.append((config.seed, config.model.in_features, overrides, sweep_folder))
        return 0.0

    before = sys.argv
    hydra_main(job, ["recipe=mlp", "seed=4,5", "-m"])
    assert [call[:3] for call in calls] == [
        (4, 64, ["recipe=mlp", "seed=4"]),
        (5, 64, ["recipe=mlp", "seed=5"]),
    ]
    folders = [call[3].relative_to(empty) for call in calls]
    assert [folder.name for folder in folders] == ["0", "1"]
    assert {folder.parts[:3] for folder in folders} == {("runs", "mlp", "sweeps")}
    assert sys.argv is before


def test_a_single_job_has_no_sweep_folder_and_writes_nothing(empty: Path) -> None:
    folders = []
    hydra_main(lambda config, overrides, sweep_folder: folders.append(sweep_folder), ["recipe=mlp"])
    assert folders == [None]
    assert list(empty.iterdir()) == []


def test_the_value_of_a_job_reaches_hydra(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty / "recorder.py").write_text(
        "values = []\n"
        "from hydra.experimental.callback import Callback\n"
        "class Recorder(Callback):\n"
        "    def on_job_end(self, config, job_return, **rest):\n"
        "        values.append(job_return.return_value)\n"
    )
    monkeypatch.syspath_prepend(empty)
    hydra_main(
        lambda config, overrides, sweep_folder: config.seed / 2,
        ["recipe=mlp", "seed=3,4", "+hydra.callbacks.recorder._target_=recorder.Recorder", "-m"],
    )
    assert sys.modules["recorder"].values == [1.5, 2.0]
    del sys.modules["recorder"]


@pytest.mark.parametrize("kind", [ConfigError, TrainingError])
def test_what_a_job_raises_ends_the_sweep_and_comes_out_as_it_is(kind: type[Exception], empty: Path, capfd) -> None:
    calls = []

    def job(config, overrides, sweep_folder) -> None:
        calls.append(config.seed)
        raise kind("so it is")

    with pytest.raises(kind, match=r"^so it is$"):
        hydra_main(job, ["recipe=mlp", "seed=4,5", "-m"])
    assert calls == [4]
    assert capfd.readouterr() == ("", "")


def test_a_strangers_error_is_not_taken_for_a_wrong_config(empty: Path) -> None:
    def job(config, overrides, sweep_folder) -> None:
        raise ValueError("a bug in a model")

    with pytest.raises(ValueError, match="a bug in a model"):
        hydra_main(job, ["recipe=mlp"])


def test_an_unknown_key_of_a_sweep_is_told_like_any_other(empty: Path) -> None:
    with pytest.raises(ConfigError, match=r"^lr: there is no such key\. Did you mean 'optimizer\.lr'\?$"):
        hydra_main(lambda *arguments: None, ["recipe=mlp", "lr=1,2", "-m"])
