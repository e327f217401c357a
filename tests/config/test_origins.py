"""Who set what: overrides, lines of files, and Python code."""

from pathlib import Path

import pytest

from trainkit.config.composing.compose import composed
from trainkit.config.composing.origins import Origin, Origins, lines_of, shown
from trainkit.config.composing.recipes import folder


def line_of(name: str, text: str) -> int:
    lines = (folder() / name).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))


@pytest.mark.parametrize(
    ("path", "file", "text"),
    [
        ("trainer.max_epochs", "recipe/mlp.yaml", "max_epochs:"),
        ("trainer.min_epochs", "trainer/default.yaml", "min_epochs:"),
        ("optimizer.lr", "recipe/mlp.yaml", "lr:"),
        ("optimizer.eps", "optimizer/adamw.yaml", "eps:"),
        ("optimizer.betas.1", "optimizer/adamw.yaml", "betas:"),
        ("optimizer.betas[1]", "optimizer/adamw.yaml", "betas:"),
        ("data.batch_size", "data/default.yaml", "batch_size:"),
        ("data.features", "data/digits.yaml", "features:"),
        ("data.outputs", "data/default.yaml", "outputs:"),
        ("objective.loss.label_smoothing", "recipe/mlp.yaml", "label_smoothing:"),
        ("objective.loss._target_", "objective/classification.yaml", "_target_: torch.nn.Cross"),
        ("model.in_features", "model/mlp.yaml", "in_features:"),
        ("callbacks.early_stopping.patience", "callbacks/default.yaml", "patience:"),
        ("seed", "config.yaml", "seed:"),
    ],
)
def test_a_value_of_a_file_names_the_line_that_set_it_last(path: str, file: str, text: str) -> None:
    origins = composed(["recipe=mlp"]).origins
    assert str(origins.of(path)) == f"configs/{file}:{line_of(file, text)}"
    assert not origins.set_by_user(path)


def test_an_override_wins_over_files_and_a_later_one_over_an_earlier() -> None:
    overrides = ["recipe=mlp", "seed=1", "+seed=2", "optimizer={lr:3}", "model.hidden=[1,2]", "+model.extra={a:{b:1}}"]
    origins = composed(overrides).origins
    assert str(origins.of("seed")) == "override +seed=2"
    assert str(origins.of("optimizer.lr")) == "override optimizer={lr:3}"
    assert str(origins.of("optimizer.eps")).startswith("configs/optimizer/adamw.yaml:")
    assert str(origins.of("model.hidden.1")) == "override model.hidden=[1,2]"
    assert origins.by_override("seed")
    assert not origins.by_override("optimizer.eps")
    assert origins.set_by_user("model.hidden[0]")


def test_an_option_that_is_chosen_is_still_trainkits_own() -> None:
    origins = composed(["recipe=mlp", "optimizer=sgd"]).origins
    assert str(origins.of("optimizer.momentum")).startswith("configs/optimizer/sgd.yaml:")
    assert not origins.set_by_user("optimizer.momentum")


def test_a_debug_mode_is_the_last_file() -> None:
    origins = composed(["recipe=mlp", "debug=limit"]).origins
    assert str(origins.of("trainer.max_epochs")).startswith("configs/debug/limit.yaml:")


def test_a_file_of_ones_own_is_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "model").mkdir(parents=True)
    (tmp_path / "my" / "model" / "net.yaml").write_text(
        "# a net\n_target_: mine.Net\nlayers:\n  - {width: 3}\n  - [4]\n"
    )
    origins = composed(["recipe=mlp", "model=net"], "my").origins
    assert str(origins.of("model.layers.0.width")) == "my/model/net.yaml:4"
    assert str(origins.of("model.layers[1][0]")) == "my/model/net.yaml:3"
    assert origins.set_by_user("model._target_")
    found = origins.of("model._target_")
    assert found is not None
    assert (found.name, found.line, found.shipped) == ("my/model/net.yaml", 2, False)
    monkeypatch.chdir(tmp_path / "my" / "model")
    assert shown(tmp_path / "other.yaml", 3) == f"{tmp_path}/other.yaml:3"


def test_what_nobody_set_has_no_origin() -> None:
    origins = Origins()
    assert origins.of("a.b") is None
    assert not origins.set_by_user("a.b")
    assert not origins.by_override("a.b")


def test_python_code_set_what_has_no_line_to_name() -> None:
    origins = Origins({"a": Origin(file=folder() / "config.yaml", line=3, shipped=True)})
    origins.set("a.b", {"c": [1]}, None)
    assert origins.of("a.b.c[0]") is None
    assert origins.set_by_user("a.b.c.0")
    assert not origins.set_by_user("a.d")
    origins.set("a.b.c", 3, Origin(override="a.b.c=3"))
    origins.set("a", 3, None)
    assert origins.of("a") is None
    assert str(origins.of("a.b.c")) == "override a.b.c=3"


def test_a_file_that_is_no_yaml_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: {\n")
    assert list(lines_of(tmp_path / "x.yaml")) == []
    assert list(lines_of(tmp_path / "gone.yaml")) == []
    (tmp_path / "x.yaml").write_text("defaults: [a]\nb:\n  defaults: 1\n")
    assert list(lines_of(tmp_path / "x.yaml")) == [("b", 2), ("b.defaults", 3)]


def test_an_origin_reads_as_a_person_would_say_it() -> None:
    assert str(Origin(override="a=1")) == "override a=1"
    assert Origin(override="a=1").name is None
    assert str(Origin()) == ""


def test_what_was_set_for_a_former_target_is_replaced_but_for_what_is_set_anew(tmp_path: Path) -> None:
    origins = Origins()
    for name, text in {
        "a": "_target_: mine.A\nlr: 1\ninner: {_target_: mine.I, x: 1, y: 2}\n",
        "b": "_target_: mine.B\nlr: 2\ninner: {x: 3}\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        origins.read(tmp_path / f"{name}.yaml", "node")
    assert origins.replaced == {"node.inner._target_", "node.inner.y"}
