"""Completion: what real shells make of a line when the Tab key is pressed, and the words that they are given."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainkit.commands import COMMANDS
from trainkit.commands.completion.line import cursor_at, for_bash, split
from trainkit.commands.completion.scripts import SCRIPTS
from trainkit.commands.completion.words import candidates, weights_of_torchvision
from trainkit.config.composing.recipes import options, recipes

sys.path.insert(0, str(Path(__file__).parent))
from shells import Shell, is_there, programs

ROOT = Path(__file__).parents[2]
BREAKS = " \t\n\"'><=;|&(:"
"""What bash cuts words at, unless somebody changes it."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The current folder of the shells: a project of one's own, a run, and a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("place")
    texts = {
        "my configs/recipe/mine.yaml": "# @package _global_\n# Mine: a recipe.\ndefaults: [mlp, _self_]\nname: mine\n",
        "configs/recipe/own.yaml": "# @package _global_\n# My own.\ndefaults: [mlp, override /model: net, _self_]\n",
        "configs/model/net.yaml": "# A net.\n_target_: my.Net\nbreadth: 32  # how wide\n",
        "runs/one/checkpoints/last.ckpt": "",
        "own.yaml": "# @package _global_\ndefaults: [/recipe/cnn, _self_]\n",
        "notes.txt": "",
        ".hidden/notes.txt": "",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def environment(place: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "COVERAGE_PROCESS_START") if name in os.environ}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))
    return kept | {"PATH": programs(place / "bin"), "HOME": str(place), "TERM": "dumb", "LANG": "C.UTF-8"}


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, place: Path) -> Iterator[Shell]:
    """An interactive shell that has read the script."""
    if not is_there(request.param):
        pytest.skip(f"no {request.param} on this machine")
    found = Shell(request.param, place, environment(place))
    found.run(f'eval "$(trainkit completion {request.param})"')
    yield found
    found.close()


# ---------------------------------------------------------------------- bash and zsh at a terminal


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("trainkit rec", "trainkit recipe"),
        ("trainkit eva", "trainkit eval "),
        ("trainkit recipe=ml", "trainkit recipe=mlp "),
        ("trainkit check recipe=li", "trainkit check recipe=linear "),
        ("trainkit recipe=mlp optimizer.wei", "trainkit recipe=mlp optimizer.weight_decay="),
        ("trainkit recipe=mlp callbacks.early_stopping.pat", "trainkit recipe=mlp callbacks.early_stopping.patience"),
        ("trainkit recipe=mlp schedule=pl", "trainkit recipe=mlp schedule=plateau "),
        ("trainkit recipe=mlp optimizer=sgd optimizer.nest", "trainkit recipe=mlp optimizer=sgd optimizer.nesterov="),
        ("trainkit recipe=mlp trainer.precision=b", "trainkit recipe=mlp trainer.precision=bf16 "),
        ("trainkit recipe=mlp data.shuffle=f", "trainkit recipe=mlp data.shuffle=false "),
        ("trainkit recipe=mlp model.hidden=", "trainkit recipe=mlp model.hidden=\\[128,64\\] "),
        ("trainkit recipe=mlp model.hidden=\\[1", "trainkit recipe=mlp model.hidden=\\[128,64\\] "),
        ("trainkit +recipe=cn", "trainkit +recipe=cnn "),
        ("trainkit recipe=mlp optimizer=adam,sg", "trainkit recipe=mlp optimizer=adam,sgd "),
        ("trainkit --config-d", "trainkit --config-dir "),
        ("trainkit --config-dir my", "trainkit --config-dir my\\ configs/"),
        ("trainkit --config-dir my\\ configs recipe=min", "trainkit --config-dir my\\ configs recipe=mine "),
        ("trainkit --config-dir 'my configs' recipe=min", "trainkit --config-dir 'my configs' recipe=mine "),
        ("trainkit --config-dir configs recipe=own model.b", "trainkit --config-dir configs recipe=own model.breadth="),
        ("trainkit recipe=./o", "trainkit recipe=./own.yaml "),
        ("trainkit resume=ru", "trainkit resume=runs/"),
        ("trainkit resume=weights:runs/one/checkpoints/l", "trainkit resume=weights:runs/one/checkpoints/last.ckpt "),
        ("trainkit run_dir=runs/o", "trainkit run_dir=runs/one/"),
        ("trainkit run_dir=no", "trainkit run_dir=no"),  # a file is no folder
        ("trainkit --cfg j", "trainkit --cfg job "),
        ("trainkit help trainer.prec", "trainkit help trainer.precision "),
        ("trainkit completion z", "trainkit completion zsh "),
        ("trainkit ckpt ver", "trainkit ckpt verify "),
        ("trainkit ckpt inspect runs/o", "trainkit ckpt inspect runs/one/"),
        ("cd . && trainkit recipe=cn", "cd . && trainkit recipe=cnn "),
        ("echo x | trainkit recipe=cn", "echo x | trainkit recipe=cnn "),
        ("FOO=1 trainkit recipe=cn", "FOO=1 trainkit recipe=cnn "),
        ("~/bin/trainkit recipe=cn", "~/bin/trainkit recipe=cnn "),
        ("bin/trainkit recipe=cn", "bin/trainkit recipe=cnn "),
        ("python -m trainkit recipe=cn", "python -m trainkit recipe=cnn "),
        ("python -X dev -m trainkit recipe=cn", "python -X dev -m trainkit recipe=cnn "),
        ("bin/python -m trainkit ev", "bin/python -m trainkit eval "),
        ("trainkit zzz", "trainkit zzz"),
    ],
)
def test_the_tab_key_completes(shell: Shell, line: str, completed: str) -> None:
    assert shell.complete(line)[0] == completed


