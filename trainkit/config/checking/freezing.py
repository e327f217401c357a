"""The freeze plan of a config held against the names of the network, and against the length of the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from trainkit.config.checking.fields import MISSING, Fields, Unclear
from trainkit.config.checking.networks import Network, is_known, told_as, written_at
from trainkit.config.paths import at, related
from trainkit.config.schema.keys import target_keys
from trainkit.errors import ConfigError, nearest
from trainkit.findings import Finding
from trainkit.optim.groups import START, Group, head_of, sort
from trainkit.optim.rules import HEAD, Gate, Plateau, Rule, matches, read_rules
from trainkit.timing import Duration, Moment
from trainkit.values import judged

KEY = "freeze.rules"
ANY = {"match": "*"}
PRESET = ("lr_decay", "lr_scale", "thaw_every", "thaw", "warmup")
"""Keys of presets, which mean something only where a rule refers to them."""
SHOWN, TYPES = 4, 12
HEADS = ("head", "heads", "fc", "classifier", "linear")
"""What other networks call their last layer."""
LIKE = 0.6
"""From this likeness on, a name is proposed."""


def plan_findings(fields: Fields, network: Network) -> Iterator[Finding]:
    """Yield what is wrong with the rules of the freeze plan: their reading, their names, what they leave to train."""
    read, unread = _read(fields)
    yield from unread
    yield from _unused_keys(fields)
    yield from _options(fields, read)
    ends = _Ends(fields)
    yield from _gates(fields, read, ends)
    model = network.model
    if model is None or not read:
        return
    try:
        head = head_of(model, network.heads)
    except ConfigError:
        return
    unmatched = list(_unmatched(fields, model, read, head))
    yield from unmatched
    if not unmatched and len(read) == len(at(fields.config, KEY)):
        groups = sort(model, list(read.values()), head)
        yield from _groups(fields, network, groups, {id(rule): number for number, rule in read.items()}, ends)


def gate_findings(fields: Fields) -> Iterator[Finding]:
    """Yield the rules whose ``from`` or ``until`` the run does not reach; the network need not be known for it."""
    yield from _gates(fields, _read(fields)[0], _Ends(fields))


def _read(fields: Fields) -> tuple[dict[int, Rule], list[Finding]]:
    """Return the rules that can be read, by number, and why others cannot."""
    given = at(fields.config, KEY)
    read: dict[int, Rule] = {}
    found: list[Finding] = []
    for number, rule in enumerate(given if isinstance(given, list) else ()):
        if any(related(f"{KEY}[{number}]", place) for place in fields.wrong) or _is_open(rule):
            continue
        try:
            # those before it that can be read: each plateau is the one after theirs
            before = [given[other] if other in read else ANY for other in range(number)]
            read[number] = read_rules([*before, rule], KEY)[number]
        except ConfigError as error:
            found.append(told_as(fields, "bad-freeze-rule", error, f"{KEY}[{number}]"))
    return read, found


def _options(fields: Fields, read: Mapping[int, Rule]) -> Iterator[Finding]:
    """Hold the options of each rule against what the optimizer takes; another name would have no effect."""
    target = fields.target("optimizer")
    known = target_keys(target) or {}
    own = [name for name in ("lr", "weight_decay") if name in known]
    for number, rule in read.items() if known else ():
        for name, value in rule.options.items():
            place = f"{KEY}[{number}].options.{name}"
            if name in own:
                yield fields.finding("bad-freeze-rule", place, "is a key of the rule itself", fix=f"Write {name} there")
            elif name not in known:
                near = nearest(name, list(known), LIKE)
                fix = (
                    f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(n for n in known if n not in own)}"
                )
                message = f"{target.rpartition('.')[2]} has no such option"
                yield fields.finding("bad-freeze-rule", place, message, fix=fix)
            elif wrong := judged(value, known[name].annotation, known[name].rules):
                yield fields.finding("bad-freeze-rule", place, wrong.message, fix=wrong.fix)


def _is_open(value: Any) -> bool:
    """Say whether something in a rule is not known yet."""
    if isinstance(value, Mapping):
        return any(map(_is_open, value.values()))
    if isinstance(value, list):
        return any(map(_is_open, value))
    return isinstance(value, str) and (value == MISSING or "${" in value)


def _unused_keys(fields: Fields) -> Iterator[Finding]:
    """Refuse a key of a preset that the command line sets while no rule refers to it."""
    for key in PRESET:
        place = f"freeze.{key}"
        if fields.by_line(place) and f"${{{place}}}" not in str(at(fields.raw, KEY)):
            fix = f"Say it in {KEY}, or choose the preset too, such as freeze=gradual"
            yield fields.finding("no-effect", place, "no rule of the freeze plan refers to it", fix=fix)


# ---------------------------------------------------------------------- names


def _unmatched(fields: Fields, model: nn.Module, read: Mapping[int, Rule], head: Sequence[str]) -> Iterator[Finding]:
    """Yield patterns that match nothing, and rules that leave nothing to match to a later one."""
    modules = dict(model.named_modules())
    taken: dict[str, int] = {}
    ancestors = {name: _above(name, modules) for name, _ in model.named_parameters()}
    for number, rule in read.items():
        matched: dict[str, None] = {}
        listed = isinstance(at(fields.config, f"{KEY}[{number}].match"), list)
        silent = False
        for index, pattern in enumerate(rule.match):
            own = [name for name, above in ancestors.items() if matches(pattern, name, above, head)]
            matched |= dict.fromkeys(own)
            if not own:
                silent = True
                place = f"{KEY}[{number}].match" + (f"[{index}]" if listed else "")
                message, fix = "matches no parameter of the model", _near(pattern, model)
                yield fields.finding("unmatched-rule", place, message, fix=fix)
        if not silent and all(name in taken for name in matched):
            first = sorted({taken[name] for name in matched})
            earlier = ", ".join(f"{KEY}[{other}] ({read[other]})" for other in first[:SHOWN])
            message = f"all that it matches belongs to {earlier}, for the first that matches wins"
            fix = f"Put it before {KEY}[{first[0]}]"
            yield fields.finding("hidden-rule", f"{KEY}[{number}].match", message, fix=fix)
        taken = {**dict.fromkeys(matched, number), **taken}


def _above(name: str, modules: Mapping[str, nn.Module]) -> list[tuple[str, nn.Module]]:
    parts = name.split(".")[:-1]
    paths = [".".join(parts[:count]) for count in range(len(parts) + 1)]
    return [(path, modules[path]) for path in paths]


def _near(pattern: str, model: nn.Module) -> str:
    """Return the names that a pattern may have meant, or those at the top of the model."""
    tops = [name for name, module in model.named_children() if any(True for _ in module.parameters())]
    if pattern.startswith("re:"):
        return f"It must match a whole name; the model has {', '.join(tops)}"
    with_parameters = [
        (name, module) for name, module in model.named_modules() if any(True for _ in module.parameters())
    ]
    if pattern.startswith("type:"):
        types = list(dict.fromkeys(f"type:{type(module).__name__}" for _, module in with_parameters))
        return _meant(pattern, types, 0.7) or f"The model has {', '.join(types[:TYPES])}"
    modules = [name for name, _ in with_parameters if name]
    stem, rest = (pattern[:-2], ".*") if pattern.endswith(".*") else (pattern, "")
    names = [
        *([HEAD] if stem.startswith("@") else []),
        *modules,
        *(() if rest else (name for name, _ in model.named_parameters())),
    ]
    if pattern.startswith("*.") and not rest:
        names = [f"*.{leaf}" for leaf in dict.fromkeys(name.rpartition(".")[2] for name in names)]
    level = [name for name in names if name.count(".") == stem.count(".")]
    if near := nearest(stem, level, LIKE) or nearest(stem, names, LIKE):
        return f"Did you mean {near[0] + rest * (near[0] != HEAD)!r}?"
    if stem.partition(".")[0] in HEADS:
        return f"Did you mean {HEAD!r}?"
    return f"The model has {', '.join(tops)}" if tops else ""


def _meant(pattern: str, names: Sequence[str], cutoff: float) -> str:
    found = nearest(pattern, names, cutoff)
    return f"Did you mean {found[0]!r}?" if found else ""


# ---------------------------------------------------------------------- what trains, and when


class _Ends:
    """Says of a gate whether it comes while there is still something to train; None where that is not known."""

    def __init__(self, fields: Fields) -> None:
        self.epochs: float | None = None
        self.steps: int | None = None
        self.per_epoch: int | None = None
        self.validations: int | None = None
        self.patience = 3
        self.limit = ""
        self.is_trial = False
        try:
            self._look(fields)
        except Unclear:
            self.epochs = self.steps = self.validations = None

    def _look(self, fields: Fields) -> None:
        if fields.get("trainer.fast_dev_run"):
            return
        settings = fields.settings()
        self.epochs, self.per_epoch, self.steps = settings.max_epochs, fields.epoch_steps(), settings.max_steps
        if self.epochs is not None and self.per_epoch is not None:
            self.steps = min(self.per_epoch * settings.max_epochs, self.steps or math.inf)  # type: ignore[assignment,operator]
        self.limit = f"max_steps={self.steps}" if self.epochs is None else f"max_epochs={self.epochs:g}"
        self.is_trial = bool(settings.overfit_batches or settings.limit_train_batches is not None)
        patience = fields.get("freeze.patience")
        self.patience = patience if type(patience) is int and patience > 0 else 3
        share = settings.val_check_interval
        if settings.limit_val_batches == 0:
            self.validations = 0
        elif self.epochs is not None and isinstance(share, float) and self.steps is None:
            self.validations = int(self.epochs) // settings.check_val_every_n_epoch * max(1, int(1 / share + 1e-9))

    def reaching(self, gate: Gate | None) -> str:
        """Return what makes a run long enough for a gate; empty where that is not known."""
        if not isinstance(gate, Duration) or (gate.unit == "ep") != self.limit.startswith("max_epochs"):
            return ""
        return f"trainer.{self.limit.partition('=')[0]}={int(gate.value) + 1} reaches it"

    def comes(self, gate: Gate, times: int = 1) -> bool | None:
        """Say whether ``times`` the gate's length ends before the run does."""
        if isinstance(gate, Plateau):  # the first validation is the best so far
            if self.validations is None:
                return None
            return 1 + self.patience * gate.number * times < self.validations
        length = gate.value * times
        if gate.unit == "ep" and self.epochs is not None and length >= self.epochs:
            return False
        steps = length if gate.unit == "st" else None if self.per_epoch is None else length * self.per_epoch
        if steps is not None and self.steps is not None:
            return steps < self.steps
        return None if gate.unit == "st" or self.epochs is None else True


