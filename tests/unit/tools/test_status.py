"""armillary status: a table for people, the node's own answer as JSON, one clear line where there is no node."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tools.cli.app import run

OWN = "0a" * 32
ANSWER = {
    "name": "alice", "version": "9.8.7", "runtime_digest": "12" * 32,
    "chain": "test", "genesis_hash": "ab" * 32, "address_prefix": "arm",
    "fee_units": 1, "fee_per_gas": 1000, "block_gas_max": 1, "transaction_gas_max": 1,
    "height": 1234567, "block_id": "cd" * 32,
    "state_root": "ef" * 32, "time_ms": 1, "behind": 0, "round": 2, "peers": 3, "peer_id": "12D3KooW",
    "validator": OWN, "voting": True, "mempool_transactions": 45, "mempool_bytes": 6789, "oldest_height": 1234000,
    "validators": [{"public_key": f"{number:02x}" * 32, "power": power} for number, power in ((11, 10), (10, 30))],
}  # fmt: skip


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """A node that always answers this; its URL."""
    servers = []

    def start(answer: Any) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the library's name
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_people_see_every_fact(serve: Callable[[Any], str], capsys: pytest.CaptureFixture[str]) -> None:
    url = serve(ANSWER | {"time_ms": time.time_ns() // 1_000_000 - 7_200_500, "not_known_yet": 1})
    assert run(["status", "--node", url]) == 0
    shown = capsys.readouterr().out
    for words in (
        "alice, 9.8.7", "test, genesis " + "ab" * 32, "1,234,567, 2 hours ago", "syncing     no", "ef" * 32,
        "yes, with 0a0a0a0a0a0a0a0a...; round 2", "3, this node is 12D3KooW", "45 transactions, 6,789 bytes",
        "2 validators", "75.0 %", "25.0 %", "runtime     " + "12" * 32, "state from height 1,234,000 on",
    ):  # fmt: skip
        assert words in shown
    lines = shown.splitlines()
    assert "this node" in next(line for line in lines if line.startswith("0a0a"))
    assert lines.index(next(line for line in lines if line.startswith("0a0a"))) < len(lines) - 1, "the powerful first"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"behind": 1500}, "yes, 1,500 blocks behind"),
        ({"validator": None, "voting": False}, "no: a full node"),
        ({"voting": False}, "has no voting power at the next height"),
        ({"height": 0}, "0, no block yet"),
        ({"validators": []}, "0 validators"),
        ({"validators": [{"public_key": "01" * 32, "power": 1}] * 50}, "and 30 more"),
        ({"name": "evil\x1b[2J\nname"}, "evil?[2J?name"),
    ],
)
def test_each_state_has_its_words(
    serve: Callable[[Any], str], capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
) -> None:
    assert run(["status", "--node", serve(ANSWER | change)]) == 0
    assert words in capsys.readouterr().out


def test_as_json_it_is_the_nodes_answer(serve: Callable[[Any], str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json", "--node", serve(ANSWER)]) == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_invalid_no_node_there_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--node", "http://127.0.0.1:1"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "http://127.0.0.1:1 cannot be reached" in captured.err


@pytest.mark.parametrize(
    "answer", [{}, [], 5, {"height": 1, "genesis_hash": "x", "address_prefix": "y"}, ANSWER | {"peers": "x"}]
)
def test_invalid_something_else_that_answers_is_no_node(
    serve: Callable[[Any], str], capsys: pytest.CaptureFixture[str], answer: Any
) -> None:
    assert run(["status", "--node", serve(answer)]) == 1
    assert "not as an Armillary node does" in capsys.readouterr().err
