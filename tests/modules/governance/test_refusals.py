"""Governance: what is refused, by name; and what a chain may begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.governance import Governance
from modules.governance.errors import (
    BadProposal,
    ContentTooLarge,
    EnactmentTooEarly,
    EnactmentTooLate,
    NoTitle,
    NotProposer,
    NotVoter,
    NotVoting,
    ParamOutOfRange,
    UnknownDepositDenom,
    UnknownProposal,
)
from modules.governance.module import CONTENT_BYTES_MAX
from modules.governance.proposals import BLOCKS_MAX
from modules.governance.protocol import PARTS, Choice, Content, GenesisProposal, Proposal, Rules, Status, Tally
from modules.tokens import Tokens
from modules.validators import Validators
from modules.validators.module import GenesisValidator
from runtime import Call, CallError, CallFailure, Denom, ModuleParams, Name
from runtime.codec import codec
from runtime.execution import Chain, GenesisError
from runtime.execution.core import Core, NoParams, ParamsRefused
from runtime.module import BadArgument, OriginRefused, UnknownCall

ARM = Denom("arm")
DEPOSIT, FUNDS = 1_000, 10**9
POWERS = {"alice": 50, "bob": 30, "carol": 20}
VOTING, DELAY = 3, 2
YES, NO, ABSTAIN, VETO = Choice


# --- what is refused


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        ((Call("tokens.nothing", b"\x90"),), UnknownCall(call="tokens.nothing")),
        ((Call("tokens.mint", b"\x90"),), BadArgument(call="tokens.mint")),
        ((Governance.cancel.build(proposal=0),), OriginRefused(call="governance.cancel", origin="Root")),
    ],
)
def test_invalid_calls_cannot_be_proposed(
    gov: Any, chain: Chain, fails: Any, calls: tuple[Call, ...], error: CallError
) -> None:
    gov.refused(chain, gov.proposing(*calls), "dora", error, fails)


def test_invalid_proposal_without_title(gov: Any, chain: Chain, fails: Any) -> None:
    gov.refused(chain, gov.proposing(title=""), "dora", NoTitle(), fails)


def test_invalid_proposal_that_is_too_large(gov: Any, chain: Chain, fails: Any) -> None:
    params = Core.set_params.build(module=Name("governance"), params=bytes(8 * 1024))
    size = 7 * len(params.arguments)
    expected = ContentTooLarge(size_bytes=size, limit=CONTENT_BYTES_MAX)
    gov.refused(chain, gov.proposing(*[params] * 7), "dora", expected, fails)
    assert chain.submit(
        gov.proposing(gov.mint(chain, 1), *[params] * 5, text="€" * 2000), signer=chain.account("dora")
    ).is_ok


def changing(module: str, params: ModuleParams) -> Call:
    return Core.set_params.build(module=Name(module), params=codec(type(params)).encode(params))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            changing("governance", Governance.Params(quorum=10_001)),
            ParamOutOfRange(param=Name("quorum"), low=0, high=PARTS),
        ),
        (
            changing("governance", Governance.Params(deposit_denom=Denom("tin"))),
            UnknownDepositDenom(denom=Denom("tin")),
        ),
        (changing("nobody", Governance.Params()), NoParams(module=Name("nobody"))),
        (Core.set_params.build(module=Name("governance"), params=b"\x90"), ParamsRefused(module=Name("governance"))),
    ],
)
def test_invalid_parameters_cannot_be_proposed(
    gov: Any, chain: Chain, fails: Any, change: Call, error: CallError
) -> None:
    """Neither alone nor behind other changes; behind a call of another kind they can, which may make room for them."""
    good = changing("governance", Governance.Params(quorum=10_000))
    for calls in ((change,), (good, change), (change, gov.mint(chain, 1))):
        gov.refused(chain, gov.proposing(*calls), "dora", error, fails)
    assert chain.submit(gov.proposing(gov.mint(chain, 1), change), signer=chain.account("dora")).is_ok


def test_parameters_that_are_proposed_are_as_they_were(gov: Any, chain: Chain) -> None:
    before = chain.query(Core.params_of, module="governance")
    receipt = chain.submit(
        gov.proposing(changing("governance", Governance.Params(quorum=1))), signer=chain.account("dora")
    )
    assert receipt.is_ok
    assert [event.name for event in receipt.events if event.module == "runtime"] == []
    assert chain.query(Core.params_of, module="governance") == before


def test_invalid_height_of_enactment(gov: Any, chain: Chain, fails: Any) -> None:
    first = 1 + VOTING + DELAY
    too_early = EnactmentTooEarly(enact_at=first - 1, earliest=first)
    gov.refused(chain, gov.proposing(enact_at=first - 1), "dora", too_early, fails)
    latest = 2 + VOTING + DELAY + BLOCKS_MAX
    too_late = EnactmentTooLate(enact_at=latest + 1, latest=latest)
    gov.refused(chain, gov.proposing(enact_at=latest + 1), "dora", too_late, fails)
    assert chain.submit(gov.proposing(enact_at=latest + 1), signer=chain.account("dora")).is_ok


def test_invalid_proposal_without_the_deposit(gov: Any, chain: Chain) -> None:
    receipt = chain.submit(gov.proposing(), signer=chain.account("poor"))
    assert receipt.error is not None
    assert receipt.error.name == "InsufficientBalance"
    assert chain.query(Governance.count) == 0


def test_invalid_vote(gov: Any, chain: Chain, fails: Any) -> None:
    ballot = Governance.vote.build(proposal=0, choice=YES)
    gov.refused(chain, ballot, "alice", UnknownProposal(proposal=0), fails)
    gov.propose(chain)
    gov.refused(chain, ballot, "dora", NotVoter(account=chain.account("dora").id), fails)
    gov.until(chain, 5)
    gov.refused(chain, ballot, "alice", NotVoting(proposal=0, voting_ends=5), fails)


def test_invalid_cancel(gov: Any, chain: Chain, fails: Any) -> None:
    cancel = Governance.cancel.build(proposal=0)
    gov.refused(chain, cancel, "dora", UnknownProposal(proposal=0), fails)
    gov.propose(chain)
    gov.refused(chain, cancel, "alice", NotProposer(proposer=chain.account("dora").id), fails)
    assert chain.submit(cancel, signer=chain.account("dora")).is_ok
    gov.refused(chain, cancel, "dora", NotVoting(proposal=0, voting_ends=5), fails)


@pytest.mark.parametrize(
    ("changes", "name", "low", "high"),
    [
        ({"voting_blocks": 0}, "voting_blocks", 1, BLOCKS_MAX),
        ({"voting_blocks": BLOCKS_MAX + 1}, "voting_blocks", 1, BLOCKS_MAX),
        ({"delay_blocks": 0}, "delay_blocks", 1, BLOCKS_MAX),
        ({"quorum": 10_001}, "quorum", 0, 10_000),
        ({"threshold": 10_000}, "threshold", 0, 9_999),
        ({"veto": 10_001}, "veto", 0, 10_000),
        ({"cancel_burn": 10_001}, "cancel_burn", 0, 10_000),
    ],
)
def test_invalid_parameters(gov: Any, chain: Chain, changes: dict[str, int], name: str, low: int, high: int) -> None:
    wrong = codec(Governance.Params).encode(Governance.Params(**changes))
    with pytest.raises(ParamOutOfRange) as error:
        chain.root(Core.set_params.build(module=Name("governance"), params=wrong))
    assert error.value == ParamOutOfRange(param=Name(name), low=low, high=high)
    with pytest.raises(GenesisError, match=f"ParamOutOfRange.*{name}"):
        gov.chain_of(**changes)


def test_invalid_denomination_of_deposits(chain: Chain) -> None:
    wrong = codec(Governance.Params).encode(Governance.Params(deposit_denom=Denom("tin")))
    with pytest.raises(UnknownDepositDenom, match="tin"):
        chain.root(Core.set_params.build(module=Name("governance"), params=wrong))


# --- the next chain


def test_what_is_voted_on_and_what_waits_goes_on_on_the_next_chain(gov: Any, continued: Callable[..., Chain]) -> None:
    chain = gov.chain_of()
    chain.blocks(5)
    passed = gov.propose(chain, gov.mint(chain, 7))
    gov.vote(chain, passed, alice=YES, bob=YES)
    gov.until(chain, gov.state_of(chain, passed).voting_ends)
    voted = gov.propose(chain, gov.mint(chain, 9))
    gov.vote(chain, voted, alice=YES)
    before = {number: gov.state_of(chain, number) for number in (passed, voted)}
    height, again = chain.height, continued(chain)
    assert gov.balance(again, "bob") == gov.balance(chain, "bob")
    for number, proposal in before.items():
        assert gov.state_of(again, number).voting_ends == max(proposal.voting_ends - height, 0)
        assert gov.state_of(again, number).enact_at == proposal.enact_at - height
        assert again.query(Governance.content, id=number) == chain.query(Governance.content, id=number)
    gov.vote(again, voted, bob=YES)
    gov.until(again, gov.state_of(again, voted).enact_at)
    assert [gov.state_of(again, number).status for number in before] == [Status.ENACTED] * 2
    assert gov.balance(again, "bob") == FUNDS + 16


def proposal_of(**changes: Any) -> GenesisProposal:
    """An open one without a deposit."""
    person = Chain().account("dora").id
    rules = Rules(quorum=1, threshold=1, veto=1, cancel_burn=1, burns_without_quorum=False)
    made = Proposal(
        *(person, "t", 0, 3, 5, 0, ARM, rules, Status.VOTING, None, None),
    )
    return GenesisProposal(replace(made, **changes), Content("", ()))


NONE, ALL = Tally(0, 0, 0, 0, 10), Tally(10, 0, 0, 0, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"tally": NONE},
        {"status": Status.PASSED},
        {"status": Status.PASSED, "tally": NONE},
        {"status": Status.PASSED, "tally": Tally(11, 0, 0, 0, 10)},
        {"status": Status.REJECTED, "tally": ALL},
        {"status": Status.ENACTED, "tally": ALL, "failure": CallFailure(0, "x")},
        {"status": Status.FAILED, "tally": ALL},
    ],
)
def test_invalid_genesis_of_a_proposal_that_contradicts_itself(gov: Any, changes: dict[str, Any]) -> None:
    genesis = {"governance": {"proposals": (proposal_of(), proposal_of(**changes))}}
    with pytest.raises(GenesisError, match=rf"{BadProposal.__name__}.*1"):
        Chain(Accounts, Tokens, Validators, Governance, genesis=_founded(gov) | genesis)


def test_invalid_genesis_of_a_vote_on_nothing(gov: Any) -> None:
    votes = {1: {Chain().account("alice-key").key.public_key: YES}}
    genesis = {"governance": {"proposals": (proposal_of(),), "votes": votes}}
    with pytest.raises(GenesisError, match=UnknownProposal.__name__):
        Chain(Accounts, Tokens, Validators, Governance, genesis=_founded(gov) | genesis)


def _founded(gov: Any) -> dict[str, Any]:
    named = Chain().account
    founder = GenesisValidator(named("alice-key").key.public_key, named("alice").id, power=1, peer=gov.peer(0))
    return {"tokens": {"balances": {named("alice").id: {ARM: FUNDS}}}, "validators": {"validators": (founder,)}}
