"""The freeze plan: which parameters train, when, and at what rate; shown in a table and held to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.errors import ConfigError, TrainingError
from trainkit.optim.clipping import clip_by_norm
from trainkit.optim.groups import Group, head_of, rule_of, sort
from trainkit.optim.rules import read_rules
from trainkit.optim.stillness import fingerprints, still_modules
from trainkit.timing import Moment

log = logging.getLogger("trainkit")


class FreezePlan:
    """An ordered list of rules over the names of a model's parameters; the first that matches one has it.

    Frozen means: ``requires_grad`` is off, so that no gradient is computed below the lowest trainable layer and the
    optimizer keeps no state; the module is in eval mode whatever ``train()`` says, so that a frozen BatchNorm (Ioffe
    and Szegedy 2015) keeps its statistics and a frozen dropout lets everything pass. Groups that thaw later are in the
    optimizer from the start: a schedule acts on every group's own rate, and nothing moves when one thaws.

    Args:
        rules: Mappings with the keys of :class:`trainkit.optim.rules.Rule`.
        head: Names of the modules that ``@head`` stands for; None takes the last stage.
        patience: Validations without an improvement after which ``plateau`` comes.
        min_delta: Least change of the monitored metric that counts as an improvement.
        decay_norm_and_bias: False gives biases, norms and all other parameters with fewer than two dimensions a
            ``weight_decay`` of 0 where no rule gives them one, as is usual for transformers.

    Raises:
        ConfigError: If a rule cannot be read.
    """

    def __init__(
        self,
        rules: Sequence[Mapping[str, Any]] = (),
        *,
        head: str | Sequence[str] | None = None,
        patience: int = 3,
        min_delta: float = 0.0,
        decay_norm_and_bias: bool = True,
    ) -> None:
        if patience < 1:
            raise ConfigError(f"freeze.patience={patience}: must be at least 1 validation")
        self.rules, self.head = read_rules(rules), [head] if isinstance(head, str) else list(head or ())
        self.patience, self.min_delta, self._decay_norm_and_bias = patience, min_delta, decay_norm_and_bias
        self.groups: list[Group] = []
        """In the order of the rules, the stage next to the head first; those of the optimizer are among them."""
        self.plateaus, self._waited = 0, 0
        self.changes = 0
        """How often something froze or thawed in this process."""
        self._best: float | None = None
        self._model: nn.Module = nn.Identity()
        self._optimizer: Optimizer | None = None
        self._steps_per_epoch: int | None = None
        self._trained: dict[str, bool] = {}
        self._options: dict[str, dict[str, Any]] = {}
        self._timed: list[Group] = []
        self._still: list[nn.Module] = []
        self._prints: dict[str, int] = {}

    def parameter_groups(self, model: nn.Module, lr: float | None = None) -> list[dict[str, Any]]:
        """Sort the parameters of ``model`` and return the groups for a ``torch.optim`` optimizer.

        Args:
            model: Any module; a shared parameter goes by its first name.
            lr: The optimizer's rate, which ``lr_scale`` and ``lr_decay`` are multiples of.

        Returns:
            For each group that trains at any moment, ``name``, ``params`` and the options that its rule gives.

        Raises:
            ConfigError: If a rule matches nothing, the head is not there, or nothing is left to train.
        """
        self._model, self.head = model, head_of(model, self.head)
        self.groups = sort(model, self.rules, self.head, decay_norm_and_bias=self._decay_norm_and_bias)
        self._timed = [group for group in self.groups if group.changes]
        groups = [group.options(lr) for group in self.groups if group.ever_trainable]
        if not groups:
            raise ConfigError("freeze: nothing is left to train; a rule must leave some parameters trainable")
        return groups

    def attach(self, optimizer: Optimizer, steps_per_epoch: int | None, moment: Moment) -> None:
        """Begin, or go on, at ``moment``: freeze what is frozen then, and take its fingerprint.

        Raises:
            ConfigError: If the optimizer is of other parameters, or nothing trains at that moment.
        """
        self._optimizer, self._steps_per_epoch = optimizer, steps_per_epoch
        owners = {id(p): options for options in optimizer.param_groups for p in options["params"]}
        self._options = {g.name: owners[id(p)] for g in self.groups for p in g.parameters.values() if id(p) in owners}
        if not self._options:
            raise ConfigError("freeze: the optimizer must be built over the plan's parameter_groups(model)")
        for group in self.groups:  # a checkpoint at the very moment of a thaw is of before it, and advance() comes next
            self._set(group, self._trained.get(group.name, group.holds(moment, self.plateaus)))
        self._settle(moment)

    def advance(self, moment: Moment) -> bool:
        """Freeze and thaw what is due at ``moment``, before its step is trained; say whether anything was.

        Raises:
            TrainingError: If what was frozen up to now has moved.
            ConfigError: If nothing trains from now on.
        """
        changed = [group for group in self._timed if group.trainable != group.holds(moment, self.plateaus)]
        if not changed:
            return False
        self.require_still()
        self.changes += 1
        for group in changed:
            self._set(group, not group.trainable)
            group.thawed = moment.steps
            log.info("step %d: %s %s", moment.steps, group.name, "thaws" if group.trainable else "is frozen")
        self._settle(moment)
        return True

    def validation_end(self, value: float | None, mode: str) -> None:
        """Note the monitored metric; ``patience`` validations without an improvement are a plateau."""
        if value is None:
            return
        score = value if mode == "max" else -value
        if self._best is None or score > self._best + self.min_delta:
            self._best, self._waited = score, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.plateaus, self._waited = self.plateaus + 1, 0

    def hold(self) -> None:
        """Put what is frozen into eval mode; to be called after ``model.train()``."""
        for module in self._still:
            module.training = False

    def clip(self) -> None:
        """Clip the gradients of each group that has a ``grad_clip`` by their joint norm."""
        for group in self.groups:
            limit = None if group.rule is None else group.rule.grad_clip
            gradients = [p.grad for p in group.parameters.values() if p.grad is not None] if limit else []
            if limit and gradients:
                clip_by_norm(gradients, limit)

    @contextmanager
    def rates(self, step: int) -> Iterator[None]:
        """Let the rates of groups that thawed lately climb for the optimizer step ``step``, counted from 0.

        The schedule, which goes on from the rate that it finds, sees nothing of it.
        """
        climbing = [(g.name, share) for g in self._timed if (share := self._share(g, step)) < 1]
        lowered = [(self._options[name], self._options[name]["lr"], share) for name, share in climbing]
        for options, rate, share in lowered:
            options["lr"] = rate * share
        try:
            yield
        finally:
            for options, rate, _ in lowered:
                options["lr"] = rate

    def require_still(self) -> None:
        """Hold frozen parameters, and the buffers of modules that stand still, to their fingerprint. Synchronises.

        Raises:
            TrainingError: That names what moved, and the module that it belongs to.
        """
        for name, seen in fingerprints(self._frozen()).items():
            if seen != self._prints.get(name, seen):
                owner, _, leaf = name.rpartition(".")
                module = self._model.get_submodule(owner)
                kind = "buffer" if leaf in module._buffers else "parameter"
                mode = "train" if module.training else "eval"
                raise TrainingError(
                    f"freeze: the frozen {kind} {name} moved. It belongs to {owner or 'the model'} "
                    f"({type(module).__name__}, in {mode} mode), and something outside the plan wrote to it: the "
                    "module's own forward, a callback or a train_step"
                )

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each group: group, parameters (their number), trainable, lr, weight_decay, norm, when."""
        return [
            {
                "group": group.name,
                "parameters": sum(p.numel() for p in group.parameters.values()),
                "trainable": group.trainable,
                "lr": float(self._options[group.name]["lr"]) if group.name in self._options else None,
                "weight_decay": self._options.get(group.name, {}).get("weight_decay"),
                "norm": (group.rule and group.rule.norm) or ("train" if group.trainable else "eval"),
                "when": group.when,
            }
            for group in self.groups
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return what the moment of a run does not tell: plateaus, what trains, and when it thawed."""
        thawed = {group.name: group.thawed for group in self.groups if group.thawed is not None}
        trained = {group.name: group.trainable for group in self.groups}
        fields = {"plateaus": self.plateaus, "best": self._best, "waited": self._waited}
        return {**fields, "thawed": thawed, "trained": trained}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; :meth:`attach` then freezes what is frozen at that moment."""
        self.plateaus, self._waited = state_dict["plateaus"], state_dict["waited"]
        self._best, self._trained = state_dict["best"], dict(state_dict["trained"])
        for group in self.groups:
            group.thawed = state_dict["thawed"].get(group.name)

    def _set(self, group: Group, trainable: bool) -> None:
        group.trainable = trainable
        for parameter in group.parameters.values():
            parameter.requires_grad_(trainable)
            if not trainable:
                parameter.grad = None
                if self._optimizer is not None:
                    self._optimizer.state.pop(parameter, None)

    def _settle(self, moment: Moment) -> None:
        """Find what stands still now, put it into eval mode, what no longer does into train mode, and take prints."""
        if not any(group.trainable for group in self.groups):
            raise ConfigError(
                f"freeze: nothing trains in step {moment.steps}; a rule must leave something to train then"
            )
        for module in self._still:
            module.training = True
        self._still = still_modules(self._model, self._norm_modes())
        self.hold()
        self._prints = fingerprints(self._frozen())

    def _norm_modes(self) -> dict[str, Literal["eval", "train"]]:
        """Return what rules say of modules with running statistics; one without parameters goes by its statistics."""
        modules, modes = dict(self._model.named_modules()), {}
        for name, module in modules.items():
            if getattr(module, "running_mean", None) is None:
                continue
            prefix = f"{name}." if name else ""
            own = next((prefix + leaf for leaf, _ in module.named_parameters(recurse=False)), f"{prefix}running_mean")
            number = rule_of(own, modules, self.rules, self.head)
            if number < len(self.rules) and (norm := self.rules[number].norm) is not None:
                modes[name] = norm
        return modes

    def _frozen(self) -> dict[str, Tensor]:
        """Return frozen parameters, and the buffers of modules that stand still, by name."""
        found: dict[str, Tensor] = {}
        for group in self.groups:
            if not group.trainable:
                found |= group.parameters
        still = set(map(id, self._still))
        for name, module in self._model.named_modules():
            if id(module) in still:
                found |= dict(module.named_buffers(prefix=name, recurse=False))
        return found

    def _share(self, group: Group, step: int) -> float:
        """Return the share of its rate that a group has in optimizer step ``step``."""
        if group.rule is None or group.rule.warmup is None or group.thawed is None or not group.trainable:
            return 1.0
        return min(1.0, (step - group.thawed + 1) / (group.rule.warmup.steps(self._steps_per_epoch) + 1))


class NoFreeze:
    """All parameters train, from the first step to the last."""

    groups: Sequence[Group] = ()
    changes = 0

    def attach(self, optimizer: Optimizer, steps_per_epoch: int | None, moment: Moment) -> None:
        """Freeze nothing."""

    def advance(self, moment: Moment) -> bool:
        """Change nothing."""
        return False

    def validation_end(self, value: float | None, mode: str) -> None:
        """Wait for no plateau."""

    def hold(self) -> None:
        """Hold nothing in eval mode."""

    def clip(self) -> None:
        """Clip nothing."""

    def rates(self, step: int) -> AbstractContextManager[None]:
        """Leave the rates alone."""
        return nullcontext()

    def require_still(self) -> None:
        """Let everything move."""

    def table(self) -> list[dict[str, Any]]:
        """Return no row."""
        return []
