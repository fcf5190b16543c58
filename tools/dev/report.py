"""What blocks did, a line for each transaction: for the author who has just sent it."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.execution import Application, InvariantBroken
from runtime.node.consensus_parts import AppliedBlock


def of_block(app: Application, block: AppliedBlock) -> Iterator[str]:
    """A line for each transaction, one for events of hooks, one where an invariant does not hold any more."""
    result, height = block.result, block.tip.height
    for data, receipt, explanation in zip(result.transactions, result.receipts, result.explanations, strict=True):
        calls = ", ".join(call.name for call in app.prepare(data).body.calls)
        events = ", ".join(f"{event.module}.{event.name}" for event in receipt.events)
        outcome = f"ok, gas {receipt.gas_used:,}" if receipt.is_ok else f"failed: {explanation}"
        yield f"block {height}: {calls} {outcome}" + (f", {events}" if events else "")
    of_hooks = [*result.block_receipt.begin_events, *result.block_receipt.end_events]
    if of_hooks:
        yield f"block {height}: " + ", ".join(f"{event.module}.{event.name}" for event in of_hooks)
    yield from of_invariants(app)


def of_invariants(app: Application) -> Iterator[str]:
    """A line for the first invariant that does not hold."""
    try:
        app.check_invariants()
    except InvariantBroken as broken:
        yield f"INVARIANT {broken}"
