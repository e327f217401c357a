"""scripts/soak kills what it says, tells the figures, and does not overlook an ending that differs."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from as_module import AS_MODULE
from warm import Warm

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[1] / "scripts"

BROKEN = '''
import torch
from torch.utils.data import Dataset

from trainkit.data import Splits

draws = torch.Generator().manual_seed(1)


class Noisy(Dataset):
    """Draws from a generator of its own, which no checkpoint holds."""

    def __len__(self):
        return 200

    def __getitem__(self, index):
        return torch.randn(64, generator=draws), index % 10


def splits(**options):
    return Splits(Noisy(), Noisy())
'''


def soak(warm: Warm, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What scripts/soak does once .venv is there."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(folder)]), "TMPDIR": str(folder)}
    return warm.run("soaking", *arguments, cwd=folder, env=environment, script=AS_MODULE)


def test_four_kills_are_survived_and_told(warm: Warm, tmp_path: Path) -> None:
    run = soak(warm, tmp_path, "--kills", "4", "--seed", "3", "--json", "figures.json")
    assert run.returncode == 0, run.stdout + run.stderr
    figures = dict(re.findall(r"^(\w+) {2,}(.+)$", run.stdout, re.MULTILINE))
    assert figures.keys() == {"kills", "moments", "checkpoints", "endings", "processes", "seconds"}
    assert figures["kills"].startswith("4: SIG")
    told = json.loads((tmp_path / "figures.json").read_text())
    assert sum(told["kills"].values()) == sum(told["moments"].values()) == 4
    assert told["wrong"] == []
    assert told["counts"]["identical"] == told["counts"]["runs"] > 0
    assert told["counts"].get("readable", 0) + told["counts"].get("none yet", 0) == 4
    assert figures["endings"].startswith(f"{told['counts']['runs']} of {told['counts']['runs']} runs identical")
    assert not list(tmp_path.glob("soak-*"))


def test_an_ending_that_differs_is_not_overlooked(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    line = ["recipe=mlp", "data.datasets={_target_: broken.splits}", "trainer.max_epochs=30", "test=false"]
    line += ["trusted_packages=[broken]"]  # which lies beside none of the runs
    run = soak(warm, tmp_path, "--kills", "4", "--seed", "3", *line)
    assert run.returncode == 1, run.stdout + run.stderr
    differing = re.search(r"wrong\n  (.*?): .* differs", run.stdout)
    assert differing is not None, run.stdout
    (kept,) = tmp_path.glob("soak-*")
    assert f"kept         {kept}" in run.stdout
    assert (Path(differing[1]) / "run" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("arguments", [("--kills", "0"), ("--kills", "many"), ("--flag",)])
def test_wrong_usage_is_refused(warm: Warm, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    run = soak(warm, tmp_path, *arguments)
    assert run.returncode == 2
    assert "usage: scripts/soak" in run.stderr
