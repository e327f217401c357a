"""The check as a whole: its steps, their order, what is told once, and when torch is imported for it."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import trainkit
from trainkit.config.checking.check import check, require_sound, size_findings, sound
from trainkit.config.composing.compose import composed
from trainkit.config.composing.recipes import recipes
from trainkit.errors import ConfigError
from trainkit.findings import Finding, FindingsError

RECIPES = [recipe.name for recipe in recipes()]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checked(*overrides: str) -> list[Finding]:
    return check(composed(["recipe=mlp", *overrides]))


def places(*overrides: str) -> list[str]:
    return [finding.place for finding in checked(*overrides) if finding.severity == "error"]


LACKING = {"lora": {"weights.source"}, "transfer": {"weights.source", "model"}}
"""Where recipes need what this folder, or this machine, may not have: another run, packages of weights and networks."""


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_shipped_recipe_is_sound(recipe: str) -> None:
    found = check(composed([f"recipe={recipe}"]))
    assert [finding for finding in found if finding.place not in LACKING.get(recipe, ())] == []


@pytest.mark.parametrize(
    "option", ["model=cnn", "model=nested", "model=sequential", "schedule=plateau", "optimizer=sgd"]
)
@pytest.mark.parametrize("debug", ["fast", "limit", "overfit", "anomaly", "profile"])
def test_so_are_its_variants(option: str, debug: str) -> None:
    assert checked(option, f"debug={debug}") == []


def test_all_steps_speak_at_once() -> None:
    """The line, the schema, a target and its arguments, and what only shows across fields."""
    wrong = ["trainer.max_epoch=3", "data.batch_size=0", "model._target_=torch.nn.Linaer", "monitor.metric=val/acuracy"]
    found = checked(*wrong)
    assert [f.rule for f in found] == ["unknown-key", "out-of-range", "cannot-import", "unknown-metric"]
    assert [f.place for f in found] == [w.partition("=")[0] for w in wrong]
    assert all(w in str(f) for f, w in zip(found, wrong, strict=True))


def test_errors_come_first_and_each_place_has_one() -> None:
    found = checked("trainer.precision=fp16", "trainer.device=cpu", "optimizer.lr=fast", "seed=x")
    assert [f.severity for f in found] == ["error", "error"]
    found = checked("trainer.precision=fp16", "trainer.device=cpu", "trainer.min_epochs=90")
    assert [(f.severity, f.place) for f in found] == [("error", "trainer.min_epochs"), ("warning", "trainer.precision")]
    assert places("optimizer.lr=fast", "+optimizer.foo=1") == ["optimizer.lr", "optimizer.foo"]


def test_what_the_data_lack_is_the_reason_of_the_rest() -> None:
    (finding,) = check(composed(["recipe=cnn", "data=auto_mpg", "objective=regression", "data.augment=null"]))[:1]
    assert (finding.rule, finding.place) == ("unfit-data", "model.in_channels")


def test_a_group_that_no_training_goes_without() -> None:
    assert "model" in places("~model")
    assert "nothing chosen" in str(next(f for f in checked("~model") if f.place == "model"))
    assert not any("nothing chosen" in str(f) for f in check(composed(["recipe=mpl"])))  # it says what it would be


def test_an_unsound_config_raises_all_its_errors_and_a_sound_one_logs_its_warnings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(FindingsError) as caught:
        require_sound(composed(["recipe=mlp", "trainer.max_epochs=ten", "seed=-1"]))
    assert "2 mistakes in the config" in str(caught.value)
    assert {f.place for f in caught.value.findings} == {"trainer.max_epochs", "seed"}
    assert isinstance(caught.value, ConfigError)
    odd = composed(["recipe=mlp", "trainer.gradient_clip_algorithm=value"])
    with caplog.at_level(logging.WARNING, "trainkit"):
        config = require_sound(odd)
    assert config.trainer.gradient_clip_algorithm == "value"
    assert ["has no effect" in record.getMessage() for record in caplog.records] == [True]
    assert [f.severity for f in sound(odd)] == ["warning"]


def test_python_gets_the_same_findings() -> None:
    assert trainkit.check("mlp") == []
    (finding,) = trainkit.check("mlp", "trainer.max_epochs=ten")
    assert (finding.place, finding.value) == ("trainer.max_epochs", "ten")
    assert trainkit.check({"recipe": "mlp", "trainer": {"max_epochs": 3}}) == []
    assert [f.place for f in trainkit.check({"recipe": "mlp", "trainer": {"max_epochs": "ten"}})] == [
        "trainer.max_epochs"
    ]
    with pytest.raises(ConfigError, match=r"trainer.max_epochs=ten"):
        trainkit.compose("mlp", "trainer.max_epochs=ten")


def test_sizes_are_judged_once_the_data_are_there() -> None:
    one = composed(["recipe=mlp", "data.batch_size=500", "data.drop_last=true", "checkpoint.every=100st"])
    assert [(f.place, f.severity) for f in size_findings(one, range(1078))] == [("checkpoint.every", "warning")]  # type: ignore[arg-type]
    assert [f.place for f in size_findings(one, range(400))] == ["data.batch_size"]  # type: ignore[arg-type]
    assert size_findings(one, iter([1])) == []  # type: ignore[arg-type]
    loud = composed(["recipe=mlp", "monitor.metric=val/accuracy"])
    assert size_findings(loud, range(1078)) == []  # type: ignore[arg-type]  # told before


LOADS_TORCH = """
import sys
from trainkit.config.checking.check import check
from trainkit.config.composing.compose import composed
found = check(composed(sys.argv[1:]))
print(len(found), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("overrides", "torch"),
    [
        (["recipe=mlp", "trainer.max_epochs=ten"], False),
        (["recipe=mlp", "optimizer.lr=fast", "monitor.metric=val/acuracy", "model.hidden=3"], False),
        (["recipe=mpl"], False),
        (["recipe=mlp", "trainer.max_epochs=ten", "model._target_=mine.Net"], True),
        (["recipe=mlp"], True),
    ],
)
def test_torch_is_imported_only_where_the_rest_found_nothing_or_knows_too_little(
    overrides: list[str], torch: bool, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS_TORCH, *overrides], capture_output=True, text=True, cwd=tmp_path, timeout=100
    )
    assert done.stdout.split()[-1:] == [str(torch)], done.stderr


