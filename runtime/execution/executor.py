"""One transaction in a block: its rules against the state, fee, nonce, calls, receipt.

Two kinds of bad (docs/adr/007-execution.md): a transaction that breaks a rule raises InvalidTransaction and may be in
no block; past the rules only its calls can fail: a receipt, their effects undone, the fee taken, unused gas given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runtime.errors import CodecError
from runtime.execution.composition import Environment
from runtime.execution.dispatch import LET_THROUGH, dispatch, error_record, explain, takes_all_gas, traceback_of
from runtime.execution.errors import ExecutionFault, InvalidTransaction, Rule
from runtime.execution.receipts import Receipt
from runtime.execution.transaction import Prepared
from runtime.module import CallError, Signed
from runtime.module.context import UNLIMITED

NONCE_AHEAD_MAX = 1024
"""How far a nonce may be ahead of the account's for the mempool to take it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A receipt; for people why it failed, with detail that is not in the receipt, "" where it succeeded; and for the
    node's log the traceback where module code broke."""

    receipt: Receipt
    explanation: str
    traceback: str


def check_rules(environment: Environment, prepared: Prepared, *, nonce_exact: bool) -> int:
    """Every rule that needs state but no writing; returns the account's next nonce. Raises InvalidTransaction."""
    body, context = prepared.body, environment.context
    params = environment.params
    height = context.block.height
    if len(prepared.data) > params.block_bytes_max:
        raise InvalidTransaction(
            Rule.SIZE, f"{len(prepared.data)} bytes, a block has {params.block_bytes_max} for transactions"
        )
    if body.last_valid_height < height:
        raise InvalidTransaction(
            Rule.EXPIRED, f"valid up to height {body.last_valid_height}, the next block is {height}"
        )
    available = params.block_gas_max - environment.composition.hook_gas
    if body.gas_limit > available:
        raise InvalidTransaction(
            Rule.GAS_LIMIT, f"the gas limit is {body.gas_limit}, a block has {available} for transactions"
        )
    cost = params.fees.fee(body.gas_limit) + body.tip if environment.fees else 0
    if cost > body.max_fee:
        raise InvalidTransaction(Rule.FEE, f"gas limit and tip may cost {cost}, the max fee is {body.max_fee}")
    nonce = environment.auth.nonce(body.sender)
    if body.nonce < nonce:
        raise InvalidTransaction(Rule.NONCE_LOW, f"nonce {body.nonce} is used, the account's next is {nonce}")
    if body.nonce > nonce + (0 if nonce_exact else NONCE_AHEAD_MAX):
        raise InvalidTransaction(Rule.NONCE_HIGH, f"nonce {body.nonce} is ahead, the account's next is {nonce}")
    for place, (account, auth) in enumerate(zip(prepared.signers, prepared.auth, strict=True)):
        if not environment.auth.admits(account, auth):
            raise InvalidTransaction(Rule.AUTH, f"auth[{place}]: these keys may not act for account {account.hex()}")
    return nonce


def check_calls(environment: Environment, prepared: Prepared) -> None:
    """What would surely fail: an unknown call, arguments that are not its own, an origin it refuses. Early rules."""
    for place, call in enumerate(prepared.body.calls):
        target = environment.composition.targets.get(call.name)
        if target is None:
            raise InvalidTransaction(Rule.UNKNOWN_CALL, f"calls[{place}]: no module of this chain has {call.name}")
        if Signed not in target.info.origins:
            accepted = " or ".join(origin.__name__ for origin in target.info.origins)
            raise InvalidTransaction(Rule.ORIGIN, f"calls[{place}]: {call.name} takes {accepted}, not a signature")
        try:
            target.info.codec.decode(call.arguments)
        except CodecError as error:
            raise InvalidTransaction(Rule.BAD_ARGUMENT, f"calls[{place}], {call.name}: {error}") from None


