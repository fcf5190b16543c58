"""What can be wrong with a chain spec: always the writer's to mend, always with the JSON path."""

from __future__ import annotations

from runtime.errors import UsageError


class SpecError(UsageError):
    """A chain spec is wrong. `path`: where in the JSON ("$.modules[1].name"); `reason`: what, and the mend."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")