def test_open_quotes_are_gone_on_with(shell: Shell) -> None:
    assert shell.complete("trainkit 'recipe=ml")[0].rstrip() == "trainkit 'recipe=mlp'"
    assert (
        shell.complete("trainkit recipe=mlp '~callbacks.prog")[0].rstrip()
        == "trainkit recipe=mlp '~callbacks.progress'"
    )
    assert shell.complete('trainkit recipe=mlp "model.hid')[0].startswith('trainkit recipe=mlp "model.hidden=')
    assert (
        shell.complete("trainkit recipe=mlp 'model.hidden=[12")[0].rstrip()
        == "trainkit recipe=mlp 'model.hidden=[128,64]'"
    )


def test_several_candidates_are_listed(shell: Shell) -> None:
    line, listed = shell.complete("trainkit recipe=mlp trainer.")
    assert line == "trainkit recipe=mlp trainer."
    assert {"trainer.max_epochs=", "trainer.precision=", "trainer.threads="} <= set(listed.split())
    if shell.name == "zsh":
        assert re.search(r"trainer\.max_epochs= +-- Stop after this many epochs", listed)


def test_the_cursor_may_stand_before_other_words(shell: Shell) -> None:
    """What is behind it counts: the model is that of the recipe."""
    line = "trainkit model.breadt recipe=own --config-dir configs"
    behind = len(" recipe=own --config-dir configs")
    assert shell.complete(line, left=behind)[0] == "trainkit model.breadth= recipe=own --config-dir configs"
    assert shell.complete("trainkit che recipe=mlp", left=len(" recipe=mlp"))[0].startswith("trainkit check")


def test_bash_completes_within_a_word(shell: Shell) -> None:
    if shell.name == "zsh":
        pytest.skip("zsh takes the cursor to the end of the word")
    assert shell.complete("trainkit optimizer.weigh=3", left=2)[0] == "trainkit optimizer.weight_decay=3"


def test_python_itself_stays_as_it_was(shell: Shell) -> None:
    assert shell.complete("python note")[0].rstrip() == "python notes.txt"


