"""The client of a node: its reason in one sentence, and never a fault of ours whatever answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from runtime.codec import codec
from runtime.crypto import SigningKey
from runtime.errors import UsageError
from runtime.execution import FeeParams, Transaction
from runtime.module import Call
from tools.cli.app import run
from tools.client import NodeClient, NodeError
from tools.localnet.ports import free_base_port
from tools.transactions import DRY_RUN_GAS_MIN, Sender, with_margin

Answer = tuple[int, bytes]
STATUS = {
    "genesis_hash": "00" * 32,
    "address_prefix": "arm",
    "height": 7,
    "fee_units": 1,
    "fee_per_gas": 1_000,
    "transaction_gas_max": 2_000_000_000,
}


class Server:
    """Answers as `answers` says: by path, or by "*"; a callable is given the request's body."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[bytes], Answer]] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.url = ""

    def answer(self, path: str, body: bytes) -> Answer:
        self.asked.append((path, body))
        found = self.answers.get(path.partition("?")[0], self.answers.get("*", (404, b"{}")))
        return found(body) if callable(found) else found


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server that is no node, on a thread."""
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            status, content = made.answer(self.path, self.rfile.read(length))
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 # the names are http.server's

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: what is asked is in `asked`."""

    web = HTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{web.server_port}"
    thread = Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def problem(detail: str, **fields: Any) -> bytes:
    return json.dumps({"title": "Bad Request", "detail": detail, **fields}).encode()


def test_an_answer_is_its_json(server: Server) -> None:
    server.answers["/status"] = (200, json.dumps(STATUS).encode())
    with NodeClient(server.url + "/") as client:
        assert client.status() == STATUS


def test_parameters_that_are_none_are_left_out(server: Server) -> None:
    server.answers["*"] = (200, b"{}")
    with NodeClient(server.url) as client:
        client.get("/query/a/b", height=None, name="x y")
    assert server.asked == [("/query/a/b?name=x+y", b"")]


def test_invalid_request_is_the_nodes_own_sentence(server: Server) -> None:
    server.answers["*"] = (400, problem("nonce_low: nonce 0 is used", rule="nonce_low"))
    with NodeClient(server.url) as client, pytest.raises(NodeError, match=r"^nonce_low: nonce 0 is used$") as caught:
        client.submit(b"")
    assert (caught.value.status, caught.value.rule, caught.value.exit_code) == (400, "nonce_low", 1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, b"<html>"), "answered 404 Not Found"),
        ((500, b"[]"), "answered 500 Internal Server Error"),
        ((502, b"{}"), "answered 502 Bad Gateway"),
        ((400, b"\xff"), "answered 400 Bad Request"),
        ((400, problem("", rule=5)), "Bad Request"),
        ((200, b"<html>"), "no JSON"),
        ((200, b"[" * 100_000), "no JSON"),
        ((200, b"[]"), "not as an Armillary node"),
        ((200, b'{"status": "ok"}'), "not as an Armillary node"),
        ((200, b"null"), "not as an Armillary node"),
    ],
)
def test_invalid_answers_of_something_else_are_one_sentence(server: Server, answer: Answer, words: str) -> None:
    server.answers["*"] = answer
    with NodeClient(server.url) as client, pytest.raises(NodeError, match=words):
        client.status()