def _gates(fields: Fields, read: Mapping[int, Rule], ends: _Ends) -> Iterator[Finding]:
    """Hold ``from`` and ``until`` of each rule against the length of the run, and a plateau against validations."""
    impatient = False
    for number, rule in read.items():
        for name, gate in (("from", rule.start), ("until", rule.until), ("thaw_every", rule.thaw_every)):
            place = written_at(fields, f"{KEY}[{number}].{name}")
            late = gate is not None and ends.comes(gate) is False
            if isinstance(gate, Plateau) and late:
                if ends.validations == 0:
                    message = "no plateau comes without a validation: trainer.limit_val_batches=0"
                    yield fields.finding("never-thaws", place, message, fix="Give a duration, such as 3ep")
                elif not impatient and gate.number == 1:
                    impatient = True
                    message = (
                        f"of the {ends.validations} validations of this run so many are never waited for "
                        f"before its end, so the plateau of {place} does not come"
                    )
                    yield fields.finding("never-thaws", "freeze.patience", message, severity="warning")
            elif late and name != "thaw_every":
                yield _late(fields, place, rule, name, ends)
        yield from _order(fields, number, rule)


def _late(fields: Fields, place: str, rule: Rule, name: str, ends: _Ends) -> Finding:
    """Return what a gate after the end of the run means: no thawing, or no freezing."""
    message = f"the run ends before, at trainer.{ends.limit}"
    if (name == "from") == rule.trainable:
        severity, effect = ("warning" if ends.is_trial else "error"), f"{rule} never trains"
        fix = ends.reaching(rule.start if name == "from" else rule.until)
        return fields.finding("never-thaws", place, message, severity=severity, effect=effect, fix=fix)  # type: ignore[arg-type]
    effect = f"{rule} is never frozen"
    return fields.finding("never-freezes", place, message, severity="warning", effect=effect)


