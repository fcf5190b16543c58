"""Names of the model's tensors in the graph: printable ASCII without spaces, bounded, unique."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runtime.inference.limits import TENSOR_NAME_CHARACTERS_MAX
from tools.lowering.source import Port

_FORBIDDEN = re.compile(r"[^!-~]")


def graph_names(ports: Iterable[Port]) -> dict[str, str]:
    """source name -> graph name: itself where it is allowed, else the nearest free one."""
    ports = list(ports)
    wanted = {port.name for port in ports}
    found: dict[str, str] = {}
    for port in ports:
        name = _FORBIDDEN.sub("_", port.name)[:TENSOR_NAME_CHARACTERS_MAX]
        attempt, number = name, 1
        while attempt in found.values() or (attempt != port.name and attempt in wanted):
            number += 1
            attempt = f"{name[: TENSOR_NAME_CHARACTERS_MAX - 8]}_{number}"
        found[port.name] = attempt
    return found
