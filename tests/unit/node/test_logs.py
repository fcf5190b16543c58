"""Logs for people and for programs: one form, a level, height and round, nothing secret; the page has every event."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from runtime.crypto import SigningKey
from runtime.network.identity import NetworkKey
from runtime.network.simulated import run_simulation
from runtime.node.config import LogConfig
from runtime.node.logs import configure_logs, positioned

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "operating.md"
LEVELS = ("debug", "info", "warning", "error")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_as_json_every_line_is_an_object_with_the_same_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log = positioned(configure_logs(LogConfig(format="json"), "node7"), lambda: {"height": 5, "round": 1})
    log.info("block applied", transactions=3, path=Path("/x"), raw=b"\xff")
    log.warning("peer lied", height=9)
    try:
        raise ValueError("broken\nin two lines")
    except ValueError as error:
        log.error("connection broke", exc_info=error)
    logging.getLogger("hypercorn.error").warning("a library %s", "speaks")
    logging.getLogger("hypercorn.error").info("of little interest")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["block applied", "peer lied", "connection broke", "library warned"]
    assert all({"timestamp", "level", "node"} <= line.keys() and line["node"] == "node7" for line in lines)
    assert [(line.get("height"), line.get("round")) for line in lines[:3]] == [(5, 1), (9, 1), (5, 1)]
    assert "in two lines" in lines[2]["exception"]
    assert (lines[3]["message"], lines[3]["library"], lines[3]["level"]) == (
        "a library speaks", "hypercorn.error", "warning",
    )  # fmt: skip


def test_for_people_a_line_has_time_level_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_logs(LogConfig(format="people"), "node7")
    positioned(log, lambda: {"height": 5, "round": 0}).info("block applied", transactions=3)
    logging.getLogger("some.library").error("a library speaks")
    first, second = capsys.readouterr().err.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info +\] block applied ", first)
    assert {"height=5", "round=0", "node=node7", "transactions=3"} <= set(first.split())
    assert "a library speaks" in second
    assert "\x1b" not in first + second, "no colours where nobody looks"


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str], level: str) -> None:
    log = positioned(configure_logs(LogConfig.model_validate({"format": "json", "level": level}), "n"), dict)
    for each in LEVELS:
        getattr(log, each)("something happened")
    written = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert written == list(LEVELS[LEVELS.index(level) :])


def test_a_running_node_logs_in_this_form_and_nothing_secret(
    four: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configure_logs(LogConfig(format="json", level="debug"), "n")

    async def main() -> None:
        async with four.simulated(tmp_path, 5) as nodes:
            await nodes.start_all()
            await nodes.committed(await nodes.acknowledged(0, four.take(0)))
            await nodes.crash(3)
            await nodes.start(3)
            await nodes.reach(nodes.height(0))

    run_simulation(main, seed=5)
    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]
    blocks = [line for line in lines if line["event"] == "block applied"]
    assert {"height", "round", "transactions", "gas_used", "state_root", "synced"} <= blocks[0].keys()
    assert all({"height", "round", "level", "timestamp"} <= line.keys() for line in lines)
    assert {line["event"] for line in lines} <= {event for event, _ in events_in_the_sources()}
    for key in four.keys:
        for secret in (key.seed.hex(), repr(key.seed), NetworkKey(key.seed).seed.hex()):
            assert secret not in text


def test_a_key_shows_no_secret_where_somebody_logs_it(capsys: pytest.CaptureFixture[str]) -> None:
    key = SigningKey.from_seed(b"\x5a" * 32)
    for form in ("json", "people"):
        configure_logs(LogConfig.model_validate({"format": form}), "n").info("node started", key=key)
    text = capsys.readouterr().err
    assert "5a5a" not in text
    assert "ZZZZ" not in text


def events_in_the_sources() -> set[tuple[str, str]]:
    """Every event and its level, as the sources say them."""
    found = {("library warned", "warning")}
    for folder in ("node", "network", "rpc"):
        for path in (ROOT / "runtime" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in LEVELS
                    and ast.unparse(node.func.value).endswith("log")
                ):
                    assert isinstance(node.args[0], ast.Constant), f"{path}: an event is a literal"
                    found.add((str(node.args[0].value), node.func.attr))
    return found


def test_events_are_a_few_lower_case_words() -> None:
    for event, _ in events_in_the_sources():
        assert re.fullmatch(r"[a-z][a-z-]*( [a-z-]+){1,3}", event), event


def test_the_operators_page_has_every_event() -> None:
    rows = re.findall(r"^\| `([a-z -]+)` \| (debug|info|warning|error) \| [^|]+ \|$", PAGE.read_text(), re.M)
    assert len(rows) == len(set(rows))
    assert set(rows) == events_in_the_sources()