def test_bash_keeps_what_python_was_completed_by(place: Path) -> None:
    if not is_there("bash"):
        pytest.skip("no bash on this machine")
    shell = Shell("bash", place, environment(place))
    shell.run("_theirs() { COMPREPLY=(theirs_$1_${COMP_WORDS[COMP_CWORD]}); }; complete -F _theirs python")
    shell.run('eval "$(trainkit completion bash)"; eval "$(trainkit completion bash)"')
    assert shell.complete("python abc")[0] == "python theirs_python_abc "
    assert shell.complete("python -m trainkit recipe=cn")[0] == "python -m trainkit recipe=cnn "
    shell.run("COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}; COMP_WORDBREAKS=${COMP_WORDBREAKS//:/}")
    assert shell.complete("trainkit resume=weights:runs/on")[0] == "trainkit resume=weights:runs/one/"
    shell.close()


def test_bash_says_nothing_where_trainkit_is_broken(place: Path) -> None:
    if not is_there("bash"):
        pytest.skip("no bash on this machine")
    shell = Shell("bash", place, environment(place))
    shell.run('eval "$(trainkit completion bash)"')
    shell.run(
        "mkdir -p broken; printf '#!/bin/sh\\necho oh >&2; exit 3\\n' > broken/trainkit; chmod +x broken/trainkit"
    )
    line, said = shell.complete("broken/trainkit recipe=m")
    assert (line, "oh" in said) == ("broken/trainkit recipe=m", False)
    shell.close()


def test_zsh_takes_it_from_a_folder_of_functions_too(place: Path) -> None:
    if not is_there("zsh"):
        pytest.skip("no zsh on this machine")
    (place / "functions").mkdir(exist_ok=True)
    (place / "functions" / "_trainkit").write_text(SCRIPTS["zsh"])
    shell = Shell("zsh", place, environment(place))
    shell.run("fpath=(~/functions $fpath); compinit -u -D")
    assert shell.complete("trainkit recipe=cn")[0] == "trainkit recipe=cnn "
    assert shell.complete("trainkit recipe=cn")[0] == "trainkit recipe=cnn "
    shell.close()


# ---------------------------------------------------------------------- fish, which completes without a terminal


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trainkit recipe=ml", "recipe=mlp\tMLP 64-128-64-10"),
        ("trainkit eva", "eval\ttest the weights of a run"),
        ("trainkit recipe=mlp optimizer.wei", "optimizer.weight_decay=\tShare of lr"),
        ("trainkit recipe=mlp trainer.precision=b", "trainer.precision=bf16"),
        ("trainkit recipe=mlp model.hidden=", "model.hidden=[128,64]\tat present"),
        ("trainkit 'recipe=ml", "recipe=mlp\tMLP"),
        ("trainkit ~callbacks.prog", "~callbacks.progress"),
        ("trainkit --config-dir my", "my configs/"),
        ("trainkit --config-dir 'my configs' recipe=min", "recipe=mine\tMine: a recipe."),
        ("trainkit --config-dir my\\ configs recipe=min", "recipe=mine\tMine: a recipe."),
        ("trainkit resume=weights:ru", "resume=weights:runs/"),
        ("true && trainkit recipe=cn", "recipe=cnn\t"),
        ("FOO=1 trainkit recipe=cn", "recipe=cnn\t"),
        ("~/bin/trainkit recipe=cn", "recipe=cnn\t"),
        ("python -m trainkit recipe=cn", "recipe=cnn\t"),
        ("python -X dev -m trainkit ev", "eval\t"),
        ("python -m venv eva", None),
        ("trainkit zzz", None),
    ],
)
def test_fish_completes(place: Path, line: str, expected: str | None) -> None:
    if not is_there("fish"):
        pytest.skip("no fish on this machine")
    program = 'trainkit completion fish | source; complete -C "$argv[1]"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", program, line],
        cwd=place,
        env=environment(place),
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.stderr == ""
    found = [text for text in done.stdout.splitlines() if "trainkit" not in text]
    assert (found == []) if expected is None else (len(found) == 1 and found[0].startswith(expected)), found


# ---------------------------------------------------------------------- the words


