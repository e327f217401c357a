"""Compare training loops by CPU time per step and peak memory, on one thread.

Each round runs every contender once, each in a process of its own, in an order that rotates from round to round;
ratios to `expert` are taken within a round. CPU time leaves out what other processes take of the machine.
`scripts/bench ckpt` measures checkpoints instead, `scripts/bench startup` what an answer of the command line costs,
`scripts/bench freeze` what freezing saves, `scripts/bench diagnostics` what watching from within costs,
`scripts/bench check` what a check of a training costs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

REFERENCE = "expert"
NEEDS = {
    REFERENCE: "torch",
    "trainkit": "trainkit",
    "tutorial": "torch",
    "lightning": "lightning",
    "ignite": "pytorch-ignite",
    "accelerate": "accelerate",
}
"""What must be installed for each contender."""
HEAD = """| contender | CPU us/step | ratio (min-max) | peak MiB | ratio (min-max) | accuracy |
| --- | ---: | ---: | ---: | ---: | ---: |"""

Round = dict[str, dict[str, float]]
"""What each contender's process measured: ``step_us``, ``peak_mib`` and ``accuracy``."""


def installed(names: list[str]) -> dict[str, str]:
    """Return what is there of what the contenders need, such as ``torch 2.15.0``, by contender."""
    found = {}
    for name in names:
        try:
            found[name] = f"{NEEDS[name]} {version(NEEDS[name])}"
        except PackageNotFoundError:
            continue
    return found


def measured(name: str, *arguments: object) -> dict[str, float]:
    """Return what a new process measures of a contender; exits with the end of its output if it fails."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        process = subprocess.run(
            [sys.executable, "-P", "-m", "benchmark.measure", name, *map(str, arguments), str(result)],
            cwd=folder,
            env=os.environ | threads | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if process.returncode:
            raise SystemExit(f"bench: {name} failed:\n{process.stdout[-2000:]}")
        return json.loads(result.read_text())


def table(rounds: list[Round], names: list[str], found: dict[str, str]) -> str:
    """Return the medians over the rounds in markdown, the quickest first, and who is not installed."""

    def middle(name: str, key: str) -> float:
        return median(results[name][key] for results in rounds)

    def ratio(name: str, key: str) -> str:
        values = [results[name][key] / results[REFERENCE][key] for results in rounds]
        return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"

    lines = [HEAD]
    for name in sorted(found, key=lambda name: middle(name, "step_us")):
        cells = [f"{name} ({found[name]})", f"{middle(name, 'step_us'):.0f}", ratio(name, "step_us")]
        cells += [f"{middle(name, 'peak_mib'):.0f}", ratio(name, "peak_mib"), f"{middle(name, 'accuracy'):.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"| {name} | not installed | | | | |" for name in names if name not in found]
    return "\n".join(lines)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__)
    parser.add_argument("--work", choices=("mlp", "mlp-features"), default="mlp", help="benchmark/works.py tells both")
    parser.add_argument("--contenders", default=",".join(NEEDS), help="names with commas; by default %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fits", type=int, default=3, help="trainings in a process; the quickest counts (%(default)s)")
    parser.add_argument(
        "--samples", type=int, default=60_000, help="to train on; a sixth of it validates (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    options = parser.parse_args()
    names = list(dict.fromkeys([REFERENCE, *options.contenders.split(",")]))
    if unknown := ", ".join(name for name in names if name not in NEEDS):
        parser.error(f"no contender {unknown}; there are {', '.join(NEEDS)}")

    found, rounds = installed(names), []
    order = list(found)
    for number in range(options.rounds):
        rounds.append({name: measured(name, options.work, options.samples, options.fits) for name in order})
        order.append(order.pop(0))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    print(f"{options.work}, {options.rounds} rounds, ratios to {REFERENCE}\n")
    print(table(rounds, names, found))
    if options.json:
        options.json.write_text(json.dumps({"work": options.work, "versions": found, "rounds": rounds}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["ckpt"]:
        from benchmark import checkpoints

        checkpoints.main(sys.argv[2:])
    elif sys.argv[1:2] == ["startup"]:
        from benchmark import startup

        startup.main(sys.argv[2:])
    elif sys.argv[1:2] == ["freeze"]:
        from benchmark import freezing

        freezing.main(sys.argv[2:])
    elif sys.argv[1:2] == ["diagnostics"]:
        from benchmark import diagnostics

        diagnostics.main(sys.argv[2:])
    elif sys.argv[1:2] == ["check"]:
        from benchmark import checking

        checking.main(sys.argv[2:])
    else:
        main()
