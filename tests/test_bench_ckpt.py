"""scripts/bench ckpt runs and prints what it promises; how long anything takes is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "benchmark", "ckpt", *arguments],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        text=True,
        capture_output=True,
    )


def test_the_table_compares_with_torch_save(tmp_path: Path) -> None:
    file, folder = tmp_path / "result.json", tmp_path / "disk"
    folder.mkdir()
    run = bench("--parameters", "200000", "--rounds", "2", "--folder", str(folder), "--json", str(file))
    assert run.returncode == 0, run.stdout + run.stderr
    title, _, head, rule, *rows, _, first = run.stdout.splitlines()
    assert title.startswith("200000 parameters with AdamW state, 2 MiB, 2 rounds, ")
    assert {line.count("|") for line in (head, rule, *rows)} == {6}
    names = ["torch.save", "torch.save + fsync", "Store", "Store, background"]
    assert [row.split("|")[1].strip() for row in rows] == names
    assert rows[0].split("|")[3].strip() == "1.00 (1.00-1.00)"
    assert first.startswith("The first save in the background, which makes its buffers: ")
    record = json.loads(file.read_text())
    assert [list(results) for results in record["rounds"]] == [[*names[1:], names[0]], [*names[2:], *names[:2]]]
    for results in record["rounds"]:
        assert all(0 < blocked <= done for blocked, done in results.values())
    assert not list(folder.iterdir())


def test_too_little_space_is_refused(tmp_path: Path) -> None:
    run = bench("--parameters", str(10**15), "--folder", str(tmp_path))
    assert run.returncode == 2
    assert "MiB free, " in run.stderr