def words(line: str, after: str = "") -> list[str]:
    """Return the candidates at the end of a line that has no quotes."""
    *before, current = line.split(" ")
    return [candidate.text for candidate in candidates(before, current, after.split())]


def test_the_first_word_may_be_a_command_a_recipe_a_group_or_a_key() -> None:
    found = words("")
    assert set(COMMANDS) <= set(found)
    assert {"recipe=", "seed=", "optimizer=", "optimizer.", "trainer.", "model=", "debug="} <= set(found)
    assert not any(text.startswith(("_", "-", "hydra")) for text in found)
    assert "recipe=" not in words("recipe=mlp ")


def test_a_second_command_is_not_offered() -> None:
    assert "check" not in words("eval ")
    assert "recipe=" in words("check ")
    assert words("recipes ") == []
    assert words("completion bash ") == []
    assert words("completion ") == ["bash", "zsh", "fish"]
    assert set(words("ckpt ")) == {"inspect", "verify", "diff", "average", "export"}


def test_each_recipe_and_option_is_offered_with_what_it_is() -> None:
    found = candidates([], "recipe=")
    assert [c.text for c in found] == [f"recipe={recipe.name}" for recipe in recipes()]
    assert [c.doc for c in found] == [recipe.description for recipe in recipes()]
    found = candidates(["recipe=mlp"], "optimizer=")
    assert [c.text for c in found] == [*(f"optimizer={option}" for option in options("optimizer")), "optimizer=null"]
    assert all(c.doc and c.ends for c in found)


def test_keys_are_those_of_what_is_chosen() -> None:
    assert "optimizer.betas=" in words("optimizer.")
    assert "optimizer.betas=" not in words("optimizer=sgd optimizer.")
    assert "optimizer.nesterov=" in words("optimizer.", after="optimizer=sgd")
    assert words("model.") == []
    assert words("recipe=mlp model.h") == ["model.hidden="]
    assert words("recipe=mlp model.h", after="model=cnn") == []
    assert "optimizer.amsgrad=" in words("recipe=mlp optimizer.ams")  # not in the YAML, but it may be given
    assert words("recipe=mlp callbacks.early_stopping.min") == ["callbacks.early_stopping.min_delta="]
    assert words("recipe=mlp callbacks.early") == ["callbacks.early_stopping."]
    assert words("recipe=mlp optimizer.lr.") == []


def test_signs_stay_before_the_key() -> None:
    assert words("+optimizer.ams") == ["+optimizer.amsgrad="]
    assert words("++trainer.prec") == ["++trainer.precision="]
    assert words("~callbacks.pr") == ["~callbacks.progress", "~callbacks.predictions"]
    assert set(words("~sched")) == {"~schedule", "~schedule."}
    assert not any(text.endswith("=") for text in words("~"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trainer.precision=", ["fp32", "bf16", "fp16"]),
        ("trainer.deterministic=", ["true", "false"]),
        ("monitor.mode=", ["min", "max"]),
        ("recipe=mlp trainer.max_epochs=", ["null", "40"]),
        ("recipe=mlp trainer.max_epochs=7 trainer.max_epochs=", ["null", "7"]),
        ("recipe=mlp optimizer.lr=", ["0.01"]),
        ("recipe=mlp model.in_features=", []),  # ${data.features} is nothing to type
        ("recipe=mlp optimizer.zzz=", []),
        ("checkpoint.background=t", ["true"]),
        ("data.on_error=s", ["stop", "skip"]),
        ("trainer.precision=fp32,", ["fp32,fp32", "fp32,bf16", "fp32,fp16"]),
        ("averaging=e", ["ema"]),
        ("seed=0,", ["0,0"]),
        ("freeze=g", ["gradual"]),
        ("freeze=f", ["feature_extraction", "fine_tuning"]),
        ("head.init=", ["default", "zero", "normal", "kaiming", "xavier"]),
        ("recipe=mlp freeze=gradual freeze.thaw_every=", ["1ep"]),
        ("weights.source=ResNet18_", ["ResNet18_QuantizedWeights.", "ResNet18_Weights."]),
        ("weights.source=ResNet18_Weights.", ["ResNet18_Weights.IMAGENET1K_V1", "ResNet18_Weights.DEFAULT"]),
        ("weights.source=package", ["package:"]),
        ("weights.source=nothing_of_the_kind", []),
    ],
)
def test_values_are_those_that_the_schema_allows_and_the_present_one(line: str, expected: list[str]) -> None:
    key = line.split(" ")[-1].partition("=")[0]
    assert words(line) == [f"{key}={value}" for value in expected]


