"""Models and uploads on the chain that begins with an export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from modules.registry import Registry
from modules.registry.errors import NoVerdict, UnknownParent, WrongChunk, WrongModelHash
from modules.registry.protocol import Price, Standing
from runtime.codec import codec
from runtime.execution import Chain, GenesisError
from runtime.execution.core import Core, ModelTooLarge
from runtime.execution.params import RuntimeParams
from runtime.inference import model_hash
from runtime.module import ModelRefused
from tools.registration import registration_calls

Continue = Callable[..., Chain]


def test_a_model_runs_an_announced_price_comes_and_an_upload_goes_on(world: Any, continued: Continue) -> None:
    parent = world.register(world.tiny())
    child = world.register(world.tiny(1), "bob", world.card(parent))
    world.send(Registry.set_price.build(model=parent, price=Price(denom="arm", amount=9)), "alice")
    begin, *chunks, complete = (call for _, call in registration_calls(world.large(), world.card()))
    world.send(begin, "carol")
    world.send(chunks[1], "carol")
    upload = world.chain.query(Registry.upload, owner=world.account("carol").id, model=model_hash(world.large()))
    height = world.chain.height
    world.chain = continued(world.chain)
    assert world.view(parent).record.height == 0
    assert (world.view(parent).price.amount, world.view(parent).standing) == (7, Standing.RUNS)
    world.chain.blocks(2)
    assert world.view(parent).price.amount == 9
    world.send(world.infer(child), "alice")
    again = world.chain.query(Registry.upload, owner=world.account("carol").id, model=model_hash(world.large()))
    assert again == replace(upload, expires=upload.expires - height)
    world.send(chunks[0], "carol")
    world.send(complete, "carol")
    found = world.chain.query(Registry.descendants, model=parent, depth=2, after=None, limit=9)
    assert [each.path for each in found] == [(child,)]


def test_what_was_being_cleared_away_goes_on_and_the_deposit_returns(
    world: Any, continued: Continue, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = world.register(world.large())
    deposit = world.view(model).record.deposit
    monkeypatch.setattr("modules.registry.uploads.SWEPT_PER_BLOCK", 1)
    world.send(Registry.retire.build(model=model), "alice")
    before = world.funds("alice")
    world.chain = continued(world.chain)
    assert world.view(model).standing is Standing.RETIRED
    assert world.funds("alice") == before
    world.chain.blocks(2)
    assert world.funds("alice") == before + deposit
    world.chain = continued(world.chain)
    assert world.view(model).record.retired == 0
    assert not world.chain.application.live_chunks()


def test_a_model_above_the_bound_of_today_is_kept_and_does_not_run(world: Any, continued: Continue) -> None:
    model = world.register(world.tiny())
    low = codec(RuntimeParams).encode(RuntimeParams(fee_units=0, model_memory_bytes_max=1))
    world.chain.root(Core.set_params.build(module="runtime", params=low))
    world.chain = continued(world.chain)
    assert world.view(model).standing is Standing.RUNS
    error = world.chain.error(world.chain.submit(world.infer(model), signer=world.account("alice")))
    assert type(error) is ModelTooLarge


@pytest.fixture
def refused(world: Any, continued: Continue) -> Callable[..., str]:
    """Why a chain cannot begin with the export of one with a model, a child of it and a retired one, once it is
    changed."""
    parent = world.register(world.tiny())
    world.register(world.tiny(1), "bob", world.card(parent))
    retired = world.register(world.tiny(2))
    world.send(Registry.retire.build(model=retired), "alice")

    def begin(change: Callable[[dict[str, Any]], None]) -> str:
        with pytest.raises(GenesisError) as caught:
            continued(world.chain, registry=change)
        return caught.value.reason

    return begin


def test_invalid_genesis_with_other_bytes(refused: Callable[..., str]) -> None:
    def other_name(genesis: dict[str, Any]) -> None:
        genesis["blobs"][0]["chunks"][0]["name"] = "00" * 32

    def swapped(genesis: dict[str, Any]) -> None:
        first, second = (blob for blob in genesis["blobs"] if blob["model"] in genesis["models"])
        first["chunks"], second["chunks"] = second["chunks"], first["chunks"]

    assert WrongChunk.__name__ in refused(other_name)
    assert WrongModelHash.__name__ in refused(swapped)


def test_invalid_genesis_without_what_records_refer_to(refused: Callable[..., str]) -> None:
    def childless(genesis: dict[str, Any]) -> None:
        (parent,) = {each["card"]["parents"][0] for each in genesis["models"].values() if each["card"]["parents"]}
        del genesis["models"][parent]

    assert NoVerdict.__name__ in refused(lambda genesis: genesis["verdicts"].clear())
    assert UnknownParent.__name__ in refused(childless)
    assert ModelRefused.__name__ in refused(lambda genesis: genesis["blobs"].clear())
