"""The flush: a frozen layer is merged into LMDB by a thread of its own, while blocks go on.

Lives here: that thread and its failure. Must not: decide when to flush or what a layer holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Flusher:
    """Runs one job at a time in the background; a failed job's error comes out of the next `check` or `wait`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Callable[[], None]) -> None:
        """Run `job` in a thread; the one before must be over."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(job,), name="state-flush", daemon=True)
        self._thread.start()

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 # handed to the thread that commits, which raises it
            self._error = error

    def check(self) -> None:
        """Raises the error of a failed job, again at each call: the store is not written to any more."""
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Until no job runs; then as `check`."""
        self.join()
        self.check()

    def join(self) -> None:
        """Until no job runs."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
