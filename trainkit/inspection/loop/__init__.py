"""The optimizer's invariants, and the loop around it: the user's own step, evaluation and schedule."""
