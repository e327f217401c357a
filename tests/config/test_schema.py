# ruff: noqa: E501 - tables of configs
"""The schema of the config: it says the same as the YAMLs, the constructors and torch, and refuses what they would."""

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import MISSING, fields
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from torch import nn

from trainkit import errors
from trainkit.config.composing.class_folders import register
from trainkit.config.composing.origins import Origin, Origins
from trainkit.config.composing.recipes import folder
from trainkit.config.schema.keys import (
    DIRECTIVES,
    all_keys,
    covers,
    is_closed,
    key_at,
    keys_of,
    schema_findings,
    structured,
    target_keys,
)
from trainkit.config.schema.parts import ACTIVATIONS, MODULES, OPEN, OWN, PARTS
from trainkit.config.schema.root import Check, Data, Monitor, ParameterGroups, Penalty, Root, Schedule
from trainkit.config.schema.torch_parts import TORCH
from trainkit.config.schema.transferring import Freeze, Head, Preprocessing, Rule, Weights
from trainkit.errors import ConfigError
from trainkit.optim import FreezePlan
from trainkit.optim import rules as optim_rules
from trainkit.recipes.data import image_folder
from trainkit.settings import Settings
from trainkit.transfer import load_pretrained, replace_heads, require_preprocessing
from trainkit.transfer.heads import INITS
from trainkit.transfer.preprocessing import DEFAULTS, INTERPOLATIONS
from trainkit.values import described, judged, misfit

register()
CONFIGS = folder()
FILES = sorted(CONFIGS.glob("*/*.yaml"))
RECIPES = sorted(path.stem for path in (CONFIGS / "recipe").glob("*.yaml"))
IDS = [f"{path.parent.name}/{path.stem}" for path in FILES]
GLOBAL = ("recipe", "debug")
ENTRIES = ("callbacks", "loggers", "metrics")
BY_THE_RUN = {"TensorBoard": {"folder"}, "Store": {"folder"}}
"""Arguments that the run fills in, so that no YAML has them."""
NO_VALUE = {"Progress": {"console"}, "FreezeTable": {"console"}, "Linear": {"device", "dtype"}}
"""Arguments that only an object fills."""
PROBES = [None, True, 0, 1, 3, -1, 0.5, 1.5, "a", "auto", "1ep", "5st", "min", [], [1], [1, 2], [0.5, 0.5], ["a"], {}]
names_of_parts = [part.__name__ for part in (*OWN, *TORCH)]
each_part = pytest.mark.parametrize("part", [*OWN, *TORCH], ids=names_of_parts)


def read(path: Path):
    """A YAML file as it stands, with its numbers as OmegaConf reads them and its interpolations as text."""
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False) or {}


def as_config(path: Path) -> dict:
    """The file's content where its group puts it."""
    content = {key: value for key, value in read(path).items() if key != "defaults"}
    if path.parent.name == "data":
        content = {**read(CONFIGS / "data" / "default.yaml"), **content}
    return content if path.parent.name in GLOBAL else {path.parent.name: content}


@cache
def _composed(overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=list(overrides)), resolve=True)


def composed(*overrides: str) -> dict:
    return deepcopy(_composed(overrides))


def paths_in(node, path=""):
    """Every key of a config, also those of items of lists."""
    if isinstance(node, dict):
        for name, value in node.items():
            inner = f"{path}.{name}" if path else str(name)
            yield inner
            yield from paths_in(value, inner)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from paths_in(value, f"{path}[{number}]")


def put(config: dict, path: str, value) -> dict:
    node = config = deepcopy(config)
    *parents, leaf = path.split(".")
    for name in parents:
        node = node.setdefault(name, {})
    node[leaf] = value
    return config


def told(config: dict, path: str = "", origins=None) -> str:
    found = [f for f in schema_findings(config, origins) if not path or f.place.startswith(path)]
    return "\n".join(map(str, found))


# ------------------------------------------------------------- the schema and the YAMLs


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_key_of_every_yaml_has_an_entry_that_its_value_fits(path):
    config = as_config(path)
    if path.parent.name == "recipe":  # its nodes get their targets from the options that it chooses
        config = composed(f"recipe={path.stem}")
    foreign = re.compile(r"(data|datasets)\.augment\..+")  # transforms of torchvision
    unknown = [place for place in paths_in(config) if not foreign.search(place) and key_at(config, place) is None]
    assert unknown == []
    assert schema_findings(config) == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_of_a_composed_recipe_has_an_entry(recipe):
    config = composed(f"recipe={recipe}")
    known = {key.path for key in all_keys(config)}
    assert [p for p in paths_in(config) if p not in known and "augment." not in p and "[" not in p] == []
    assert schema_findings(config) == []


def test_the_root_has_the_keys_and_defaults_of_its_yaml():
    yaml, keys = read(CONFIGS / "config.yaml"), keys_of({}, "")
    groups = {next(iter(item)) for item in yaml["defaults"] if isinstance(item, dict)} - {"recipe", "debug"}
    groups = {group for group in groups if not group.startswith("override ")}
    assert set(keys) == (set(yaml) - {"defaults", "hydra"}) | groups
    nodes = {"monitor": Monitor, "penalty": Penalty, "parameter_groups": ParameterGroups, "check": Check}
    nodes |= {"weights": Weights, "head": Head}
    for name in set(yaml) - {"defaults", "hydra", *nodes}:
        assert keys[name].default == yaml[name], name
    for name, part in nodes.items():
        defaults = {name: key.default for name, key in keys_of({}, name).items()}
        assert defaults == yaml[name]
        assert [f.name for f in fields(part)] == list(yaml[name])


