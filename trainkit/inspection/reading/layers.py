"""Layers lost or doubled where a class makes them: written over, under one key twice, shallow copies, equal members."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.reading.parts import assigned, targets_of
from trainkit.inspection.source import Code, Line, called, own_classes, tree, walk
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

MAPPINGS = ("OrderedDict", "ModuleDict", "ParameterDict", "dict")
ROLES = (
    *(("encoder", "decoder"), ("actor", "critic"), ("generator", "discriminator"), ("up", "down"), ("mean", "logvar")),
    *(("query", "value"), ("q", "v"), ("mu", "sigma")),
    *(("policy", "value"), ("mu", "logvar"), ("source", "target_encoder"), ("inp", "out"), ("input", "output")),
)
"""Names of two roles that one layer can hardly play."""
SHARED = ("shar", "tie", "tying", "same", "siamese", "albert", "recurrent", "reuse", "repeat", "twice", "unroll")
METHODS = ("parameters", "named_parameters", "modules", "children", "buffers", "state_dict", "apply", "zero_grad")
MARKED = ("property", "setter", "overload", "getter", "deleter")


def overwritten(subject: Subject) -> Iterator[Finding]:
    """Find attributes that are set to one layer after another, of which the last is left."""
    for path, module, code in own_classes(subject.model):
        for method in code.methods().values():
            for target, where in _rewritten(method):
                child = getattr(module, target.attr, None)
                if not isinstance(child, nn.Module) or not any(True for _ in child.parameters()):
                    continue
                loop = where == "loop"
                kind = type(child).__name__
                yield found(
                    "layer-overwritten",
                    f"{code.name}.{target.attr}",
                    f"is set to a new {kind} in each turn of a loop: each overwrites the one before, and only the last "
                    "layer is left"
                    if loop
                    else f"is set twice: the second {kind} overwrites the first, lost (another name is meant?)",
                    severity="warning",
                    at=method.line(target),
                    evidence=f"the model has one {kind} at {f'{path}.{target.attr}'.lstrip('.')}",
                    effect="the network has one layer, shared by every use, where several were meant",
                    fix=f"self.{target.attr}s = nn.ModuleList([{kind}(...) for _ in range(n)])"
                    if loop
                    else "Give the second layer a name of its own, and call it in forward",
                )


def _rewritten(method: Code) -> Iterator[tuple[ast.Attribute, str]]:
    """Yield attributes of self that a loop, or two statements of one block, set to the result of a call."""
    for node in walk(method.node):
        if isinstance(node, ast.For | ast.While) and not any(isinstance(n, ast.Break) for n in walk(node)):
            for target in _set_in(node.body):
                if not _is_read(node.body, target.attr):
                    yield target, "loop"
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if not isinstance(block, list) or isinstance(node, ast.ClassDef):
                continue
            first: dict[str, int] = {}
            for number, statement in enumerate(block):
                for target in _set_in([statement]):
                    before = first.get(target.attr)
                    value = getattr(statement, "value", statement)
                    between = [value, *block[before + 1 : number]] if before is not None else []
                    if before is not None and not _is_read(between, target.attr):
                        yield target, "twice"
                    first[target.attr] = number


def _set_in(block: list[ast.stmt]) -> list[ast.Attribute]:
    return [
        target
        for statement in block
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
        for target in targets_of(statement)
        if isinstance(target, ast.Attribute) and called(target) == f"self.{target.attr}"
    ]


def _is_read(nodes: list[ast.stmt] | list[ast.AST], attribute: str) -> bool:
    """Say whether something reads an attribute, or everything that a module holds."""
    for node in nodes:
        for inner in walk(node):
            if not isinstance(inner, ast.Attribute | ast.Name) or not isinstance(inner.ctx, ast.Load):
                continue
            name = inner.attr if isinstance(inner, ast.Attribute) else inner.id
            if name in (attribute, "modules", "children", "parameters", "apply"):
                return True
    return False


def same_keys(subject: Subject) -> Iterator[Finding]:
    """Find layers under one key twice, and methods that are defined twice."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            code = Code(file, "", node)
            for key, second in _doubled(node):
                yield found(
                    "key-twice",
                    f"{called(node).rpartition('.')[2] or 'dict'}: {key!r}",
                    f"holds the key {key!r} twice (duplicate): the second overwrites the first, whose layer is lost",
                    at=code.line(second),
                    evidence=f"line {code.line(second).line}",
                    effect="the network has one layer less than it is written, and in another order",
                    fix="Give each layer a name of its own, such as relu1 and relu2",
                )
    for _, _, code in own_classes(subject.model):
        methods = [node for node in getattr(code.node, "body", ()) if isinstance(node, ast.FunctionDef)]
        plain = [node for node in methods if not any(_is_marked(item) for item in node.decorator_list)]
        counts = Counter(node.name for node in plain)
        for name in [name for name, count in counts.items() if count > 1]:
            last = [node for node in plain if node.name == name][-1]
            yield found(
                "method-twice",
                f"{code.name}.{name}",
                f"is defined twice in {code.name}: the second definition overwrites the first, which never runs",
                severity="warning",
                at=code.line(last),
                evidence=f"{counts[name]} definitions of {name}",
                effect="what the first does, never happens",
                fix="Keep one of them, or give it another name",
            )


