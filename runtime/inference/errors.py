"""What can go wrong with inference, and whose fault it is.

CallerError
├── Refused          a model that is not proven exact: names the node, the rule and the values that break it
└── InvalidInput     inputs that are not the verified graph's: names the tensor and what was expected
OurError
└── SelfTestFailed   this machine does not compute as the proof assumes: the node must not sign
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.errors import CallerError, OurError


class Refused(CallerError):
    """The verifier found no proof. `node`: where ("nodes[3] Gemm", "constants[1]", "bytes"); `rule`: what must hold;
    `values`: what was found, by name."""

    def __init__(self, node: str, rule: str, values: Mapping[str, object]) -> None:
        self.node = node
        self.rule = rule
        self.values = dict(values)
        found = ", ".join(f"{name}={value}" for name, value in self.values.items())
        super().__init__(f"{node}: {rule}" + (f" ({found})" if found else ""))


class InvalidInput(CallerError):
    """Inputs that do not fit. `tensor`: its name; `reason`: what was found and what is expected."""

    def __init__(self, tensor: str, reason: str) -> None:
        self.tensor = tensor
        self.reason = reason
        super().__init__(f"input {tensor!r}: {reason}")


class SelfTestFailed(OurError):
    """An assumption of the proof does not hold here. `case`: which; `expected` and `found`: the values."""

    def __init__(self, case: str, expected: object, found: object) -> None:
        self.case = case
        self.expected = expected
        self.found = found
        super().__init__(f"inference self-test {case!r} failed: expected {expected}, found {found}")
