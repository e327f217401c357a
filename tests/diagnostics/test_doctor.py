"""The doctor's note, from Python and from the command line: what it says, where it stands, and when it keeps quiet."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fits import Kept, mlp, trainer
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import trainkit
from trainkit.config.composing.compose import plain
from trainkit.config.schema.keys import key_at, schema_findings
from trainkit.diagnostics import Doctor, Learning, Updates
from trainkit.errors import ConfigError


def noted(doctor: Doctor, **options: Any) -> tuple[str, Kept]:
    out, kept = io.StringIO(), Kept()
    doctor._console = Console(file=out, width=500)
    options = {"lr": 1e-9, "loggers": [kept]} | options
    trainer(mlp(8, 16, 4), [Updates(10), Learning(4), doctor], **options).fit()
    return out.getvalue(), kept


def test_it_is_printed_and_goes_to_the_loggers() -> None:
    text, kept = noted(doctor := Doctor())
    assert text.splitlines() == ["doctor's note:", f"1. {doctor.note[0]}"]
    assert kept.texts == [("doctor", f"1. {doctor.note[0]}")]


def test_a_healthy_run_has_nothing_to_be_said() -> None:
    text, kept = noted(doctor := Doctor(), lr=0.1, max_epochs=10)
    assert text.splitlines() == ["doctor's note: nothing to say"]
    assert kept.texts == [("doctor", "Nothing to say")]
    assert doctor.note == []


def test_it_may_come_after_epochs_too_where_it_says_something_else_than_before() -> None:
    text, _ = noted(Doctor(every_n_epochs=2), lr=0.1, max_epochs=5)
    assert text.splitlines() == ["doctor's note: nothing to say"]
    text, _ = noted(Doctor(every_n_epochs=1), max_epochs=6)
    titles = [line for line in text.splitlines() if line.startswith("doctor's note")]
    assert titles == ["doctor's note after epoch 2:", "doctor's note:"]


def test_a_run_that_fails_without_a_symptom_has_no_note() -> None:
    out = io.StringIO()
    fitted = trainer(mlp(8, 4), [Learning(), Doctor(console=Console(file=out))], data=None)
    fitted.objective = lambda model, batch: 1 / 0
    with pytest.raises(ZeroDivisionError):
        fitted.fit()
    assert out.getvalue() == ""


@pytest.mark.parametrize("options", [{"every_n_epochs": 0}, {"sentences": 0}, {"sentences": 1.5}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"diagnostics\.doctor\."):
        Doctor(**options)


@pytest.mark.parametrize("recipe", ["mlp", "cnn", "linear"])
def test_the_recipes_are_healthy(recipe: str, tmp_path: Path) -> None:
    trainkit.run(recipe, "diagnostics=default", f"run_dir={tmp_path}", "test=false", "~callbacks.predictions")
    assert json.loads((tmp_path / "summary.json").read_text())["doctor"] == []
    names = {name for line in (tmp_path / "metrics.jsonl").read_text().splitlines() for name in json.loads(line)}
    assert {"activations/std_median", "gradients/norm_max", "updates/ratio_median"} <= names


def test_a_sick_recipe_has_its_note_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["diagnostics=default", "optimizer.lr=1e-8", f"run_dir={tmp_path}", "test=false"]
    trainkit.run("mlp", *overrides, "~callbacks.predictions", "diagnostics.gradients.layers=[layers.1]")
    (told,) = json.loads((tmp_path / "summary.json").read_text())["doctor"]
    assert told.startswith("The steps are too small for the weights: ")
    assert f"1. {told}" in capsys.readouterr().out
    assert f"1. {told}" in (tmp_path / "log.txt").read_text()
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    assert events.Tensors("doctor")[0].tensor_proto.string_val[0].decode() == f"1. {told}"
    assert {"updates/ratio_max", "gradients/layers.1/norm"} <= set(events.Tags()["scalars"])


SICK = {
    "rate too large": (["optimizer.lr=0.3"], "The steps are too large for the weights"),
    "rate too small": (["optimizer.lr=1e-5"], "The steps are too small for the weights"),
    "decay too large": (
        ["optimizer=sgd", "optimizer.lr=0.05", "optimizer.weight_decay=0.5", "model.activation=Tanh"],
        "The weights shrink to nothing",
    ),
    "learned by heart": (
        [
            "objective.loss.label_smoothing=0",
            "model.dropout=0",
            "data.datasets.fractions=[0.03,0.77,0.2]",
            "data.batch_size=16",
        ],
        "It learns by heart",
    ),
    "clipped away": (
        ["optimizer=sgd", "optimizer.lr=1e-3", "optimizer.weight_decay=0", "trainer.gradient_clip_val=1e-3"],
        "The steps are too small for the weights",
    ),
    "saturated": (
        ["model.activation=Tanh", "optimizer=sgd", "optimizer.lr=3", "optimizer.weight_decay=0"],
        "The steps are too large for the weights",
    ),
    "dead": (["model.hidden=[32,32]", "optimizer=sgd", "optimizer.lr=1", "optimizer.weight_decay=0"], "Units are dead"),
}
EVERY = [f"diagnostics.{name}.every=10" for name in ("activations", "gradients", "updates", "clipping", "learning")]


@pytest.mark.parametrize(("sickness", "first"), SICK.values(), ids=SICK)
def test_the_cause_comes_first_and_what_it_tries_can_be_given_to_the_run(
    sickness: list[str], first: str, tmp_path: Path
) -> None:
    """Each override of a note is one that the run's own command line takes."""
    line = [*sickness, "diagnostics=default", *EVERY, "test=false", "~callbacks.predictions", "trainer.max_epochs=20"]
    trainkit.run("mlp", *line, "trainer.log_every_n_steps=10", f"run_dir={tmp_path}")
    note = json.loads((tmp_path / "summary.json").read_text())["doctor"]
    assert note[0].startswith(f"{first}: "), note
    assert len(note) <= 5
    for sentence in note:
        tried = re.findall(r"[a-z_0-9.]+=[^\s,;)]*[^\s,;).]", sentence.rpartition("; try ")[2])
        assert tried, sentence
        for override in tried:
            trainkit.compose("mlp", *line, override)


def test_without_a_doctor_the_summary_has_no_note(tmp_path: Path) -> None:
    trainkit.run("mlp", "trainer.max_epochs=1", f"run_dir={tmp_path}", "test=false", "~callbacks.predictions")
    assert "doctor" not in json.loads((tmp_path / "summary.json").read_text())


def test_the_config_group_is_one_of_named_entries() -> None:
    config = plain(
        trainkit.compose("mlp", "diagnostics=full", "diagnostics.activations.every=7", "~diagnostics.clipping")
    )
    assert config["diagnostics"]["activations"]["every"] == 7
    assert "clipping" not in config["diagnostics"]
    assert schema_findings(config) == []
    key = key_at(config, "diagnostics.activations.every")
    assert key is not None
    assert key.allowed == "int >= 1"
    wrong = {
        **config,
        "diagnostics": {**config["diagnostics"], "updates": {**config["diagnostics"]["updates"], "every": 0}},
    }
    assert "diagnostics.updates.every=0: must be at least 1" in str(schema_findings(wrong)[0])


def test_the_help_knows_the_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        trainkit.main(["help", "diagnostics"])
    text = capsys.readouterr().out
    assert "full" in text
    assert "default" in text
