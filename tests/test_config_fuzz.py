"""Nearly two thousand random slips of all recipes' overrides: each is refused in words or gives a config that may run.

What passes is held against a table of rules that is written down here by hand, not taken from the schema.
"""

import os
import random
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bases import shared

from trainkit.__main__ import _run
from trainkit.config.checking.check import check
from trainkit.config.composing.compose import assemble, composed
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.line import read_line
from trainkit.config.composing.recipes import recipes
from trainkit.findings import Finding, FindingsError, errors_in
from trainkit.values import shown

RECIPES = [recipe.name for recipe in recipes()]
WANTING = ("lora", "transfer")
"""Recipes that begin with weights or data which are not here unless somebody put them here."""
CASES, SHARDS, RUNS = 1800, 8, 40  # of 3000 the last 1200 met no rule that these do not meet
LINES = 15
JARGON = re.compile(
    r"omegaconf|Traceback|ConfigCompos|MissingMandatory|InterpolationKey|DictConfig|\bstruct\b|full_key"
)
BASES: dict[Any, Any] = {}
"""Files that were composed already: a case costs a tenth with them."""

Rule = Callable[[Any], bool]


def whole(least: int) -> Rule:
    return lambda value: type(value) is int and value >= least


def number(least: float = -1e308, most: float = 1e308, above: bool = False, below: bool = False) -> Rule:
    def rule(value: Any) -> bool:
        if type(value) not in (int, float):
            return False
        return (value > least if above else value >= least) and (value < most if below else value <= most)

    return rule


def one_of(*words: Any) -> Rule:
    return lambda value: any(value == word and type(value) is type(word) for word in words)


def either(*rules: Rule) -> Rule:
    return lambda value: any(rule(value) for rule in rules)


def share_or_batches(value: Any) -> bool:
    return whole(0)(value) or (type(value) is float and 0 <= value <= 1)


def numbers(length: int | None, rule: Rule) -> Rule:
    return lambda value: type(value) is list and length in (None, len(value)) and all(map(rule, value))


def duration(value: Any) -> bool:
    return type(value) is str and bool(re.fullmatch(r"\s*[0-9.]+\s*(ep|st|s|sec|min|h|d)\s*|\d+(:\d+){1,3}", value))


def gate(value: Any) -> bool:
    return value == "plateau" or (type(value) is str and bool(re.fullmatch(r"\s*[0-9.]+\s*(ep|st)\s*", value)))


