"""Two names for one thing where a copy is meant: a target network that is the online one, weights kept as the best."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.reading.parts import assigned
from trainkit.inspection.source import Line, called, tree, unparse, walk
from trainkit.inspection.subject import Subject, found

FOLLOWER = re.compile(r"^_?(target|teacher|ema|momentum|old|frozen|reference|ref|slow)(_|$)|_(target|teacher|ema)$")
"""Names of networks that are to differ from the one that trains."""


def followers(subject: Subject) -> Iterator[Finding]:
    """Find a target or teacher network that is the very module that trains."""
    for path, module in subject.model.named_modules():
        names: dict[int, list[str]] = {}
        for name, child in module._modules.items():
            if child is not None and any(p.requires_grad for p in child.parameters()):
                names.setdefault(id(child), []).append(name)
        for same in names.values():
            follower = next((name for name in same if FOLLOWER.search(name.lower())), None)
            if len(same) < 2 or follower is None:
                continue
            other = next(name for name in same if name != follower)
            at = assigned(module, follower)
            yield found(
                "follower-is-alias",
                f"{path}.{follower}".lstrip("."),
                f"is the same module as {other}, not a copy: whatever trains {other} changes it at once",
                at=at[0] if at is not None else None,
                evidence=f"{follower} and {other} are one object",
                effect="the target moves with every step, and is none",
                fix=f"self.{follower} = copy.deepcopy(self.{other}).requires_grad_(False)",
            )
            return


def best_states(subject: Subject) -> Iterator[Finding]:
    """Find the best weights kept as ``model.state_dict()``, whose tensors go on training."""
    for file in subject.files:
        whole = tree(file)
        for branch in walk(whole) if whole is not None else ():
            if not isinstance(branch, ast.If) or not any(isinstance(n, ast.Compare) for n in walk(branch.test)):
                continue
            saved = any(called(node).endswith("save") for node in walk(branch) if isinstance(node, ast.Call))
            for node in branch.body:
                if not isinstance(node, ast.Assign) or saved or not _is_state(node.value):
                    continue
                target = unparse(node.targets[0])
                if "best" not in target.lower():
                    continue
                yield found(
                    "state-not-copied",
                    f"{target} = state_dict()",
                    "keeps the best weights without a copy: state_dict() gives the very tensors that go on training",
                    at=Line(file, node.lineno),
                    evidence=unparse(node),
                    effect="in the end the best weights are the last ones",
                    fix=f"{target} = copy.deepcopy({unparse(node.value)})",
                )
                return


def _is_state(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and called(node).rpartition(".")[2] == "state_dict"


RULES = (followers, best_states)