def _order(fields: Fields, number: int, rule: Rule) -> Iterator[Finding]:
    """Refuse ``until`` that is not after ``from``."""
    start, until = rule.start, rule.until
    if not isinstance(start, Duration) or not isinstance(until, Duration) or start.unit != until.unit:
        return
    if until.value <= start.value:
        effect = "never trains" if rule.trainable else "is never frozen"
        message = f"is not after from={start}"
        yield fields.finding("never-thaws", f"{KEY}[{number}].until", message, effect=f"{rule} {effect}")


def _groups(
    fields: Fields, network: Network, groups: Sequence[Group], numbers: Mapping[int, int], ends: _Ends
) -> Iterator[Finding]:
    """Yield what the plan as a whole leaves frozen that it should not; ``numbers`` are those of the rules, by id."""
    if idle := _idle(groups, ends):
        fix = 'A rule must leave some parameters trainable, such as {match: "@head"} as the first'
        yield fields.finding("nothing-trains", KEY, f"nothing is left to train{idle}", fix=fix)
        return
    for rule in [group.rule for group in groups if group.rule and group.rule.thaw_every and group.distance == 1]:
        staged = [group for group in groups if group.rule is rule and group.distance]
        yield from _stages(fields, f"{KEY}[{numbers[id(rule)]}].thaw_every", staged, ends)
    for group in groups:
        if not group.ever_trainable and group.rule and (held := [n for n in group.parameters if network.holds(n)]):
            message = f"keeps {held[0]} frozen, which belongs to a new head and is random"
            place = f"{KEY}[{numbers[id(group.rule)]}].match"
            fix = f'Put {{match: "{HEAD}"}} before it'
            yield fields.finding("frozen-head", place, message, severity="warning", fix=fix)
    yield from _random(fields, groups)


