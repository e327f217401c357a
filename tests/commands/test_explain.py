"""``trainkit help WORD``: keys, groups, recipes, commands, and whatever comes close."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from trainkit.commands import COMMANDS
from trainkit.commands.help.key import FACTS, documented, known_paths
from trainkit.commands.help.outline import outline
from trainkit.config.composing.compose import composed
from trainkit.config.composing.recipes import groups, options, recipes
from trainkit.config.paths import is_there
from trainkit.config.schema.keys import schema_findings

NET = '''
from torch import nn

class Net(nn.Module):
    """A net of mine.

    Args:
        width: Units of the hidden
            layer.
        act (str, optional): Which one.
    """

    def __init__(self, width: int, classes: int = 10, act: str = "relu", deep: bool = False):
        super().__init__()

class Open(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of somebody's own in the current folder; returns the flag that names its configs."""
    texts = {
        "their_package.py": NET,
        "configs/model/net.yaml": "# My own net.\n_target_: their_package.Net\nwidth: 32  # how wide\nclasses: 3\n",
        "configs/model/open.yaml": "_target_: their_package.Open\nsize: 3  # any size\n",
        "configs/model/absent.yaml": "_target_: no_such_package.Net\nwidth: 3  # in the YAML alone\n",
        "configs/recipe/mine.yaml": "# @package _global_\n# Mine.\n# Expected: much\ndefaults:\n  - mlp\n"
        "  - override /model: net\n  - _self_\nname: mine\ntrainer:\n  max_epochs: 3\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.delitem(sys.modules, "their_package", raising=False)
    return "--config-dir=configs"


@pytest.fixture
def explained(line):
    """Return what is said of a line as plain values; it must be said for people too."""

    def explain(*words: str) -> dict[str, Any]:
        answer = line("help", *words)
        assert (answer.code, answer.err) == (0, ""), answer.err
        assert max(map(len, answer.out.splitlines())) <= 100 or "python -m" in answer.out
        found = line("help", *words, "--json")
        assert found.code == 0
        return json.loads(found.out) | {"text": answer.out}

    return explain


def test_a_key_has_doc_type_choices_and_default(explained) -> None:
    found = explained("trainer.precision")
    assert found["kind"] == "key"
    assert found["doc"].startswith("Number format of the forward pass")
    assert (found["takes"], found["choices"]) == ("fp32 | bf16 | fp16", ["fp32", "bf16", "fp16"])
    assert found["default"] == "fp32"
    assert re.fullmatch(r"configs/trainer/default\.yaml:\d+", found["default_set_by"])
    assert (found["value"], found["set_by"]) == ("", "")
    assert found["example"] == "python -m trainkit recipe=mlp trainer.precision=bf16"
    assert "  takes    fp32 | bf16 | fp16\n" in found["text"]


@pytest.mark.parametrize(
    ("words", "value", "set_by", "default"),
    [
        ("trainer.max_epochs recipe=mlp", "40", "configs/recipe/mlp.yaml:", "10"),
        ("recipe=mlp trainer.max_epochs", "40", "configs/recipe/mlp.yaml:", "10"),
        ("trainer.max_epochs recipe=mlp trainer.max_epochs=7", "7", "override trainer.max_epochs=7", "10"),
        ("recipe=mlp trainer.max_epochs=7", "7", "override trainer.max_epochs=7", "10"),
        ("optimizer.lr recipe=linear", "0.01", "configs/recipe/linear.yaml:", "0.1"),
        ("optimizer.lr recipe=linear optimizer=adam", "0.01", "configs/recipe/linear.yaml:", "0.001"),
        ("trainer.fast_dev_run recipe=mlp debug=fast", "true", "configs/debug/fast.yaml:", "false"),
        ("seed recipe=mlp", "0", "configs/config.yaml:", "0"),
        ("model.in_features recipe=mlp", "64", "configs/model/mlp.yaml:", "${data.features}"),
        ("data.datasets recipe=mlp", "digits", "configs/data/digits.yaml:", ""),
        ("data.augment recipe=cnn", "RandomAffine", "configs/recipe/cnn.yaml:", "null"),
    ],
)
def test_with_a_recipe_it_has_its_value_and_what_set_it(
    explained, words: str, value: str, set_by: str, default: str
) -> None:
    found = explained(*words.split())
    assert (found["value"], found["default"]) == (value, default)
    assert found["set_by"].startswith(set_by)
    if value:
        assert f"  at present  {value} (set by {found['set_by']})\n" in found["text"]


@pytest.mark.parametrize(
    ("path", "chosen"),
    [
        ("optimizer.momentum", ["optimizer=rmsprop", "optimizer=sgd"]),
        ("model.hidden", ["model=mlp"]),
        ("schedule.scheduler.gamma", ["schedule=step"]),
    ],
)
def test_a_key_of_options_that_are_not_chosen_names_them(explained, path: str, chosen: list[str]) -> None:
    found = explained(path)
    assert found["options"] == chosen
    assert found["doc"]
    assert f" {chosen[0]} " in found["example"]


def test_a_key_that_only_a_debug_mode_has_names_the_mode(explained) -> None:
    found = explained("callbacks.profiler.warmup")
    assert (found["options"], found["default"]) == (["debug=profile"], "5")
    assert found["example"].endswith(" recipe=mlp debug=profile callbacks.profiler.warmup=10")


def test_a_command_with_keys_of_its_own_lists_them(line) -> None:
    text = line("help", "check").out
    assert "\n  check.ignore  Findings to leave out" in text
    assert "\n  check.deep    " in text
    assert "keys of its own" not in line("help", "eval").out


EXAMPLES = [
    path for path in known_paths([], []) if not path.startswith("data.datasets") and path not in (*groups(), *COMMANDS)
]


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_example_of_every_key_is_right(line, path: str) -> None:
    """The key is in its config, and the schema has nothing against the value: no help misleads."""
    found = json.loads(line("help", path, "--json").out)
    assert found["path"] == path
    assert found["doc"], f"{path} has no doc"
    assert "VALUE" not in found["example"]
    if not found["example"]:
        return
    words = shlex.split(found["example"])[3:]
    made = outline(words).config  # which test_outline.py holds against what Hydra composes
    assert is_there(made, path)
    assert not [str(finding) for finding in schema_findings(made) if finding.place.startswith(path)]


@pytest.mark.parametrize(
    ("words", "tail"),
    [
        ("optimizer.lr recipe=mlp", "optimizer.lr=0.003"),
        ("optimizer.betas", "'optimizer.betas=[0.9,0.998]'"),
        ("data.batch_size", "data.batch_size=128"),
        ("data.augment recipe=cnn", "data.augment=null"),
        ("seed", "seed=1"),
    ],
)
def test_an_example_is_a_neighbour_of_what_is_there(explained, words: str, tail: str) -> None:
    assert explained(*words.split())["example"].endswith(f" {tail}")


def test_what_the_data_are_is_no_example() -> None:
    assert not {path for path in FACTS if path not in EXAMPLES}


def test_help_tells_no_secret_and_reads_an_override_as_it_is_meant(line) -> None:
    entry = "+loggers.w={_target_:own.parts.Logger,every:3,api_key:hunter22hunter,url:'http://a:b'}"
    for topic in (("loggers",), ("loggers.w",), ("loggers.w", "--json")):
        answer = line("help", *topic, entry)
        assert "hunter22" not in answer.out + answer.err
        assert "every:" not in answer.out
    assert re.search(r"loggers\.w\.every +\[default 3\]", line("help", "loggers", entry).out)
    short = "+loggers.w={_target_:trainkit.loggers.TensorBoard,folder:a,api_key:zq}"
    for topic in ("loggers", "loggers.w", "loggers.w.api_key"):
        assert "zq" not in line("help", topic, short).out


def test_most_keys_have_an_example() -> None:
    assert len(EXAMPLES) > 100


def test_a_node_lists_its_keys(explained) -> None:
    text = explained("monitor")["text"]
    assert re.search(r"^  monitor\.metric  Says which weights are best", text, re.MULTILINE)
    assert "anything" not in text
    assert "  callbacks.early_stopping.patience " in explained("callbacks.early_stopping")["text"]
    assert explained("monitor.")["path"] == "monitor"


@pytest.mark.parametrize("group", [group for group in groups() if group != "recipe"])
def test_a_group_lists_its_options_and_the_keys_of_the_chosen_one(explained, group: str) -> None:
    found = explained(group)
    assert (found["kind"], sorted(found["options"])) == ("group", options(group))
    assert all(found["options"].values()), "the head of each option's YAML says what it is"
    for option in options(group):
        assert re.search(rf"^  [* ] {option} ", found["text"], re.MULTILINE)


def test_the_chosen_option_is_marked_and_its_keys_are_told(explained) -> None:
    found = explained("schedule", "recipe=cnn")
    assert found["chosen"] == "one_cycle"
    assert re.search(r"^  \* one_cycle ", found["text"], re.MULTILINE)
    assert re.search(r"^  schedule\.scheduler\.pct_start ", found["text"], re.MULTILINE)
    assert "keys of schedule=step" in explained("schedule=step")["text"]
    assert explained("adam")["chosen"] == "adam"
    assert "help model model=" in explained("model")["text"]


@pytest.mark.parametrize("name", [recipe.name for recipe in recipes()])
def test_a_recipe_tells_what_it_chooses_and_sets(explained, name: str) -> None:
    found = explained(name)
    assert (found["kind"], found["name"]) == ("recipe", name)
    assert found["expected"].startswith("test/")
    words = [f"{group}={option}" for group, option in found["chooses"].items()]
    assert composed([f"recipe={name}", *words]).plain == composed([f"recipe={name}"]).plain
    assert "trainer.max_epochs" in found["sets"]
    assert " ".join(words) in " ".join(found["text"].split())
    assert explained(f"recipe={name}")["text"] == found["text"]


def test_several_words_are_explained_one_by_one(line) -> None:
    text = line("help", "seed", "schedule", "mlp").out
    assert text.index("seed:") < text.index("schedule:") < text.index("mlp: MLP")
    assert len(json.loads(line("help", "seed", "schedule", "--json").out)) == 2


def test_the_last_part_of_a_path_is_enough_where_it_is_the_only_one(explained) -> None:
    assert explained("precision")["path"] == "trainer.precision"
    assert explained("epochs")["text"].endswith("\nsee also trainer.max_epochs\n")
    found = explained("mode")
    assert found["kind"] == "several"
    assert {"monitor.mode", "callbacks.early_stopping.mode"} <= set(found["names"])
    assert "(with schedule=plateau)" in " ".join(found["text"].split())


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("trianer.precision", "'trainer.precision'"),
        ("trainer.precison", "'trainer.precision'"),
        ("presicion", "'trainer.precision'"),
        ("optimzer", "'optimizer'"),
        ("chekc", "'check'"),
        ("mpl", "'mlp'"),
        ("learning_rate", "'optimizer.lr'"),
        ("optimizer.momentun", "'optimizer.momentum'"),
        ("zzzzzz", "--help lists what there is"),
    ],
)
def test_an_unknown_word_is_refused_with_what_comes_close(line, word: str, near: str) -> None:
    answer = line("help", word)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"trainkit: {word}: there is no such key, group, recipe, command or rule.")
    assert near in answer.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed", "recipe=mpl"], "recipe=mpl"),
        (["seed", "recipe=mlp", "optimizer.lrr=3"], "optimizer.lrr"),
        (["seed", "--jsn"], "--json"),
        (["seed", "--config-dir", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_line_is_refused(line, words: list[str], told: str) -> None:
    answer = line("help", *words)
    assert answer.code == 2
    assert told in answer.err


# ---------------------------------------------------------------------- somebody's own model


def test_a_key_of_ones_own_model_is_told_by_its_signature_and_docstring(explained, project: str) -> None:
    found = explained("model.width", "recipe=mine", project)
    assert (found["doc"], found["takes"], found["value"]) == ("Units of the hidden layer.", "int", "32")
    assert (found["set_by"], found["target"]) == ("configs/model/net.yaml:3", "their_package.Net")
    assert found["example"] == "python -m trainkit --config-dir configs recipe=mine model.width=64"
    found = explained("model.act", "model=net", project)
    assert (found["doc"], found["takes"], found["default"]) == ("Which one.", "text", "relu")
    found = explained("model.deep", "recipe=mine", project)
    assert (found["doc"], found["default"]) == ("", "false")
    assert "nothing is written of it" in found["text"]


def test_a_key_that_ones_own_model_does_not_take_is_none(line, project: str) -> None:
    answer = line("help", "model.widht", "recipe=mine", project)
    assert answer.code == 2
    assert "Did you mean 'model.width'?" in answer.err
    assert "Did you mean 'model.act'?" in line("help", "model.atc", "recipe=mine", project).err


@pytest.mark.parametrize(
    ("option", "path", "doc"), [("open", "model.size", "any size"), ("absent", "model.width", "in the YAML alone")]
)
def test_where_no_signature_says_more_the_yamls_comment_does(
    explained, project: str, option: str, path: str, doc: str
) -> None:
    found = explained(path, f"model={option}", project)
    assert (found["doc"], found["default"]) == (doc, "3")


def test_a_recipe_of_ones_own_is_explained_by_name_and_by_path(line, explained, project: str) -> None:
    found = explained("mine", project)
    assert found["chooses"]["model"] == "net"
    assert found["file"] == "configs/recipe/mine.yaml"
    assert "--config-dir configs recipe=mine --cfg job" in " ".join(found["text"].split())
    assert line("help", "trainer.max_epochs", "recipe=./configs/recipe/mine.yaml", project).out.count("max_epochs") > 1


class Styles:
    """Take it all.

    Args:
        google: One.
        typed (int, optional): Two, which goes
            on.

    Parameters
    ----------
    numpy : int
        Three.

    :param sphinx: Four.
    :param int sphinx_typed: Five.
    """


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        ("google", "One."),
        ("typed", "Two, which goes on."),
        ("numpy", "Three."),
        ("sphinx", "Four."),
        ("sphinx_typed", "Five."),
        ("other", ""),
    ],
)
def test_docstrings_of_all_styles_are_read(name: str, doc: str) -> None:
    assert documented(Styles, name) == doc


