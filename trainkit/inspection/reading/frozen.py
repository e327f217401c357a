"""Freezing that misses: names that no parameter has, the head in place of the backbone, tables that never learn."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.reading.loaded import is_fresh
from trainkit.inspection.reading.parts import assigned, targets_of
from trainkit.inspection.reading.starts import is_of_model
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Code, Line, called, code_of, tree, unparse, walk
from trainkit.inspection.step.structure import LINEAR
from trainkit.inspection.step.view import INPUT, WEIGHT, View, seen, source
from trainkit.inspection.subject import Subject, found

SAFE = (
    *(ast.Expression, ast.Name, ast.Load, ast.Constant, ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not),
    *(ast.In, ast.NotIn, ast.Eq, ast.NotEq, ast.Call, ast.Attribute, ast.List, ast.Tuple, ast.Set, ast.GeneratorExp),
    *(ast.comprehension, ast.Store, ast.Subscript, ast.USub),
)
"""Nodes of a condition on a name that may be evaluated."""
TEXTS = ("startswith", "endswith", "split", "lower", "strip", "rpartition", "partition", "find", "count")
FROZEN = "all of them are frozen, the head too"
"""What follows where a condition is what ``requires_grad`` is set to."""
RANDOM = re.compile(r"random|frozen|fixed|frozen|etf|hadamard|reservoir|teacher|target|ema|disc|critic|percept|vgg")
TABLES = re.compile(
    r"(^|_|\.)(pos|position|positions|pos_embed\w*|pos_emb\w*|positional\w*|cls|cls_token|query|queries"
    r"|token|prompt|prototypes?|latents?|slots?|seeds?)$"
)


def unmatched(subject: Subject) -> Iterator[Finding]:
    """Find conditions on parameters' names that no parameter meets."""
    names = _all_names(subject)
    for file in subject.files:
        whole = tree(file)
        if not is_of_model(whole, {cls.__name__ for module in subject.model.modules() for cls in type(module).__mro__}):
            continue  # the names may be those of another network
        for function in walk(whole) if whole is not None else ():
            if not isinstance(function, ast.FunctionDef):
                continue
            for variable, test, acts in _conditions(function):
                matched = [_meets(test, variable, name) for name in names]
                if not matched or any(item is not False for item in matched):
                    continue
                wanted = ", ".join(repr(n.value) for n in walk(test) if isinstance(n, ast.Constant))
                everything = acts == FROZEN
                yield found(
                    "name-matches-nothing",
                    f"{function.name}: {unparse(test)}",
                    f"selects parameters by a name that none has: {wanted} matches no parameter, so {acts}",
                    severity="error" if everything else "warning",
                    at=Code(file, function.name, function).line(test),
                    evidence=f"the model's parameters are {', '.join(list(subject.model.state_dict())[:4])}, ...",
                    effect="what was to be trained (a new head) stays at its random weights"
                    if everything
                    else "nothing is frozen (requires_grad stays True) or put in that group, without a word",
                    fix="Print [n for n, _ in model.named_parameters()], and use the prefix that they have",
                )
                return


def _all_names(subject: Subject) -> set[str]:
    """Return the parameters' names, as they are in the model and in each of its parts."""
    names: set[str] = set()
    for _, module in subject.model.named_modules():
        if any(True for _ in module.children()):
            names |= {name for name, _ in module.named_parameters()} | {
                name for name, _ in module.named_modules() if name
            }
    return names


def _conditions(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr, str]]:
    """Yield conditions on the name in loops over ``named_parameters()``, with what hangs on them."""
    for node in walk(function):
        if isinstance(node, ast.For) and _named(node.iter) and isinstance(node.target, ast.Tuple):
            variable = called(node.target.elts[0])
            for inner in node.body:
                if isinstance(inner, ast.If) and not inner.orelse and _freezes(inner):
                    yield variable, inner.test, "nothing is frozen"
                given = _given(inner)
                if given is not None and not isinstance(given, ast.Constant):
                    yield variable, given, FROZEN
        if isinstance(node, ast.ListComp | ast.GeneratorExp) and len(node.generators) == 1:
            generator = node.generators[0]
            if not _named(generator.iter) or len(generator.ifs) != 1 or _is_usual(generator.ifs[0]):
                continue
            if isinstance(generator.target, ast.Tuple):
                yield called(generator.target.elts[0]), generator.ifs[0], "the list is empty"