@pytest.mark.parametrize(
    ("file", "part", "others"),
    [
        ("trainer/default", Settings, {"max_epochs": 10, "threads": "auto"}),
        ("data/default", Data, {}),
        ("schedule/constant", Schedule, {"scheduler": ...}),
        ("freeze/none", Freeze, {}),
        ("checkpoint/default", PARTS["trainkit.checkpoint.Store"], {}),
        ("averaging/ema", PARTS["trainkit.optim.WeightAverage"], {}),
    ],
)
def test_own_groups_have_the_keys_and_defaults_of_their_yaml(file, part, others):
    yaml = read(CONFIGS / f"{file}.yaml")
    wanted = [f.name for f in fields(part) if not f.metadata.get("optional")]
    assert sorted(yaml) == sorted(set(wanted) - BY_THE_RUN.get(part.__name__, set()))
    for f in fields(part):
        if f.name in yaml and others.get(f.name) is not ...:
            default = f.default_factory() if f.default_factory is not MISSING else f.default
            assert yaml[f.name] == others.get(f.name, default), f.name


@pytest.mark.parametrize(
    ("file", "others"),
    [
        ("callbacks/default", {"early_stopping.patience": None}),
        ("loggers/default", {}),
        ("metrics/classification", {"classification.names": ["accuracy", "precision", "recall", "f1"]}),
    ],
)
def test_named_entries_have_the_keys_and_defaults_of_their_yaml(file, others):
    for name, node in read(CONFIGS / f"{file}.yaml").items():
        part = PARTS[node["_target_"]]
        keys = target_keys(node["_target_"])
        skipped = BY_THE_RUN.get(part.__name__, set()) | NO_VALUE.get(part.__name__, set())
        assert set(node) - {"_target_"} == set(keys) - skipped
        for key in set(keys) - skipped:
            assert node[key] == others.get(f"{name}.{key}", keys[key].default), key


@pytest.mark.parametrize("path", [*FILES, CONFIGS / "config.yaml"], ids=[*IDS, "config"])
def test_every_key_of_every_yaml_is_explained_where_it_stands(path):
    first, *lines = path.read_text().splitlines()
    assert first.startswith("# ")
    if path.parent.name in GLOBAL:  # they set what is explained elsewhere
        return
    text = "\n".join(lines).split("\nhydra:")[0]
    text = re.sub(r"^rules:\n([ -].*\n?)+", "", text, flags=re.MULTILINE)  # each key of which `help` explains
    keyed = re.findall(r"^ *(?:- )?(\w+): *([^#\n]*?) *(#.*)?$", text, re.MULTILINE)
    bare = [key for key, value, comment in keyed if value and not comment and key not in ("_target_", "defaults")]
    assert [key for key in bare if not key.startswith("override")] == []


# ------------------------------------------------------------- the schema and the constructors


def target_of(name: str):
    module, _, leaf = name.rpartition(".")
    return getattr(importlib.import_module(module), leaf)


def parameters_of(part) -> dict:
    found = inspect.signature(target_of(part._target_), eval_str=True).parameters
    if part.__name__ == "Photographs":  # which hands its options over
        found = {**found, **inspect.signature(image_folder, eval_str=True).parameters, "folder": found["folder"]}
    skipped = ("optimizer", "params", "args")  # what trainkit hands over, and positional arguments
    skipped += ("options",) if part.__name__ == "Photographs" or part._target_ in OPEN else ()
    return {name: parameter for name, parameter in found.items() if name not in skipped}


@each_part
def test_keys_are_the_parameters_of_the_target_both_ways(part):
    keys = target_keys(part._target_)
    parameters = parameters_of(part)
    newer = {name for name in keys if keys[name].rules.get("since")}  # than the oldest torch that trainkit takes
    assert set(keys) - newer <= set(parameters)
    if part in OWN:
        assert set(keys) == set(parameters)
    else:
        assert set(parameters) - set(keys) == set()
    for parameter in parameters.values():
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY)


@each_part
def test_defaults_are_those_of_the_constructor(part):
    for name, parameter in parameters_of(part).items():
        default = target_keys(part._target_)[name].default
        if default is MISSING:
            assert parameter.default is parameter.empty, name
        else:
            given = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            assert default == given, name


@each_part
def test_what_the_schema_lets_through_fits_the_constructors_annotation(part):
    for name, parameter in parameters_of(part).items():
        key = target_keys(part._target_)[name]
        if parameter.annotation is parameter.empty or key.annotation is object:
            continue
        fills_in = name in ("T_max", "total_iters")  # null: the whole run, which trainkit puts there
        for probe in [*PROBES, *key.rules.get("choices", ())]:
            if judged(probe, key.annotation, key.rules) or (probe is None and fills_in) or key.rules.get("node"):
                continue
            if "Any" in str(key.annotation):
                continue
            assert misfit(probe, parameter.annotation) == "", (name, probe)


@each_part
def test_each_part_and_key_has_a_doc_in_a_line(part):
    assert "\n" not in part.__doc__
    for key in target_keys(part._target_).values():
        assert re.fullmatch(r"\S.*[.:)]", key.doc), key
        assert len(key.doc) <= 110


@pytest.mark.parametrize(
    "part",
    [
        *(Root, Check, Monitor, Penalty, ParameterGroups, Data, Schedule, Settings),
        *(Freeze, Rule, Weights, Head, Preprocessing),
    ],
)
def test_each_key_of_a_group_has_a_doc_in_a_line(part):
    for f in fields(part):
        assert re.fullmatch(r"\S.*\.", f.metadata["doc"]), f.name
        assert len(f.metadata["doc"]) <= 110


@pytest.mark.parametrize(("other", "target"), MODULES.items())
def test_other_names_of_a_target_mean_the_same(other, target):
    assert target_of(other) is target_of(target)
    assert target_keys(other).keys() == target_keys(target).keys()


def test_targets_are_known_by_the_module_that_defines_them_too():
    for part in (*OWN, *TORCH):
        found = target_of(part._target_)
        assert PARTS[f"{found.__module__}.{found.__qualname__}"] is part


BUILDABLE = {"WeightAverage": {}, "EarlyStopping": {}, "Predictions": {}, "Store": {"folder": "checkpoints"}}
BUILDABLE |= {"AdamW": {}, "Adam": {}, "SGD": {}, "RMSprop": {}, "Digits": {}}
"""Parts that can be built of little, with what they need."""


