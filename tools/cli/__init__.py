"""The command `armillary`. Each file holds one group of commands; `app.py` is the root and the only error boundary."""

from tools.cli.app import main

__all__ = ["main"]
