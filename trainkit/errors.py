"""The errors that a user is meant to read. Each carries the exit code that the command line ends with."""


class ConfigError(Exception):
    """The command line, the config or an argument is wrong: exit code 2, one message, nothing was started."""

    exit_code = 2


class TrainingError(Exception):
    """The training itself failed, such as on a non-finite loss: exit code 1, what was saved stays."""

    exit_code = 1


def closest(word: str, choices: list[str] | tuple[str, ...], cutoff: float = 0.6) -> str:
    """Return ``" Did you mean 'X'?"`` for the choice nearest to ``word``, or an empty string."""
    from difflib import get_close_matches

    matches = get_close_matches(word, choices, n=1, cutoff=cutoff)
    return f" Did you mean {matches[0]!r}?" if matches else ""