@pytest.mark.parametrize("name", BUILDABLE)
def test_what_is_out_of_bounds_in_the_schema_does_not_build(name):
    """The bounds are no false alarms."""
    (part,) = (part for part in (*OWN, *TORCH) if part.__name__ == name)
    target, keys = target_of(part._target_), target_keys(part._target_)
    first = [[torch.zeros(1, requires_grad=True)]] if "optim." in part._target_ and part in TORCH else []
    wrong = {"least": lambda b: b - 1, "more_than": lambda b: b, "less_than": lambda b: b, "most": lambda b: b + 1}
    lenient = {"split_seed", "patience_steps", "alpha"}  # silent nonsense
    tried = 0
    for name, key in keys.items():
        for rule, value in wrong.items():
            if rule in key.rules and name not in lenient:
                tried += 1
                bad = value(key.rules[rule])
                bad = [bad] * key.rules.get("length", 1) if "list" in str(key.annotation) else bad
                assert misfit(bad, key.annotation, key.rules)
                with pytest.raises((ConfigError, ValueError, KeyError)):
                    target(*first, **{**BUILDABLE[part.__name__], name: bad})
        for rule in ("least", "most"):  # and what lies on a bound builds, so that the schema is not too lenient either
            if rule in key.rules:
                edge = key.rules[rule]
                edge = [float(edge)] * key.rules["length"] if "length" in key.rules else edge
                edge = [edge] if "list[int]" in str(key.annotation) else edge
                assert misfit(edge, key.annotation, key.rules) == ""
                if name != "fractions":  # three ones are no shares of a whole
                    target(*first, **{**BUILDABLE[part.__name__], name: edge})
    assert tried


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("on_error", ["stop", "skip", "ignore", None]),
        ("changed", ["refuse", "allow", "warn"]),
        ("max_errors", [0, 1, -1, 1.5, True]),
        ("timeout", [0, 0.5, 300, -1, float("inf"), float("nan"), "5"]),
    ],
)
def test_the_loader_refuses_what_the_schema_does(name, values):
    from trainkit.data.foreign import require_choices

    right = {"on_error": "stop", "changed": "refuse", "max_errors": 1, "timeout": 1}
    key = key_at({}, f"data.{name}")
    for value in values:
        try:
            require_choices(**{**right, name: value})
        except ConfigError:
            assert misfit(value, key.annotation, key.rules), value
        else:
            assert misfit(value, key.annotation, key.rules) == "", value


def test_penalties_and_intervals_are_those_that_can_be_built():
    from trainkit.objectives import penalised
    from trainkit.optim import Schedule as Built

    assert set(inspect.signature(penalised).parameters) - {"objective"} == set(keys_of({}, "penalty"))
    for name in ("l1", "l2"):
        with pytest.raises(ConfigError):
            penalised(None, **{name: -1e-9})
        assert key_at({}, f"penalty.{name}").rules["least"] == 0
    optimizer = torch.optim.SGD([torch.zeros(1)])
    for interval in key_at({}, "schedule.interval").rules["choices"]:
        Built(torch.optim.lr_scheduler.StepLR(optimizer, 1), interval)
    with pytest.raises(ConfigError):
        Built(torch.optim.lr_scheduler.StepLR(optimizer, 1), "other")


def test_rules_have_the_keys_and_defaults_of_the_plan():
    config = composed("recipe=mlp", "freeze.rules=[{match: a}]")
    keys = keys_of(config, "freeze.rules[0]")
    wanted = {"from" if f.name == "start" else f.name: f for f in fields(optim_rules.Rule)}
    assert list(keys) == list(wanted)
    for name, f in wanted.items():
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        assert keys[name].default == default, name


def test_the_knobs_of_a_plan_are_those_of_the_class_that_makes_it():
    knobs = {name: p.default for name, p in inspect.signature(FreezePlan).parameters.items()}
    mine = {f.name: f for f in fields(Freeze) if not f.metadata.get("optional")}
    assert set(knobs) - {"head", "decay_norm_and_bias"} == set(mine)  # which the config's head and groups say
    assert all(mine[name].default == knobs[name] for name in ("patience", "min_delta"))
    assert knobs["decay_norm_and_bias"] is key_at({}, "parameter_groups.decay_norm_and_bias").default


def test_weights_heads_and_preprocessing_are_those_of_the_functions_that_take_them():
    loads = inspect.signature(load_pretrained).parameters
    assert set(loads) - {"model", "weights", "heads", "keep_heads"} == set(keys_of({}, "weights")) - {"source"}
    assert set(inspect.signature(replace_heads).parameters) - {"model"} == set(keys_of({}, "head"))
    assert key_at({}, "head.init").rules["choices"] == INITS
    keys = {f.name: f for f in fields(Preprocessing)}
    full = require_preprocessing({"size": [2, 2], "mean": [0.5], "std": [0.5]})
    assert set(keys) == set(full)
    assert {name: keys[name].default for name in DEFAULTS} == DEFAULTS
    assert keys["interpolation"].metadata["choices"] == INTERPOLATIONS


def test_activations_are_those_of_torch_that_need_no_argument():
    from torch.nn.modules import activation

    known = set()
    for name in activation.__all__:
        try:
            getattr(nn, name)()
        except TypeError:
            continue
        known.add(name)
    assert known | {"Identity"} == set(ACTIVATIONS)


def test_the_help_shows_each_key_of_the_trainer_as_the_schema_has_it():
    done = subprocess.run([sys.executable, "-m", "trainkit", "--help"], capture_output=True, text=True, check=True)
    told = " ".join(done.stdout.split())
    for name, key in keys_of({}, "trainer").items():
        assert f"trainer.{name} {key.doc}" in told
        assert key.allowed in told


def test_the_settings_are_the_trainers_keys():
    assert list(keys_of({}, "trainer")) == [f.name for f in fields(Settings)]


# ------------------------------------------------------------- looking keys up


