"""Configs that come with a run: read, held, and composed with one's own overrides."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from trainkit.checkpoint.migrations import FORMAT
from trainkit.config.checking.check import check
from trainkit.config.composing.compose import composed, plain, to_yaml
from trainkit.config.composing.line import Line
from trainkit.config.composing.stored import MOST_BYTES, compose_line, read_yaml, stored_config
from trainkit.config.composing.stored import compose_stored as composed_stored
from trainkit.errors import ConfigError


def compose(recipe: str, *overrides: str) -> DictConfig:
    return composed([f"recipe={recipe}", *overrides]).require()


def compose_stored(run: Path, overrides: list[str] | tuple[str, ...] = (), **rest: object) -> DictConfig:
    return composed_stored(run, overrides, **rest).require()


def store(run: Path, config: object = None, yaml: str | None = None) -> Path:
    """Write a run folder whose checkpoint holds a config as text, or none; with a ``config.yaml`` or not."""
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    about = {} if config is None else {"config": config if isinstance(config, str) else json.dumps(config)}
    torch.save({"format": FORMAT, "about": about}, run / "checkpoints" / "last.ckpt")
    if yaml is not None:
        (run / "config.yaml").write_text(yaml)
    return run


@pytest.mark.parametrize("recipe", ["mlp", "cnn", "linear"])
@pytest.mark.parametrize("where", ["checkpoint", "config.yaml"])
def test_a_config_comes_back_as_it_was_composed(tmp_path: Path, recipe: str, where: str) -> None:
    config = compose(
        recipe, "averaging=ema", "+tags=[1, 1e-7, '1e3', yes, 'no', '2001-01-01', null]", "optimizer.lr=1e-12"
    )
    if where == "checkpoint":
        run = store(tmp_path / "run", plain(config), "name: another\n")
    else:
        run = store(tmp_path / "run", None, to_yaml(config))
    assert compose_stored(run) == config
    assert compose_stored(run / "checkpoints" / "last.ckpt") == config


def test_overrides_are_applied_as_to_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_NAME", "mine")
    run = store(tmp_path / "run", plain(compose("mlp", "run_dir=old", "resume=older")))
    lines = [
        "model=linear",
        "optimizer.lr=7",
        "~callbacks.progress",
        "+optimizer.amsgrad=true",
        "name=${oc.env:MY_NAME}",
        "resume=x",
    ]
    config = compose_stored(run, [*lines, "metrics=classification", "debug=limit"])
    assert config.model == compose("mlp", "model=linear").model
    assert (config.optimizer.lr, config.optimizer.amsgrad, config.name, config.trainer.max_epochs) == (
        7,
        True,
        "mine",
        3,
    )
    assert "progress" not in config.callbacks
    assert (config.run_dir, config.resume) == (None, "x")
    assert list(config.metrics) == ["classification"]
    with pytest.raises(ConfigError, match="there is no such key"):
        compose_stored(run, ["optimizer.weight_dcay=1"])
    with pytest.raises(ConfigError, match="there is no such option"):
        compose_stored(run, ["model=typo"])
    with pytest.raises(ConfigError, match="there is no such key"):
        compose_stored(run, ["+lr=1"])


@pytest.mark.parametrize(
    ("preset", "override", "rule"),
    [
        ("linear_probe_then_finetune", "freeze.thaw=2ep", {"from": "2ep", "lr_scale": 0.1, "warmup": None}),
        ("gradual", "freeze.warmup=7st", {"thaw_every": "1ep", "lr_scale": 0.1, "warmup": "7st"}),
        ("discriminative", "freeze.lr_decay=0.5", {"lr_decay": 0.5}),
        ("fine_tuning", "freeze.lr_scale=0.3", {"lr_scale": 0.3}),
    ],
)
def test_the_keys_of_a_preset_reach_its_rules(tmp_path: Path, preset: str, override: str, rule: dict) -> None:
    config = plain(compose("mlp", f"freeze={preset}"))
    run = store(tmp_path / "run", config)
    assert plain(compose_stored(run)) == {**config, "run_dir": None, "resume": None}
    changed = plain(compose_stored(run, [override]))
    assert changed["freeze"]["rules"][-1] == {"match": "*"} | rule
    assert changed == plain(compose("mlp", f"freeze={preset}", override))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([{"match": "layers.1.*", "lr": 0.1}], [{"match": "layers.1.*", "lr": 0.1}]),
        (
            [{"match": ["*.bias", "*.weight"], "weight_decay": 0, "betas": [0.8, 0.9], "eps": 1e-6}],
            [{"match": ["*.bias", "*.weight"], "weight_decay": 0, "options": {"betas": [0.8, 0.9], "eps": 1e-6}}],
        ),
        ([], []),
    ],
)
@pytest.mark.parametrize("where", ["checkpoint", "config.yaml"])
def test_rules_of_an_older_release_are_those_of_the_freeze_plan(
    tmp_path: Path, old: list, new: list, where: str
) -> None:
    config = plain(compose("mlp"))
    for key in ("freeze", "weights", "head"):
        del config[key]
    config["parameter_groups"] = {"rules": old, "decay_norm_and_bias": False}
    run = store(tmp_path / "run", *((config,) if where == "checkpoint" else (None, to_yaml(config))))
    now = plain(compose_stored(run))
    assert now["freeze"].get("rules", []) == new
    assert now["parameter_groups"] == {"decay_norm_and_bias": False}
    assert now["weights"] == plain(compose("mlp"))["weights"]
    assert now["head"] == plain(compose("mlp"))["head"]
    assert [str(finding) for finding in check(composed_stored(run)) if finding.severity == "error"] == []


@pytest.mark.parametrize("rules", [[3], [{"lr": 0.1}], {"match": "*"}, "layers"])
def test_odd_rules_of_an_older_release_raise_nothing_but_words(tmp_path: Path, rules: object) -> None:
    config = plain(compose("mlp"))
    config["parameter_groups"] = {"rules": rules, "decay_norm_and_bias": True}
    del config["freeze"]
    told = check(composed_stored(store(tmp_path / "run", config)))
    assert all(finding.message for finding in told)


def test_rules_of_ones_own_refer_to_no_key_of_a_preset(tmp_path: Path) -> None:
    rules = "freeze.rules=[{match: '@head'}, {match: '*', from: 1ep}]"
    run = store(tmp_path / "run", plain(compose("mlp", "freeze=linear_probe_then_finetune", rules)))
    line = Line([f"resume={run}", "freeze.thaw=2ep", "trainer.max_epochs=4"])
    found = [(finding.rule, finding.place) for finding in check(compose_line(line)) if finding.severity == "error"]
    assert found == [("no-effect", "freeze.thaw")]


def test_what_an_override_replaces_is_not_held(tmp_path: Path) -> None:
    config = plain(compose("mlp"))
    config["model"] = {"_target_": "os.system", "command": "true"}
    config["checkpoint"]["folder"] = "/elsewhere"
    run = store(tmp_path / "run", config)
    with pytest.raises(ConfigError, match=r"checkpoint\.folder='/elsewhere'"):
        compose_stored(run)
    with pytest.raises(ConfigError, match=r"model\._target_='os\.system'"):
        compose_stored(run, ["checkpoint.folder=here"])
    assert compose_stored(run, ["checkpoint.folder=here", "model=mlp"]).checkpoint.folder == "here"


def test_own_options_may_be_chosen_from_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "my, own" / "optimizer").mkdir(parents=True)
    (tmp_path / "my, own" / "optimizer" / "mine.yaml").write_text("_target_: mine.Lion\nlr: 3\n")
    run = store(tmp_path / "run", plain(compose("mlp")))
    config = compose_stored(run, ["optimizer=mine"], config_dir=tmp_path / "my, own")
    assert config.optimizer == {"_target_": "mine.Lion", "lr": 3}


def test_keys_that_are_newer_than_the_run_get_their_defaults(tmp_path: Path) -> None:
    config = plain(compose("mlp", "~loggers"))
    del config["trainer"]["deterministic"], config["penalty"], config["tags"]
    found = compose_stored(store(tmp_path / "run", config))
    assert found == compose("mlp", "~loggers")


def test_a_secret_that_was_masked_must_be_given_again(tmp_path: Path) -> None:
    config = {**plain(compose("mlp")), "hub": {"token": "***"}}
    run = store(tmp_path / "run", config)
    with pytest.raises(ConfigError, match=r"^hub\.token: not stored with the run\. Give it again, such as hub\.token="):
        compose_stored(run)
    assert compose_stored(run, ["hub.token=mine"]).hub.token == "mine"


# ---------------------------------------------------------------------- damaged and hostile texts


@pytest.mark.parametrize(
    "text", ["{", "[]", "1", '"text"', "[" * 100_000, '{"a": ' * 5000 + "1" + "}" * 5000, "9" * 5000]
)
def test_a_damaged_config_in_a_checkpoint_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"its config is damaged|nested more than 50"):
        compose_stored(store(tmp_path / "run", text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x [1]\nb: *x\n", r"line 1: has an alias or anchor"),
        ("a: 1\nb: *x\n", r"line 2: has an alias"),
        ("a: !!python/object/apply:os.system ['true']\n", r"line 1: has the tag tag:yaml.org,2002:python/object/apply"),
        ("a: !!binary aGk=\n", r"has the tag"),
        ("a: !mine 1\n", r"has the tag !mine"),
        ("a: " + "[" * 60 + "]" * 60, r"nested more than 50"),
        ("[1, 2]\n", r"no mapping"),
        ("a: {\n", r"config\.yaml: "),
        ("", r"no mapping"),
        ("a: 2001-01-01\n", r"a date there"),
        ("a: 1\n---\nb: 2\n", r"expected a single document"),
    ],
)
def test_yaml_that_trainkit_does_not_write_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compose_stored(store(tmp_path / "run", None, text))


def test_files_that_are_too_large_or_no_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: " + "x" * MOST_BYTES)
    with pytest.raises(ConfigError, match="larger than"):
        read_yaml(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="no regular file"):
        read_yaml(path)
    path.unlink()
    path.symlink_to("/etc/hostname")
    run = store(tmp_path, None)
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read"):
        stored_config(run)
    path.unlink()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="no UTF-8"):
        read_yaml(path)


def test_a_damaged_checkpoint_leaves_the_config_beside_it(tmp_path: Path) -> None:
    """So that ``resume=auto`` can fall back to an older checkpoint."""
    run = store(tmp_path / "run", {"name": "in the checkpoint"}, to_yaml(compose("linear")))
    (run / "checkpoints" / "last.ckpt").write_bytes(b"PK")
    assert compose_stored(run) == compose("linear")
    with pytest.raises(ConfigError, match=r"last\.ckpt: cannot be read"):
        compose_stored(run / "checkpoints" / "last.ckpt")


def test_a_run_without_a_config_is_told_so(tmp_path: Path) -> None:
    run = store(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"holds no config.*name one by recipe=NAME"):
        compose_stored(run)


# ---------------------------------------------------------------------- the command line


def of_line(*overrides: str) -> DictConfig:
    return compose_line(Line(list(overrides))).require()


def test_a_line_means_the_run_that_it_names_unless_it_names_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "my run", plain(compose("linear", "seed=5")))
    (tmp_path / "empty").mkdir()
    named = ["resume='my run'", "resume=weights:'my run'", "resume='my run/checkpoints/last.ckpt'"]
    for override in named:
        assert of_line(override.replace("weights:'my run'", "'weights:my run'")).name == "linear"
    assert of_line("run_dir='my run'", "resume=auto").seed == 5
    assert of_line("run_dir='my run'", "resume=weights").seed == 5
    assert of_line("resume='my run'", "recipe=mlp").name == "mlp"
    for none in (["run_dir=empty", "resume=auto"], ["resume=auto"], ["seed=3"], []):
        with pytest.raises(ConfigError, match="no recipe was given"):
            of_line(*none)
    with pytest.raises(ConfigError, match="resume=nowhere: no checkpoint there"):
        of_line("resume=nowhere")


def test_code_of_ones_own_must_be_trusted_on_the_line_and_by_no_stored_config(tmp_path: Path) -> None:
    config = {**plain(compose("mlp")), "trusted_packages": ["my_package"]}
    config["model"] = {"_target_": "my_package.Net"}
    run = store(tmp_path / "run", config)
    with pytest.raises(ConfigError, match=r"model\._target_='my_package\.Net'"):
        of_line(f"resume={run}")
    with pytest.raises(ConfigError, match=re.escape("trusted_packages=[os]")):
        of_line(f"resume={run}", "trusted_packages=[os]")