def _is_marked(decorator: ast.expr) -> bool:
    name = called(decorator).rpartition(".")[2]
    return name in MARKED or isinstance(decorator, ast.Call) or name == "register"


def _doubled(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield keys that a literal mapping of layers holds twice, with the second."""
    keys: list[ast.expr] = []
    if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in MAPPINGS and node.args:
        listed = node.args[0]
        pairs = listed.elts if isinstance(listed, ast.List | ast.Tuple) else []
        keys = [pair.elts[0] for pair in pairs if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 and _makes(pair)]
    elif isinstance(node, ast.Dict):
        keys = [key for key, value in zip(node.keys, node.values, strict=True) if key is not None and _makes(value)]
    seen_keys: set[str] = set()
    for key in keys:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            if key.value in seen_keys:
                yield key.value, key
                return
            seen_keys.add(key.value)


def _makes(node: ast.AST) -> bool:
    """Say whether an expression makes a layer, by its name."""
    names = (called(inner).rpartition(".")[2] for inner in walk(node) if isinstance(inner, ast.Call))
    return any(name[:1].isupper() and hasattr(nn, name) for name in names)


def alike(subject: Subject) -> Iterator[Finding]:
    """Find siblings that share their weights without being one module, and copies that start and stay equal."""
    view = seen(subject)
    for path, parent in subject.model.named_modules():
        children = [(name, child) for name, child in parent.named_children() if any(True for _ in child.parameters())]
        for number, (name, child) in enumerate(children):
            weights = list(child.parameters())
            for other, twin in children[number + 1 : number + 2]:
                theirs = list(twin.parameters())
                if type(twin) is not type(child) or len(theirs) != len(weights):
                    continue
                names = [f"{path}.{item}".lstrip(".") for item in (name, other)]
                if all(one is two for one, two in zip(weights, theirs, strict=True)):
                    if child._parameters is not twin._parameters:
                        continue  # tied on purpose: one.weight = two.weight
                    yield _shallow(subject, path, names, type(child).__name__)
                    return
                if view is not None and _stay_equal(view, names, child):
                    yield _equal(subject, path, names, type(child).__name__)
                    return


def _shallow(subject: Subject, path: str, names: list[str], kind: str) -> Finding:
    place, at = _made(subject, path, names[0])
    return found(
        "repeated-layer",
        place,
        f"holds copies of one {kind} that share the same weights, as copy.copy makes them (a shallow copy, no "
        "copy.deepcopy)",
        severity="warning",
        at=at,
        evidence=f"{names[0]} and {names[1]} are two modules with identical parameters",
        effect="the network has the weights of one layer where several were meant",
        fix="Make each anew, [make_layer() for _ in range(n)], or use copy.deepcopy",
    )


def _stay_equal(view: View, names: list[str], child: nn.Module) -> bool:
    """Say whether two modules have equal weights and get equal gradients: by symmetry they never differ."""
    mine, theirs = (view.model.get_submodule(name) for name in names)
    pairs = list(zip(mine.named_parameters(), theirs.named_parameters(), strict=True))
    matrices = [p for p in child.parameters() if p.dim() > 1]
    if not matrices or any(p.numel() < 2 or bool((p == p.flatten()[0]).all()) for p in matrices):
        return False
    if not all(torch.equal(one, two) for (_, one), (_, two) in pairs if one.shape == two.shape):
        return False
    for (key, one), (_, two) in pairs:
        slopes = [view.gradients.get(f"{name}.{key}") for name in names]
        if one.shape != two.shape or slopes[0] is None or slopes[1] is None or not bool(slopes[0].any()):
            return False
        if not torch.allclose(slopes[0], slopes[1], rtol=1e-4, atol=1e-6 * float(slopes[0].abs().max())):
            return False
    return True


def _equal(subject: Subject, path: str, names: list[str], kind: str) -> Finding:
    place, at = _made(subject, path, names[0])
    return found(
        "equal-members",
        place,
        f"holds copies of one {kind} with identical initial weights (copy.deepcopy keeps the init), which get the same "
        "gradient: by symmetry they stay the same",
        severity="warning",
        at=at,
        evidence=f"{names[0]} and {names[1]} have equal weights and equal gradients in a training step",
        effect="an ensemble of equal members (heads, experts) is one member: no diversity",
        fix="Make each member anew, so that each has an init of its own: [make() for _ in range(n)]",
    )


def _made(subject: Subject, path: str, first: str) -> tuple[str, Line | None]:
    owner, _, name = path.rpartition(".")
    parent = subject.model.get_submodule(owner)
    named = name if path else first.rpartition(".")[2]
    at = assigned(parent if path else subject.model, named)
    place = f"{type(parent if path else subject.model).__name__}.{named}"
    return place, at[0] if at is not None else subject.where_built(path or first)


def aliases(subject: Subject) -> Iterator[Finding]:
    """Find one layer under two names that say two roles, or two numbers."""
    for path, parent in subject.model.named_modules():
        names: dict[int, list[str]] = {}
        for name, child in parent._modules.items():
            if child is not None and any(p.requires_grad for p in child.parameters()) and not name.isdigit():
                names.setdefault(id(child), []).append(name)
        for one, other in (same[:2] for same in names.values() if len(same) > 1):
            at = assigned(parent, other)
            around = " ".join(Line(at[0].file, at[0].line + step).text for step in (-1, 0)).lower() if at else ""
            if at is None or any(word in around for word in SHARED):
                continue
            numbered = one.rstrip("0123456789") == other.rstrip("0123456789") != one
            opposed = any({one.strip("_"), other.strip("_")} == set(pair) for pair in ROLES)
            kind = type(getattr(parent, one)).__name__
            yield found(
                "layer-is-alias",
                f"{type(parent).__name__}.{other}",
                f"is the same {kind} as {one}, not a second one: two names for one layer with shared weights (no copy)",
                severity="warning" if numbered or opposed else "info",
                at=at[0],
                evidence=f"{f'{path}.{one}'.lstrip('.')} and {f'{path}.{other}'.lstrip('.')} are one object",
                effect="the network has one layer where two are named; what trains one changes the other",
                fix=f"Make it anew: self.{other} = {kind}(...), or copy.deepcopy(self.{one})",
            )
            return


def shadowed(subject: Subject) -> Iterator[Finding]:
    """Find attributes that hide a method of nn.Module."""
    for path, module, code in own_classes(subject.model):
        own = {**vars(module), **module._parameters, **module._modules, **module._buffers}
        for name in own:
            if name not in METHODS or callable(vars(module).get(name)):
                continue
            at = assigned(module, name)
            yield found(
                "method-hidden",
                f"{code.name}.{name}",
                f"is an attribute named {name}, which hides the method nn.Module.{name}() of {path or 'the model'} "
                "(shadows, overwrites it)",
                at=at[0] if at is not None else None,
                evidence=f"self.{name} is a {type(own[name]).__name__}",
                effect=f"what calls {name}() fails or does another thing",
                fix=f"Give it another name: self.{name}_",
            )


RULES = (overwritten, same_keys, alike, aliases, shadowed)