def test_the_keys_of_a_plan_are_those_of_its_preset() -> None:
    assert words("freeze.") == ["freeze.rules=", "freeze.patience=", "freeze.min_delta="]
    assert "freeze.thaw=" in words("freeze=linear_probe_then_finetune freeze.")
    assert {"weights.source=", "weights.allow="} <= set(words("weights."))


def test_files_of_weights_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("net.pt", "net.safetensors", "notes.txt", "runs/one.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = words("weights.source=")
    assert {"weights.source=net.pt", "weights.source=net.safetensors", "weights.source=runs/"} <= set(found)
    assert "weights.source=notes.txt" not in found
    assert words("weights.source=runs/") == ["weights.source=runs/one.ckpt"]


def test_weights_of_torchvision_are_read_off_as_they_are() -> None:
    from trainkit.transfer.sources import torchvision_entries

    named = {f"{kind}.{name}" for kind, names in weights_of_torchvision().items() for name in names}
    assert named == set(torchvision_entries())


def test_the_present_value_is_told_apart() -> None:
    found = {c.text: c.doc for c in candidates(["recipe=mlp", "trainer.precision=bf16"], "trainer.precision=")}
    assert found == {"trainer.precision=fp32": "", "trainer.precision=bf16": "at present", "trainer.precision=fp16": ""}


def test_flags_are_those_of_the_command() -> None:
    assert {"--multirun", "--cfg", "--config-dir", "--help", "--version"} <= set(words("--"))
    found = words("check --")
    assert {"--json", "--config-dir", "--help"} <= set(found)
    assert not {"--cfg", "--version"} & set(found)
    assert "--json" not in words("check --json --")
    assert "--out" in words("ckpt export --")
    assert words("recipe=mlp --cfg ") == ["job", "hydra", "all"]
    assert words("--cfg=j") == ["--cfg=job"]
    assert "defaults-tree" in words("recipe=mlp --info ")
    assert "seed=" in words("recipe=mlp --info ")  # its value may be left out
    assert "optimizer" in words("recipe=mlp --cfg job --package ")
    assert words("verify-resume --steps ") == []


def test_help_completes_keys_without_a_value_and_everything_it_explains() -> None:
    found = words("help ")
    assert {"check", "mlp", "optimizer", "seed", "trainer.", "recipe="} <= set(found)
    assert words("help trainer.prec") == ["trainer.precision"]
    assert words("help optimizer.lr recipe=ml") == ["recipe=mlp"]


def test_paths_end_with_a_slash_where_more_follows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    assert {"resume=auto", "resume=weights:", "resume=runs/", "resume=notes.txt"} <= set(words("resume="))
    assert "run_dir=notes.txt" not in words("run_dir=")
    assert not any(".hidden" in text for text in words("resume="))
    assert words("resume=.h") == ["resume=.hidden/"]
    assert words("resume=~/ru") == ["resume=~/runs/"]
    assert words("resume=./runs/o") == ["resume=./runs/one/"]
    assert words("resume=nowhere/") == words("resume=~nobody_at_all/") == []
    assert {"recipe=./own.yaml", "recipe=./configs/"} <= set(words("recipe=./"))
    assert "recipe=./notes.txt" not in words("recipe=./")
    assert words("recipe=mlp model.weights=./no") == ["model.weights=./notes.txt"]
    assert not next(c for c in candidates([], "resume=runs") if c.text == "resume=runs/").ends


def test_recipes_of_ones_own_and_by_path_are_known(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert words("--config-dir configs recipe=o") == ["recipe=own"]
    assert words("recipe=o", after="--config-dir=configs") == ["recipe=own"]
    found = candidates(["--config-dir", "configs", "recipe=own"], "model.")
    assert [(c.text, c.doc) for c in found if "_" not in c.text] == [("model.breadth=", "how wide")]
    assert words("recipe=./own.yaml model.chan") == ["model.channels="]


# ---------------------------------------------------------------------- lines and quotes


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b", ["a", "b"]),
        ("a  'b c'  \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
        ("a=b:c", ["a=b:c"]),
        ("a'b'\"c\"d", ["abcd"]),
        ('"a\\"b\\n"', ['a"b\\n']),
        ("'a\\b'", ["a\\b"]),
        ("a 'b c", ["a", "b c"]),
        ("''", [""]),
        ("", []),
    ],
)
def test_a_line_is_cut_into_words_as_a_shell_does(line: str, expected: list[str]) -> None:
    assert [word.text for word in split(line)] == expected


@pytest.mark.parametrize(
    ("line", "before", "current", "rest", "after"),
    [
        ("trainkit a b|", ["trainkit", "a"], "b", "", []),
        ("trainkit a |", ["trainkit", "a"], "", "", []),
        ("trainkit a| b c", ["trainkit"], "a", "", ["b", "c"]),
        ("trainkit a|b=3 c", ["trainkit"], "a", "b=3", ["c"]),
        ("x; trainkit a|; y z", ["trainkit"], "a", "", []),
        ("x 'a;b' && trainkit 'a b|", ["trainkit"], "a b", "", []),
        ("trainkit 'a b|' c", ["trainkit"], "a b", "", ["c"]),
        ("(trainkit a|", ["trainkit"], "a", "", []),
        ("x \\; trainkit a|", ["x", ";", "trainkit"], "a", "", []),
    ],
)
def test_a_line_is_taken_apart_at_the_cursor(
    line: str, before: list[str], current: str, rest: str, after: list[str]
) -> None:
    found = cursor_at(line.replace("|", "", 1) if line.count("|") == 1 else line, line.index("|"))
    assert (found.before, found.current, found.rest, found.after) == (before, current, rest, after)


@pytest.mark.parametrize(
    ("typed", "candidate", "given"),
    [
        ("recipe=m", "recipe=mlp", "mlp"),
        ("rec", "recipe=", "recipe="),
        ("resume=weights:r", "resume=weights:runs/", "runs/"),
        ("a=[1", "a=[1,2]", "\\[1,2\\]"),
        ("x=my\\ c", "x=my configs/", "my\\ configs/"),
        ("'x=my c", "x=my configs/", "x=my configs/"),
        ('"x=', 'x=a"b$c', 'x=a\\"b\\$c'),
        ("'x=", "x=it's", "x=it'\\''s"),
        ("a=b\\=c", "a=b=cd", "b=cd"),
        ("x='my c", "x=my configs/", "my configs/"),
    ],
)
def test_bash_gets_what_stands_behind_its_last_cut(typed: str, candidate: str, given: str) -> None:
    cursor = cursor_at(f"trainkit {typed}", len(f"trainkit {typed}"))
    assert for_bash(candidate, cursor, BREAKS) == given


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_says_how_to_install_it(line, shell: str) -> None:
    answer = line("completion", shell)
    assert (answer.code, answer.out) == (0, SCRIPTS[shell])
    assert f"trainkit completion {shell}" in answer.out.split("\n\n")[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "completion which shell? Write: trainkit completion bash|zsh|fish"),
        (["zhs"], "completion zhs: no such shell. Did you mean 'zsh'?"),
        (["bash", "zsh"], "Write: trainkit completion bash|zsh|fish"),
    ],
)
def test_another_shell_is_refused(line, arguments: list[str], told: str) -> None:
    answer = line("completion", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
