"""A script for a warm parent that runs a module as ``python -m`` does, by its name and its own arguments."""

import os
import runpy
import sys
from pathlib import Path

AS_MODULE = Path(__file__)

if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