def _idle(groups: Sequence[Group], ends: _Ends) -> str:
    """Return when nothing trains: always, at the start, or after a gate; empty where something always does."""
    if not any(group.ever_trainable for group in groups):
        return " at any time"
    if not any(group.holds(START, 0) for group in groups):
        return " at the start"
    rules = [group.rule for group in groups if group.rule]
    gates = dict.fromkeys(gate for rule in rules for gate in (rule.start, rule.until, rule.thaw_every) if gate)
    lengths = [gate for gate in gates if isinstance(gate, Duration)]
    if len(lengths) < len(gates) or (ends.per_epoch is None and len({gate.unit for gate in lengths}) > 1):
        return ""  # where a plateau comes in between is not known
    for gate in lengths:
        per_epoch = ends.per_epoch or 1
        epochs = gate.value if gate.unit == "ep" else gate.value / per_epoch
        moment = Moment(epochs, round(epochs * per_epoch), 0.0)
        if ends.comes(gate) is not False and not any(group.holds(moment, 0) for group in groups):
            return f" after {gate}"
    return ""


def _stages(fields: Fields, place: str, staged: Sequence[Group], ends: _Ends) -> Iterator[Finding]:
    """Hold a timetable of stages against the length of the run."""
    gate = staged[0].rule.thaw_every if staged[0].rule else None
    late = [group for group in staged if gate is not None and ends.comes(gate, group.distance) is False]
    if not late or gate is None or (isinstance(gate, Plateau) and ends.comes(gate) is False):
        return
    if isinstance(gate, Plateau):
        fix, reason = "", f"this run has {ends.validations} validations"
    else:
        deepest = max(group.distance for group in staged) * gate.value
        fix = f"trainer.max_{'epochs' if gate.unit == 'ep' else 'steps'}={int(deepest) + 1} reaches the last"
        reason = f"the run ends at trainer.{ends.limit}"
    all_late = len(late) == len(staged)
    names = ", ".join(str(group.name).partition("[")[2].partition("]")[0] for group in late[:SHOWN])
    names += ", ..." if len(late) > SHOWN else ""
    effect = "nothing below the head ever trains" if all_late else f"these stages never train: {names}"
    message = f"{reason} before {len(late)} of {len(staged)} stages thaw"
    severity = "error" if all_late and not ends.is_trial else "warning"
    yield fields.finding("never-thaws", written_at(fields, place), message, severity=severity, effect=effect, fix=fix)  # type: ignore[arg-type]


def _random(fields: Fields, groups: Sequence[Group]) -> Iterator[Finding]:
    """Warn of a plan that freezes what nothing has trained yet."""
    if fields.get("weights.source") is not None or fields.get("resume") is not None:
        return
    frozen = [group for group in groups if group.rule and not group.holds(START, 0)]
    count, total = (sum(p.numel() for g in part for p in g.parameters.values()) for part in (frozen, groups))
    if count and is_known(at(fields.config, "model")):
        message = f"no weights to start from, and the plan freezes {count} of {total} parameters at random values"
        fix = "weights.source=PATH gives trained ones"
        yield fields.finding("random-weights", "weights.source", message, severity="warning", fix=fix)
