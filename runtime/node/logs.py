"""The node's log: structlog to standard error, for people or one JSON object a line."""

from __future__ import annotations

import logging
import sys
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
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        shared.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    return structlog.get_logger().bind(node=node)
