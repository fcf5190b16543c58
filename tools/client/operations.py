"""The operations of a node's client, written once: steps that the sync and the async client perform alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tools.client.exchange import Node, NodeError, Now, Pause, Request, Steps

POLL_S: Final = 0.02
POLL_S_MAX: Final = 0.25
WAIT_MS_MAX: Final = 10_000  # a node may be asked to hold its answer for so long
DONE: Final = ("committed", "failed")


class Operations:
    """On one node. Each method's steps end in its result or raise NodeError."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def get(self, path: str, parameters: Mapping[str, Any], *, extra_s: float = 0.0) -> Steps[Any]:
        """The answer's JSON. Parameters that are None are left out; extra_s: more time than usual to answer in."""
        given = {key: value for key, value in parameters.items() if value is not None}
        return (yield from self.node.ask(Request("GET", path, given, extra_s=extra_s)))

    def post(self, path: str, document: Any) -> Steps[Any]:
        """The answer's JSON."""
        return (yield from self.node.ask(Request("POST", path, document=document)))

    def status(self) -> Steps[dict[str, Any]]:
        """The node's StatusView as JSON."""
        answer = yield from self.get("/status", {})
        return self.node.holding(answer, "genesis_hash", "address_prefix", "height")

    def query(self, module: str, name: str, height: int | None, arguments: Mapping[str, Any]) -> Steps[Any]:
        """The result alone, as JSON; height None: the last block's state."""
        answer = yield from self.get(f"/query/{module}/{name}", {**arguments, "height": height})
        return self.node.holding(answer, "result")["result"]

    def certificate(self, record: int) -> Steps[tuple[bytes, int]]:
        """The decision certificate's canonical bytes, and the height whose state they prove."""
        answer = self.node.holding((yield from self.get(f"/certificates/{record}", {})), "certificate", "height")
        return bytes.fromhex(answer["certificate"]), answer["height"]

    def submit(self, transaction: bytes) -> Steps[str]:
        """The transaction's hash in hex. May be sent twice where an answer is lost: it is one transaction."""
        request = Request("POST", "/transactions", document={"transaction": transaction.hex()})
        outcome, repeated = yield from self.node.exchange(request)
        try:
            answer = self.node.read(request, outcome)
        except NodeError as refusal:
            if not repeated or refusal.status == 0:
                raise
            return (yield from self._taken_before(transaction, refusal))
        return str(self.node.holding(answer, "hash")["hash"])

    def simulate(self, transaction: bytes) -> Steps[dict[str, Any]]:
        """The node's SimulationView as JSON."""
        answer = yield from self.post("/simulate", {"transaction": transaction.hex()})
        return self.node.holding(answer, "gas_used", "error")

    def wait(self, transaction_hash: str, timeout_s: float) -> Steps[dict[str, Any]]:
        """The transaction's TransactionView once a block holds it. Raises NodeError after `timeout_s`; it may still
        be committed later."""
        path = f"/transactions/{transaction_hash}"
        now = yield Now()
        end, pause = now + timeout_s, POLL_S
        while True:
            asked, wait_s = now, min(WAIT_MS_MAX / 1000, max(end - now, 0.0))
            outcome = yield from self._held(path, wait_s)
            if outcome["status"] in DONE:
                return outcome
            now = yield Now()
            if now >= end:
                raise NodeError(
                    f"transaction {transaction_hash} is {outcome['status']} after {timeout_s:g} s; "
                    f"ask later: {self.node.url}{path}"
                )
            if now - asked < pause:  # the node did not hold its answer, as for one that it does not know yet
                yield Pause(pause)
                pause = min(pause * 1.5, POLL_S_MAX)
                now = yield Now()

    def page(self, path: str, parameters: Mapping[str, Any]) -> Steps[tuple[list[Any], str | None]]:
        """A page of a list and the cursor of the next one."""
        answer = self.node.holding((yield from self.get(path, parameters)), "items", "next")
        return answer["items"], answer["next"]

    def _held(self, path: str, wait_s: float) -> Steps[dict[str, Any]]:
        """A transaction's outcome, which the node may hold back while it is pending; at once from one too busy."""
        try:
            answer = yield from self.get(path, {"wait_ms": int(wait_s * 1000)}, extra_s=wait_s)
        except NodeError as error:
            if error.status != 503:
                raise
            answer = yield from self.get(path, {})
        return self.node.holding(answer, "status")

    def _taken_before(self, transaction: bytes, refusal: NodeError) -> Steps[str]:
        """The first of two requests may have been taken, and its answer lost: then it is no refusal."""
        from runtime.codec import codec
        from runtime.errors import CodecError
        from runtime.execution.transaction import Transaction, transaction_hash

        try:
            name = transaction_hash(codec(Transaction).decode(transaction).body).hex()
        except CodecError:
            raise refusal from None
        known = self.node.holding((yield from self.get(f"/transactions/{name}", {})), "status")
        if known["status"] == "unknown":
            raise refusal
        return name
