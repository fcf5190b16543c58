"""What a genesis pins down, and what it may not contradict."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import pytest

from runtime import (
    U64,
    CallError,
    DefinitionError,
    Genesis,
    Item,
    Module,
    ModuleParams,
    Name,
    Uses,
    hook,
    query,
)
from runtime.errors import CodecError, UsageError
from runtime.execution import (
    DEFAULT_CONSENSUS,
    FREE,
    Application,
    BareAccounts,
    Chain,
    ChainGenesis,
    GenesisError,
    QueryFailed,
    Roles,
    RuntimeParams,
    UnknownQuery,
    module_genesis,
)
from runtime.state import MemoryStore
from runtime.testing.bank import Bank


class Picky(Module):
    """Wants an even number, and has a limit."""

    name = "picky"
    number: Item[U64] = Item(default=0)

    class Params(ModuleParams):
        """most: of the number."""

        most: U64 = 10

    class GenesisConfig(Genesis):
        """number: even."""

        number: U64 = 0

    def genesis(self, config: GenesisConfig) -> None:
        """Checks and writes."""
        if config.number % 2:
            raise Odd(number=config.number)
        if config.number > self.params.most:
            raise ValueError("too much")
        self.number = config.number

    @query
    def get(self) -> U64:
        """The number."""
        return self.number


class Odd(CallError):
    """The number is odd."""

    number: U64


def genesis(*modules: Any, **changes: Any) -> ChainGenesis:
    made = ChainGenesis(
        version=1,
        chain=Name("test"),
        address_prefix="arm",
        time_ms=5,
        modules=tuple(module_genesis(module) for module in modules),
        consensus=DEFAULT_CONSENSUS,
        runtime=FREE,
        roles=Roles(auth=Name("accounts"), fees=None, validators=None, governance=None),
    )
    return msgspec.structs.replace(made, **changes)


def refused(made: ChainGenesis, *modules: type[Module], field: str, match: str) -> None:
    with pytest.raises(GenesisError, match=match) as error:
        Application(made, modules, MemoryStore()).start()
    assert error.value.field.startswith(field)


def test_the_hash_covers_every_field() -> None:
    base = genesis(BareAccounts, Picky)
    entry = base.modules[1]
    others = [
        msgspec.structs.replace(base, **change)
        for change in (
            {"version": 2},
            {"chain": "other"},
            {"address_prefix": "x"},
            {"time_ms": 6},
            {"runtime": RuntimeParams(fee_units=0, fee_per_gas=2)},
            {"roles": Roles(Name("accounts"), None, Name("picky"), None)},
            {"modules": base.modules[::-1]},
            {"modules": (base.modules[0], msgspec.structs.replace(entry, params=b""))},
            {"modules": (base.modules[0], msgspec.structs.replace(entry, digest=b"\x01" * 32))},
            {"consensus": msgspec.structs.replace(DEFAULT_CONSENSUS, message_delay_ms=1)},
        )
    ]
    assert len({made.hash for made in (base, *others)}) == 11
    assert ChainGenesis.decode(base.encode()) == base


def test_a_chain_starts_from_what_its_genesis_says() -> None:
    chain = Chain(Picky, genesis={"picky": {"number": 8}}, params={"picky": {"most": 8}})
    assert chain.query(Picky.get) == 8


def test_a_store_is_opened_again_by_its_own_chain_only() -> None:
    store = MemoryStore()
    first = Chain(Picky, store=store)
    first.block()
    again = Application(first.application.genesis, [BareAccounts, Picky], store)
    again.start()
    assert again.height == 1
    with pytest.raises(GenesisError, match="of the chain"):
        Application(genesis(BareAccounts, Picky), [BareAccounts, Picky], store).start()


def test_exported_state_is_a_genesis(chain: Chain) -> None:
    chain.submit(Bank.transfer.build(to=chain.account("carol").id, amount=9), signer=chain.account("alice"))
    exported = chain.application.export_genesis("bank")
    entry = msgspec.structs.replace(module_genesis(Bank), genesis=exported)
    made = genesis(BareAccounts)
    application = Application(
        msgspec.structs.replace(made, modules=(*made.modules, entry)), [BareAccounts, Bank], MemoryStore()
    )
    application.start()
    assert application.query("bank", "balance_of", {"account": chain.account("carol").id}) == 9
    with pytest.raises(DefinitionError, match="cannot be exported"):
        chain.application.export_genesis("accounts")


def test_invalid_module_at_hand_missing_or_twice_or_of_another_version() -> None:
    refused(genesis(BareAccounts, Picky), BareAccounts, field="modules[1]", match="not at hand")
    refused(genesis(BareAccounts, BareAccounts), BareAccounts, field="modules[1]", match="listed twice")
    made = genesis(BareAccounts)
    newer = msgspec.structs.replace(made.modules[0], version=2)
    refused(genesis(modules=(newer,)), BareAccounts, field="modules[0]", match="pinned at version 2, at hand is 1")


def test_invalid_two_modules_of_one_name() -> None:
    refused(genesis(BareAccounts), BareAccounts, BareAccounts, field="modules", match="one name")


def test_invalid_params_and_genesis_bytes() -> None:
    entry = module_genesis(Picky)
    made = genesis(BareAccounts)
    for change, field in (({"params": b"\x00"}, "modules[1].params"), ({"genesis": b"\xff"}, "modules[1].genesis")):
        broken = msgspec.structs.replace(made, modules=(*made.modules, msgspec.structs.replace(entry, **change)))
        refused(broken, BareAccounts, Picky, field=field, match=r"\$")
    extra = msgspec.structs.replace(made.modules[0], params=b"\x90")
    refused(genesis(modules=(extra,)), BareAccounts, field="modules[0].params", match="declares none")


@pytest.mark.parametrize(("number", "match"), [(7, "Odd: The number is odd"), (12, "ValueError: too much")])
def test_invalid_genesis_that_a_module_refuses(number: int, match: str) -> None:
    with pytest.raises(GenesisError, match=match):
        Chain(Picky, genesis={"picky": {"number": number}})


@pytest.mark.parametrize(
    ("values", "match"),
    [({"number": -1}, "picky.genesis.number"), ({"nmber": 2}, "picky.genesis.nmber"), ({"number": "x"}, "number")],
)
def test_invalid_genesis_values_name_their_place(values: dict[str, Any], match: str) -> None:
    with pytest.raises(GenesisError, match=match):
        Chain(Picky, genesis={"picky": values})


def test_invalid_genesis_for_a_module_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="piky, which is not in this chain"):
        Chain(Picky, genesis={"piky": {}})


def test_invalid_roles() -> None:
    for roles, field, match in (
        (Roles(Name("nobody"), None, None, None), "roles.auth", "no module nobody"),
        (Roles(Name("picky"), None, None, None), "roles.auth", "has no method nonce"),
        (Roles(Name("accounts"), Name("picky"), None, None), "roles.fees", "has no method withdraw_fee"),
        (Roles(Name("accounts"), None, Name("picky"), None), "roles.validators", "has no method validators"),
        (Roles(Name("accounts"), None, None, Name("nobody")), "roles.governance", "no module nobody"),
        (Roles(Name("accounts"), None, None, Name("picky")), "roles.governance", "runs no calls as Root"),
    ):
        refused(genesis(BareAccounts, Picky, roles=roles), BareAccounts, Picky, field=field, match=match)


def test_invalid_fees() -> None:
    for price, field, match in (
        (RuntimeParams(fee_units=0, fee_per_gas=0), "runtime.fee_per_gas", "is 0: on this chain it is 1 to"),
        (RuntimeParams(fee_units=7), "runtime.fee_units", "is 7: on this chain it is 0 to 0"),
    ):
        refused(genesis(BareAccounts, runtime=price), BareAccounts, field=field, match=match)


class Greedy(Module):
    """Wants most of a block for itself."""

    name = "greedy"

    @hook(gas=1_500_000_000)
    def end_block(self) -> None:
        """Takes its time."""


def test_invalid_hooks_that_leave_too_little_for_transactions() -> None:
    refused(
        genesis(BareAccounts, Greedy), BareAccounts, Greedy, field="runtime.block_gas_max", match="it is 3000000000 to"
    )


# --- who provides what


class Doubles(Protocol):
    def double(self, number: U64) -> U64: ...


class Doubler(Module):
    """Doubles."""

    name = "doubler"

    def double(self, number: U64) -> U64:
        """Twice the number."""
        return 2 * number


class Other(Module):
    """Doubles another way."""

    name = "other"

    def double(self, number: U64) -> U64:
        """Twice, and one."""
        return 2 * number + 1


class Misfit(Module):
    """Would double, but otherwise."""

    name = "misfit"

    def double(self, amount: U64) -> U64:
        """Twice the amount."""
        return 2 * amount


class User(Module):
    """Uses a doubler."""

    name = "user"
    doubler: Uses[Doubles]

    @query
    def four(self) -> U64:
        """Twice two."""
        return self.doubler.double(2)


class Chooser(Module):
    """Uses the doubler that it names."""

    name = "chooser"
    doubler: Uses[Doubles] = Uses("other")

    @query
    def five(self) -> U64:
        """Twice two and one."""
        return self.doubler.double(2)


def test_the_one_module_that_fits_is_bound_and_a_named_one_wins() -> None:
    assert Chain(User, Doubler).query(User.four) == 4
    assert Chain(Chooser, Doubler, Other).query(Chooser.five) == 5


@pytest.mark.parametrize(
    ("modules", "match"),
    [
        ((User,), "no module of this chain provides it"),
        ((User, Misfit), "misfit misfits in double: it takes no number"),
        ((User, Doubler, Other), r'doubler, other all provide it: name one, = Uses\("doubler"\)'),
        ((Chooser, Doubler), "module other is not in this chain"),
    ],
)
def test_invalid_providers(modules: tuple[type[Module], ...], match: str) -> None:
    with pytest.raises(DefinitionError, match=match):
        Chain(*modules)


# --- queries


def test_invalid_queries(chain: Chain) -> None:
    application = chain.application
    with pytest.raises(UnknownQuery, match="no module nowhere: this chain has runtime, accounts, bank"):
        application.query("nowhere", "x", {})
    with pytest.raises(UnknownQuery, match="bank has no query balance: it has balance_of"):
        application.query("bank", "balance", {})
    with pytest.raises(CodecError, match=r"\$\.account: bank\.balance_of needs this argument"):
        application.query("bank", "balance_of", {})
    with pytest.raises(CodecError, match="no such argument"):
        application.query("bank", "balance_of", {"account": b"\x01" * 32, "denom": "arm"})
    with pytest.raises(CodecError, match=r"\$\.account"):
        application.query("bank", "balance_of", {"account": b"\x01"})
    with pytest.raises(QueryFailed, match="only calls and hooks may"):
        application.query("bank", "writes", {})
    with pytest.raises(QueryFailed, match="does not fit its declared type"):
        application.query("bank", "lies", {})
    with pytest.raises(UnknownQuery, match=r"no storage bank.nothing"):
        application.prove("bank", "nothing")


def test_a_query_takes_canonical_bytes_too(chain: Chain) -> None:
    info = chain.application.query_info("bank", "balance_of")
    arguments = info.codec.encode(info.arguments(chain.account("alice").id))
    assert chain.application.query("bank", "balance_of", arguments) == 10**12