def texts(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


null, switch, text = one_of(None), one_of(True, False), lambda value: type(value) is str
RULES: dict[str, Rule] = {
    "seed": whole(0),
    "test": switch,
    "tags": lambda value: type(value) is list,
    "monitor.metric": text,
    "monitor.mode": one_of("min", "max"),
    "penalty.l1": number(0),
    "penalty.l2": number(0),
    "parameter_groups.decay_norm_and_bias": switch,
    "freeze.patience": whole(1),
    "freeze.min_delta": number(0),
    "freeze.lr_decay": number(0, 1),
    "freeze.lr_scale": number(0),
    "freeze.thaw_every": gate,
    "freeze.thaw": gate,
    "freeze.warmup": either(null, duration),
    "weights.source": either(null, text, number()),
    "weights.prefix": either(null, text),
    "weights.rename": lambda value: type(value) is dict,
    "weights.by_position": switch,
    "weights.allow": texts,
    "head.name": either(null, text, texts, lambda value: type(value) is dict),
    "head.outputs": either(null, whole(1)),
    "head.init": one_of("default", "zero", "normal", "kaiming", "xavier"),
    "head.dropout": either(null, number(0, 1, below=True)),
    "data.preprocessing.mean": numbers(None, number()),
    "data.preprocessing.std": numbers(None, number(0, above=True)),
    "trainer.max_epochs": either(null, whole(0)),
    "trainer.min_epochs": whole(0),
    "trainer.max_steps": either(null, whole(0)),
    "trainer.max_time": either(null, duration),
    "trainer.strategy": one_of("auto"),
    "trainer.precision": one_of("fp32", "bf16", "fp16"),
    "trainer.accumulate_grad_batches": whole(1),
    "trainer.gradient_clip_val": either(null, number(0, float("inf"), above=True)),
    "trainer.gradient_clip_algorithm": one_of("norm", "param_norm", "value"),
    "trainer.val_check_interval": either(whole(1), number(0, 1, above=True), duration),
    "trainer.check_val_every_n_epoch": whole(1),
    "trainer.limit_train_batches": either(null, share_or_batches),
    "trainer.limit_val_batches": either(null, share_or_batches),
    "trainer.limit_test_batches": either(null, share_or_batches),
    "trainer.overfit_batches": share_or_batches,
    "trainer.fast_dev_run": either(switch, whole(0)),
    "trainer.num_sanity_val_steps": whole(0),
    "trainer.log_every_n_steps": whole(1),
    "trainer.inference_mode": switch,
    "trainer.on_nonfinite": one_of("stop", "skip", "rollback"),
    "trainer.nonfinite_limit": whole(1),
    "trainer.grace_period": number(0, float("inf"), above=True),
    "trainer.deterministic": switch,
    "trainer.detect_anomaly": switch,
    "trainer.threads": either(null, whole(1), one_of("auto")),
    "data.batch_size": whole(1),
    "data.val_batch_size": whole(1),
    "data.shuffle": switch,
    "data.drop_last": switch,
    "data.num_workers": whole(0),
    "data.prefetch_factor": either(null, whole(1)),
    "data.persistent_workers": switch,
    "data.pin_memory": either(null, switch),
    "data.timeout": number(0),
    "data.on_error": one_of("stop", "skip"),
    "data.max_errors": whole(0),
    "data.changed": one_of("refuse", "allow"),
    "data.datasets.fractions": numbers(3, number(0, 1)),
    "optimizer.lr": number(0),
    "optimizer.weight_decay": number(0),
    "optimizer.eps": number(0),
    "optimizer.momentum": number(0),
    "optimizer.betas": numbers(2, number(0, 1, below=True)),
    "model.in_features": whole(1),
    "model.out_features": whole(1),
    "model.hidden": numbers(None, whole(1)),
    "model.dropout": number(0, 1),
    "model.channels": either(numbers(None, whole(1)), whole(1)),
    "objective.loss.label_smoothing": number(0, 1),
    "schedule.interval": one_of("step", "epoch"),
    "schedule.warmup": either(null, share_or_batches, duration),
    "schedule.scheduler.eta_min": number(),
    "schedule.scheduler.pct_start": number(0, 1),
    "checkpoint.every": either(null, duration),
    "checkpoint.keep_last": whole(2),
    "checkpoint.keep_best": whole(1),
    "checkpoint.keep_every": either(null, duration),
    "checkpoint.background": switch,
    "callbacks.early_stopping.monitor": either(null, text),
    "callbacks.early_stopping.mode": either(null, one_of("min", "max")),
    "callbacks.early_stopping.patience": either(null, whole(0)),
    "callbacks.early_stopping.min_delta": number(0),
    "callbacks.early_stopping.check_finite": switch,
}
OF_A_RULE: dict[str, Rule] = {
    "match": either(text, texts),
    "trainable": switch,
    "from": either(null, gate),
    "until": either(null, gate),
    "lr": either(null, number(0)),
    "lr_scale": either(null, number(0)),
    "lr_decay": either(null, number(0, 1)),
    "thaw_every": either(null, gate),
    "weight_decay": either(null, number(0)),
    "norm": either(null, one_of("eval", "train")),
    "warmup": either(null, duration),
    "grad_clip": either(null, number(0)),
    "options": either(null, lambda value: type(value) is dict),
}
"""What each rule of the freeze plan has, of which ``match`` must be given."""
CLOSED = (
    "freeze",
    "weights",
    "head",
    "trainer",
    "monitor",
    "penalty",
    "parameter_groups",
    "schedule",
    "checkpoint",
    "callbacks.early_stopping",
)
"""Nodes that have the keys of the shipped recipe and no others."""
VALUES = (
    *(
        "-1",
        "0",
        "1",
        "2",
        "3",
        "7",
        "1.0",
        "0.5",
        "-0.5",
        "1.5",
        "1e-3",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "1_000",
        "0x10",
    ),
    *("true", "false", "True", "yes", "on", "null", "None", "~", "", "''", '""', "???", "ten", "auto", "cpu", "mean"),
    *("[]", "[1]", "[1,2]", "[0.9,0.99]", "[0.5,0.3,0.2]", "[a]", "[null]", "[[1]]", "{}", "{a:1}", "{a:{b:[1]}}"),
    *("1ep", "500st", "30min", "5 ep", "00:30:00", "val/loss", "val/accuracy", "${seed}", "${optimizer.lr}", "${nope}"),
    *(
        "${name}",
        "${oc.env:HOME}",
        "${oc.env:NOT_THERE}",
        "${",
        "${}",
        "$x",
        "{_target_:torch.nn.ReLU}",
        "é",
        "١",
        "日本",
    ),
    *(
        "{_target_:os.system}",
        "{_target_:torch.nn.Linear,in_features:ten,out_features:1}",
        "a b",
        "a,b",
        "1,2",
        "range(3)",
    ),
    *(
        "x" * 300,
        "a=b",
        "a:b",
        "'a",
        '"a',
        "[1",
        "{1",
        "a]",
        "\\",
        "\n",
        "\t",
        "\x00",
        "#",
        "%",
        "*",
        "adamw",
        "sgd",
        "mlp",
    ),
)
RULE_VALUES = (
    *("eval", "train", "evl", "plateau", "1ep", "20st", "1min", "3", "0", "-1", "0.1", "1.5", "nan", "true", "no_way"),
    *(
        "null",
        "'*'",
        "'@head'",
        "'@tail'",
        "'layers.*'",
        "'re:('",
        "'type:Linear'",
        "[]",
        "['*',3]",
        "{betas:[0.9,0.9]}",
    ),
    *("{beta:1}", "abc", "''", "???", "${seed}"),
)
SIGNS = ("+", "++", "~", "-", "--", "@", ".", "=", " ", "'")
STRANGE = (".", "..", "_", "é", " ", "[0]", "-", "@", "/", "$", "\u200b", "1")


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def assembled(*line: str) -> Composed:
    return assemble(read_line(line), cached=BASES)


POOL = {name: [(key, shown(value)) for key, value in leaves(assembled(f"recipe={name}").plain)] for name in RECIPES}
GROUPS = (
    "freeze",
    "model",
    "data",
    "objective",
    "optimizer",
    "schedule",
    "averaging",
    "metrics",
    "debug",
    "callbacks",
    "recipe",
)
OPTIONS = (
    "mlp",
    "cnn",
    "linear",
    "nested",
    "digits",
    "auto_mpg",
    "adam",
    "sgd",
    "cosine",
    "plateau",
    "ema",
    "none",
    "fast",
    "gradual",
    "feature_extraction",
)


def slipped(text: str, draw: random.Random) -> str:
    """Return a text with one letter left out, doubled, swapped, changed, or something strange put in."""
    if not text:
        return draw.choice(STRANGE)
    at = draw.randrange(len(text))
    return draw.choice(
        (
            text[:at] + text[at + 1 :],
            text[: at + 1] + text[at:],
            text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :] if at else text[1:],
            text[:at] + draw.choice("abcdefghijklmnopqrstuvwxyz_") + text[at + 1 :],
            text[:at] + draw.choice(STRANGE) + text[at:],
            text.upper(),
        )
    )