def test_a_key_says_all_that_help_needs():
    key = key_at({}, "trainer.max_epochs")
    assert (key.name, key.path, key.default, key.allowed) == (
        "max_epochs",
        "trainer.max_epochs",
        None,
        "int >= 0 | null",
    )
    assert key.doc == "Stop after this many epochs."
    assert key.allowed == described(int | None, {"least": 0})


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("seed", "int >= 0"),
        ("monitor.mode", "min | max"),
        ("optimizer.lr", "float >= 0"),
        ("optimizer.betas", "[0 <= float < 1, 0 <= float < 1]"),
        ("optimizer.betas[1]", "0 <= float < 1"),
        ("optimizer.amsgrad", "true | false"),
        ("optimizer._target_", "text"),
        ("callbacks.early_stopping.patience", "int >= 0 | null"),
        ("callbacks.predictions.worst", "int >= 0"),
        ("loggers.tensorboard.folder", "text"),
        ("checkpoint.every", "duration | null"),
        ("schedule.warmup", "int >= 0 | share <= 1 | duration in ep or st | null"),
        ("schedule.scheduler.T_max", "int >= 1 | null"),
        ("objective.loss.label_smoothing", "0 <= float <= 1"),
        ("model.hidden", "[int >= 1, ...]"),
        ("model.hidden[0]", "int >= 1"),
        ("data.datasets.fractions", "[0 <= float <= 1, 0 <= float <= 1, 0 <= float <= 1]"),
        ("freeze.rules[0].match", "text | [text, ...]"),
        ("freeze.rules.0.lr_decay", "0 <= float <= 1 | null"),
        ("freeze.rules[0].from", "duration in ep or st | plateau | null"),
        ("head.name", "text | [text, ...] | {...} | null"),
        ("head.dropout", "0 <= float < 1 | null"),
        ("trusted_packages", "[package, ...]"),
        ("tags[3]", "text"),
        ("model", "anything"),
    ],
)
def test_keys_are_found_by_their_path(path, allowed):
    config = composed("recipe=mlp", "freeze.rules=[{match: a}]")
    assert key_at(config, path).allowed == allowed


@pytest.mark.parametrize(
    "path", ["trainer.max_epoch", "nothing", "optimizer.momentum", "model.x.y", "seed.x", "data.mean"]
)
def test_what_is_no_key_has_no_entry(path):
    assert key_at(composed("recipe=mlp"), path) is None


def test_the_length_of_a_list_is_no_rule_of_its_items():
    config = composed("recipe=mlp")
    assert key_at(config, "optimizer.betas").rules["length"] == 2
    assert "length" not in key_at(config, "optimizer.betas[0]").rules


def test_a_cnn_needs_a_stage_and_an_mlp_no_hidden_layer():
    assert "must have at least 1 item" in told(put(composed("recipe=cnn"), "model.channels", []))
    assert told(put(composed("recipe=mlp"), "model.hidden", [])) == ""


def test_keys_follow_the_target():
    mlp, linear = composed("recipe=mlp"), composed("recipe=linear")
    assert "betas" in keys_of(mlp, "optimizer")
    assert "betas" not in keys_of(linear, "optimizer")
    assert "nesterov" in keys_of(linear, "optimizer")
    assert keys_of(put(mlp, "optimizer._target_", "my.Optimizer"), "optimizer") is None
    assert keys_of(mlp, "callbacks") is None
    assert keys_of(mlp, "optimizer.lr") is None
    assert "download" not in keys_of(mlp, "data")
    assert "download" in keys_of(composed("recipe=mlp", "data=mnist"), "data")


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("", False),
        ("trainer", True),
        ("monitor", True),
        ("penalty", True),
        ("schedule", True),
        ("data", False),
        ("model", True),
        ("data.datasets", True),
        ("callbacks", False),
        ("callbacks.early_stopping", True),
        ("checkpoint", True),
        ("objective", True),
        ("objective.loss", False),
        ("optimizer", False),
        ("schedule.scheduler", False),
        ("freeze", True),
        ("freeze.rules[0]", True),
        ("freeze.rules[0].options", False),
        ("weights", True),
        ("weights.rename", False),
        ("head", True),
        ("nothing", False),
    ],
)
def test_nodes_of_trainkits_own_are_closed(path, closed):
    config = composed("recipe=mlp", "freeze.rules=[{match: a}]")
    assert is_closed(config, path) is closed


def test_networks_by_name_take_what_their_functions_do():
    config = composed("recipe=mlp", "model=timm", "+model.drop_rate=0.2")
    assert not is_closed(config, "model")
    assert told(config) == ""
    assert "Did you mean 'model.name'?" in told({**config, "model": {**config["model"], "nam": "a"}})


def test_preprocessing_is_closed_where_it_has_values():
    values = {"size": 256, "crop": 224, "mean": [0.5], "std": [0.5]}
    config = put(composed("recipe=transfer"), "data.preprocessing", values)
    assert told(config) == ""
    config["data"]["preprocessing"]["maen"] = [0.5]
    assert "data.preprocessing.maen=[0.5]: there is no such key. Did you mean 'data.preprocessing.mean'?" in told(
        config
    )
    assert told(put(config, "data.preprocessing", "auto")) == ""
    assert "must be a mapping, auto or null" in told(put(config, "data.preprocessing", "atuo"))


@pytest.mark.parametrize(
    ("path", "value", "covered"),
    [
        ("trainer.max_epochs", 3, True),
        ("trainer.max_epoch", 3, True),
        ("optimizer.lr", "1e-3x", True),
        ("optimizer.lr", {"_target_": "my.Rate"}, False),
        ("optimizer.my_own", 3, False),
        ("optimizer", {"_target_": "my.Optimizer"}, False),
        ("model", None, True),
        ("model.hidden", [3, 4], True),
        ("model.encoder", 3, True),
        ("callbacks.mine", {"_target_": "my.Callback"}, False),
        ("callbacks.progress", None, True),
        ("data.mean", 0.5, False),
        ("data.augment", None, True),
        ("data.augment", {"_target_": "my.Transform"}, False),
        ("data.augment", ["text"], False),
        ("width", 32, False),
    ],
)
def test_the_schema_says_what_it_judges_alone(path, value, covered):
    assert covers(put(composed("recipe=mlp"), path, value), path) is covered


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_keys_are_found_in_a_config(recipe):
    config = composed(f"recipe={recipe}")
    keys = all_keys(config)
    paths = [key.path for key in keys]
    assert len(paths) == len(set(paths))
    assert {"trainer.max_epochs", "optimizer.foreach", "callbacks.early_stopping.patience", "seed"} <= set(paths)
    assert all(key_at(config, key.path) == key for key in keys)