def _is_usual(test: ast.expr) -> bool:
    """Say whether a condition asks for kinds of parameters that every list of exceptions names: norms and biases."""
    words = [str(node.value).lower() for node in walk(test) if isinstance(node, ast.Constant)]
    return bool(words) and all(
        re.search(r"bias|norm|bn|^\.?ln|gamma|beta|embed|pos|cls|token|scale", word) for word in words
    )


def _named(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and called(node).endswith("named_parameters")


def _given(node: ast.stmt) -> ast.expr | None:
    """Return what a statement sets ``requires_grad`` to."""
    if (
        isinstance(node, ast.Expr)
        and called(node.value).endswith("requires_grad_")
        and isinstance(node.value, ast.Call)
    ):
        return node.value.args[0] if node.value.args else None
    named = any(isinstance(item, ast.Attribute) and item.attr == "requires_grad" for item in targets_of(node))
    return node.value if named and isinstance(node, ast.Assign) else None


def _freezes(node: ast.If) -> bool:
    for inner in walk(node):
        if isinstance(inner, ast.Call) and called(inner).endswith("requires_grad_"):
            return True
        if any(isinstance(item, ast.Attribute) and item.attr == "requires_grad" for item in targets_of(inner)):
            return True
    return False


def _meets(test: ast.expr, variable: str, name: str) -> bool | None:
    """Return what a condition says of a name; None if it asks for anything else."""
    bound = {
        item.id
        for node in walk(test)
        for item in walk(node)
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
    }
    for node in walk(test):
        if not isinstance(node, SAFE) or (isinstance(node, ast.Attribute) and node.attr not in TEXTS):
            return None
        if isinstance(node, ast.Name) and node.id not in {variable, "any", "all", *bound}:
            return None
    code = compile(ast.Expression(test), "<condition>", "eval")
    try:
        return bool(eval(code, {"__builtins__": {"any": any, "all": all}, variable: name}))
    except Exception:  # noqa: BLE001 - a condition that is no test of a text
        return None


def frozen_head(subject: Subject) -> Iterator[Finding]:
    """Find a last layer that is frozen at its random start while the layers before it train."""
    view = seen(subject)
    if view is None or not view.outputs:
        return
    op = source(view.outputs[0])[0]
    weight = _weight(op)
    if op is None or weight is None or weight.requires_grad or not op.module:
        return
    module = view.model.get_submodule(op.module)
    if not is_fresh(module) or RANDOM.search(op.module.lower()):
        return
    before = [item for item in view.recording.ancestors(op.inputs[0]) if _weight(item) is not None]
    if not before or not all(fact.requires_grad for fact in (_weight(item) for item in before[:1]) if fact is not None):
        return
    kind, count = type(module).__name__, sum(p.numel() for p in module.parameters())
    trained = next(fact.name for item in before if (fact := _weight(item)) is not None)
    yield found(
        "head-frozen",
        op.module,
        f"is the last layer (the head), a new {kind}, and frozen: requires_grad is False, so it stays at its random "
        "initial weights and is not trained",
        severity="warning",
        at=_freezing(subject, op.module) or subject.where_built(op.module),
        evidence=f"{count:,} weights as PyTorch initialises them, without gradient; {trained} before it trains",
        effect="the features have to fit random answers: the wrong part is frozen",
        fix=f"model.{op.module}.requires_grad_(True), and freeze the backbone instead",
    )


def _weight(op: Op | None) -> Fact | None:
    if op is None or op.name not in LINEAR or len(op.inputs) < 2 or not op.inputs[1].name:
        return None
    return op.inputs[1]


def _freezing(subject: Subject, path: str) -> Line | None:
    """Return the line that freezes a part: the loop over its parameters, else what sets requires_grad."""
    first: Line | None = None
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.For) and called(node.iter).endswith("parameters") and _freezes_all(node):
                at = Line(file, node.lineno)
                if f".{path}." in f".{called(node.iter)}":
                    return at
                first = first or at
            if isinstance(node, ast.Call) and called(node).endswith("requires_grad_"):
                first = first or Line(file, node.lineno)
    return first


