"""What the terminal shows while something takes long. To standard error, so that results can be piped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A spinner with `what` while the block runs; on no terminal nothing is written."""
    with console.status(what + " ...") if console.is_terminal else _silence():
        yield


@contextmanager
def _silence() -> Iterator[None]:
    yield