def test_without_a_config_the_groups_of_trainkits_own_are_known():
    paths = {key.path for key in all_keys({})}
    assert {"data.batch_size", "trainer.precision", "schedule.warmup", "monitor.metric", "callbacks"} <= paths


# ------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("path", "value", "rule", "text"),
    [
        ("trainer.max_epochs", "ten", "wrong-type", "trainer.max_epochs=ten: must be a whole number, at least 0, or null"),
        ("trainer.max_epochs", "5", "wrong-type", "trainer.max_epochs='5': must be a whole number, at least 0, or null. It is text: write 5"),
        ("trainer.max_epoch", 3, "unknown-key", "trainer.max_epoch=3: there is no such key. Did you mean 'trainer.max_epochs'?"),
        ("trainer.gpus", 1, "unknown-key", "Did you mean 'trainer.device'?"),
        ("trainer.accelerator", "gpu", "unknown-key", "Did you mean 'trainer.device'?"),
        ("trainer.devices", 1, "unknown-key", "Did you mean 'trainer.device'?"),
        ("trainer.logger", True, "unknown-key", "Did you mean 'loggers'?"),
        ("trainer.default_root_dir", "x", "unknown-key", "Did you mean 'run_dir'?"),
        ("trainer.patience", 3, "unknown-key", "Did you mean 'callbacks.early_stopping.patience'?"),
        ("trainer.seed", 3, "unknown-key", "Did you mean 'seed'?"),
        ("trainer.lr", 3, "unknown-key", "Did you mean 'optimizer.lr'?"),
        ("model.lr", 3, "unknown-key", "Did you mean 'optimizer.lr'?"),
        ("trainer.batch_size", 3, "unknown-key", "Did you mean 'data.batch_size'?"),
        ("schedule.T_max", 3, "unknown-key", "Did you mean 'schedule.scheduler.T_max'?"),
        ("objective.label_smoothing", 0.1, "unknown-key", "Did you mean 'objective.loss.label_smoothing'?"),
        ("trainer.xyzzy", 3, "unknown-key", "Keys: max_epochs, min_epochs"),
        ("trainer.precision", 16, "unknown-choice", "must be one of fp32, bf16, fp16. Did you mean 'fp16'?"),
        ("trainer.precision", "bf16-mixed", "unknown-choice", "Did you mean 'bf16'?"),
        ("trainer", 5, "wrong-type", "trainer=5: must be a mapping. Its keys are set one by one: trainer.max_epochs=VALUE"),
        ("trainer", None, "wrong-type", "trainer=null: must be a mapping"),
        ("checkpoint.every", "soon", "wrong-type", "checkpoint.every=soon: must be a duration such as 1ep, 500st or 10min, or null"),
        ("checkpoint.keep_last", 1, "out-of-range", "must be at least 2"),
        ("checkpoint.folders", "a", "unknown-key", "Did you mean 'checkpoint.folder'?"),
        ("data.shuffle", "maybe", "wrong-type", "data.shuffle=maybe: must be true or false"),
        ("data.pin_memory", 7, "wrong-type", "data.pin_memory=7: must be true, false or null"),
        ("data.batch_size", 0, "out-of-range", "must be at least 1"),
        ("data.timeout", float("inf"), "out-of-range", "must be a finite number"),
        ("data.on_error", "ignore", "unknown-choice", "must be stop or skip"),
        ("data.batch_sise", 3, "unknown-key", "Did you mean 'data.batch_size'?"),
        ("data", 3, "wrong-type", "must be a mapping"),
        ("data.datasets", "digits", "wrong-type", "must be an object to build, a node with a _target_"),
        ("data", {"datasets": {"_target_": "my.data"}, "shuffle": True}, "missing-key", "has no batch_size, val_batch_size, drop_last. A data set's own file starts with defaults: [default, _self_]"),
        ("name", "", "wrong-type", "must be a plain file name"),
        ("data.datasets", None, "wrong-type", "data.datasets=null: must be an object to build"),
        ("objective.loss", None, "wrong-type", "objective.loss=null: must be an object to build"),
        ("data.datasets.fractions", [0.5, 0.5], "wrong-type", "must have 3 items, not 2"),
        ("sed", 3, "unknown-key", "sed=3: there is no such key. Did you mean 'seed'?"),
        ("seed", -1, "out-of-range", "must be at least 0"),
        ("seed", None, "wrong-type", "seed=null: must be a whole number, at least 0"),
        ("test", "maybe", "wrong-type", "test=maybe: must be true or false"),
        ("name", "a/b", "wrong-type", "must be a plain file name"),
        ("name", "..", "wrong-type", "must be a plain file name"),
        ("name", "x" * 201, "wrong-type", "must be a plain file name"),
        ("name", "a\nb", "wrong-type", "must be a plain file name"),
        ("run_dir", "None", "wrong-type", "must be text or null. Write null."),
        ("resume", "atuo", "wrong-type", "Did you mean 'auto'?"),
        ("resume", "Auto", "wrong-type", "Did you mean 'auto'?"),
        ("resume", "weight", "wrong-type", "Did you mean 'weights'?"),
        ("resume", "weights:", "wrong-type", "must be auto, weights, weights:PATH, a run folder or a checkpoint"),
        ("resume", True, "wrong-type", "must be auto, weights"),
        ("trusted_packages", "timm", "wrong-type", "must be a list of the name of a package, such as timm. Write [timm]."),
        ("trusted_packages", ["a b"], "wrong-type", "item [0], a b, must be the name of a package, such as timm"),
        ("tags", "a", "wrong-type", "must be a list of texts. Write [a]."),
        ("monitor.mode", "maximum", "unknown-choice", "Did you mean 'max'?"),
        ("monitor.metrik", "a", "unknown-key", "Did you mean 'monitor.metric'?"),
        ("monitor", "val/loss", "wrong-type", "Its keys are set one by one: monitor.metric=VALUE"),
        ("penalty.l1", -1, "out-of-range", "must be at least 0"),
        ("optimizer.lr", "1e-3x", "wrong-type", "optimizer.lr=1e-3x: must be a number, at least 0"),
        ("optimizer.lr", "1e-3", "wrong-type", "write 0.001, without quotes"),
        ("optimizer.betas", [0.9], "wrong-type", "must have 2 items, not 1"),
        ("optimizer.betas", [0.9, 1.0], "out-of-range", "item [1], 1.0, must be at least 0 and less than 1"),
        ("optimizer.betas", [0, 0.9], "wrong-type", "item [0], 0, must be written with a point. Write 0.0."),
        ("optimizer.weight_decy", 0.1, "unknown-key", "Did you mean 'optimizer.weight_decay'?"),
        ("model.hidden", 128, "wrong-type", "must be a list of whole numbers, each at least 1. Write [128]."),
        ("model.dropout", 1.5, "out-of-range", "must be from 0 to 1"),
        ("model.activation", "Relu", "unknown-choice", "Did you mean 'ReLU'?"),
        ("model.width", 3, "unknown-key", "model.width=3: there is no such key"),
        ("objective.loss.label_smoothing", 2, "out-of-range", "must be from 0 to 1"),
        ("objective.loss", "mse", "wrong-type", "must be an object to build, a node with a _target_"),
        ("schedule.interval", "steps", "unknown-choice", "Did you mean 'step'?"),
        ("schedule.warmup", "3epochs", "wrong-type", "Did you mean '3ep'?"),
        ("schedule.warmup", 1.5, "out-of-range", "a float is a share and at most 1.0"),
        ("schedule.scheduler.eta_min", -1, "out-of-range", "must be at least 0"),
        ("callbacks.early_stopping", True, "wrong-type", "must be an object to build, a node with a _target_, or null"),
        ("callbacks.early_stopping.pateince", 3, "unknown-key", "Did you mean 'callbacks.early_stopping.patience'?"),
        ("callbacks.early_stopping.mode", "up", "unknown-choice", "must be one of min, max, null"),
        ("callbacks", "progress", "wrong-type", "must be objects by name, or null"),
        ("loggers.tensorboard._partial_", "maybe", "wrong-type", "must be true or false"),
        ("parameter_groups.rules", [{"match": "a"}], "unknown-key", "Did you mean 'freeze.rules'?"),
        ("freeze.rules", [{"match": "a", "lrr": 1}], "unknown-key", "freeze.rules[0].lrr=1: there is no such key. Did you mean 'freeze.rules[0].lr'?"),
        ("freeze.rules", [{"match": "a", "start": "1ep"}], "unknown-key", "freeze.rules[0].start=1ep: there is no such key."),
        ("freeze.rules", [{"match": "a", "lr": -1}], "out-of-range", "freeze.rules[0].lr=-1: must be at least 0"),
        ("freeze.rules", [{"match": "a", "momentum": 1}], "unknown-key", "Keys: match, trainable, from, until"),
        ("freeze.rules", [{"match": "a", "from": "3"}], "wrong-type", "freeze.rules[0].from='3': must be a duration in epochs or steps, such as 3ep, or plateau, or null. Write 3ep or 3st."),
        ("freeze.rules", [{"match": "a", "from": "3min"}], "wrong-type", "or plateau"),
        ("freeze.rules", [{"match": "a", "norm": "evl"}], "unknown-choice", "Did you mean 'eval'?"),
        ("freeze.rules", [{"lr": 1}], "missing-key", "freeze.rules[0]={lr: 1}: has no match. Write such as match: 'head.*'"),
        ("freeze.rules", ["head.*"], "wrong-type", "freeze.rules[0]=head.*: must be a mapping"),
        ("freeze.rules", {"match": "a"}, "wrong-type", "must be a list of values"),
        ("freeze.patience", 0, "out-of-range", "must be at least 1"),
        ("weights.sorce", "a.pt", "unknown-key", "Did you mean 'weights.source'?"),
        ("weights.rename", {"a": 3}, "wrong-type", "its a, 3, must be text"),
        ("weights.allow", "head.*", "wrong-type", "must be a list of texts. Write [head.*]."),
        ("head.name", 3, "wrong-type", "head.name=3: must be text, a list of texts, a mapping or null"),
        ("head.name", {"fc": 0}, "out-of-range", "its fc, 0, must be at least 1"),
        ("head.init", "zeros", "unknown-choice", "Did you mean 'zero'?"),
        ("head.dropout", 1, "out-of-range", "must be at least 0 and less than 1"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_the_cure(path, value, rule, text):
    (found,) = schema_findings(put(composed("recipe=mlp"), path, value))
    assert found.rule == rule
    assert found.severity == "error"
    assert found.place.startswith(path)
    assert text in str(found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optimizer.lr", 0),
        ("optimizer.lr", 1),
        ("optimizer.weight_decay", 0),
        ("optimizer.betas", [0.0, 0.5]),
        ("optimizer.fused", True),
        ("optimizer.lr", {"_target_": "my.Rate"}),
        ("optimizer.my_own_option", 3),
        ("optimizer._target_", "my.Optimizer"),
        ("optimizer._partial_", True),
        ("model.dropout", 1),
        ("model.hidden", []),
        ("model", {"_target_": "my.Net", "hidden": 3, "hiden": 4}),
        ("model", {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Linear", "in_features": 3}]}),
        ("trainer.max_time", "1:30:00"),
        ("trainer.val_check_interval", 500),
        ("trainer.val_check_interval", "500st"),
        ("trainer.gradient_clip_val", float("inf")),
        ("trainer.limit_val_batches", 0),
        ("trainer.max_epochs", 0),
        ("schedule.warmup", 0.05),
        ("schedule.warmup", 100),
        ("schedule", None),
        ("averaging", None),
        ("averaging", {}),
        ("checkpoint", None),
        ("checkpoint.every", None),
        ("callbacks", None),
        ("callbacks.progress", None),
        ("callbacks.early_stopping", False),
        ("callbacks.mine", {"_target_": "my.Callback", "patiense": 3}),
        ("metrics", {"mine": {"_target_": "torchmetrics.F1Score", "task": "binary"}}),
        ("data.mean", 0.5),
        ("data.augment", [{"_target_": "my.Transform", "size": 8}]),
        ("data.datasets", {"_target_": "my.data", "fraction": 3}),
        ("data.classes", None),
        ("name", "a b"),
        ("name", 2026),
        ("name", "Größe"),
        ("tags", ["a", 3, 0.5]),
        ("run_dir", 2026),
        ("resume", "auto"),
        ("resume", "weights"),
        ("resume", "weights:runs/one"),
        ("resume", "runs/auto"),
        ("resume", "auto.ckpt"),
        ("resume", "one"),
        ("resume", "x" * 5000),
        ("resume", "with\0null"),
        ("resume", "${somewhere}"),
        ("seed", "???"),
        ("model.hidden", ["???"]),
        ("model.hidden", [3, "${nowhere}"]),
        ("trusted_packages", ["timm", "my_package.models"]),
        ("monitor.metric", "val/anything at all"),
        ("width", 32),
        ("hydra", {"run": {"dir": "."}}),
        ("freeze.rules", [{"match": ["head.*", "@head"], "lr": 0.1, "options": {"betas": [0.8, 0.9], "max_lr": 3}}]),
        ("freeze.rules", [{"match": "a", "from": "plateau", "until": "500st", "warmup": "0.5ep"}]),
        ("weights.rename", {"encoder.*": "backbone.*"}),
        ("head.name", ["fc", "aux.fc"]),
        ("head.name", {"fc": 10}),
        ("freeze", None),
        ("objective.loss.reduction", "none"),
        ("objective", {"_target_": "my.objective", "loss": 3}),
    ],
    ids=repr,
)
def test_what_is_unusual_and_right_passes(path, value):
    assert told(put(composed("recipe=mlp"), path, value)) == ""


def test_a_resume_from_a_folder_of_such_a_name_is_possible(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = put(composed("recipe=mlp"), "resume", "autos")
    assert "Did you mean 'auto'?" in told(config)
    (tmp_path / "autos").mkdir()
    assert told(config) == ""


def test_all_mistakes_are_found_at_once():
    config = composed("recipe=mlp")
    for path in ("trainer.max_epochs", "optimizer.lr", "model.hidden", "callbacks.early_stopping.patience"):
        config = put(config, path, "x")
    places = {"model.hidden", "optimizer.lr", "trainer.max_epochs", "callbacks.early_stopping.patience"}
    assert {f.place for f in schema_findings(config)} == places


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_refuses_what_fits_no_key(recipe):
    """Generated from the schema's own fields: no key lets a mapping of nonsense pass."""
    config = composed(f"recipe={recipe}")
    keys = [key for key in all_keys(config) if "Any" not in str(key.annotation)]
    keys = [key for key in keys if key.path.count(".") or key.path in ("seed", "name", "test", "tags", "resume")]
    assert len(keys) > 80
    for key in keys:
        (found, *_) = schema_findings(put(config, key.path, {"nonsense": [{}]}))
        assert found.place.startswith(key.path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_takes_its_own_default(recipe):
    config = composed(f"recipe={recipe}")
    for key in all_keys(config):
        if key.default is not MISSING and not isinstance(key.default, type):
            assert not judged(key.default, key.annotation, key.rules) or "${" in str(key.default), key.path


@pytest.mark.parametrize("recipe", RECIPES)
def test_bounds_are_held_on_both_sides(recipe):
    config = composed(f"recipe={recipe}")
    bounds = {"least": (0, -1), "more_than": (1, 0), "most": (0, 1), "less_than": (-1, 0)}
    held = 0
    for key in all_keys(config):
        for rule, (inside, outside) in bounds.items():
            if rule in key.rules and "list" not in str(key.annotation) and "_target_" not in key.path:
                bound = key.rules[rule]
                assert "least" in key.rules or rule != "most"
                if not (rule in ("most", "less_than") and bound + inside < key.rules.get("least", bound + inside)):
                    assert told(put(config, key.path, bound + inside), key.path) == "", key.path
                assert "must be" in told(put(config, key.path, bound + outside), key.path), key.path
                held += 1
    assert held > 30


@pytest.fixture(scope="module")
def likeness() -> Iterator[None]:
    """Hold two words against each other once: the recipes have most of their keys in common."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errors, "_of_words", cache(errors._of_words))
        yield


@pytest.mark.usefixtures("likeness")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_slip_in_any_key_is_refused_and_the_key_suggested(recipe):
    """Every key of a closed or known node with one letter left out, doubled, or two exchanged.

    A config has one slip in each node at once: each is found by itself, wherever others are.
    """
    config = composed(f"recipe={recipe}")
    slips: dict[str, list[tuple[str, str]]] = {}
    for key in all_keys(config):
        parent, _, name = key.path.rpartition(".")
        if not parent or len(name) < 4 or name.startswith("_") or parent in ENTRIES or "[" in key.path:
            continue
        for slip in (name[:2] + name[3:], name[:2] + name[1:], name[0] + name[2] + name[1] + name[3:]):
            if slip in (keys_of(config, parent) or {}) or slip == name:
                continue
            slips.setdefault(parent, []).append((f"{parent}.{slip}", key.path))
    tried = right = 0
    for at_once in zip_longest(*slips.values()):
        meant, slipped = dict(filter(None, at_once)), config
        for path in meant:
            slipped = put(slipped, path, 1)
        found = schema_findings(slipped)
        assert sorted((f.rule, f.place) for f in found) == sorted(("unknown-key", path) for path in meant)
        tried += len(found)
        right += sum(f"'{meant[f.place]}'" in f.fix for f in found)
    assert tried > 200
    assert right / tried >= 0.95


# ------------------------------------------------------------- who set it


def origins_of(**entries) -> Origins:
    origins = Origins()
    for path, origin in entries.items():
        origins.entries[path.replace("__", ".")] = origin
    return origins


def test_a_finding_names_the_override_that_set_the_value():
    origins = origins_of(trainer__max_epochs=Origin(override="trainer.max_epochs=ten"))
    (found,) = schema_findings(put(composed("recipe=mlp"), "trainer.max_epochs", "ten"), origins)
    assert (found.evidence, found.file, found.line) == ("override trainer.max_epochs=ten", None, None)
    assert "(override trainer.max_epochs=ten)" in str(found)


def test_a_finding_names_the_line_of_the_file_that_set_the_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    origins = origins_of(trainer__max_epochs=Origin(file=tmp_path / "mine.yaml", line=3))
    (found,) = schema_findings(put(composed("recipe=mlp"), "trainer.max_epochs", "ten"), origins)
    assert (found.file, found.line, found.evidence) == ("mine.yaml", 3, "")
    assert "(mine.yaml:3)" in str(found)


def test_what_trainkits_yaml_takes_over_from_a_wrong_value_is_told_once():
    config = composed("recipe=mlp", "data.classes=-3")
    shipped = Origin(file=CONFIGS / "data" / "default.yaml", line=8, shipped=True)
    entries = dict.fromkeys(("data__outputs", "model__out_features", "data__features", "model__dropout"), shipped)
    origins = origins_of(**entries, data__classes=Origin(override="data.classes=-3"))
    assert {f.place for f in schema_findings(config)} == {"model.out_features", "data.classes", "data.outputs"}
    assert [f.place for f in schema_findings(config, origins)] == ["data.classes"]


def test_what_trainkits_yaml_takes_over_is_told_where_its_source_is_no_mistake():
    """Such as the classes of a regression, which are null, under a model for classes."""
    config = put(composed("recipe=mlp"), "model.out_features", None)
    shipped = Origin(file=CONFIGS / "model" / "mlp.yaml", line=5, shipped=True)
    found = schema_findings(config, origins_of(model__out_features=shipped))
    assert [f.place for f in found] == ["model.out_features"]


@pytest.mark.parametrize(
    ("path", "value", "reading"),
    [
        ("data.folders", "here", "${data.folders}"),
        ("data.folders", "here", "${.folders}"),
        ("data.folders", "here", "in/${data.folders}/x"),
        ("data.featuress", {"of": 3}, "${data.featuress.of}"),
        ("tag", "here", "${tag}"),
    ],
)
def test_a_key_that_an_interpolation_reads_is_no_slip(path, value, reading):
    config = put(composed("recipe=mlp"), path, value)
    assert f"{path}=" in told(config)
    assert schema_findings(config, None, put(config, "data.datasets.folder", reading)) == []
    assert schema_findings(config, None, put(config, "data.datasets.folder", "${data.fold}")) != []


# ------------------------------------------------------------- Hydra, and what it costs


def test_the_schema_registers_as_structured_configs_of_hydra():
    store = ConfigStore.instance()
    before = deepcopy(store.repo)
    try:
        for group, name, node in structured():
            store.store(group=group, name=f"{name}_in_a_test", node=node)
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = compose(
                "config", overrides=["recipe=mlp", "trainer=schema_in_a_test", "checkpoint=schema_in_a_test"]
            )
    finally:
        store.repo = before
    assert config.trainer.val_check_interval == 1.0
    assert config.checkpoint.keep_last == 2


@pytest.mark.parametrize("part", [*OWN, *TORCH, Root, *(node for _, _, node in structured())])
def test_each_part_is_a_structured_config(part):
    node = OmegaConf.structured(part)
    assert set(node) == {f.name for f in fields(part)}


def test_the_groups_of_trainkits_own_are_structured():
    assert {group for group, _, _ in structured()} == {
        "trainer",
        "data",
        "schedule",
        "freeze",
        "checkpoint",
        "averaging",
    }
    assert {name for _, name, _ in structured()} == {"schema"}


def test_the_schema_loads_in_an_instant_without_torch_or_hydra():
    code = (
        "import sys, time; start = time.process_time(); import trainkit.config.schema.keys as s; s.schema_findings({}); "
        "print(time.process_time() - start, *({'torch', 'hydra', 'omegaconf', 'yaml', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.split()
    assert loaded == []
    assert float(seconds) < 0.25


def test_a_whole_config_is_judged_in_milliseconds():
    from time import process_time

    config = composed("recipe=cnn")
    schema_findings(config)
    start = process_time()
    for _ in range(10):
        schema_findings(config)
    assert (process_time() - start) / 10 < 0.05


def test_directives_are_never_unknown():
    node = {"_target_": "trainkit.callbacks.Progress", "_args_": [], "_partial_": False, "_recursive_": True}
    node |= {"_convert_": "all"}
    assert set(node) == set(DIRECTIVES)
    assert told(put(composed("recipe=mlp"), "callbacks.progress", node)) == ""


def test_a_number_out_of_the_environment_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainkit.config.composing.compose import composed

    found = composed(["recipe=mlp", "optimizer.lr=${oc.env:NO_SUCH,0.1}"])
    (finding,) = schema_findings(found.plain, found.origins, OmegaConf.to_container(found.raw))
    assert finding.fix == "A variable is text: write ${oc.decode:${oc.env:NO_SUCH,0.1}}"
    found = composed(["recipe=mlp", "optimizer.lr=${oc.decode:${oc.env:NO_SUCH,0.1}}"])
    assert schema_findings(found.plain, found.origins, OmegaConf.to_container(found.raw)) == []


def test_weights_of_a_loss_are_a_tensor() -> None:
    from trainkit.config.composing.compose import composed

    (finding,) = schema_findings(composed(["recipe=mlp", "objective.loss.weight=[1,2]"]).plain)
    assert "must be a tensor. Write {_target_: torch.tensor, data: [1, 2]}" in str(finding)
