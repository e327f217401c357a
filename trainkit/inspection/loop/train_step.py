"""The user's own training step: the order of its calls, the gradients that each step uses, and the mode it runs in."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.first_step import is_ours
from trainkit.inspection.loop import around, beside, driven, following, graphs, handling, negated, repeated, undone
from trainkit.inspection.loop.watching import STRAY, Event, Watched, watched
from trainkit.inspection.source import Code, Line, called, code_of, walk
from trainkit.inspection.subject import Subject, found

MODED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


@dataclass(frozen=True)
class Step:
    """The user's step, and what was seen of it."""

    subject: Subject
    seen: Watched
    code: Code | None
    place: str

    @property
    def at(self) -> Line | None:
        """Its first line."""
        return self.code.line(self.code.node) if self.code is not None else None

    def call(self, *names: str) -> Line | None:
        """Return the line of its first call of one of some names."""
        made = next(self.code.calls(*names), None) if self.code is not None else None
        return None if made is None or self.code is None else self.code.line(made)


def steps(subject: Subject) -> Iterator[Finding]:
    """Take some steps of the user's, and hold them against the order that training needs."""
    if subject.train_step is None or subject.train_set is None:
        return
    yield from following.aliases(subject)
    seen, code = watched(subject), code_of(subject.train_step)
    step = Step(subject, seen, code, getattr(subject.train_step, "__name__", "train_step"))
    if seen.error is not None:
        early = list(_order(step))
        if early:
            yield from early
            return
        if is_ours(seen.error):
            raise seen.error  # a rule that fails is told as such
        message = f"raises on copies: {type(seen.error).__name__}: {' '.join(str(seen.error).split())[:200]}"
        at = _raised(seen.error) or step.at
        fix = "Mend that line; it is called as train_step(model, batch, loss, optimizer)"
        yield found("step-fails", step.place, message, at=at, effect="nothing can be trained", fix=fix)
        return
    if not seen.steps:
        return
    rules: tuple[Callable[[Any], Iterator[Finding]], ...] = (
        *(_stepping, _order, _wasted, _thrown_away, _carried, _foreign, _clipping, _mode),
        *graphs.RULES,
        *around.RULES,
        *beside.RULES,
        *repeated.RULES,
        *negated.RULES,
        *following.RULES,
        *undone.RULES,
        *handling.RULES,
    )
    for rule in rules:
        yield from rule(step)


def _raised(error: Exception) -> Line | None:
    from trainkit.inspection.first_step import raised_at

    return raised_at(error)


def _stepping(step: Step) -> Iterator[Finding]:
    seen, kinds = step.seen, {event.kind for events in step.seen.steps for event in events}
    if not any(seen.moved) and "backward" not in kinds:
        message = "never calls backward(): there are no gradients to step with"
        fix = "loss.backward() before optimizer.step()"
        yield found("backward-missing", f"{step.place}: backward", message, at=step.at, fix=fix)
        return
    stepped = {event.which for event in seen.events("step")}
    if not any(seen.moved) and stepped == {STRAY}:
        line = seen.events("step")[0].line
        yield found(
            "step-missing",
            f"{step.place}: step",
            "steps another optimizer than the one it is given: that one holds no parameter of this model (a copy's, "
            "another instance's), and the model never changes",
            at=line or step.at,
            evidence=f"{len(seen.steps)} steps on copies changed no parameter of the model",
            effect="nothing is trained",
            fix="optimizer.step() of the optimizer that is given, made of this model's parameters",
        )
        return
    if not any(seen.moved) and "step" not in kinds:
        constant = _constant_condition(step)
        waits = step.call("step") is not None and len(seen.steps) > 1
        yield found(
            "step-missing",
            f"{step.place}: step",
            f"{'has not called' if waits else 'never calls'} optimizer.step(): no parameter changes",
            severity="warning" if waits and constant is None else "error",
            at=constant or step.call("step") or step.at,
            evidence=f"{len(seen.steps)} steps on copies changed nothing"
            + ("; its condition has a wrong operator precedence: `a + 1 % n` is `a + (1 % n)`" if constant else ""),
            effect="nothing is trained",
            fix="optimizer.step() after loss.backward()",
        )
        return
    left = [n for n in range(len(step.subject.optimizers)) if n not in stepped]
    if left and stepped and len(step.subject.optimizers) > 1 and len(seen.steps) >= 6:
        yield found(
            "step-missing",
            f"{step.place}: step",
            f"never calls step() of optimizer {left[0]} ({_names(step.subject, left[0])}): these stay as they are",
            severity="warning" if step.code is not None and _branches(step.code) else "error",
            at=step.at,
            evidence=f"{len(seen.steps)} steps on copies, none by it",
            effect="a part of the model is not trained",
            fix=f"optimizers[{left[0]}].step() after its backward()",
        )


