"""Parameters: in state from the genesis on, metered, rolled back, changed by Root alone and only to what can be."""

from __future__ import annotations

from typing import Annotated, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import (
    U64,
    AccountId,
    BlockInfo,
    Call,
    CallError,
    Item,
    MaxLen,
    Module,
    ModuleParams,
    Name,
    Root,
    Signed,
    call,
    query,
)
from runtime.codec import codec
from runtime.errors import DefinitionError
from runtime.execution import Chain, GenesisError, InvalidTransaction, QueryFailed, Rule, UnknownQuery
from runtime.execution.core import Core, NoParams, ParamsChanged, ParamsRefused
from runtime.module import OriginRefused
from runtime.module.gas import CODEC_UNIT_GAS, READ_BYTE_GAS, READ_GAS
from runtime.module.params import PARAMS_KEY
from runtime.state import Overlay, ProofError, verify_proof


class TooHigh(CallError):
    """The step is above the ceiling."""

    step: U64
    ceiling: U64


class Stop(CallError):
    """On purpose."""


class Stepper(Module):
    """Counts in steps of its parameter, which no state may be above."""

    name = "stepper"
    count: Item[U64] = Item(default=0)
    ceiling: Item[U64] = Item(default=100)

    class Params(ModuleParams):
        """step: by which it counts. note: bytes to read."""

        step: U64 = 3
        note: Annotated[bytes, MaxLen(4096)] = b""

    def check_params(self) -> None:
        if self.params.step > self.ceiling:
            raise TooHigh(step=self.params.step, ceiling=self.ceiling)

    @call(gas=0)
    def bump(self, origin: Signed | Root) -> None:
        """Add the step."""
        self.count += self.params.step

    @call(gas=0)
    def read(self, origin: Signed, *, times: U64) -> None:
        """Read the parameters so often."""
        for _ in range(times):
            assert self.params.step

    @call(gas=0)
    def stop(self, origin: Root) -> None:
        """Fail."""
        raise Stop()

    @query
    def step(self) -> U64:
        """The step at this height."""
        return self.params.step

    @query
    def value(self) -> U64:
        """The count."""
        return self.count


class Plain(Module):
    """Has no parameters, and reads them."""

    name = "plain"

    @query
    def broken(self) -> U64:
        """Raises DefinitionError."""
        return self.params.step  # type: ignore[call-overload,no-any-return] # the mistake under test


def chain_of(**params: object) -> Chain:
    return Chain(Stepper, Plain, params={"stepper": params})


def encoded(step: int, note: bytes = b"") -> bytes:
    return codec(Stepper.Params).encode(Stepper.Params(step=step, note=note))


def change(step: int, note: bytes = b"") -> Call:
    return Core.set_params.build(module=Name(Stepper.name), params=encoded(step, note))


def test_a_change_is_seen_by_the_next_call_and_earlier_heights_keep_theirs() -> None:
    chain = chain_of(step=5)
    (event,) = chain.root(change(7))
    assert chain.decode_event(event) == ParamsChanged(module="stepper", params=encoded(7))
    chain.submit(Stepper.bump.build(), signer=chain.account("alice"))
    assert chain.query(Stepper.value) == 7
    assert [chain.query_at(height, Stepper.step) for height in (0, 1, 2)] == [5, 7, 7]
    assert [chain.query_at(height, Core.params_of, module="stepper") for height in (0, 1)] == [encoded(5), encoded(7)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=6))
def test_what_is_read_is_what_was_set_last_and_not_undone(steps: list[tuple[int, bool]]) -> None:
    """Changes and uses of them in one run, some undone: what was remembered never outlives a rollback."""
    chain, step, count = chain_of(), 3, 0
    for wanted, undone in steps:
        calls = [
            Stepper.bump.build(),
            change(wanted),
            Stepper.bump.build(),
            *([Stepper.stop.build()] if undone else []),
        ]
        if undone or wanted > 100:
            with pytest.raises(Stop if wanted <= 100 else TooHigh):
                chain.root(*calls)
        else:
            chain.root(*calls)
            count, step = count + step + wanted, wanted
        assert (chain.query(Stepper.step), chain.query(Stepper.value)) == (step, count)


