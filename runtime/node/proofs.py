"""What a node proves to others: decision certificates and query proofs, from its state and its blocks.

Lives here: gathering header, certificate, trail and state proof of one height. Must not: verify (runtime.light), answer
(api.py). Any thread may.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runtime.consensus import CommitCertificate, Header
from runtime.errors import CallerError
from runtime.execution import Application, UnknownQuery
from runtime.execution.proving import Unprovable, prove_query
from runtime.light import DecisionCertificate, QueryProof, StateRead, TrailStep, encode_decision, encode_query_proof
from runtime.light.decision import DECISION_VERSION
from runtime.light.query import ANSWER_BYTES_MAX, MAGIC, QUERY_PROOF_VERSION
from runtime.light.trail import TRAIL_STEPS_MAX
from runtime.node.block_store import BlockStore
from runtime.rpc.api import NotFound
from runtime.types import Name

RECORDS: Final = ("oracle", "records")  # module and storage of what /certificates/{record} proves


class Proofs:
    """Over one node's state and blocks."""

    def __init__(self, app: Application, store: BlockStore) -> None:
        self._app = app
        self._store = store

    def decision(self, record: int, height: int) -> bytes:
        """The decision certificate of a record at this height. Raises NotFound."""
        try:
            proven = self._app.prove(*RECORDS, record, height=height)
        except UnknownQuery:
            raise NotFound("this chain has no oracle module, hence no records") from None
        if proven.value is None:
            raise NotFound(f"there is no record {record} at height {height}")
        header, certificate, trail = self._certified(height)
        decision = DecisionCertificate(
            version=DECISION_VERSION,
            trail=trail,
            header=header,
            certificate=certificate,
            module=Name(proven.module),
            key=proven.key,
            value=proven.value,
            proof=proven.proof,
        )
        return encode_decision(decision)

    def query(self, module: str, query: str, arguments: Mapping[str, Any], height: int) -> tuple[Any, bytes]:
        """A query's answer after the block of this height, and the bytes of its proof. Raises Unprovable, NotFound, and
        what `Application.query` raises."""
        if height == 0:
            raise CallerError("height 0 is the genesis, which nobody signed: proofs begin with the block of height 1")
        found = prove_query(self._app, module, query, arguments, height=height)
        if len(found.answer) > ANSWER_BYTES_MAX:
            raise Unprovable(f"{found.info.full_name} cannot be proven: its answer exceeds {ANSWER_BYTES_MAX} bytes")
        header, certificate, trail = self._certified(height)
        proof = QueryProof(
            magic=MAGIC,
            version=QUERY_PROOF_VERSION,
            module=Name(module),
            query=Name(query),
            arguments=found.arguments,
            answer=found.answer,
            read=StateRead(trail, header, certificate, found.witness),
        )
        return found.value, encode_query_proof(proof)

    def _certified(self, height: int) -> tuple[Header, CommitCertificate, tuple[TrailStep, ...]]:
        block, certificate = self._store.block(height), self._store.certificate(height)
        if block is None or certificate is None:
            raise NotFound(f"the block of height {height} is not held here")
        return block.header, certificate, self._trail(height)

    def _trail(self, height: int) -> tuple[TrailStep, ...]:
        """Every change of the validator set from the genesis to the set that decided `height`."""
        steps: list[TrailStep] = []
        for at in self._store.set_changes(height):
            block, certificate = self._store.block(at), self._store.certificate(at)
            following = self._store.validators_at(at + 1)
            if block is None or certificate is None or following is None or len(steps) >= TRAIL_STEPS_MAX:
                raise NotFound(f"the way from the genesis to block {height} is not held here in full")
            steps.append(TrailStep(block.header, certificate, following.validators))
        return tuple(steps)
