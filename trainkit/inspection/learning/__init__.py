"""Rules over short trainings on copies, for a deep check: can it learn, from its inputs, and at which rate."""

from trainkit.inspection.learning import batch, held_out, rates, verdict

RULES = (*batch.RULES, *rates.RULES, *held_out.RULES, *verdict.RULES)
