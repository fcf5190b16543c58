"""Names in the graph: of tensors, printable ASCII without spaces, bounded, unique; and of classes, printable."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runtime.inference.limits import LABEL_CHARACTERS_MAX, LABELS_MAX, TENSOR_NAME_CHARACTERS_MAX
from tools.lowering.errors import ModelRefused
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


def as_labels(classes: tuple[str, ...] | tuple[int, ...]) -> tuple[str, ...]:
    """The graph's labels: names as they are, numbers in decimal, none where they only say their own place. Raises
    ModelRefused for what cannot be a label."""
    if classes == tuple(range(len(classes))):
        return ()
    if len(classes) > LABELS_MAX:
        raise ModelRefused("classes", f"there are {len(classes)}, at most {LABELS_MAX} are supported")
    for name in map(str, classes):
        if len(name) > LABEL_CHARACTERS_MAX or not name.isprintable():
            mend = f"train with names of at most {LABEL_CHARACTERS_MAX} printable characters"
            raise ModelRefused("classes", f"the name {name[:40]!r} cannot be a label", mend)
    return tuple(map(str, classes))
