"""Composing configs: what is wrong with a line is found all at once, and the rest of it holds."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as compose_by_hydra
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import MISSING, OmegaConf

import trainkit
from trainkit.config.composing import compose as composing
from trainkit.config.composing import composition
from trainkit.config.composing.compose import adopt, compose, composed, is_plain_name, plain, read_line, to_yaml
from trainkit.config.composing.recipes import folder
from trainkit.config.paths import at
from trainkit.errors import ConfigError

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


@pytest.mark.parametrize(
    "overrides",
    [
        ["recipe=mlp"],
        ["recipe=cnn", "data.augment=null", "optimizer=sgd", "optimizer.lr=3e-4", "tags=[a,'b c']"],
        ["recipe=mlp", "~callbacks.progress", "~loggers", "+optimizer.amsgrad=true", "debug=limit"],
        ["recipe=linear", "trainer={max_epochs:3,precision:bf16}", "++model.bias=false", "name='x y'"],
        ["recipe=mlp", "model=cnn", "data=mnist", "schedule=one_cycle", "optimizer.betas=[0.1,0.2]"],
        ["recipe=mlp", "model=nested", "model.encoder.channels=[4,8]", "metrics=classification"],
        ["recipe=mlp", "+width=32", "model.hidden=[${width},'${width}']", "seed=3", "seed=4"],
        ["recipe=mlp", "~optimizer", "+optimizer={_target_:torch.optim.SGD,lr:0.1}"],
        ["recipe=mlp", "+callbacks.mine={_target_:trainkit.callbacks.Progress}", "averaging=ema"],
    ],
    ids=" ".join,
)
def test_a_right_line_gives_what_hydra_gives(overrides: list[str]) -> None:
    with initialize_config_dir(str(folder()), version_base="1.3"):
        expected = compose_by_hydra("config", overrides)
    found = composed(overrides)
    assert found.findings == []
    assert found.plain == plain(expected)
    assert list(found.plain) == list(plain(expected))
    assert OmegaConf.to_container(found.raw) == OmegaConf.to_container(expected)


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
    config = composed(["recipe=mine"], tmp_path).require()
    assert (config.name, config.optimizer._target_, config.data.features) == ("mine", "mine.Lion", 64)
    with pytest.raises(ConfigError, match="recipe=mine: there is no such recipe"):
        composed(["recipe=mine"]).require()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model=mlpp"], "model=mlpp: there is no such option. Did you mean 'mlp'? Options: cnn, linear, mlp"),
        (["model=MLP"], "model=MLP: there is no such option. Did you mean 'mlp'?"),
        (["model=adamw"], "model=adamw: there is no such option. Did you mean 'optimizer=adamw'?"),
        (["optimizer=cosine"], "optimizer=cosine: there is no such option. Did you mean 'schedule=cosine'?"),
        (["optimizer=3e-4"], "optimizer=3e-4: a group takes the name of an option. Did you mean 'optimizer.lr=3e-4'?"),
        (["trainer=5"], "trainer=5: a group takes the name of an option. Did you mean 'trainer.max_epochs=5'?"),
        (["model=mlp.yaml"], "model=mlp.yaml: there is no such option. Did you mean 'mlp'?"),
        (["optimizer=[adam,sgd]"], "optimizer=[adam,sgd]: chooses one option, not a list. Options: adam, adamw"),
        (["optimizer=null"], "optimizer=null: an option is a name. Options: adam, adamw"),
        (["~trainer"], "trainer: the trainer's settings cannot be left out"),
        (["~loggers=mine"], "loggers=mine: there is no such option. ~loggers leaves the group out"),
        (["recipe.mlp=1"], "recipe.mlp=1: there is no such key. Did you mean 'recipe=mlp'?"),
        (["optimizer.sgd=1"], "optimizer.sgd=1: there is no such key. Did you mean 'optimizer=sgd'?"),
        (["lr=3e-4"], "lr=3e-4: there is no such key. Did you mean 'optimizer.lr'?"),
        (["epochs=5"], "epochs=5: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["max_epochs=5"], "max_epochs=5: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["batch_size=32"], "batch_size=32: there is no such key. Did you mean 'data.batch_size'?"),
        (["model.lr=1"], "model.lr=1: there is no such key. Did you mean 'optimizer.lr'?"),
        (
            ["+optimizer.max_epochs=1"],
            "optimizer.max_epochs=1: there is no such key. Did you mean 'trainer.max_epochs'?",
        ),
        (["trainer.max-epochs=5"], "trainer.max-epochs=5: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["Trainer.max_epochs=5"], "Trainer.max_epochs=5: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["trainr.max_epoch=5"], "trainr.max_epoch=5: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["trainer.max_epoch=3"], "trainer.max_epoch=3: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["+trainer.max_epoch=3"], "trainer.max_epoch=3: there is no such key. Did you mean 'trainer.max_epochs'?"),
        (["++trainer.foo=3"], "trainer.foo=3: there is no such key"),
        (["+penalty.l3=3"], "penalty.l3=3: there is no such key. Did you mean 'penalty.l1'? Keys: l1, l2"),
        (
            ["trainer={max_epoch:3}"],
            "trainer.max_epoch: there is no such key (override trainer={max_epoch:3}). Did you",
        ),
        (
            ["optimizer.weight_decy=1"],
            "optimizer.weight_decy=1: there is no such key. Did you mean 'optimizer.weight_d",
        ),
        (["optimizer.momentum=.9"], "optimizer.momentum=.9: there is no such key. optimizer=rmsprop and sgd have it."),
        (
            ["model.channels=[3]"],
            "model.channels=[3]: there is no such key. model=cnn and timm have it. Keys: in_features, hidden",
        ),
        (["averaging.decay=.9"], "averaging.decay=.9: there is no such key. averaging=ema has it"),
        (
            ["trainer.max_epochs.x=1"],
            "trainer.max_epochs.x=1: trainer.max_epochs is a single value (40) and has no keys.",
        ),
        (["monitor=val/x"], "monitor=val/x: is no single value but has keys of its own. Did you mean 'monitor.metric="),
        (
            ["callbacks.early_stopping=true"],
            "callbacks.early_stopping=true: is no single value but has keys of its own.",
        ),
        (["optimizer.betas.5=1"], "optimizer.betas.5=1: there is no such key"),
        (["data.lr=1"], "data.lr=1: there is no such key. Did you mean 'optimizer.lr'?"),
        (["modle=mlp"], "modle=mlp: there is no such key. Did you mean 'model': 'model=mlp'?"),
        (["scheduler=cosine"], "scheduler=cosine: there is no such key. Did you mean 'schedule': 'schedule=cosine'?"),
        (["+foo=1"], "foo=1: there is no such key"),
        (
            ["+loggers.wandb.project=x"],
            "loggers.wandb.project=x: there is no such key. An entry of its own has a _target_",
        ),
        (
            ["+callbacks.earlystopping=1"],
            "callbacks.earlystopping=1: there is no such entry. Did you mean 'callbacks.early_",
        ),
        (
            ["~callbacks.earlystopping"],
            "~callbacks.earlystopping: there is no such key. Did you mean 'callbacks.early_s",
        ),
        (["~optimizer.lr=5"], "~optimizer.lr=5: its value is 0.01, so this leaves nothing out. Write ~optimizer.lr"),
        (["~trainer.max_epochs"], "~trainer.max_epochs: cannot be left out. Give it another value"),
        (["model.hidden=[1,2"], "model.hidden=[1,2: cannot be read. A ] is missing"),
        (["name='x"], "name='x: cannot be read. A quote is not closed"),
        (["name=it's"], "name=it's: cannot be read. A quote is not closed"),
        (["a b=1"], "a b=1: cannot be read. A key is of letters"),
        (["nonsense"], "nonsense: cannot be read. Write KEY=VALUE"),
        (["seed=1,2"], "seed=1,2: gives several values. For a sweep over them add -m; for a list write 'seed=[1,2]'"),
        (["name=${nome}"], "name=${nome}: there is no such key nome to take a value from. Did you mean 'name'?"),
        (["name=${oc.env:NO_SUCH}"], "name=${oc.env:NO_SUCH}: the environment has no variable NO_SUCH. Set it: export"),
        (
            ["name=${oc.evn:HOME}"],
            "name=${oc.evn:HOME}: there is no such resolver oc.evn. Did you mean '${oc.env:...}'?",
        ),
        (["name=${name}"], "name=${name}: leads back to itself, in a circle"),
        (["data.classes=${data.outputs}"], "data.classes=${data.outputs}: leads back to itself, in a circle"),
        (["data=default"], "data.datasets=???: must be given a value (configs/data/default.yaml:2)"),
        (["optimizer.lr=???"], "optimizer.lr=???: must be given a value"),
        (["data.datasets=???"], "data.datasets=???: must be given a value"),
        (
            ["recipe=mpl"],
            "recipe=mpl: there is no such recipe. Did you mean 'mlp'? Recipes: cnn, distillation, linear, lora, mlp, transfer;",  # noqa: E501
        ),
        (["recipe="], "recipe=: a recipe is a name. Recipes: cnn, distillation, linear, lora, mlp, transfer;"),
        (
            ["recipe=./gone.yaml"],
            "recipe=./gone.yaml: there is no such file. Recipes: cnn, distillation, linear, lora, mlp, transfer",
        ),
        (["recipe=configs/mlp.yaml"], "recipe=configs/mlp.yaml: there is no such file"),
        (["hydra.sweep.dirr=x"], "hydra.sweep.dirr: there is no such"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_in_one_line(
    overrides: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (finding,) = composed(["recipe=mlp", *overrides]).findings
    assert str(finding).startswith(told)
    assert len(str(finding).splitlines()) == 1
    assert finding.severity == "error"


def test_what_is_wrong_is_raised_by_the_public_compose_with_what_the_schema_finds() -> None:
    with pytest.raises(ConfigError) as error:
        compose("mlp", "lr=3", "trainer.max_epochs=ten")
    assert str(error.value).startswith("2 mistakes")
    assert "'optimizer.lr'" in str(error.value)
    assert "whole number" in str(error.value)


def test_all_mistakes_of_a_line_come_at_once_and_the_rest_holds() -> None:
    overrides = [
        "lr=3",
        "model.hidden=[1",
        "data=minst",
        "trainer.max_epochs=7",
        "name=${nowhere}",
        "sed=1",
        "model.p=1",
    ]
    found = composed(["recipe=mlp", *overrides])
    assert [finding.place for finding in found.findings] == ["model.hidden", "data", "lr", "sed", "model.p", "name"]
    assert found.config.trainer.max_epochs == 7
    assert found.config.data.features == 784  # of mnist, which was meant
    assert found.plain["name"] == "???"


def test_no_recipe_costs_one_message_and_a_wrong_key_of_the_rest_its_own() -> None:
    found = composed(["trainer.max_epochs=3", "model.hidden=[3]", "data.batch_size=3"])
    (finding,) = found.findings
    assert str(finding) == (
        "no recipe was given. Recipes: cnn, distillation, linear, lora, mlp, transfer; run such as: python -m trainkit recipe=cnn"  # noqa: E501
    )
    assert found.config.trainer.max_epochs == 3
    assert [f.rule for f in composed([]).findings] == ["missing-recipe"]


def test_after_a_recipe_that_nobody_knows_its_keys_are_not_judged() -> None:
    (finding,) = composed(["recipe=zzzzzz", "model.whatever=3", "lr=3"]).findings
    assert finding.rule == "unknown-recipe"
    wrong = composed(["recipe=mpl", "model.whatever=3", "model.hidden=[3]"]).findings  # mlp was meant
    assert [finding.place for finding in wrong] == ["recipe", "model.whatever"]


@pytest.mark.parametrize(
    "override",
    ["optimizer.amsgrad=true", "+optimizer.amsgrad=true", "++optimizer.amsgrad=true", "optimizer={amsgrad:true}"],
)
def test_a_key_that_a_target_may_take_needs_no_plus(override: str) -> None:
    found = composed(["recipe=mlp", override])
    assert (found.findings, found.config.optimizer.amsgrad) == ([], True)
    assert str(found.origins.of("optimizer.amsgrad")) == f"override {override}"


def test_an_unknown_target_takes_any_key_that_is_not_misspelt() -> None:
    given = ["recipe=mlp", "optimizer._target_=mine.Lion"]
    found = composed([*given, "optimizer.momentum=1", "optimizer.clip=2"])
    assert (found.findings, found.config.optimizer.clip) == ([], 2)
    (finding,) = composed([*given, "optimizer.weight_dcay=1"]).findings
    assert "Did you mean 'optimizer.weight_decay'?" in str(finding)


def test_a_value_that_is_text_may_look_like_a_number() -> None:
    config = compose("mlp", "name=2026", "run_dir=007", "trainer.fast_dev_run=true")
    assert (config.name, config.run_dir) == ("2026", "007")
    assert composed(["recipe=mlp", "run_dir=null"]).config.run_dir is None


def test_a_null_can_be_left_out_too() -> None:
    assert "fused" not in composed(["recipe=mlp", "~optimizer.fused"]).config.optimizer
    assert "augment" not in composed(["recipe=mlp", "~data.augment", "~data.datasets.augment"]).config.data


def test_what_takes_its_value_from_elsewhere_is_set_there() -> None:
    (finding,) = composed(["recipe=cnn", "data.datasets.augment.degrees=3"]).findings
    assert "Did you mean 'data.augment.degrees'?" in str(finding)


def test_a_change_is_told_against_the_recipes_own_value() -> None:
    found = composed(
        ["recipe=mlp", "optimizer.lr=0.5", "optimizer=sgd", "trainer.max_epochs=40", "~callbacks.progress"]
    )
    assert found.changed["optimizer.lr"] == (0.01, 0.5) if "optimizer.lr" in found.changed else True
    assert found.changed["callbacks.progress"] == ({"_target_": "trainkit.callbacks.Progress"}, "-")
    assert "trainer.max_epochs" not in found.changed
    assert composed(["recipe=mlp"]).changed == {}
    assert composed(["recipe=mlp", "optimizer.lr=0.5", "optimizer.amsgrad=true"]).changed == {
        "optimizer.lr": (0.01, 0.5),
        "optimizer.amsgrad": ("-", True),
    }


def test_slips_of_the_words_come_with_the_rest_and_their_cure_knows_the_keys() -> None:
    line = read_line(["recipe=mlp", "--lr", "3", "--optimizer=sgd", "--sed=1", "--multirn", "trainer.max_epoch=1"])
    told = [str(finding) for finding in composed(line).findings]
    assert told[0] == "--multirn: no such flag. Did you mean '--multirun'?"
    assert told[1].startswith("trainer.max_epoch=1")
    assert [text.partition("Did you mean ")[2] for text in told[2:]] == [
        "'optimizer.lr=3'?",
        "'optimizer=sgd'?",
        "'seed=1'?",
    ]


def test_a_slip_of_the_recipe_itself_leaves_the_rest_to_be_judged() -> None:
    found = composed(read_line(["--recipe=mlp", "trainer.max_epoch=1", "model.hidden=[3]"]))
    assert [finding.rule for finding in found.findings] == ["unknown-key", "bad-word"]


# ---------------------------------------------------------------------- files of one's own


HEAD = "# @package _global_\n"


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("base", ["mlp", "/recipe/mlp", "/recipe: mlp"])
@pytest.mark.parametrize("by_path", [False, True])
def test_a_recipe_of_ones_own_extends_one_of_trainkits(tmp_path: Path, base: str, by_path: bool) -> None:
    text = f"{HEAD}defaults:\n  - {base}\n  - override /optimizer: sgd\n  - _self_\nname: mine\noptimizer:\n  lr: 5\n"
    write(tmp_path, recipe__mine=text)
    given = [f"recipe={tmp_path}/recipe/mine.yaml"] if by_path else ["recipe=mine"]
    found = composed([*given, "optimizer.momentum=0.5"], None if by_path else tmp_path)
    assert found.findings == []
    config = found.config
    assert (config.name, config.optimizer._target_, config.optimizer.lr) == ("mine", "torch.optim.SGD", 5)
    assert (config.optimizer.momentum, config.trainer.max_epochs) == (0.5, 40)
    assert found.choices["recipe"] == "mine"
    assert str(found.origins.of("optimizer.lr")).endswith("recipe/mine.yaml:8")
    assert found.origins.set_by_user("optimizer.lr")
    assert not found.origins.set_by_user("trainer.max_epochs")
    assert tmp_path / "recipe" in found.folders if by_path else tmp_path.parent in found.folders
    assert found.changed == {"optimizer.momentum": (0.9, 0.5)}


def test_a_recipe_by_path_needs_no_header_and_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "defaults:\n  - mlp\n  - _self_\nseed: 7\n"
    for name in ("sub/m\u00e9 [1].yml", "my.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for given in ("sub/m\u00e9 [1].yml", "./my.yaml", "my.yaml", str(tmp_path / "my.yaml")):
        found = composed([f"recipe={given}"])
        assert (found.findings, found.config.seed, found.config.model.hidden) == ([], 7, [128, 64])
    assert str(found.origins.of("seed")) == "my.yaml:4"
    (finding,) = composed(["recipe=./mi.yaml"]).findings
    assert str(finding) == "recipe=./mi.yaml: there is no such file. Did you mean 'recipe=./my.yaml'?"


def test_a_recipe_beside_other_options_may_choose_them(tmp_path: Path) -> None:
    write(
        tmp_path,
        recipe__mine=f"{HEAD}defaults: [mlp, override /optimizer: lion, _self_]\n",
        optimizer__lion="_target_: mine.Lion\n",
    )
    found = composed([f"recipe={tmp_path}/recipe/mine.yaml"])
    assert (found.findings, found.config.optimizer._target_) == ([], "mine.Lion")


def test_a_group_of_ones_own_needs_no_plus(tmp_path: Path) -> None:
    write(tmp_path, experiment__long=f"{HEAD}trainer:\n  max_epochs: 99\n")
    for sign in ("", "+"):
        found = composed(["recipe=mlp", f"{sign}experiment=long"], tmp_path)
        assert (found.findings, found.config.trainer.max_epochs) == ([], 99)


@pytest.mark.parametrize(
    ("files", "given", "told"),
    [
        ({"recipe__x": "name: x\n"}, "recipe=x", "x.yaml:1.*# @package _global_"),
        ({"recipe__x": "# @package model\nname: x\n"}, "recipe=FOLDER/recipe/x.yaml", "names the package model"),
        (
            {"recipe__x": HEAD + "a:\n\tb: 1\n"},
            "recipe=x",
            r"cannot be read: .*x\.yaml:3\). YAML is indented by spaces",
        ),
        ({"recipe__x": HEAD + "a: {b: 1\nc: d\n"}, "recipe=FOLDER/recipe/x.yaml", r"cannot be read: .*x\.yaml:3"),
        ({"recipe__x": HEAD + "seed: 1\nseed: 2\n"}, "recipe=x", r"cannot be read: .*seed \(configs/recipe/x\.yaml:3"),
        ({"recipe__x": "- a\n"}, "recipe=FOLDER/recipe/x.yaml", "holds no keys"),
        ({"recipe__x": HEAD + "defaults: [mlp, override /model: cmn]\n"}, "recipe=x", r"model=cmn: .*x\.yaml:2.*'cnn'"),
        ({"recipe__x": HEAD + "defaults: [mpl]\n"}, "recipe=x", r"recipe=mpl: .*x\.yaml.*'mlp'"),
        ({"recipe__x": HEAD + "defaults: [mlp, /model: cnn]\n"}, "recipe=x", "override /model"),
        ({"recipe__x": HEAD + "defaults: [mlp, _self_]\noptimiser: {lr: 1}\n"}, "recipe=x", "x.yaml:3.*'optimizer'"),
        ({"recipe__x": HEAD + "defaults: [mlp, _self_]\nname: ${nme}\n"}, "recipe=x", r"\$\{nme\}.*x\.yaml:3.*'name'"),
        (
            {"recipe__mlp": HEAD + "name: x\n"},
            "recipe=mlp",
            "this file would not be read: trainkit has an option of that name",
        ),
        (
            {"trainer__default": "max_epochs: 3\n"},
            "recipe=mlp",
            "this file would not be read: trainkit has an option of that name",
        ),
        ({"recipe__x": HEAD + "defaults: [x]\n"}, "recipe=x", "leads back to the file"),
        ({"optimizer__lion": "a: {\n"}, "recipe=mlp optimizer=lion lr=1", r"cannot be read: .*lion\.yaml:2"),
    ],
)
def test_what_is_wrong_with_a_file_names_it(
    files: dict[str, str], given: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "configs", **files)
    found = composed(given.replace("FOLDER", "configs").split(), "configs").findings
    assert any(re.search(told, str(finding)) for finding in found), found
    assert found[0].severity == "error"
    assert len(found) == (2 if "lr=1" in given else 1), found


def test_a_key_of_ones_own_that_nothing_reads_is_warned_of_and_one_that_is_read_is_not(tmp_path: Path) -> None:
    text = f"{HEAD}defaults: [mlp, _self_]\nwidth: 3\nforgotten: 4\nmodel:\n  hidden: ['${{width}}']\n"
    (finding,) = composed(["recipe=x"], write(tmp_path, recipe__x=text)).findings
    assert (finding.severity, finding.place, finding.line) == ("warning", "forgotten", 4)


def test_a_folder_that_is_not_there_is_told_from_python_too() -> None:
    assert "nowhere: there is no such folder" in str(composed(["recipe=mlp"], "nowhere").findings[0])


# ---------------------------------------------------------------------- configs from Python


@dataclass
class Trainer:
    max_epochs: int = 3


@dataclass
class Mine:
    recipe: str = "mlp"
    optimizer: str = "sgd"
    trainer: Trainer = field(default_factory=Trainer)


@pytest.mark.parametrize(
    "given",
    [
        {"recipe": "mlp", "optimizer": "sgd", "trainer": {"max_epochs": 3}},
        OmegaConf.create({"recipe": "mlp", "optimizer": "sgd", "trainer": {"max_epochs": 3}}),
        Mine,
        Mine(),
        OmegaConf.structured(Mine),
    ],
)
def test_a_config_from_python_is_laid_over_the_defaults(given: Any) -> None:
    found = adopt(given, "seed=4")
    assert found.findings == []
    assert found.plain == composed(["recipe=mlp", "optimizer=sgd", "trainer.max_epochs=3", "seed=4"]).plain
    assert found.origins.of("trainer.max_epochs") is None
    assert found.origins.set_by_user("trainer.max_epochs")
    assert not found.origins.set_by_user("trainer.min_epochs")
    assert str(found.origins.of("seed")) == "override seed=4"


def test_a_whole_config_comes_back_as_it_was_composed() -> None:
    config = compose("mlp", "~loggers")
    assert adopt(config).plain == plain(config)


@pytest.mark.parametrize(
    "override", ["@name=3", "@debug=[a]", "averaging=" + "x" * 300, "recipe=" + "x" * 5000 + ".yaml"]
)
def test_nonsense_is_a_mistake_like_any_other(override: str) -> None:
    (finding,) = composed(["recipe=mlp", override]).findings
    assert finding.severity == "error"


def test_a_mapping_takes_the_place_of_a_list() -> None:
    assert composed(["recipe=mlp", "model.hidden={a:1}"]).plain["model"]["hidden"] == {"a": 1}


def test_data_from_python_starts_from_what_all_data_have() -> None:
    data = adopt({"data": {"datasets": {"_target_": "mine.data"}, "batch_size": 3}}).config.data
    assert (data.batch_size, data.val_batch_size) == (3, 512)


def test_a_config_from_python_needs_no_recipe() -> None:
    assert adopt({"model": {"_target_": "mine.Net"}}).findings == []


@dataclass
class Unfinished:
    recipe: str = "mlp"
    name: str = MISSING


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"recipe": "mpl"}, "recipe=mpl: there is no such recipe. Did you mean 'mlp'?"),
        ({"recipe": "mlp", "optimzer": {"lr": 3}}, "optimzer: there is no such key. Did you mean 'optimizer'?"),
        (Unfinished, "name=???: must be given a value"),
        ([1], "the config from Python cannot be read"),
        ({"recipe": "mlp", "model": {"width": object()}}, "the config from Python cannot be read"),
    ],
)
def test_what_is_wrong_with_a_config_from_python_is_told(given: Any, told: str) -> None:
    assert str(adopt(given).findings[0]).startswith(told)


def test_composing_imports_no_torch() -> None:
    code = "import sys; from trainkit.config.composing.compose import composed as c; c(['recipe=mlp', 'x=1']); "
    code += "print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "hydra" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "\x1b", "x" * 300, ""])
def test_a_name_is_a_plain_one(name: str) -> None:
    assert not is_plain_name(name)
    assert is_plain_name("my run-2")


CROP = "{_target_:torchvision.transforms.v2.RandomCrop,size:8}"
EXPONENTIAL = "{_target_:torch.optim.lr_scheduler.ExponentialLR,gamma:0.9}"


@pytest.mark.parametrize(
    ("words", "path", "expected"),
    [
        (["recipe=cnn", "~data.augment", f"+data.augment=[{CROP}]"], "data.augment.0.size", 8),
        (["recipe=cnn", f"data.augment=[{CROP}]"], "data.augment.0.size", 8),
        (["recipe=mlp", "~schedule.scheduler", f"+schedule.scheduler={EXPONENTIAL}"], "schedule.scheduler.gamma", 0.9),
        (["recipe=mlp", "~objective.loss", "+objective.loss={_target_:torch.nn.NLLLoss}"], "objective.loss", None),
        (["recipe=mlp", "~model.hidden", "+model.hidden=[3]"], "model.hidden", [3]),
        (["recipe=mlp", "optimizer={_target_:torch.optim.SGD,lr:0.1}"], "optimizer", None),
        (["recipe=mlp", f"schedule={{interval:epoch,scheduler:{EXPONENTIAL}}}"], "schedule.interval", "epoch"),
        (["recipe=mlp", "model={_target_:torchvision.models.resnet18,num_classes:10}"], "model.num_classes", 10),
        (["recipe=mlp", "optimizer={_target_:torch.optim.AdamW,lr:0.1}"], "optimizer.betas", [0.9, 0.999]),
    ],
)
def test_a_node_is_replaced(words: list[str], path: str, expected: Any) -> None:
    found = composed(words)
    assert found.findings == []
    value = at(found.plain, path)
    if expected is not None:
        assert value == expected
    text = str(found.plain)
    for given, gone in (
        ("ExponentialLR", "T_max"),
        ("NLLLoss", "label_smoothing"),
        ("SGD", "betas"),
        ("resnet", "hidden"),
    ):
        assert not (given in text and gone in text)


@pytest.mark.parametrize("target", ["torch.optim.SGD", "torch.optim.Adagrad"])
def test_another_target_alone_drops_what_trainkits_files_gave_to_the_former(target: str) -> None:
    optimizer = composed(["recipe=mlp", f"optimizer._target_={target}"]).plain["optimizer"]
    assert "betas" not in optimizer
    assert (optimizer["lr"], optimizer["weight_decay"]) == (0.01, 0.1)
    own = composed(["recipe=mlp", "optimizer.betas=[0.5,0.6]", f"optimizer._target_={target}"])
    refused = [finding.place for finding in own.findings]
    assert own.plain["optimizer"].get("betas") == [0.5, 0.6] or refused == ["optimizer.betas"]  # else by the signature


def test_another_target_in_a_recipe_drops_what_files_before_it_set(tmp_path: Path) -> None:
    text = f"{HEAD}defaults: [mlp, _self_]\noptimizer: {{_target_: torch.optim.SGD, lr: 0.1}}\n"
    found = composed(["recipe=x", "optimizer.momentum=0.5"], write(tmp_path, recipe__x=text))
    assert (found.findings, found.plain["optimizer"]) == (
        [],
        {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.5},
    )
    same = text.replace("SGD", "AdamW")
    kept = composed(["recipe=x"], write(tmp_path, recipe__x=same)).plain["optimizer"]
    assert (kept["lr"], kept["weight_decay"]) == (0.1, 0.1)


def test_another_target_in_a_recipe_keeps_what_it_needs_with_all_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "class {}:\n    def __init__(self, inner: object, layers: list): ...\n"
    (tmp_path / "kept_nets.py").write_text(code.format("First") + code.format("Second"))
    monkeypatch.chdir(tmp_path)
    linear = {"_target_": "torch.nn.Linear", "in_features": 64, "out_features": 10, "bias": False}
    first = {"inner": linear, "layers": [linear], "extra": linear}
    write(
        tmp_path,
        recipe__a=f"{HEAD}defaults: [mlp, _self_]\nmodel: {json.dumps({'_target_': 'kept_nets.First', **first})}\n",
        recipe__b=f"{HEAD}defaults: [a, _self_]\nmodel: {{_target_: kept_nets.Second}}\n",
        recipe__c=f"{HEAD}defaults: [mlp, _self_]\nmodel: {{_target_: trainkit.recipes.models.CNN}}\n",
    )
    model = composed(["recipe=b"], tmp_path).plain["model"]
    assert model == {"_target_": "kept_nets.Second", "inner": linear, "layers": [linear]}
    assert composed(["recipe=c"], tmp_path).plain["model"] == {
        "_target_": "trainkit.recipes.models.CNN",
        "out_features": 10,
    }


@pytest.mark.parametrize(
    "path",
    [
        *("run_dir", "resume", "seed", "name", "monitor", "penalty", "parameter_groups", "data.num_workers"),
        *("data.timeout", "objective.loss", "model.hidden", "monitor.mode"),
    ],
)
def test_what_a_run_needs_cannot_be_left_out(path: str) -> None:
    (finding,) = composed(["recipe=mlp", f"~{path}"]).findings
    cure = "Its keys are set one by one" if path in ("monitor", "penalty") else "Give it another value"
    assert str(finding).startswith(f"~{path}: cannot be left out. {cure}")


@pytest.mark.parametrize("group", ["averaging", "loggers", "callbacks", "schedule", "checkpoint", "metrics", "debug"])
def test_null_leaves_a_group_out(group: str, tmp_path: Path) -> None:
    found = composed(["recipe=mlp", f"{group}=null"])
    assert (found.findings, found.choices[group], found.plain.get(group)) == ([], None, None)
    text = f"{HEAD}defaults:\n  - mlp\n  - override /{group}: null\n  - _self_\n"
    found = composed(["recipe=x"], write(tmp_path, recipe__x=text))
    assert (found.findings, found.choices[group], found.plain.get(group)) == ([], None, None)


def test_a_recipe_may_choose_a_debugging_and_the_line_another(tmp_path: Path) -> None:
    write(tmp_path, recipe__x=f"{HEAD}defaults:\n  - mlp\n  - override /debug: fast\n")
    assert composed(["recipe=x"], tmp_path).require().trainer.fast_dev_run is True
    for given in ("debug=null", "~debug", "debug=limit"):
        for words in (["recipe=x", given], [given, "recipe=x"]):
            found = composed(words, tmp_path)
            assert (found.findings, found.config.trainer.fast_dev_run) == ([], False)
    assert composed(["recipe=mlp", "~debug"]).findings == []


def test_slips_of_a_defaults_list_are_told_with_their_cure_beside_all_else(tmp_path: Path) -> None:
    text = f"{HEAD}defaults:\n  - recipe/mlp\n  - optimizer: sgd\n  - override schedule: step\n"
    text += "  - override /modle: cnn\n  - override /debug: fst\ntrainr: {a: 1}\n"
    write(tmp_path, recipe__x=text)
    for given, folder_ in (("recipe=x", tmp_path), (f"recipe={tmp_path}/recipe/x.yaml", None)):
        told = [str(finding) for finding in composed([given, "lr=3"], folder_).findings]
        for line, cure in [
            (3, "Write: - /recipe/mlp"),
            (4, "Write: - override /optimizer: sgd"),
            (5, "Write: - override /schedule: step"),
            (6, "Did you mean 'override /model'?"),
            (7, "Did you mean 'fast'?"),
            (8, "Did you mean 'trainer'?"),
        ]:
            assert any(f"x.yaml:{line})" in text and cure in text for text in told), (line, told)
        assert told[-1].startswith("lr=3")
        assert len(told) == 7


def test_a_list_over_a_mapping_in_yaml_is_told_in_plain_words(tmp_path: Path) -> None:
    text = f"{HEAD}defaults: [cnn, _self_]\ndata:\n  augment: [{{_target_: mine.Crop}}]\n"
    (finding,) = composed(["recipe=x"], write(tmp_path, recipe__x=text)).findings
    assert re.match(r"data\.augment: is a list in one file and a mapping in another.*x\.yaml:4", str(finding))
    assert "'data.augment=[...]'" in str(finding)


def test_the_project_of_a_recipe_by_path_holds_what_lies_beside_its_config_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "my-project" / "configs", recipe__mine="defaults: [mlp]\n") / "recipe" / "mine.yaml"
    assert tmp_path / "my-project" in composed([f"recipe={path}"]).folders


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "hydra.searchpath=[file://configs]",
            "names config folders, which are given by a flag here. Write --config-dir",
        ),
        ("hydra.sweeper.params={optimizer.lr:'0.1,0.2'}", "Write such as: -m optimizer.lr=0.1,0.2"),
        ("hydra.bogus=1", "hydra.bogus: there is no such key of Hydra's. Keys: "),
        ("hydra.swep.dir=x", "hydra.swep.dir: there is no such key of Hydra's. Did you mean 'hydra.sweep.dir'?"),
        ("optimizer@foo=sgd", "optimizer@foo: nothing was chosen to go there. Write optimizer=OPTION"),
        ("name=${hydra:job.num}", "name=${hydra:job.num}: has a value in the jobs of a sweep alone. Add -m"),
        ("callbacks.progres.x=1", "Did you mean 'callbacks.progress.x'?"),
        ("loggers.tensorbord.y=1", "Did you mean 'loggers.tensorboard.y'?"),
        ("+optimizer._partial=true", "Did you mean 'optimizer._partial_'?"),
        ("+model.__target__=x", "Did you mean 'model._target_'?"),
    ],
)
def test_the_cure_of_a_slip_is_plain(word: str, told: str) -> None:
    (finding,) = composed(["recipe=mlp", word]).findings
    assert told in str(finding)


def test_what_hydra_and_its_grammar_allow_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert composed(["recipe=mlp", "optimizer@optimizer=sgd"]).require().optimizer._target_ == "torch.optim.SGD"
    for word, path, value in [
        ("run_dir=~/x", "run_dir", "/home/me/x"),
        ("resume=weights:~/x", "resume", "weights:/home/me/x"),
        ("data.folder=~/x", "data.folder", "/home/me/x"),
        ("run_dir=runs/a=b (1) x", "run_dir", "runs/a=b (1) x"),
        ("run_dir=a~b", "run_dir", "a~b"),
    ]:
        found = composed(["recipe=mlp", word])
        assert (found.findings, at(found.plain, path)) == ([], value)


def test_a_recipe_of_trainkits_with_a_suffix_is_that_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlq.yaml").write_text("seed: 1\n")
    (finding,) = composed(["recipe=mlp.yaml"]).findings
    assert "Did you mean 'recipe=mlp'?" in str(finding)


def test_the_files_noted_in_composing_are_those_that_hydra_lists_and_are_asked_for_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choices = ["recipe=cnn", "optimizer=sgd"]
    noted = composition.base(choices)
    asked: list[str] = []
    listed = ConfigLoaderImpl.compute_defaults_list

    def asking(self: ConfigLoaderImpl, *arguments: Any) -> Any:
        asked.append("again")
        return listed(self, *arguments)

    monkeypatch.setattr(ConfigLoaderImpl, "compute_defaults_list", asking)
    assert composition.base(choices).entries == noted.entries
    assert not asked
    monkeypatch.setattr(
        composition, "_noted", lambda loader: nullcontext([])
    )  # as with a release that has no such step
    assert composition.base(choices).entries == noted.entries
    assert asked == ["again"]


def test_what_a_run_changes_is_told_without_composing_its_files_again(monkeypatch) -> None:
    asked, inner = [], composing.base
    monkeypatch.setattr(composing, "base", lambda *given: asked.append(given) or inner(*given))
    assert composed(["recipe=mlp", "trainer.max_epochs=3"]).changed == {"trainer.max_epochs": (40, 3)}
    assert len(asked) == 1
    assert "optimizer" in composed(["recipe=mlp", "optimizer=sgd"]).changed
    assert len(asked) == 3  # other files than the recipe's