def plan(draw: random.Random) -> str:
    """Return a freeze plan of one or two rules, most often with something wrong about it."""

    def rule() -> str:
        names = ["match", *draw.sample(list(OF_A_RULE), draw.choice((0, 1, 1, 2)))]
        pairs = {name: draw.choice(RULE_VALUES) for name in names if name != "match" or draw.random() < 0.9}
        if draw.random() < 0.7:
            pairs["match"] = draw.choice(("'*'", "'@head'", "'*.bias'"))
        typed = [f"{slipped(name, draw) if draw.random() < 0.05 else name}: {value}" for name, value in pairs.items()]
        return f"{{{', '.join(typed)}}}"

    rules = f"freeze.rules=[{', '.join(rule() for _ in range(draw.choice((1, 1, 2))))}]"
    return slipped(rules, draw) if draw.random() < 0.05 else rules


def word(recipe: str, draw: random.Random) -> str:
    """Return one override of a recipe, most often with something wrong about it."""
    if draw.random() < 0.08:
        return plan(draw)
    key, value = draw.choice(POOL[recipe])
    kind = draw.random()
    if kind < 0.1:
        key, value = draw.choice(GROUPS), draw.choice(OPTIONS)
    elif kind < 0.15:
        key = draw.choice(draw.choice(list(POOL.values())))[0]
    if draw.random() < 0.5:
        value = draw.choice(VALUES)
    elif draw.random() < 0.2:
        value = slipped(value, draw)
    if draw.random() < 0.15:
        key = slipped(key, draw)
    elif draw.random() < 0.05:
        key = key.rpartition(".")[2] if draw.random() < 0.5 else f"{key}.{draw.choice(OPTIONS)}"
    sign = draw.choice(SIGNS) if draw.random() < 0.15 else ""
    return draw.choice((f"{sign}{key}={value}",) * 24 + (f"~{key}", key, f"{key}= {value}", f"{key}:{value}"))


def words(seed: int) -> list[str]:
    """Return a command line; the same for the same seed."""
    draw = random.Random(seed)
    recipe = draw.choice(RECIPES)
    line = [f"recipe={recipe}", *(word(recipe, draw) for _ in range(draw.choice((1, 1, 1, 2, 3))))]
    kind = draw.random()
    if kind < 0.05:
        draw.shuffle(line)
    elif kind < 0.1:
        line[0] = slipped(line[0], draw)
    elif kind < 0.13:
        del line[0]
    elif kind < 0.16:
        line.append(line[-1])
    return line


def read(line: list[str]) -> tuple[Composed, list[Finding]]:
    one = assembled(*line)
    return one, check(one)