def _branches(code: Code) -> bool:
    """Say whether some of a step's calls hang on a condition."""
    return any(isinstance(node, ast.If | ast.IfExp | ast.For | ast.While) for node in walk(code.node))


def _constant_condition(step: Step) -> Line | None:
    """Return the line of a condition with the remainder of two plain numbers, which is one of precedence."""
    for node in walk(step.code.node) if step.code is not None else ():
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mod) or step.code is None:
            continue
        if isinstance(node.left, ast.Constant) and isinstance(node.left.value, int):
            return step.code.line(node)
    return None


def _names(subject: Subject, which: int) -> str:
    held = {id(p) for group in subject.optimizers[which].param_groups for p in group["params"]}
    names = [name for name, parameter in subject.model.named_parameters() if id(parameter) in held]
    return ", ".join(dict.fromkeys(name.split(".")[0] for name in names)) or "no parameter of the model"


def _order(step: Step) -> Iterator[Finding]:
    first = step.seen.steps[0] if step.seen.steps else []
    used = [event for event in step.seen.events("step") if event.norm > 0]
    order = [event.kind for event in first if event.kind in ("backward", "step")]
    if order and order[0] == "step" and "backward" in order:
        event = next(event for event in first if event.kind == "step")
        late = bool(used) and step.seen.error is None
        yield found(
            "step-before-backward",
            f"{step.place}: step",
            "calls optimizer.step() before backward(): each step uses the gradients of the batch before"
            if late
            else "calls optimizer.step() before backward(): there are no gradients to step with",
            severity="warning" if late else "error",
            at=event.line or step.at,
            evidence=f"order: {', '.join(event.kind for event in first if event.kind != 'forward')}",
            effect="updates come one batch late" if late else "nothing is trained, or the second step fails",
            fix="loss.backward(), then optimizer.step()",
        )


def _thrown_away(step: Step) -> Iterator[Finding]:
    """Tell of gradients that are cleared between backward and step."""
    for events in step.seen.steps:
        for number, event in enumerate(events):
            if event.kind != "step" or event.norm > 0:
                continue
            cleared = [e for e in events[:number] if e.kind == "zero_grad" and e.which in (None, event.which)]
            used = [e for e in events[:number] if e.kind == "backward"]
            if cleared and used and events.index(cleared[-1]) > events.index(used[-1]) and cleared[-1].norm > 0:
                yield found(
                    "gradients-thrown-away",
                    f"{step.place}: zero_grad",
                    "clears the gradients between backward() and step(): the step has none",
                    at=cleared[-1].line or step.at,
                    evidence=f"gradient norm {cleared[-1].norm:.3g} before zero_grad, 0 at the step",
                    effect="nothing is trained but by momentum and weight decay",
                    fix="zero_grad() before backward()",
                )
                return


