"""``trainkit completion``: the scripts for the shells, and the candidates that they call back for."""
