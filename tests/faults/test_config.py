"""Wrong configs and a machine that lacks something: exit 2, one short message, nothing started."""

import random
import string
from collections.abc import Iterator
from typing import Any

import pytest

import trainkit
from trainkit import ConfigError
from trainkit.config.build import build_parts, build_trainer
from trainkit.config.checking.check import require_sound
from trainkit.config.composing.compose import assemble, plain
from trainkit.config.composing.line import read_line
from trainkit.config.composing.recipes import recipes

RECIPES = [recipe.name for recipe in recipes()]
WANTING = {"lora": ("weights.source=null", "weights.allow=[]", "freeze=none")}
"""What makes a recipe sound that begins with weights which nobody trained here."""


def leaves(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        elif not str(key).startswith("_"):
            yield f"{prefix}{key}"


BASES: dict[Any, Any] = {}
"""Files that were composed already: a slip costs a third with them."""


def soundly(recipe: str, override: str) -> Any:
    """Compose and check as ``trainkit.compose`` does."""
    return require_sound(assemble(read_line([f"recipe={recipe}", *WANTING.get(recipe, ()), override]), cached=BASES))


def slip(key: str, draw: random.Random) -> str:
    """Return a key with one letter of its last part left out, doubled, changed, or swapped with the next one."""
    parent, dot, leaf = key.rpartition(".")
    at = draw.randrange(len(leaf))
    other = draw.choice(string.ascii_lowercase)
    kinds = (leaf[:at] + leaf[at + 1 :], leaf[:at] + leaf[at] * 2 + leaf[at + 1 :], leaf[:at] + other + leaf[at + 1 :])
    swapped = leaf[: at - 1] + leaf[at] + leaf[at - 1] + leaf[at + 1 :] if at else leaf[1:]
    return f"{parent}{dot}{draw.choice((*kinds, swapped))}"


def slips(recipe: str, number: int) -> list[tuple[str, str]]:
    """Return that many misspelt keys of a recipe with what was meant."""
    draw = random.Random(recipe)
    keys = [
        key
        for key in leaves(plain(trainkit.compose(recipe, *WANTING.get(recipe, ()))))
        if len(key.rpartition(".")[2]) > 3
    ]
    keys = [key for key in keys if not key.startswith("data.datasets.augment.")]  # only another name of data.augment
    found = [(slip(key, draw), key) for key in draw.sample(keys, len(keys)) for _ in range(2)]
    return [(wrong, meant) for wrong, meant in found if wrong not in keys][:number]


@pytest.mark.parametrize("recipe", RECIPES)
def test_41_a_misspelt_key_is_refused_with_the_right_suggestion(recipe: str) -> None:
    suggested = []
    for wrong, meant in slips(recipe, 24):
        with pytest.raises(ConfigError) as caught:
            soundly(recipe, f"{wrong}=1")
        assert wrong.split("=")[0] in str(caught.value)
        assert len(str(caught.value).splitlines()) < 10
        suggested.append(f"Did you mean {meant!r}?" in str(caught.value))
    assert sum(suggested) >= 0.95 * len(suggested)


@pytest.mark.parametrize("recipe", RECIPES)
def test_41_a_plus_does_not_hide_a_misspelt_key(recipe: str) -> None:
    """Refused when it is composed, or by what is built of it; never trained with the default instead."""
    for wrong, _ in slips(recipe, 24):
        with pytest.raises(ConfigError):
            build_trainer(build_parts(soundly(recipe, f"+{wrong}=1")))


@pytest.mark.parametrize(
    "override",
    ["+foo=1", "+monitor.metrik=a", "+penalty.l3=1", "+schedule.intervall=step", "+sed=4", "+data.batch_sise=3"],
)
def test_41_keys_that_nobody_reads_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="there is no such key"):
        trainkit.compose("mlp", override)


def test_41_what_is_added_on_purpose_is_not_in_the_way() -> None:
    more = ("+optimizer.amsgrad=true", "+data.mean=0.5", "+callbacks.mine={_target_:trainkit.callbacks.Progress}")
    second = "+callbacks.early_stopping_2={_target_:trainkit.callbacks.EarlyStopping,monitor:val/accuracy}"
    config = trainkit.compose("mlp", *more, second, "+width=32", "model.hidden=[${width}]")
    assert (config.optimizer.amsgrad, config.model.hidden) == (True, [32])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("trainer.max_epochs=ten", "trainer.max_epochs=ten: must be a whole number, at least 0, or null"),
        ("trainer.precision=fp8", "trainer.precision=fp8: must be one of fp32, bf16, fp16"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: must be more than 0"),
        ("trainer.on_nonfinite=ignore", "trainer.on_nonfinite=ignore: must be one of stop, skip, rollback"),
        ("data.batch_size=0", "data.batch_size=0: must be at least 1"),
        ("data.on_error=ignore", "on_error"),
        ("checkpoint.keep_last=1", "keep_last=1: must be at least 2"),
        ("checkpoint.every=often", "checkpoint.every=often: must be a duration such as 1ep"),
        ("data.datasets=???", "data.datasets"),
        ("model.hidden=${nowhere}", "nowhere"),
        ("optimizer.lr=[1", "optimizer.lr=[1"),
    ],
)
def test_42_a_wrong_value_is_refused_with_what_is_allowed(trainkit, override: str, told: str) -> None:
    done = trainkit("recipe=mlp", override, "run_dir=run")
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) < 10
    assert "Traceback" not in done.err
    assert not (done.folder / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["data=mnist", "data.download=false", "data.folder=nowhere"], "nowhere"),
        (["resume=gone/last.ckpt"], "resume=gone/last.ckpt: no checkpoint there"),
        (["trainer.device=cuda:99"], "trainer.device=cuda:99: not on this machine, which has cpu"),
        (["model._target_=no_such_package.Net"], "no_such_package"),
    ],
)
def test_43_what_the_machine_lacks_is_named(trainkit, arguments: list[str], told: str) -> None:
    done = trainkit("recipe=mlp", *arguments)
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) < 10
