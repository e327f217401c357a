"""The command `my-project`: trainkit's own, with this project's configs."""

from pathlib import Path

import trainkit

PACKAGE = Path(__file__).resolve().parent


def config_dir() -> Path:
    """Return the folder of the configs: in the installed package, or beside it."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def main() -> None:
    """Run the command line, such as `my-project recipe=mine optimizer.lr=1e-3`."""
    trainkit.main(config_dir=config_dir())


if __name__ == "__main__":
    main()
