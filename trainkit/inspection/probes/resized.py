"""Label maps that are resized as pictures are: between two classes, interpolation makes up a third."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.probes.relation import sources
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, unparse, walk
from trainkit.inspection.subject import Subject, found, unpacked

RESIZING = ("interpolate", "resize", "upsample", "rescale")
BLENDING = ("linear", "cubic", "area", "lanczos")
"""Words, in lower case, in how a picture is resized by which values are mixed."""
KEEPING = ("squeeze", "unsqueeze", "contiguous", "clone", "view", "reshape", "permute")
"""Methods after which a tensor holds the same numbers."""
LABEL = re.compile("mask|label|target|segm|annot")
"""Parts of names of label maps."""
WHOLE = ("long", "int", "int64", "int32")
"""Types of class numbers."""


def interpolated(subject: Subject) -> Iterator[Finding]:
    """Find maps of class numbers that are made whole again after values between them were mixed."""
    if not any(target.dim() > 2 and not target.is_floating_point() for target in flat(unpacked(subject.batch)[1])):
        return
    for file, part in sources(subject):
        nodes = sorted((node for node in walk(part) if hasattr(node, "lineno")), key=lambda node: node.lineno)
        made: dict[str, ast.expr] = {}
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                made[node.targets[0].id] = node.value
            value = _bare(_cast(node))
            value = _bare(made.get(value.id, value)) if isinstance(value, ast.Name) else value
            call = value if isinstance(value, ast.Call) and _blends(value) else None
            if call is None or not _is_label(node, nodes):
                continue
            yield found(
                "labels-interpolated",
                f"train_set: target: {called(call).rpartition('.')[2]}",
                "resizes label maps by interpolation, which mixes class numbers: between 0 and 4 stands 2",
                at=Line(file, call.lineno),
                evidence=f"{unparse(call)} is made whole numbers again",
                effect="all borders of the masks carry labels of classes that are not there",
                fix='Resize labels by nearest: interpolate(mask, size, mode="nearest-exact")',
            )
            return


def _cast(node: ast.AST) -> ast.expr | None:
    """Return what is cast to whole numbers by a call."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    types = [unparse(item).rpartition(".")[2] for item in node.args]
    is_cast = node.func.attr in ("to", "type", "astype") and bool(types) and types[0] in WHOLE
    return node.func.value if is_cast or node.func.attr in WHOLE else None


def _bare(node: ast.expr | None) -> ast.expr | None:
    """Return what a value is taken from, but for its shape."""
    while node is not None:
        if isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in KEEPING:
            node = node.func.value
        else:
            break
    return node


def _blends(call: ast.Call) -> bool:
    """Say whether a call resizes by mixing values."""
    if called(call).rpartition(".")[2] not in RESIZING:
        return False
    said = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
    how = " ".join(unparse(value).lower() for value in said)
    return any(word in how for word in BLENDING)


def _is_label(cast: ast.AST, nodes: list[ast.AST]) -> bool:
    """Say whether a cast makes what a function returns last, by itself or by a name, or what is named a label map."""
    ends = [node.value.elts[-1] for node in nodes if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple)]
    if any(cast in walk(end) for end in ends):
        return True
    targets = [node.targets[0] for node in nodes if isinstance(node, ast.Assign) and cast in walk(node.value)]
    returned = {called(end) for end in ends}
    return any(called(target) in returned or LABEL.search(called(target)) for target in targets)


RULES = (interpolated,)
