"""From a model's bytes to the calls that register it: for whoever sends them (the command line, the demo, tests).

Lives here: the plan of an upload. Must not: sign or send.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.registry.module import Registry
from modules.registry.protocol import Card
from runtime import Call, Hash
from runtime.inference import decode_graph, model_hash
from runtime.limits import CALL_ARGUMENTS_BYTES_MAX
from runtime.state import chunk_hash, split_chunks


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """begin, then chunks (each but once, in any order), then complete. chunks[n] is chunk number n."""

    model: Hash
    begin: Call
    chunks: tuple[Call, ...]
    complete: Call

    @property
    def transactions(self) -> tuple[tuple[Call, ...], ...]:
        """All of it as the calls of as few transactions as will do: a small model is one."""
        small = (
            sum(len(call.arguments) for call in (self.begin, *self.chunks, self.complete)) <= CALL_ARGUMENTS_BYTES_MAX
        )
        if len(self.chunks) == 1 and small:
            return ((self.begin, *self.chunks, self.complete),)
        return ((self.begin,), *((chunk,) for chunk in self.chunks), (self.complete,))


def plan_upload(model: bytes, card: Card) -> UploadPlan:
    """The calls that register a lowered model. Raises CodecError where the bytes are no canonical graph."""
    nodes, name = len(decode_graph(model).nodes), model_hash(model)
    chunks = split_chunks(model)
    return UploadPlan(
        model=name,
        begin=Registry.begin_upload.build(
            model=name, size_bytes=len(model), chunks=tuple(chunk_hash(chunk) for chunk in chunks), card=card
        ),
        chunks=tuple(
            Registry.upload_chunk.build(model=name, index=index, data=chunk) for index, chunk in enumerate(chunks)
        ),
        complete=Registry.complete_upload.build(model=name, nodes_max=nodes),
    )