RULE_KEYS = ("match", "trainable", "from", "until", "lr", "lr_scale", "lr_decay", "thaw_every", "weight_decay", "norm")


@pytest.mark.parametrize("topic", ["freeze", "freeze.rules", "freeze=gradual", "gradual"])
def test_the_freeze_plan_is_explained_with_what_a_rule_can_say(line, topic: str) -> None:
    text = line("help", topic).out
    (section,) = re.findall(r"^keys of each of freeze\.rules:\n((?:  .*\n?)+)", text, re.MULTILINE)
    assert set(re.findall(r"^  (\w+) ", section, re.MULTILINE)) == {*RULE_KEYS, "warmup", "grad_clip", "options"}
    flat = " ".join(section.split())
    assert "eval keeps the statistics of norms still. [eval | train | null, default null]" in flat
    assert "@head for the head. [text | [text, ...], must be given]" in flat


@pytest.mark.parametrize("topic", ["freeze.rules.norm", "freeze.rules.0.norm", "freeze.rules[0].norm"])
def test_a_key_of_a_rule_is_explained_however_it_is_written(explained, topic: str) -> None:
    found = explained(topic)
    assert (found["path"], found["choices"]) == ("freeze.rules[0].norm", ["eval", "train", "null"])
    assert found["example"] == ""  # there may be no such rule
    assert explained("freeze.rules")["takes"] == "[{...}, ...]"


def test_where_weights_come_from_is_explained(explained) -> None:
    found = explained("weights.source")
    for word in ("torchvision", "a file", "run folder", "package:NAME/PATH"):
        assert word in found["doc"]
    assert (found["takes"], found["default"]) == ("text | null", "null")
    assert "weights.by_position" in explained("weights")["text"]
    assert explained("head.init")["choices"] == ["default", "zero", "normal", "kaiming", "xavier"]


def test_a_key_inside_of_nothing_has_no_example(explained) -> None:
    found = explained("data.preprocessing.size")
    assert found["doc"]
    assert found["example"] == ""
    assert explained("data.preprocessing")["example"].endswith("data.preprocessing=auto")
