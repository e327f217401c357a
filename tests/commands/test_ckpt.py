"""``trainkit ckpt``: inspect, verify, diff, average, export."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from trainkit.checkpoint.weights import evaluated
from trainkit.commands.ckpt.average import averaged
from trainkit.commands.ckpt.diff import compared
from trainkit.commands.ckpt.line import leaves, printable, sized, table
from trainkit.errors import ConfigError


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))


def checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}.ckpt"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "ckpt which command?"),
        (["inspct"], "ckpt inspct: no such command. Did you mean 'inspect'?"),
        (["inspect"], "ckpt inspect needs 1 or more paths, not 0"),
        (["diff", "a"], "ckpt diff needs 2 paths, not 1"),
        (["diff", "a", "b", "c"], "ckpt diff needs 2 paths, not 3"),
        (["inspect", "a", "--jsn"], "ckpt inspect takes no --jsn. Did you mean '--json'?"),
        (["average", "a", "b"], "ckpt average needs --out FILE"),
        (["average", "a", "--out", "x.ckpt"], "ckpt average needs 2 or more paths, not 1"),
        (["export", "a", "--out"], "ckpt export needs --out FILE"),
        (["export", "a", "--out", "nowhere/x.pt"], "--out nowhere/x.pt: there is no folder nowhere"),
        (["export", "RUN", "--out", "x.bin"], "--out x.bin: the suffix says what to write"),
        (["average", "RUN", "RUN", "--out", "x.pt"], "--out x.pt: the average is a checkpoint"),
        (["inspect", "nowhere"], "resume=nowhere: no checkpoint there"),
        (["verify", "nowhere"], "resume=nowhere: no checkpoint there"),
        (["verify", "."], ".: neither a run folder nor one of checkpoints"),
    ],
)
def test_a_wrong_line_is_told_with_its_usage(line, finished: Path, arguments: list[str], told: str) -> None:
    answer = line("ckpt", *(argument.replace("RUN", str(finished)) for argument in arguments))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"trainkit: {told}")
    assert len(answer.err.splitlines()) <= 7


# ---------------------------------------------------------------------- inspect


def test_inspect_says_what_is_in_it_and_where_it_comes_from(line, run: Path) -> None:
    answer = line("ckpt", "inspect", "run")
    assert (answer.code, answer.err) == (0, "")
    for text in (
        "run/checkpoints/last.ckpt -> step-00000034.ckpt: ",
        "whole by its manifest",
        "mlp, trainkit.recipes.models.MLP, torch.optim.AdamW, seed 0",
        "step 34, after epoch 2",
        "val/loss",
        "python -m trainkit recipe=mlp",
        "17,226",
        "68.9 kB",
    ):
        assert text in answer.out
    assert "trainer.max_epochs: 2" in line("ckpt", "inspect", "run", "--config").out
    assert "model.layers.1.weight" in line("ckpt", "inspect", "run", "--tensors").out


def test_inspect_speaks_json(line, run: Path) -> None:
    facts = json.loads(line("ckpt", "inspect", str(checkpoint(run, 17)), "--json").out)
    assert (facts["counters"]["step"], facts["manifest"]["step"], facts["seed"]) == (17, 17, 0)
    assert facts["parts"]["model"] == {"tensors": 6, "elements": 17226, "bytes": 68904}
    assert facts["config"]["trainer"]["max_epochs"] == 2
    two = json.loads(line("ckpt", "inspect", "run", str(checkpoint(run, 17)), "--json").out)
    assert [facts["counters"]["step"] for facts in two] == [34, 17]


def test_inspect_takes_a_file_of_weights_alone(line, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2, 3), "b": torch.tensor(1.0)}, tmp_path / "w.pt")
    out = line("ckpt", "inspect", "w.pt", "--tensors").out
    assert "weights alone, not a checkpoint of trainkit" in out
    assert "2x3" in out
    assert "scalar" in out


# ---------------------------------------------------------------------- verify


def test_a_finished_run_is_whole(line, run: Path) -> None:
    answer = line("ckpt", "verify", "run")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == "8 ok, 0 bad"
    for path in ("run/checkpoints", "run/checkpoints/last.ckpt", str(checkpoint(run, 17))):
        assert line("ckpt", "verify", path).code == 0
    assert json.loads(line("ckpt", "verify", "run", "--json").out)["whole"] is True


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a flipped bit": (lambda run: flip(checkpoint(run, 17)), "step-00000017.ckpt", "checksum"),
    "a cut": (lambda run: checkpoint(run, 17).write_bytes(b"PK"), "step-00000017.ckpt", "bytes instead of"),
    "a lost file": (lambda run: checkpoint(run, 17).unlink(), "step-00000017.ckpt", "is missing"),
    "a bad manifest": (lambda run: flip(checkpoint(run, 17).with_suffix(".json")), "step-00000017.ckpt", "manifest"),
    "a folder": (lambda run: (checkpoint(run, 17).unlink(), checkpoint(run, 17).mkdir()), "step-00000017.ckpt", ""),
    "a link to nothing": (
        lambda run: (
            (run / "checkpoints/best.ckpt").unlink(),
            (run / "checkpoints/best.ckpt").symlink_to("step-9.ckpt"),
        ),
        "best.ckpt",
        "names step-9.ckpt, which is not there",
    ),
    "a bad config": (lambda run: (run / "config.yaml").write_text("a: &x 1"), "config.yaml", "alias or anchor"),
    "bad overrides": (lambda run: (run / "overrides.yaml").write_text("a: 1"), "overrides.yaml", "no list"),
    "a bad record": (lambda run: (run / "metrics.jsonl").write_text("{}\n{"), "metrics.jsonl", "line 2 is no JSON"),
    "a bad summary": (lambda run: (run / "summary.json").write_text("["), "summary.json", "no JSON"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_bad_is_listed_and_the_exit_code_is_1(damage: str, line, run: Path) -> None:
    cause, file, reason = DAMAGE[damage]
    cause(run)
    answer = line("ckpt", "verify", "run")
    assert answer.code == 1
    bad = [row for row in answer.out.splitlines() if row.startswith("bad")]
    assert len(bad) == 1
    assert file in bad[0]
    assert reason in bad[0]
    found = json.loads(line("ckpt", "verify", "run", "--json").out)
    assert [entry["file"].rpartition("/")[2] for entry in found["files"] if entry["verdict"] == "bad"] == [file]


def test_what_a_crash_left_is_listed_and_is_not_bad(line, run: Path) -> None:
    (run / "checkpoints" / ".tmp-1-step-00000040.ckpt").write_text("half")
    answer = line("ckpt", "verify", "run")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "8 ok, 0 bad, 1 left by a crash")


# ---------------------------------------------------------------------- diff


def test_a_checkpoint_equals_itself(line, run: Path) -> None:
    answer = line("ckpt", "diff", "run", "run/checkpoints/last.ckpt")
    assert answer.code == 0
    assert answer.out.startswith("equal: 24 tensors bit for bit")


def test_what_differs_is_listed_by_name_and_the_exit_code_is_1(line, run: Path) -> None:
    answer = line("ckpt", "diff", str(checkpoint(run, 17)), str(checkpoint(run, 34)), "--all")
    assert answer.code == 1
    for text in ("counters.step", "17", "34", "model.layers.1.weight", "128x64", "largest difference"):
        assert text in answer.out
    assert "counters.seconds" not in answer.out
    short = line("ckpt", "diff", str(checkpoint(run, 17)), str(checkpoint(run, 34)))
    assert "more; --all shows them" in short.out
    assert len(short.out.splitlines()) < len(answer.out.splitlines())
    found = json.loads(line("ckpt", "diff", str(checkpoint(run, 17)), str(checkpoint(run, 34)), "--json").out)
    assert found["equal"] is False
    weight = next(entry for entry in found["differences"] if entry["name"] == "model.layers.1.weight")
    one, other = (torch.load(checkpoint(run, step))["model"]["layers.1.weight"] for step in (17, 34))
    assert weight["largest"] == pytest.approx(float((one - other).abs().max()))


def test_changed_keys_of_the_config_are_listed(line, run: Path) -> None:
    assert line("recipe=mlp", "run_dir=other", "trainer.max_epochs=2", "optimizer.lr=3e-3").code == 0
    out = line("ckpt", "diff", "run", "other", "--all").out
    row = next(row for row in out.splitlines() if row.startswith("config.optimizer.lr"))
    assert row.split() == ["config.optimizer.lr", "0.01", "0.003"]
    assert "config.run_dir" not in out


def test_tensors_are_equal_by_their_bits_alone() -> None:
    nan, zero = torch.tensor([float("nan"), 1.0]), torch.zeros(2)
    assert compared({"a": nan}, {"a": nan.clone()})[0] == []
    assert [d.name for d in compared({"a": zero}, {"a": -zero})[0]] == ["a"]
    assert [d.one for d in compared({"a": zero}, {"a": zero.double()})[0]] == ["2 float32"]
    assert [d.other for d in compared({"a": zero}, {"a": torch.zeros(3)})[0]] == ["3"]
    assert [(d.one, d.other) for d in compared({"a": zero}, {})[0]] == [("2 float32", "-")]
    assert [d.name for d in compared({"a": 1}, {"a": True})[0]] == ["a"]
    assert compared({"a": torch.tensor(True)}, {"a": torch.tensor(False)})[0][0].largest == 1.0


# ---------------------------------------------------------------------- average and export


def test_the_average_is_a_checkpoint_that_eval_takes(line, run: Path, tmp_path: Path) -> None:
    one, other = checkpoint(run, 17), checkpoint(run, 34)
    answer = line("ckpt", "average", str(one), str(other), "--out", "soup.ckpt")
    assert (answer.code, answer.err) == (0, "")
    sets = [torch.load(path)["model"] for path in (one, other)]
    soup = torch.load(tmp_path / "soup.ckpt")
    for name, value in soup["model"].items():
        assert torch.equal(value, ((sets[0][name].double() + sets[1][name].double()) / 2).float())
    assert line("eval", "resume=soup.ckpt").code == 0
    assert "step-00000017.ckpt" in line("ckpt", "inspect", "soup.ckpt").out
    again = line("ckpt", "average", str(one), str(other), "--out", "soup.ckpt")
    assert again.err.startswith("trainkit: --out soup.ckpt: is there already; --force writes over it")
    assert line("ckpt", "average", str(one), str(one), "--out", "soup.ckpt", "--force").code == 0
    assert torch.equal(torch.load(tmp_path / "soup.ckpt")["model"]["layers.1.weight"], sets[0]["layers.1.weight"])


def test_an_average_takes_whole_numbers_from_the_last_and_keeps_ties() -> None:
    shared = [torch.full((2,), value) for value in (1.0, 3.0)]
    sets = {f"{n}": {"n": torch.tensor(n), "a": w, "b": w, "h": w.half()} for n, w in enumerate(shared)}
    found = averaged(sets)
    assert (found["n"], found["a"].tolist(), found["h"].dtype) == (torch.tensor(1), [2.0, 2.0], torch.float16)
    assert found["a"] is found["b"]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"a": torch.zeros(3)}, "2 float32  3 float32"),
        ({"a": torch.zeros(2).double()}, "2 float32  2 float64"),
        ({"b": torch.zeros(2)}, "a     2 float32          -"),
        ({"a": torch.tensor([1.0, float("nan")])}, "y: a is not finite"),
    ],
)
def test_what_does_not_fit_is_not_averaged(other: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=r"^y: ") as error:
        averaged({"x": {"a": torch.zeros(2)}, "y": other})
    assert told in str(error.value)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_an_export_holds_the_weights_alone(line, run: Path, tmp_path: Path, suffix: str) -> None:
    answer = line("ckpt", "export", "run", f"--out=w.{suffix}")
    assert (answer.code, answer.err) == (0, "")
    assert "6 tensors" in answer.out
    if suffix == "pt":
        weights = torch.load(tmp_path / "w.pt", weights_only=True)
    else:
        weights = pytest.importorskip("safetensors.torch").load_file(tmp_path / "w.safetensors")
    state = torch.load(run / "checkpoints" / "best.ckpt")
    assert weights.keys() == state["model"].keys()
    assert all(torch.equal(weights[name], value) for name, value in evaluated(state).items())
    told = line("eval", "recipe=mlp", "resume=run").out
    assert line("eval", "recipe=mlp", f"resume=w.{suffix}").out == told


def test_an_export_takes_averaged_weights_where_they_are(line, tmp_path: Path) -> None:
    assert line("recipe=mlp", "run_dir=ema", "averaging=ema", "trainer.max_epochs=1").code == 0
    answer = line("ckpt", "export", "ema", "--out", "w.pt")
    assert "the averaged weights of ema/checkpoints/best.ckpt" in answer.out
    state = torch.load(tmp_path / "ema/checkpoints/best.ckpt")
    weights = torch.load(tmp_path / "w.pt")
    assert all(torch.equal(value, state["averaging"][f"module.{name}"]) for name, value in weights.items())
    assert not torch.equal(weights["layers.1.weight"], state["model"]["layers.1.weight"])


# ---------------------------------------------------------------------- printing


def test_sizes_are_in_units() -> None:
    assert [sized(n) for n in (0, 999, 1000, 3_900_000, 5e9, 2e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "3.9 MB",
        "5.0 GB",
        "2.0 TB",
    ]


def test_a_table_has_columns_with_numbers_to_the_right() -> None:
    assert table([("name", "size"), ("a", "5"), ("long", "1,000")]) == "name   size\na         5\nlong  1,000"


def test_control_characters_are_shown_as_such() -> None:
    assert printable("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert printable("ünï code") == "ünï code"


def test_leaves_of_a_state() -> None:
    assert dict(leaves({"a": [1, {"b": 2}], "c": {}, "d": ()})) == {"a.0": 1, "a.1.b": 2, "c": {}, "d": ()}
