"""The client's operations as steps, without a socket; and the async client beside the sync one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from runtime.crypto import SigningKey
from runtime.execution import build_transaction, encode_transaction
from runtime.execution.transaction import transaction_hash
from runtime.module import Call
from runtime.types import Hash
from tools.client import AsyncNodeClient, BlockDone, ChainEvent, NodeClient, NodeError
from tools.client.events import BadMessage, Subscription
from tools.client.exchange import Answer, Loss, Lost, Node, Now, Pause, Request, Steps, lost
from tools.client.operations import WAIT_MS_MAX, Operations
from tools.transactions import AsyncSender

NODE = Node.at("http://127.0.0.1:1")
DO = Operations(NODE)
BROKEN = Lost(Loss.BROKEN, "peer closed")
SIGNED = build_transaction(
    [Call("a.b", b"")],
    genesis_hash=Hash(bytes(32)),
    key=SigningKey.from_seed(b"\1" * 32),
    nonce=0,
    gas_limit=1,
    max_fee=1,
)
TRANSACTION, HASH = encode_transaction(SIGNED), transaction_hash(SIGNED.body).hex()


def answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


class World:
    """Answers requests from a list, in order; its clock moves as `took` says, and by pauses."""

    def __init__(
        self, outcomes: Sequence[Answer | Lost], took: Callable[[Request], float] = lambda request: 0.0
    ) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[Request] = []
        self.now = 0.0
        self.paused = 0.0
        self._took = took

    def run(self, steps: Steps[Any]) -> Any:
        came: Any = None
        while True:
            try:
                effect = steps.send(came)
            except StopIteration as end:
                return end.value
            match effect:
                case Now():
                    came = self.now
                case Pause(seconds):
                    self.now += seconds
                    self.paused += seconds
                    came = None
                case Request():
                    self.asked.append(effect)
                    self.now += self._took(effect)
                    came = self.outcomes.pop(0)


def test_a_lost_answer_is_asked_for_once_more() -> None:
    world = World([BROKEN, answer({"hash": HASH})])
    assert world.run(DO.submit(TRANSACTION)) == HASH
    assert [request.path for request in world.asked] == ["/transactions"] * 2
    with pytest.raises(NodeError, match=r"cannot be reached \(peer closed\)"):
        World([BROKEN, BROKEN]).run(DO.submit(TRANSACTION))


@pytest.mark.parametrize("why", [Loss.TIMEOUT, Loss.UNREACHABLE])
def test_what_may_still_be_on_its_way_or_was_never_sent_is_not_asked_again(why: Loss) -> None:
    world = World([Lost(why, "x")])
    with pytest.raises(NodeError):
        world.run(DO.status())
    assert len(world.asked) == 1


@pytest.mark.parametrize("standing", ["pending", "committed", "failed"])
def test_a_transaction_that_the_first_of_two_requests_brought_is_accepted(standing: str) -> None:
    refusal = answer({"detail": "nonce_low: nonce 0 is used", "rule": "nonce_low"}, 400)
    world = World([BROKEN, refusal, answer({"status": standing})])
    assert world.run(DO.submit(TRANSACTION)) == HASH
    assert world.asked[-1].path == f"/transactions/{HASH}"


def test_invalid_transactions_stay_refused_however_often_they_were_sent() -> None:
    refusal = answer({"detail": "nonce_low: nonce 0 is used", "rule": "nonce_low"}, 400)
    for outcomes, data in (
        ([refusal], TRANSACTION),
        ([BROKEN, refusal, answer({"status": "unknown"})], TRANSACTION),
        ([BROKEN, refusal], b"no transaction"),
    ):
        world = World(outcomes)
        with pytest.raises(NodeError, match=r"^nonce_low: nonce 0 is used$"):
            world.run(DO.submit(data))
        assert world.outcomes == []


def test_waiting_asks_a_node_that_holds_its_answers_once_for_each_time_that_it_may() -> None:
    held = WAIT_MS_MAX / 1000
    world = World(
        [answer({"status": "pending"})] * 3 + [answer({"status": "committed"})], lambda request: request.extra_s
    )
    assert world.run(DO.wait("ab", 100))["status"] == "committed"
    assert (len(world.asked), world.paused) == (4, 0.0), "no pause beside the node's own"
    assert world.now == pytest.approx(4 * held)
    assert all(request.parameters["wait_ms"] == WAIT_MS_MAX for request in world.asked)


@given(st.lists(st.sampled_from(["unknown", "pending"]), max_size=12), st.floats(0.5, 20))
def test_waiting_where_answers_come_at_once_is_neither_busy_nor_late(before: list[str], timeout_s: float) -> None:
    world = World([answer({"status": each}) for each in before] + [answer({"status": "failed"})] * 400)
    found = world.run(DO.wait("ab", timeout_s)) if len(before) < 4 else None
    if found is not None:
        assert found["status"] == "failed"
        assert world.paused <= 0.25 * len(before)
        assert world.paused >= 0.02 * len(before)


def test_waiting_ends_in_time() -> None:
    world = World([answer({"status": "pending"})] * 1000)
    with pytest.raises(NodeError, match=r"is pending after 3 s; ask later: http://127.0.0.1:1/transactions/ab"):
        world.run(DO.wait("ab", 3))
    assert 3 <= world.now < 3.3
    assert len(world.asked) < 40


def test_a_node_too_busy_to_hold_its_answer_is_polled() -> None:
    busy = answer({"detail": "96 requests wait"}, 503)
    world = World([busy, answer({"status": "pending"}), answer({"status": "committed"})])
    assert world.run(DO.wait("ab", 10))["status"] == "committed"
    assert [dict(request.parameters) for request in world.asked][1] == {}
    assert world.paused > 0


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (httpx.RemoteProtocolError("x"), Loss.BROKEN),
        (httpx.ReadError("x"), Loss.BROKEN),
        (httpx.WriteError("x"), Loss.BROKEN),
        (httpx.ConnectError("x"), Loss.UNREACHABLE),
        (httpx.ReadTimeout("x"), Loss.TIMEOUT),
        (httpx.ConnectTimeout("x"), Loss.TIMEOUT),
        (httpx.InvalidURL("x"), Loss.UNREACHABLE),
    ],
)
def test_what_a_transports_error_says_of_the_request(error: Any, why: Loss) -> None:
    assert lost(error) == Lost(why, "x")


# --- the stream of events ---------------------------------------------------------------------------------------------

heights = st.lists(st.integers(0, 3), min_size=1, max_size=6)  # how many events each block has


@given(heights, st.lists(st.integers(0, 12), max_size=4))
def test_a_subscription_sees_everything_once_wherever_it_is_cut(counts: list[int], cuts: list[int]) -> None:
    """Each connection begins at the height that the subscription names, and ends after so many messages."""

    def connection(height: int) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for at in range(height, len(counts) + 1):
            shared = {
                "height": at,
                "module": "m",
                "name": "E",
                "fields": {},
                "during": "transaction",
                "transaction": None,
            }
            made += [{"type": "event", "index": index, **shared} for index in range(counts[at - 1])]
            made.append({"type": "block", "height": at, "block_id": "", "time_ms": 0, "transactions": 0, "events": 0})
        return made

    wanted, seen = Subscription(height=1), []
    for cut in [*cuts, 1000]:
        assert wanted.height is not None
        for message in connection(wanted.height)[:cut]:
            found = wanted.read(json.dumps(message))
            seen += [] if found is None else [found]
    expected = [(at, index) for at, count in enumerate(counts, 1) for index in [*range(count), None]]
    assert [(message.height, getattr(message, "index", None)) for message in seen] == expected
    assert all(isinstance(message, BlockDone | ChainEvent) for message in seen)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "x"}', '{"type": "event"}', "null", "[" * 100_000, b"\xff"])
def test_invalid_messages_are_named(text: Any) -> None:
    with pytest.raises(BadMessage, match="no message of a node"):
        Subscription().read(text)


# --- both clients -----------------------------------------------------------------------------------------------------

STATUS = {"genesis_hash": "00" * 32, "address_prefix": "arm", "height": 7, "fee_units": 1, "fee_per_gas": 1_000,
          "transaction_gas_max": 2_000_000_000}  # fmt: skip


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(AsyncNodeClient) - public(NodeClient) == {"aclose", "events", "follow"}
    assert public(NodeClient) - public(AsyncNodeClient) == {"close"}


async def test_the_async_client_and_its_sender_ask_what_the_sync_ones_ask() -> None:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        documents: dict[str, Any] = {
            "/status": STATUS,
            "/query/accounts/info": {"result": {"nonce": 3}},
            "/simulate": {"gas_used": 1_000, "error": None},
            "/transactions": {"hash": "ab"},
            "/transactions/ab": {"status": "committed"},
        }
        found = documents.get(request.url.path)
        return httpx.Response(404, json={"detail": "not here"}) if found is None else httpx.Response(200, json=found)

    async with AsyncNodeClient("http://127.0.0.1:1") as client:
        client._http = httpx.AsyncClient(base_url=client.url, transport=httpx.MockTransport(handle))
        sender = await AsyncSender.open(client, SigningKey.from_seed(b"\1" * 32))
        assert sender.nonce == 3
        sent = await sender.send([Call("a.b", b"")])
        assert (sent, sender.nonce) == ("ab", 4)
        assert (await client.wait(sent))["status"] == "committed"
        with pytest.raises(NodeError, match=r"^not here$") as caught:
            await client.get("/nothing")
        assert caught.value.status == 404
    assert asked == [
        "GET /status", "GET /query/accounts/info", "GET /query/accounts/info", "POST /simulate", "POST /transactions",
        "GET /transactions/ab", "GET /nothing",
    ]  # fmt: skip


async def test_invalid_unreachable_node_is_named_by_the_async_client_too() -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    await listener.aclose()
    async with AsyncNodeClient(url) as client:
        with pytest.raises(NodeError, match=f"{url} cannot be reached .* is the node running"):
            await client.status()