def test_a_rollback_inside_one_run_brings_the_old_ones_back() -> None:
    chain = chain_of()
    environment = chain.application.composition.environment()
    environment.context.open(Overlay(chain.application.store), BlockInfo(height=1, time_ms=0))
    stepper = cast("Stepper", environment.modules["stepper"])

    def set_and_stop() -> None:
        with environment.context.checkpoint():
            environment.core.set_params(Root(), module=Name("stepper"), params=encoded(9))
            assert stepper.params.step == 9
            raise Stop()

    assert stepper.params.step == 3
    with pytest.raises(Stop):
        set_and_stop()
    assert stepper.params.step == 3


def test_each_read_costs_the_same_gas_however_often() -> None:
    chain = chain_of(note="00" * 1000)
    alice = chain.account("alice")
    used = [chain.submit(Stepper.read.build(times=times), signer=alice).gas_used for times in (0, 1, 2, 10)]
    size = len(encoded(3, bytes(1000)))
    price = READ_GAS + READ_BYTE_GAS * size + CODEC_UNIT_GAS * codec(Stepper.Params).work(size)
    assert [gas - used[0] for gas in used] == [0, price, 2 * price, 10 * price]


def test_parameters_are_proven_in_their_modules_part_of_the_state() -> None:
    chain = chain_of()
    chain.root(change(8))
    proven = chain.application.prove("stepper", "params")
    assert (proven.key, proven.value) == (PARAMS_KEY, encoded(8))
    verify_proof(proven.state_root, "stepper", PARAMS_KEY, encoded(8), proven.proof)
    with pytest.raises(ProofError):
        verify_proof(proven.state_root, "stepper", PARAMS_KEY, encoded(9), proven.proof)


def test_modules_without_parameters_have_none() -> None:
    chain = chain_of()
    assert chain.query(Core.params_of, module="plain") is None
    assert chain.query(Core.params_of, module="nobody") is None
    with pytest.raises(UnknownQuery, match=r"no storage plain\.params"):
        chain.application.prove("plain", "params")
    with pytest.raises(QueryFailed):
        chain.query(Plain.broken)


def test_invalid_module_has_no_parameters() -> None:
    for name in ("plain", "nobody"):
        with pytest.raises(NoParams):
            chain_of().root(Core.set_params.build(module=name, params=b""))


@pytest.mark.parametrize("data", [b"", b"\x90", encoded(1) + b"\x00", encoded(1)[:-1], b"\xff" * 9])
def test_invalid_bytes_of_parameters(data: bytes) -> None:
    chain = chain_of()
    with pytest.raises(ParamsRefused):
        chain.root(Core.set_params.build(module="stepper", params=data))
    assert chain.query(Stepper.step) == 3


def test_invalid_parameters_for_the_state() -> None:
    chain = chain_of()
    with pytest.raises(TooHigh):
        chain.root(change(101))
    assert chain.query(Stepper.step) == 3


def test_invalid_parameters_at_genesis() -> None:
    with pytest.raises(GenesisError, match=r"modules\[1\]\.params \(stepper\): TooHigh"):
        chain_of(step=101)


def test_invalid_origin_of_a_change() -> None:
    chain = chain_of()
    alice = chain.account("alice")
    with pytest.raises(InvalidTransaction) as refused:
        chain.submit(change(4), signer=alice)
    assert refused.value.rule is Rule.ORIGIN
    receipt = chain.block([chain.transaction(change(4), signer=alice)]).receipts[0]
    assert chain.error(receipt) == OriginRefused(call="runtime.set_params", origin="Signed")
    assert chain.query(Stepper.step) == 3


def test_invalid_storage_named_as_the_parameters() -> None:
    with pytest.raises(DefinitionError, match="params: this name belongs to Module"):

        class Clash(Module):
            """Takes the place of its own parameters."""

            name = "clash"
            params: Item[AccountId] = Item()
