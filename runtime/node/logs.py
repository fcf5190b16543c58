"""The node's log: structlog to standard error, for people or one JSON object a line.

Rules: an event is a few lower-case words that say what happened, always the same ones; what differs is in fields. Every
event of a running node has the height of its last block and the round it works on. Nothing secret is ever a field. What
libraries log comes in the same form. docs/operating.md has the table of events, and a test holds the two together.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from runtime.node.config import LogConfig


def configure_logs(config: LogConfig, node: str) -> Any:
    """Set up logging for this process; returns the node's logger."""
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if config.format == "json":
        last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _libraries(shared, last, node)
    return structlog.get_logger().bind(node=node)


def positioned(log: Any, position: Callable[[], Mapping[str, int]]) -> Any:
    """The same log, with the fields that `position` gives when something is logged."""

    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        words = event.pop("event")
        return (words,), {**position(), **event}

    return structlog.wrap_logger(log, processors=[add])


def _libraries(shared: list[Any], last: list[Any], node: str) -> None:
    """What libraries say by Python's own logging, from warnings on."""

    def named(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        said = {"message": event["event"], "library": event["_record"].name}
        return {**event, **said, "event": "library warned", "node": node}

    handler = logging.StreamHandler(sys.stderr)
    final = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, named], processors=final))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
