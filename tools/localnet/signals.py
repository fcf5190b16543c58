"""Stopping on Ctrl-C, SIGTERM and SIGHUP, but never between a process' start and its being known.

Each of these signals raises KeyboardInterrupt in the main thread; inside `held_back` it waits until the block ends.
Signals belong to the process, hence so does this file's state.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    depth = 0
    is_pending = False


def stop_on_signals() -> None:
    """From now on the three signals raise KeyboardInterrupt, also where a shell had them ignored."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that come while the block runs are raised at its end."""
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
        if _State.is_pending and not _State.depth:
            _State.is_pending = False
            raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _State.depth:
        _State.is_pending = True
        return
    raise KeyboardInterrupt