@pytest.mark.parametrize("arguments", [["query", "oracle", "count"], ["certificate", "0", "--out", "never_written"]])
def test_invalid_node_is_one_line_on_the_command_line(
    server: Server, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["*"] = (200, b'{"status": "ok"}')
    assert run([*arguments, "--node", server.url]) == 1
    assert capsys.readouterr().err == f"error: {server.url} answers, but not as an Armillary node does\n"


@pytest.mark.parametrize(
    "url",
    ["", "foo", "foo:8400", "ftp://127.0.0.1", "http://", "http://[bad", "http://127.0.0.1:99999", "http://a:b", "http://\udcff",
     "http://a\x00b", "http://127.0.0.1:0", "http://:8400"],
)  # fmt: skip
def test_invalid_urls_are_usage_errors(url: str) -> None:
    with pytest.raises(UsageError, match="is no URL of a node: write it like http://127"):
        NodeClient(url)


def test_invalid_unreachable_node_is_named() -> None:
    url = f"http://127.0.0.1:{free_base_port(1, start=29_000)}"
    with NodeClient(url) as client, pytest.raises(NodeError, match=f"{url} cannot be reached .* is the node running"):
        client.status()


def test_invalid_silence_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with NodeClient(url, timeout_s=0.2) as client, pytest.raises(NodeError, match="did not answer in time"):
            client.status()


def test_invalid_port_of_another_protocol_is_named() -> None:
    """For example a node's port for peers in place of its HTTP port."""

    def answer(listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if not connection.recv(4096):
                    return
                connection.sendall(b"\x13/multistream/1.0.0\n")

    with socket.create_server(("127.0.0.1", 0)) as peer:
        address = ("127.0.0.1", peer.getsockname()[1])
        thread = Thread(target=answer, args=(peer,))
        thread.start()
        with (
            NodeClient(f"http://127.0.0.1:{address[1]}") as client,
            pytest.raises(NodeError, match="cannot be reached"),
        ):
            client.status()
        with socket.create_connection(address) as last:
            last.shutdown(socket.SHUT_WR)
            thread.join()


def test_waiting_ends_with_the_outcome_or_says_where_to_ask_later(server: Server) -> None:
    answers = iter(["unknown", "pending", "failed"])
    server.answers["*"] = lambda body: (200, json.dumps({"status": next(answers)}).encode())
    with NodeClient(server.url) as client:
        assert client.wait("ab", timeout_s=10)["status"] == "failed"
        server.answers["*"] = (200, b'{"status": "pending"}')
        with pytest.raises(NodeError, match=rf"ab is pending after 0.1 s; ask later: {server.url}/transactions/ab"):
            client.wait("ab", timeout_s=0.1)


def chain_that_charges(server: Server, funds: int) -> list[int]:
    """Makes the server simulate for who holds `funds`; returns the gas limits that it was asked for."""
    asked: list[int] = []

    def simulate(body: bytes) -> Answer:
        transaction = codec(Transaction).decode(bytes.fromhex(json.loads(body)["transaction"]))
        asked.append(transaction.body.gas_limit)
        cost = transaction.body.gas_limit // 1_000
        if cost > funds:
            return 400, problem(f"funds: cannot pay {cost}", rule="funds")
        return 200, json.dumps({"gas_used": 400_000, "error": None}).encode()

    server.answers |= {
        "/status": (200, json.dumps(STATUS).encode()),
        "/query/accounts/info": (200, b'{"result": {"nonce": 3}}'),
        "/simulate": simulate,
    }
    return asked


def test_a_dry_run_asks_for_no_more_gas_than_the_account_can_pay(server: Server) -> None:
    asked = chain_that_charges(server, funds=20_000)
    with NodeClient(server.url) as client:
        sender = Sender(client, SigningKey.from_seed(b"\1" * 32))
        assert sender.dry_run([Call("a.b", b"")])["gas_used"] == 400_000
        assert asked[0] == 2_000_000_000
        assert asked[-1] // 1_000 <= 20_000 < asked[-2] // 1_000
        chain_that_charges(server, funds=0)
        with pytest.raises(NodeError, match="cannot pay"):
            sender.dry_run([Call("a.b", b"")])
        asked = chain_that_charges(server, funds=500)
        with pytest.raises(NodeError, match="cannot pay 5000"):
            sender.dry_run([Call("a.b", b"")], gas_limit=5_000_000)
        assert asked == [5_000_000], "a limit that was asked for is never changed"
    assert DRY_RUN_GAS_MIN <= 1_000_000
    assert with_margin(1_000) == 1_100


def test_a_price_that_rose_since_is_asked_for_again_unless_the_signer_bounds_the_fee(server: Server) -> None:
    offers: list[int] = []

    def taken(body: bytes) -> Answer:
        offers.append(codec(Transaction).decode(bytes.fromhex(json.loads(body)["transaction"])).body.max_fee)
        if offers[-1] < 7 * 1_000:
            return 400, problem("fee: the max fee is too low", rule="fee")
        return 200, b'{"hash": "ab", "gas_used": 1, "error": null}'

    chain_that_charges(server, funds=10**12)
    with NodeClient(server.url) as client:
        sender = Sender(client, SigningKey.from_seed(b"\1" * 32))
        server.answers |= {"/transactions": taken, "/simulate": taken}
        server.answers["/status"] = (200, json.dumps(STATUS | {"fee_units": 7}).encode())
        with pytest.raises(NodeError, match="too low"):
            sender.send([Call("a.b", b"")], gas_limit=1_000_000, max_fee=1_000)
        assert offers == [1_000]
        assert sender.send([Call("a.b", b"")], gas_limit=1_000_000) == "ab"
        assert sender.send([Call("a.b", b"")], gas_limit=1_000_000) == "ab"
        assert offers[1:] == [1_000, 7_000, 7_000]
        another = Sender(client, SigningKey.from_seed(b"\1" * 32))
        server.answers["/status"] = (200, json.dumps(STATUS | {"fee_units": 9}).encode())
        another.chain = replace(another.chain, fees=FeeParams(1, 1_000), transaction_gas_max=2_000_000)
        del offers[:]
        assert another.dry_run([Call("a.b", b"")])["gas_used"] == 1
        assert offers == [2_000, 18_000_000], "all of a block as it is now, at the price as it is now"


def test_a_sender_counts_its_nonces_and_a_dry_run_uses_none(server: Server) -> None:
    chain_that_charges(server, funds=10**9)
    server.answers["/transactions"] = (200, b'{"hash": "ab"}')
    with NodeClient(server.url) as client:
        sender = Sender(client, SigningKey.from_seed(b"\1" * 32))
        assert sender.nonce == 3
        sender.dry_run([Call("a.b", b"")])
        assert sender.nonce == 3
        assert sender.send([Call("a.b", b"")]) == "ab"
        assert sender.nonce == 4
        server.answers["/transactions"] = (400, problem("no"))
        with pytest.raises(NodeError):
            sender.send([Call("a.b", b"")])
        assert sender.nonce == 4, "a refused transaction uses no nonce"