def _wasted(step: Step) -> Iterator[Finding]:
    """Tell of accumulation that forgets: gradients cleared before a step has used them, while others are used."""
    wasted = [event for event in step.seen.events("zero_grad") if event.wasted]
    stepped = [event for event in step.seen.events("step") if event.norm > 0]
    if not stepped or len(wasted) < max(len(stepped), 2) or _gives_gradients(step):
        return
    if any(event.wasted for event in step.seen.steps[0]) and not any(
        _is_in_loop(step, event.line) for event in wasted[:1]
    ):
        return  # within one step, such as a first pass for its own sake
    backwards = len(step.seen.events("backward"))
    yield found(
        "gradients-thrown-away",
        f"{step.place}: zero_grad",
        "zero_grad() runs at every small batch, and step() only at some: all but the last gradients are thrown away",
        at=wasted[0].line or step.at,
        evidence=f"{backwards} backward passes, {len(stepped)} steps, {len(wasted)} times cleared unused",
        effect="accumulation only skips data: the batch is as small as without it",
        fix="zero_grad() right after step() only",
    )


def _gives_gradients(step: Step) -> bool:
    """Say whether the optimizer always steps along gradients that the step put there, such as a sum of its own."""
    moves = step.seen.moves.steps if step.seen.moves is not None else []
    if not moves or any(move.used is None or move.factor is not None for move in moves):
        return False
    for code in following.functions(step):
        for node in walk(code.node):
            given = isinstance(node, ast.Assign) and not isinstance(node.value, ast.Constant)
            targets = node.targets if isinstance(node, ast.Assign) else []
            if given and any(isinstance(target, ast.Attribute) and target.attr == "grad" for target in targets):
                return True
    return False


def _is_in_loop(step: Step, line: Line | None) -> bool:
    loops = (n for code in following.functions(step) for n in walk(code.node) if isinstance(n, ast.For | ast.While))
    return line is not None and any(_spans(node, line) for node in loops)


def _spans(node: ast.AST, line: Line) -> bool:
    first: int = getattr(node, "lineno", 0)
    return first <= line.line <= (getattr(node, "end_lineno", None) or first)


def _carried(step: Step) -> Iterator[Finding]:
    """Tell of gradients that add up over steps."""
    stepping = step.seen.events("step")
    for which in dict.fromkeys(event.which for event in stepping):
        own = [event for event in stepping if event.which == which]
        carried = [event for event in own[1:] if event.carried > 0.2]
        if len(own) < 3 or len(carried) < len(own) - 1:
            continue
        clears = step.seen.events("zero_grad")
        several = len(step.subject.optimizers) > 1
        name = f"the gradients of optimizer {which} ({_names(step.subject, which or 0)})" if several else "gradients"
        yield found(
            "gradients-accumulate",
            f"{step.place}: zero_grad",
            f"zero_grad() does not clear what the step uses: {name} of all steps add up"
            if clears
            else f"has no zero_grad(): {name} of all steps accumulate",
            at=(clears[0].line if clears and not several else None) or step.at,
            evidence=f"each of {len(own)} steps used the gradients of those before again, norms "
            f"{', '.join(f'{event.norm:.3g}' for event in own[:4])}",
            effect="updates follow the sum of all batches so far, ever larger",
            fix="optimizer.zero_grad() before loss.backward()",
        )
        return


def _foreign(step: Step) -> Iterator[Finding]:
    """Tell of gradients that another optimizer's loss left behind."""
    events = [event for event in step.seen.events("step") if event.foreign]
    if len(events) < 3:
        return
    event = events[0]
    yield found(
        "gradients-of-another-loss",
        f"{step.place}: zero_grad",
        f"optimizer {event.which} ({_names(step.subject, event.which or 0)}) also steps along gradients that another "
        "loss left behind: no zero_grad() clears them",
        severity="warning",
        at=event.line or step.at,
        evidence=f"in {len(events)} steps; its zero_grad comes before the other's backward",
        effect="both losses pull at these parameters, one of them backwards in adversarial training",
        fix="zero_grad() right before each backward(), and detach() what a loss is not to train",
    )


