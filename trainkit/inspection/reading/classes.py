"""Classes written in a way that Python allows and a model suffers from: defaults and layers that are shared."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.reading.parts import assigned
from trainkit.inspection.source import Code, Line, called, code_of, own_classes, tree, unparse, walk
from trainkit.inspection.subject import Subject, found

MEANT = ("shared", "share", "tied", "tie", "siamese", "recurrent", "albert", "universal")


def mutable_defaults(subject: Subject) -> Iterator[Finding]:
    """Find default arguments and class attributes that collect the parts of every instance."""
    for path, module, own in own_classes(subject.model):
        cls = next(base for base in type(module).__mro__ if base.__name__ == own.name)
        yield from _defaults(subject, path, cls, own)
        yield from _changed_defaults(cls, own)
        yield from _class_state(cls, own)
    for name, data in (("train_set", subject.train_set), ("val_set", subject.val_set)):
        for cls in type(data).__mro__:
            code = code_of(cls)
            if code is not None and subject.train_set is not subject.val_set:
                yield from _shared_data(subject, name, cls, code)


def _defaults(subject: Subject, path: str, cls: type, code: Code) -> Iterator[Finding]:
    for name, function in vars(cls).items():
        if not isinstance(function, FunctionType):
            continue
        for argument, value in _default_values(function):
            modules = [item for item in _flat(value) if isinstance(item, nn.Module | nn.Parameter)]
            weighty = [
                item for item in modules if isinstance(item, nn.Parameter) or any(True for _ in item.parameters())
            ]
            at = _default_line(code, name, argument)
            written = unparse(at[1]) if at else "..."
            if not weighty or (isinstance(value, nn.Module) and _holders(subject.model, weighty) < 2):
                continue
            many = _holders(subject.model, weighty) > 1
            yield found(
                "mutable-default",
                f"{cls.__name__}.{name}({argument}={written})",
                f"has a mutable default argument, {argument}, which is made once and shared by all instances",
                severity="error" if many or not isinstance(value, nn.Module) else "warning",
                at=at[0] if at else None,
                evidence=f"it holds {len(modules)} modules after the model was built",
                effect="each new instance also gets (and trains) the layers of those before it",
                fix=f"Write {argument}=None in the signature, and make a new one in the body",
            )


def _changed_defaults(cls: type, code: Code) -> Iterator[Finding]:
    """Find default lists that no longer hold what the signature says: a call took out of them, or put in."""
    for name, function in vars(cls).items():
        for argument, value in _default_values(function) if isinstance(function, FunctionType) else ():
            at = _default_line(code, name, argument) if isinstance(value, list | dict | set) else None
            if at is None or any(isinstance(item, nn.Module | Tensor) for item in _flat(value)):
                continue
            try:
                written = ast.literal_eval(at[1])
            except ValueError:
                continue
            if written == value or (not written and not isinstance(value, list)):
                continue
            yield found(
                "mutable-default",
                f"{cls.__name__}.{name}({argument}={unparse(at[1])})",
                f"has a mutable default argument, {argument}, which is made once, shared by all instances, and changed "
                "by each call",
                severity="error" if written else "warning",
                at=at[0],
                evidence=f"the signature says {written}, and it holds {str(value)[:80]} after the model was built",
                effect="the next instance gets another default: other layers, of other sizes",
                fix=f"Write {argument}=None or a tuple in the signature, and copy it in the body: list({argument})",
            )


def _default_values(function: FunctionType) -> list[tuple[str, Any]]:
    names = list(inspect.signature(function).parameters.values())
    return [(item.name, item.default) for item in names if item.default is not inspect.Parameter.empty]


def _default_line(code: Code, method: str, argument: str) -> tuple[Line, ast.expr] | None:
    node = code.methods().get(method)
    if node is None or not isinstance(node.node, ast.FunctionDef):
        return None
    arguments = node.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(
        zip([item.arg for item in positional[-len(arguments.defaults) :]], arguments.defaults, strict=False)
    )
    if not arguments.defaults:
        defaults = {}
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    defaults |= {item.arg: value for item, value in pairs if value is not None}
    return (code.line(defaults[argument]), defaults[argument]) if argument in defaults else None


def _holders(model: nn.Module, things: list[Any]) -> int:
    """Return in how many places of a model, at most, one weight of the shapes of some modules stands."""
    shapes = {p.shape for thing in things for p in ([thing] if isinstance(thing, Tensor) else thing.parameters())}
    places: dict[int, int] = defaultdict(int)
    for _, parameter in model.named_parameters(remove_duplicate=False):
        places[id(parameter)] += parameter.shape in shapes
    return max(places.values(), default=0)


def _class_state(cls: type, code: Code) -> Iterator[Finding]:
    for attribute, value in vars(cls).items():
        if not isinstance(value, list | dict | set) or not _literal_empty(code, attribute):
            continue
        held = [item for item in _flat(value) if isinstance(item, nn.Module | nn.Parameter)]
        if any(isinstance(item, nn.Parameter) or any(True for _ in item.parameters()) for item in held):
            at = assigned(cls, attribute)
            yield found(
                "mutable-default",
                f"{cls.__name__}.{attribute}",
                f"is a {type(value).__name__} of the class, shared by all instances, which collects their layers",
                at=at[0] if at else None,
                evidence=f"it holds {len(held)} modules after the model was built",
                effect="each new instance also gets (and trains) the layers of those before it",
                fix=f"Set self.{attribute} in __init__",
            )


def _shared_data(subject: Subject, name: str, cls: type, code: Code) -> Iterator[Finding]:
    train, val = subject.train_set, subject.val_set
    if name != "train_set" or not isinstance(val, cls):
        return
    candidates = [(attribute, value, assigned(cls, attribute), "") for attribute, value in vars(cls).items()]
    init = vars(cls).get("__init__")
    for argument, value in _default_values(init) if isinstance(init, FunctionType) else []:
        line = _default_line(code, "__init__", argument)
        candidates.append((argument, value, line, f".__init__({argument}={unparse(line[1]) if line else '...'})"))
    for attribute, value, at, label in candidates:
        if not isinstance(value, list | dict | set) or not value:
            continue
        if not label and not _literal_empty(code, attribute):
            continue
        if label and (at is None or not _is_empty(at[1])):
            continue
        shared = any(item is value for item in vars(train).values()) and any(
            item is value for item in vars(val).values()
        )
        if shared or not label:
            yield found(
                "mutable-default",
                f"{cls.__name__}{label or '.' + attribute}",
                f"is a mutable {'default argument' if label else 'class attribute'} shared by train_set and val_set",
                at=at[0] if at else None,
                evidence=f"it holds {len(value)} entries",
                effect="each data set also holds the samples of the other one",
                fix=f"Make a new {type(value).__name__} in __init__",
            )


def _literal_empty(code: Code, attribute: str) -> bool:
    for node in getattr(code.node, "body", ()):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
            return _is_empty(getattr(node, "value", None))
    return False


def _is_empty(value: ast.AST | None) -> bool:
    if isinstance(value, ast.List | ast.Set):
        return not value.elts
    if isinstance(value, ast.Dict):
        return not value.keys
    return isinstance(value, ast.Call) and called(value) in ("list", "dict", "set") and not value.args


def _flat(value: Any, depth: int = 3) -> Iterator[Any]:
    if isinstance(value, nn.Module | Tensor):
        yield value
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from _flat(item, depth - 1)
    elif depth and isinstance(value, list | tuple | set):
        for item in value:
            yield from _flat(item, depth - 1)


# ---------------------------------------------------------------------------- one layer several times


def repeated_layers(subject: Subject) -> Iterator[Finding]:
    """Find containers that hold one and the same layer several times, as ``[layer] * n`` does."""
    for path, module in subject.model.named_modules():
        if not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            continue
        places: dict[int, list[str]] = defaultdict(list)
        for name, child in module._modules.items():
            if child is not None and any(True for _ in child.parameters()):
                places[id(child)].append(name)
        repeated = next((names for names in places.values() if len(names) > 1), None)
        if repeated is None:
            continue
        at = subject.where_built(path)
        at = _repetition(subject, at) or at
        shown = path or "model"
        owner = type(subject.model.get_submodule(path.rpartition(".")[0]))
        text = f"{shown} {at.text if at else ''} {owner.__name__} {owner.__doc__}".lower()
        child = module._modules[repeated[0]]
        yield found(
            "repeated-layer",
            _holder(subject.model, path),
            f"holds one {type(child).__name__} {len(repeated)} times, as [layer] * {len(repeated)} does, not copies",
            severity="info" if any(word in text for word in MEANT) else "warning",
            at=at,
            evidence=f"{shown}: entries {', '.join(repeated)} are one object and share their weights",
            effect="the network has one layer where several were meant",
            fix="Write nn.ModuleList([make_layer() for _ in range(n)]), or copy.deepcopy for each",
        )


def _holder(model: nn.Module, path: str) -> str:
    parent, _, name = path.rpartition(".")
    owner = model.get_submodule(parent)
    return f"{type(owner).__name__}.{name}" if path and code_of(type(owner)) else path or "model"


def _repetition(subject: Subject, at: Line | None) -> Line | None:
    """Return the line with ``[...] * n`` nearest to where the container was built."""
    lines = []
    for code in codes_of(subject):
        for node in walk(code.node):
            product = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
            if product and any(isinstance(item, ast.List) for item in ast.iter_child_nodes(node)):
                lines.append(code.line(node))
    near = [line for line in lines if at is not None and line.file == at.file]
    return min(near, key=lambda line: abs(line.line - at.line)) if near and at is not None else None


def codes_of(subject: Subject) -> list[Code]:
    """Return the trees of a model's classes, and then those of whole files of the user's."""
    codes = [code for _, _, code in own_classes(subject.model)]
    return [*codes, *(Code(file, "", whole) for file in subject.files if (whole := tree(file)) is not None)]


RULES = (mutable_defaults, repeated_layers)