@contextmanager
def roles_contained() -> Iterator[None]:
    """What the modules for auth and fees raise over a transaction keeps it out of every block."""
    try:
        yield
    except (InvalidTransaction, *LET_THROUGH):
        raise
    except BaseException as error:
        raise InvalidTransaction(Rule.ROLE, f"auth or fees broke over it: {type(error).__name__}: {error}") from error


def admit(environment: Environment, prepared: Prepared, *, nonce_exact: bool) -> tuple[int, int]:
    """What comes before the calls, alike in a block and in the mempool's check: the rules, the nonce counted, the most
    that it may cost taken. Returns the account's nonce before it, and the amount. Raises InvalidTransaction, and what
    was written until then is for the caller to undo."""
    with roles_contained():
        nonce = check_rules(environment, prepared, nonce_exact=nonce_exact)
        environment.auth.advance_nonce(prepared.body.sender)
        return nonce, _withdraw(environment, prepared)


def _withdraw(environment: Environment, prepared: Prepared) -> int:
    if environment.fees is None:
        return 0
    body = prepared.body
    cost = environment.params.fees.fee(body.gas_limit) + body.tip
    try:
        environment.fees.withdraw_fee(prepared.payer, cost)
    except CallError as error:
        raise InvalidTransaction(
            Rule.FUNDS, f"account {prepared.payer.hex()} cannot pay the {cost} it may cost: {error}"
        ) from None
    return cost


def run_transaction(environment: Environment, prepared: Prepared) -> Outcome:
    """Executes in the open context. Raises InvalidTransaction and leaves no trace then; the caller bounds block gas."""
    context, state = environment.context, environment.context.state
    context.set_gas(UNLIMITED)
    context.drop_events()
    state.checkpoint()
    try:
        _, withdrawn = admit(environment, prepared, nonce_exact=True)
        fee_events = context.take_events()
    except BaseException:
        state.rollback()
        raise
    state.commit()
    failure = _run_calls(environment, prepared)
    module = "" if failure is None else prepared.body.calls[failure.place].name.partition(".")[0]
    error = None if failure is None else error_record(environment, failure.error, failure.place, module)
    gas_used = context.gas_limit if takes_all_gas(error) else context.gas_used
    events = context.take_events()
    context.set_gas(UNLIMITED)
    fee = _settle(environment, prepared, gas_used, withdrawn)
    settle_events = context.take_events()
    receipt = Receipt(prepared.hash, error, gas_used, fee, (*fee_events, *events, *settle_events))
    if failure is None:
        return Outcome(receipt, "", "")
    return Outcome(receipt, explain(failure.error), traceback_of(failure.error))


@dataclass(frozen=True, slots=True)
class _Failure:
    error: CallError
    place: int


def _run_calls(environment: Environment, prepared: Prepared) -> _Failure | None:
    """All calls or none: their effects and events are undone where one fails."""
    context, state, body = environment.context, environment.context.state, prepared.body
    context.set_gas(body.gas_limit)
    context.charge(prepared.fixed_gas)
    origin, place = Signed(body.sender), 0
    state.checkpoint()
    try:
        for place, call in enumerate(body.calls):  # noqa: B007 # the number of the failing call is read below
            dispatch(environment, origin, call)
    except CallError as error:
        state.rollback()
        context.drop_events()
        return _Failure(error, place)
    except BaseException:
        state.rollback()
        raise
    state.commit()
    return None


def _settle(environment: Environment, prepared: Prepared, gas_used: int, withdrawn: int) -> int:
    if environment.fees is None:
        return 0
    fee = environment.params.fees.fee(gas_used) + prepared.body.tip
    try:
        environment.fees.settle_fee(prepared.payer, fee, withdrawn - fee)
    except LET_THROUGH:
        raise
    except BaseException as error:
        raise ExecutionFault(f"the fee of transaction {prepared.hash.hex()} cannot be settled: {error}") from error
    return fee
