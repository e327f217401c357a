"""Rules over one recorded training step: what the loss is given, which numbers break, and what the optimizer does."""

from trainkit.inspection.step import (
    batches,
    gradients,
    initial,
    likelihoods,
    losses,
    numbers,
    rates,
    sense,
    shapes,
    structure,
)

FAMILIES = (losses, likelihoods, shapes, sense, numbers, structure, initial, gradients, rates, batches)
RULES = tuple(rule for family in FAMILIES for rule in family.RULES)