def broken_rules(config: dict[str, Any]) -> list[str]:
    """Return what stands in a config that passed and must not."""
    found = dict(leaves(config))
    broken = [f"{path}={found[path]!r}" for path, rule in RULES.items() if path in found and not rule(found[path])]
    for number_, rule in enumerate(config["freeze"]["rules"] if config.get("freeze") else ()):
        broken += [f"freeze.rules[{number_}].{key}" for key in rule if key not in OF_A_RULE]
        wrong = [key for key, fits in OF_A_RULE.items() if not fits(rule.get(key)) and (key in rule or key == "match")]
        broken += [f"freeze.rules[{number_}].{key}={rule.get(key)!r}" for key in wrong]
    for path in CLOSED:
        node: Any = config
        for name in path.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        known = {key for pool in KNOWN for key in pool.get(path, ())}
        broken += [f"{path}.{key}" for key in node or {} if key not in known and key != "_target_"]
    return broken


def keys_by_node(name: str) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = {}
    for key, _ in POOL[name]:
        parts = key.split(".")
        for depth in range(1, len(parts)):
            keys.setdefault(".".join(parts[:depth]), set()).add(parts[depth])
    return keys


PRESETS = {"freeze": {"lr_decay", "lr_scale", "thaw_every", "thaw", "warmup"}}
KNOWN = [*map(keys_by_node, RECIPES), {"schedule": {"scheduler", "interval", "warmup"}}, PRESETS]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_slip_raises_and_none_passes_that_must_not(shard: int, tmp_path: Path) -> None:
    passed = tried = 0
    for seed in range(shard, CASES, SHARDS):
        line = words(seed)
        tried += not any(f"recipe={name}" in line for name in WANTING)
        try:
            one, findings = read(line)
            message = str(FindingsError(findings))
        except Exception as error:
            raise AssertionError(f"{line}: {type(error).__name__}: {error}") from error
        if errors_in(findings):
            assert len(message.splitlines()) <= LINES, line
            spoken = message
            for text in line:
                spoken = spoken.replace(text, "").replace(text.partition("=")[2], "") if len(text) > 3 else spoken
            assert not JARGON.search(spoken), f"{line}: {message}"
            assert all(finding.message for finding in findings), line
        else:
            passed += 1
            assert not broken_rules(one.plain), line
    assert 0.1 < passed / tried < 0.6  # else the slips are none, or all too coarse
    assert list(tmp_path.iterdir()) == []


def test_what_was_composed_before_does_not_show() -> None:
    """The files that the cases share are not changed by any of them."""
    for name in RECIPES:
        fresh = composed([f"recipe={name}"])
        again, findings = read([f"recipe={name}"])
        assert again.plain == fresh.plain
        assert findings == check(fresh)
        assert findings == [] or name in WANTING


def test_the_rules_here_hold_for_the_shipped_recipes_and_find_what_is_wrong() -> None:
    for name in RECIPES:
        assert broken_rules(assembled(f"recipe={name}").plain) == []
    config = assembled("recipe=mlp").plain
    config["trainer"] |= {"max_epochs": "ten", "max_epoch": 3}
    config["optimizer"]["betas"] = [0.9, 1.0]
    config["freeze"]["rules"] = [{"match": "*", "norm": "evl"}, {"mach": "*"}]
    config["head"]["init"] = "zeros"
    assert set(broken_rules(config)) == {
        *("trainer.max_epochs='ten'", "head.init='zeros'", "optimizer.betas=[0.9, 1.0]"),
        *("freeze.rules[0].norm='evl'", "freeze.rules[1].mach", "freeze.rules[1].match=None", "trainer.max_epoch"),
    }
    reached = {path for name in RECIPES for path, _ in POOL[name]}
    assert len(RULES.keys() & reached) > 0.9 * len(RULES)


def runnable() -> list[list[str]]:
    """Return lines that are cheap whatever they do: nothing large, no workers, a run of one batch."""
    found, seed = [], CASES
    while len(found) < RUNS:
        line, seed = words(seed), seed + 1
        large = re.search(
            r"1_000|workers|x{20}|hidden|channels|resume|run_dir|hydra|device|compile|threads|1e-?400", str(line)
        )
        if not large and all("\x00" not in text for text in line):
            found.append([*line, "trainer.fast_dev_run=true"])
    return found


@pytest.mark.parametrize("line", runnable(), ids=shlex.join)
def test_through_the_real_entry_it_runs_or_is_refused(
    line: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with shared():
        code = _run(list(line))
    told = capsys.readouterr().err
    assert code in (0, 2), told
    assert "Traceback" not in told
    if code == 2:
        assert 0 < len(told.splitlines()) <= LINES
    unpacks = "recipe=transfer" in line  # its photographs
    assert set(os.listdir(tmp_path)) <= ({"data"} if unpacks else set())
