"""Putting a model on the chain: announce it, bring its chunks, have it verified and registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from modules.registry import Registry
from modules.registry.protocol import Card
from runtime.errors import CallerError
from runtime.inference import model_hash, verification_gas, verify
from runtime.module import Call
from runtime.state import chunk_hash, split_chunks
from runtime.types import Hash
from tools.transactions import Sender


class RegistrationFailed(CallerError):
    """A step of the registration failed on the chain; the sentence says which and why."""


def registration_calls(model: bytes, card: Card) -> Iterator[tuple[str, Call]]:
    """The calls that register `model`, in order, each with what it does. Raises Refused when it is not proven exact."""
    graph = verify(model).graph
    name, chunks = model_hash(model), split_chunks(model)
    hashes: tuple[Hash, ...] = tuple(chunk_hash(chunk) for chunk in chunks)
    yield (
        "announce the model",
        Registry.begin_upload.build(model=name, size_bytes=len(model), chunks=hashes, card=card),
    )
    for index, chunk in enumerate(chunks):
        yield (
            f"upload chunk {index + 1} of {len(chunks)}",
            Registry.upload_chunk.build(model=name, index=index, data=chunk),
        )
    yield "verify and register it", Registry.complete_upload.build(model=name, nodes_max=len(graph.nodes))


def _check_size(model: bytes, gas_max: int) -> None:
    """Before anything is uploaded, which is paid for. The chain looks again."""
    gas = verification_gas(len(model), len(verify(model).graph.nodes))
    if gas > gas_max:
        raise RegistrationFailed(
            f"it is too large for this chain: verifying its {len(model):,} bytes takes {gas:,} gas, and a transaction "
            f"may use {gas_max:,}; a chain for it has a larger block_gas_max, a parameter of the runtime"
        )


def register(
    sender: Sender, model: bytes, card: Card, on_step: Callable[[str, dict[str, Any]], None]
) -> dict[str, Any]:
    """Register `model` step by step, waiting for each block; on_step is told of each outcome. Returns the last one.

    Raises Refused, NodeError, RegistrationFailed.
    """
    _check_size(model, sender.chain.transaction_gas_max)
    outcome: dict[str, Any] = {}
    for step, call in registration_calls(model, card):
        dry = sender.dry_run([call])
        if dry["error"]:
            raise RegistrationFailed(f"could not {step}: {dry['error']['message']}")
        outcome = sender.client.wait(sender.send([call]))
        if outcome["error"]:
            raise RegistrationFailed(f"could not {step}: {outcome['error']['message']}")
        on_step(step, outcome)
    return outcome