def test_a_secret_is_not_told() -> None:
    (finding,) = checked("callbacks.progress.api_token=hunter2hunter2")
    assert "hunter2" not in str(finding) + json.dumps(finding.as_dict())
    assert "callbacks.progress.api_token=***" in str(finding)


def test_findings_become_json() -> None:
    (finding,) = checked("trainer.max_epochs=ten")
    assert json.loads(json.dumps(finding.as_dict()))["place"] == "trainer.max_epochs"


MINE = """# @package _global_
# mine
defaults:
  - override /model: mlp
  - override /data: digits
  - override /objective: classification
  - override /optimizer: adamw
name: mine
optimizer:
  lrr: 1e-2
  weight_decay: heavy
trainer:
  max_epoch: ten
"""


def test_plain_slips_of_a_file_are_all_told_without_torch(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(MINE)
    code = (
        "import sys\nfrom trainkit.config.checking.check import check\n"
        "from trainkit.config.composing.compose import composed\n"
        f"found = check(composed(['recipe=mine'], config_dir={str(tmp_path)!r}))\n"
        "print(sorted(f.place for f in found), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "['optimizer.lrr', 'optimizer.weight_decay', 'trainer.max_epoch'] False"


def test_the_items_of_a_list_are_no_arguments_of_their_own() -> None:
    found = check(composed(["recipe=mlp", "model.hidden=[3,4]", "seed=x"]))
    assert [finding.place for finding in found] == ["seed"]