def _freezes_all(node: ast.For) -> bool:
    return any(isinstance(inner, ast.Attribute) and inner.attr.startswith("requires_grad") for inner in walk(node))


def still_tables(subject: Subject) -> Iterator[Finding]:
    """Find tables of positions, queries and tokens that are constant and can never change."""
    view = seen(subject)
    if view is None:
        return
    buffers = {name for name, _ in subject.model.named_buffers()}
    still = {name: p for name, p in subject.model.named_parameters() if not p.requires_grad} | dict(
        subject.model.named_buffers()
    )
    written = {op.inputs[0].name for op in view.recording.ops if op.in_place and op.inputs}
    for name, tensor in still.items():
        owner, _, last = name.rpartition(".")
        if not TABLES.search(name) or name in written or not _is_flat(tensor) or not _meets_data(view, name):
            continue
        if _is_changed(subject, last):
            continue
        module = subject.model.get_submodule(owner)
        at = assigned(module, last) or _registered(module, last)
        what = "a buffer" if name in buffers else "a parameter with requires_grad=False (frozen)"
        empty = not bool(tensor.any())
        yield found(
            "table-never-learns",
            f"{type(module).__name__}.{last}",
            f"is {what} of {'zeros' if empty else 'equal rows'}, no trainable nn.Parameter: it is never trained "
            "and says the same of every position",
            severity="error" if name in buffers and empty else "warning",
            at=at[0] if at is not None else None,
            evidence=f"{name} {tuple(tensor.shape)}, all rows equal, no gradient",
            effect="what it is to learn (positions, a query, a token) is not there at all",
            fix=f"self.{last} = nn.Parameter(torch.randn({', '.join(map(str, tensor.shape))}) * 0.02)",
        )
        return


def _is_changed(subject: Subject, name: str) -> bool:
    """Say whether a function of the user's other than ``__init__`` writes to an attribute of that name."""
    for file in subject.files:
        whole = tree(file)
        for function in walk(whole) if whole is not None else ():
            if not isinstance(function, ast.FunctionDef) or function.name == "__init__":
                continue
            for node in walk(function):
                targets = [item.value if isinstance(item, ast.Subscript) else item for item in targets_of(node)]
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_"):
                    targets.append(node.func.value)
                if any(name in called(target).split(".") for target in targets):
                    return True
    return False


def _is_flat(tensor: Tensor) -> bool:
    """Say whether a table has several values, and the same for each place."""
    if not tensor.is_floating_point() or tensor.dim() < 2 or tensor.numel() < 2:
        return False
    rows = tensor.detach().reshape(-1, tensor.shape[-1])
    if len(rows) < 2:
        return not bool(rows.any())
    return bool((rows - rows[:1]).abs().max() <= 1e-5 * rows.abs().max())


def _meets_data(view: View, name: str) -> bool:
    """Say whether a step adds, joins or multiplies a table and what came from the inputs."""
    for op in view.path:
        if any(_is_of(fact, name) for fact in op.inputs):
            others = [fact for fact in op.inputs if not _is_of(fact, name)]
            if any(view.came(fact) & {INPUT, WEIGHT} for fact in others):
                return True
    return False


def _is_of(fact: Fact, name: str) -> bool:
    while fact.maker is not None and fact.maker.inputs and not fact.name:
        if fact.maker.name not in ("expand", "t", "transpose", "getitem", "to", "repeat", "unsqueeze", "T"):
            return False
        fact = fact.maker.inputs[0]
    return fact.name == name


def _registered(module: nn.Module, name: str) -> tuple[Line, ast.AST] | None:
    code = code_of(type(module))
    for call in code.calls("register_buffer", "register_parameter") if code is not None else ():
        if call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == name and code is not None:
            return code.line(call), call
    return None


RULES = (unmatched, frozen_head, still_tables)