def _clipping(step: Step) -> Iterator[Finding]:
    for events in step.seen.steps:
        kinds = [event.kind for event in events]
        if "clip" not in kinds or "backward" not in kinds or "step" not in kinds:
            continue
        clip = kinds.index("clip")
        backward = len(kinds) - 1 - kinds[::-1].index("backward")
        last = len(kinds) - 1 - kinds[::-1].index("step")
        where = "before backward()" if clip < kinds.index("backward") else "after step()" if clip > last else ""
        others = [event for event in events if event.kind == "clip" and event is not events[clip]]
        if where and not others and (clip > last or clip < backward):
            yield found(
                "clip-in-vain",
                f"{step.place}: clip",
                f"clips the gradients {where}: the step uses them unclipped",
                at=events[clip].line or step.at,
                evidence=f"order: {', '.join(kind for kind in kinds if kind != 'forward')}",
                effect="one bad batch can throw the weights away",
                fix="Clip between backward() and step(): clip_grad_norm_(model.parameters(), max_norm)",
            )
            return
        if events[clip].disjoint:
            empty = step.seen.moves is not None and not any(c.held for each in step.seen.moves.clips for c in each)
            yield found(
                "clip-in-vain",
                f"{step.place}: clip",
                "clips nothing: it is given no parameter with a gradient (an iterator, such as filter(...) or a "
                "generator, is exhausted once it was read), and the step uses the gradients unclipped"
                if empty
                else "clips the gradients of parameters that no optimizer holds: the step uses others, unclipped",
                at=events[clip].line or step.at,
                effect="one bad batch can throw the weights away",
                fix="clip_grad_norm_(model.parameters(), max_norm)",
            )
            return


def _mode(step: Step) -> Iterator[Finding]:
    if not any(isinstance(module, MODED) for module in step.subject.model.modules()):
        return
    forwards = step.seen.events("forward")
    if forwards and not any(event.training for event in forwards):
        yield _in_eval(step, forwards)
        return
    learning = [[event.training for event in _learnt_from(events)] for events in step.seen.steps]
    if (
        len(learning) > 2
        and learning[0]
        and all(learning[0])
        and all(modes and not any(modes) for modes in learning[1:])
    ):
        yield _left_in_eval(step, learning)


def _in_eval(step: Step, forwards: list[Event]) -> Finding:
    moded = {type(module).__name__ for module in step.subject.model.modules() if isinstance(module, MODED)}
    return found(
        "trains-in-eval",
        f"{step.place}: eval",
        f"runs the model in eval(): {' and '.join(sorted(moded))} do not work as in training",
        at=_eval_line(step) or forwards[0].line or step.at,
        evidence=f"{len(forwards)} forward passes, none in train()",
        effect="training without dropout, and with batch norm's statistics of initialisation",
        fix="model.train() at the beginning of the step or epoch",
    )


def _learnt_from(events: list[Event]) -> list[Event]:
    """Return the forward passes that come before the last backward."""
    last = max((number for number, event in enumerate(events) if event.kind == "backward"), default=0)
    return [event for event in events[:last] if event.kind == "forward"]


def _left_in_eval(step: Step, learning: list[list[bool]]) -> Finding:
    return found(
        "trains-in-eval",
        f"{step.place}: eval",
        "leaves the model in eval() and never goes back to train(): all later steps train in evaluation mode",
        at=_eval_line(step) or step.at,
        evidence=f"the first step ran in train(), the {len(learning) - 1} after it in eval()",
        effect="training without dropout, and batch norm's statistics stop moving",
        fix="model.train() at the beginning of each step, or right after what is measured in eval()",
    )


def _eval_line(step: Step) -> Line | None:
    for node in walk(step.code.node) if step.code is not None else ():
        if isinstance(node, ast.Call) and step.code is not None:
            name = called(node).rpartition(".")[2]
            off = name == "train" and bool(node.args) and getattr(node.args[0], "value", None) is False
            if name == "eval" or off:
                return step.code.line(node)
    return None


RULES = (steps, *driven.RULES)
