"""Governance: a proposal's way, its deposit, its tally, the bounds of the hook. What is refused: test_refusals.py."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.governance import Governance
from modules.governance.endings import CLOSED_PER_BLOCK, ENACTED_PER_BLOCK, ENACTMENT_GAS
from modules.governance.errors import (
    NotVoting,
)
from modules.governance.events import Cancelled, Closed, DepositLost, Enacted, Proposed, Voted
from modules.governance.protocol import Choice, Content, Rules, Status, Tally, outcome
from modules.tokens import Tokens
from modules.validators import Validators
from runtime import CallFailure, Denom, Name, Offence
from runtime.codec import codec
from runtime.execution import Chain
from runtime.execution.core import Core
from runtime.limits import VALIDATORS_MAX

ARM = Denom("arm")
DEPOSIT, FUNDS = 1_000, 10**9
POWERS = {"alice": 50, "bob": 30, "carol": 20}
VOTING, DELAY = 3, 2
YES, NO, ABSTAIN, VETO = Choice


# --- a proposal's way


def test_a_proposal_passes_and_its_calls_run_at_its_height(gov: Any, chain: Chain) -> None:
    receipt = chain.submit(gov.proposing(gov.mint(chain, 7), enact_at=20), signer=chain.account("dora"))
    proposed = Proposed(proposal=0, proposer=chain.account("dora").id, voting_ends=4, enact_at=20)
    assert chain.events(receipt)[-1] == proposed
    assert gov.balance(chain) == FUNDS - DEPOSIT
    gov.vote(chain, 0, alice=YES, bob=NO)
    tally = Tally(yes=50, no=30, abstain=0, veto=0, total=100)
    assert chain.query(Governance.tally, id=0) == tally
    assert gov.until(chain, 4)[-1] == Closed(proposal=0, status=Status.PASSED, tally=tally, burned=0)
    assert gov.balance(chain) == FUNDS
    gov.until(chain, 19)
    assert (gov.balance(chain, "bob"), gov.state_of(chain, 0).status) == (FUNDS, Status.PASSED)
    *_, enacted = gov.until(chain, 20)
    assert enacted == Enacted(proposal=0, gas_used=enacted.gas_used, failure=None)
    assert (gov.balance(chain, "bob"), gov.state_of(chain, 0).status) == (FUNDS + 7, Status.ENACTED)
    assert chain.query(Governance.tally, id=0) == tally
    assert chain.query_at(19, Governance.proposal, id=0).status is Status.PASSED


def test_parameters_change_by_a_proposal_and_open_ones_keep_their_rules(gov: Any, chain: Chain) -> None:
    new = Governance.Params(deposit=DEPOSIT, voting_blocks=50, delay_blocks=1, threshold=9_000, quorum=10_000)
    change = Core.set_params.build(module=Name("governance"), params=codec(Governance.Params).encode(new))
    first = gov.propose(chain, change)
    gov.vote(chain, first, alice=YES, bob=YES)
    gov.until(chain, 5)
    second = gov.propose(chain)
    gov.vote(chain, second, alice=YES, bob=NO)
    assert gov.state_of(chain, first).status is Status.ENACTED
    third = gov.propose(chain)
    assert gov.state_of(chain, third).rules.threshold == 9_000
    assert gov.state_of(chain, third).voting_ends == chain.height + 50
    gov.until(chain, 10)
    assert gov.state_of(chain, second).rules.threshold == 5_000
    assert gov.state_of(chain, second).status is Status.PASSED


def test_a_validator_is_added_by_a_proposal(gov: Any, chain: Chain) -> None:
    added = Validators.add.build(
        public_key=gov.key(chain, "dora"), operator=chain.account("dora").id, power=40, peer=gov.peer(99)
    )
    number = gov.propose(chain, added, Validators.set_power.build(public_key=gov.key(chain, "carol"), power=1))
    gov.vote(chain, number, alice=YES, carol=YES)
    gov.until(chain, gov.state_of(chain, number).enact_at)
    assert chain.last is not None
    assert {each.public_key: each.power for each in chain.last.validator_updates} == {
        gov.key(chain, "dora"): 40,
        gov.key(chain, "carol"): 1,
    }
    gov.vote(chain, gov.propose(chain), dora=NO)


def test_words_alone_are_enacted_without_gas(gov: Any, chain: Chain) -> None:
    number = gov.propose(chain)
    gov.vote(chain, number, alice=YES)
    assert gov.until(chain, gov.state_of(chain, number).enact_at) == [
        Enacted(proposal=number, gas_used=0, failure=None)
    ]


def test_a_failing_call_undoes_all_and_is_recorded(gov: Any, chain: Chain) -> None:
    wrong = Tokens.burn.build(holder=chain.account("nobody").id, denom=ARM, amount=1)
    number = gov.propose(chain, gov.mint(chain, 7), wrong)
    gov.vote(chain, number, alice=YES)
    (enacted,) = gov.until(chain, gov.state_of(chain, number).enact_at)
    failure = CallFailure(call=1, error="tokens.InsufficientBalance")
    assert (enacted.failure, enacted.gas_used > 0) == (failure, True)
    found = gov.state_of(chain, number)
    assert (found.status, found.failure) == (Status.FAILED, failure)
    assert gov.balance(chain, "bob") == FUNDS
    chain.blocks(5)
    assert gov.state_of(chain, number) == found


def test_the_voting_power_is_that_of_the_end_and_the_jailed_have_none(gov: Any, chain: Chain) -> None:
    number = gov.propose(chain)
    gov.vote(chain, number, alice=NO, bob=YES, carol=YES)
    chain.root(Validators.set_power.build(public_key=gov.key(chain, "carol"), power=25))
    chain.block(evidence=[Offence(gov.key(chain, "alice"), 1)])
    assert gov.state_of(chain, number).tally == Tally(yes=55, no=0, abstain=0, veto=0, total=55)


def test_a_vote_in_the_last_block_of_the_period_counts(gov: Any, chain: Chain) -> None:
    number = gov.propose(chain)
    gov.until(chain, 3)
    gov.vote(chain, number, alice=YES)
    assert (chain.height, gov.state_of(chain, number).status) == (4, Status.PASSED)


# --- what becomes of the deposit


@pytest.mark.parametrize(
    ("choices", "status", "burned"),
    [
        ({"alice": YES}, Status.PASSED, 0),
        ({"alice": NO}, Status.REJECTED, 0),
        ({"alice": ABSTAIN}, Status.REJECTED, 0),
        ({"alice": YES, "bob": VETO}, Status.VETOED, DEPOSIT),
        ({"alice": YES, "carol": VETO}, Status.PASSED, 0),
        ({"bob": YES}, Status.NO_QUORUM, 0),
        ({}, Status.NO_QUORUM, 0),
    ],
)
def test_each_outcome_and_its_deposit(
    gov: Any, chain: Chain, choices: dict[str, Choice], status: Status, burned: int
) -> None:
    number = gov.propose(chain)
    gov.vote(chain, number, **choices)
    closed = gov.until(chain, 4)[-1]
    assert (closed.status, closed.burned) == (status, burned)
    assert gov.balance(chain) == FUNDS - burned


def test_a_missed_quorum_burns_where_the_parameters_say_so(gov: Any) -> None:
    chain = gov.chain_of(burns_without_quorum=True)
    gov.propose(chain)
    assert gov.until(chain, 4)[-1].burned == DEPOSIT
    info = chain.query(Tokens.denomination, denom=ARM)
    assert (gov.balance(chain), info and info.supply) == (FUNDS - DEPOSIT, 4 * FUNDS - DEPOSIT)


def test_cancelling_burns_a_part(gov: Any) -> None:
    chain = gov.chain_of(cancel_burn=2_500)
    number = gov.propose(chain)
    gov.vote(chain, number, alice=VETO)
    receipt = chain.submit(Governance.cancel.build(proposal=number), signer=chain.account("dora"))
    assert chain.events(receipt)[-1] == Cancelled(proposal=number, burned=250)
    assert gov.balance(chain) == FUNDS - 250
    assert gov.until(chain, 10) == []
    assert (gov.state_of(chain, number).status, chain.query(Governance.tally, id=number)) == (Status.CANCELLED, None)


def test_a_deposit_of_nothing_is_possible(gov: Any) -> None:
    chain = gov.chain_of(deposit=0)
    gov.propose(chain, by="dora")
    gov.until(chain, 4)
    assert gov.state_of(chain, 0).status is Status.NO_QUORUM


def test_governance_goes_on_where_a_deposit_was_taken_away(gov: Any) -> None:
    """Root may burn what anyone holds, the module's own account included; the invariant then says so."""
    chain = gov.chain_of(voting_blocks=1, delay_blocks=1)
    account = chain.application.composition.environment().modules["governance"].account
    theft = Tokens.burn.build(holder=account, denom=ARM, amount=DEPOSIT)
    chain.application.check_invariants = lambda: None  # type: ignore[method-assign] # they do not hold meanwhile
    gov.propose(chain)
    chain.root(theft)
    assert chain.last is not None
    events = [chain.decode_event(event) for event in chain.last.block_receipt.end_events]
    assert events[0] == DepositLost(proposal=0, deposit=DEPOSIT)
    assert gov.state_of(chain, 0).status is Status.NO_QUORUM
    gov.propose(chain)


# --- properties

SHARES = st.sampled_from([0, 1, 3_333, 3_334, 5_000, 6_667, 9_999])
POWER = st.one_of(st.integers(0, 3), st.integers(0, 1 << 58))


@given(st.tuples(POWER, POWER, POWER, POWER), POWER, SHARES, SHARES, SHARES)
def test_the_outcome_is_that_of_exact_fractions(
    counts: tuple[int, int, int, int], silent: int, quorum: int, threshold: int, veto: int
) -> None:
    yes, no, abstain, vetoes = counts
    voted, total = sum(counts), sum(counts) + silent
    found = outcome(Tally(yes, no, abstain, vetoes, total), Rules(quorum, threshold, veto, 0, False))
    if not voted or Fraction(voted, total) < Fraction(quorum, 10_000):
        assert found is Status.NO_QUORUM
    elif Fraction(vetoes, voted) > Fraction(veto, 10_000):
        assert found is Status.VETOED
    elif yes and Fraction(yes, yes + no + vetoes) > Fraction(threshold, 10_000):
        assert found is Status.PASSED
    else:
        assert found is Status.REJECTED


VOTES = st.lists(st.tuples(st.sampled_from(list(POWERS)), st.sampled_from(list(Choice))), max_size=8)


@settings(max_examples=25, deadline=None)
@given(VOTES)
def test_the_last_vote_of_each_counts(gov: Any, votes: list[tuple[str, Choice]]) -> None:
    chain = gov.chain_of()
    number = gov.propose(chain)
    ballots = [
        chain.transaction(
            Governance.vote.build(proposal=number, choice=choice),
            signer=chain.account(name),
            nonce=sum(other == name for other, _ in votes[:place]),
        )
        for place, (name, choice) in enumerate(votes)
    ]
    done = chain.block(ballots)
    last = dict(votes)
    for (name, choice), receipt in zip(votes, done.receipts, strict=True):
        expected = Voted(proposal=number, validator=gov.key(chain, name), choice=choice)
        assert chain.events(receipt) == (expected,)
    found = {each.validator: each.choice for each in chain.query(Governance.votes, id=number, after=None, limit=64)}
    assert found == {gov.key(chain, name): choice for name, choice in last.items()}
    gov.until(chain, 4)
    sums = [sum(POWERS[name] for name, choice in last.items() if choice is wanted) for wanted in Choice]
    assert gov.state_of(chain, number).tally == Tally(*sums, total=100)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["propose", "yes", "veto", "cancel", "wait"]), st.integers(0, 5)), max_size=25)
)
def test_invariants_hold_and_nothing_is_lost_whatever_is_done(gov: Any, steps: list[tuple[str, int]]) -> None:
    """The chain checks every invariant after each block; at the end every deposit is back or burned."""
    chain = gov.chain_of()
    dora, alice = chain.account("dora"), chain.account("alice")
    for what, number in steps:
        if what == "propose":
            chain.submit(gov.proposing(gov.mint(chain, 1)), signer=dora)
        elif what in ("yes", "veto"):
            choice = YES if what == "yes" else VETO
            chain.submit(Governance.vote.build(proposal=number, choice=choice), signer=alice)
        elif what == "cancel":
            chain.submit(Governance.cancel.build(proposal=number), signer=dora)
        else:
            chain.blocks(number)
    chain.blocks(VOTING + DELAY + 10)
    found = [each.proposal for each in chain.query(Governance.page, after=None, limit=64)]
    assert all(each.status not in (Status.VOTING, Status.PASSED) for each in found)
    burned = {Status.VETOED: DEPOSIT, Status.CANCELLED: DEPOSIT // 2}
    assert gov.balance(chain) == FUNDS - sum(burned.get(each.status, 0) for each in found)
    assert gov.balance(chain, "bob") == FUNDS + sum(each.status is Status.ENACTED for each in found)


# --- bounds of a block's work


def test_a_full_validator_set_fits_into_the_hook(gov: Any) -> None:
    """The most validators, all votes in, as much closing and enacting as a block does, and room for calls to use up."""
    powers = {f"v{place}": 1 for place in range(VALIDATORS_MAX)}
    chain = gov.chain_of(powers=powers, quorum=0, voting_blocks=4, delay_blocks=3)
    many = tuple(gov.mint(chain, 1) for _ in range(16))
    proposals = [gov.proposing(*many, enact_at=enact_at) for enact_at in (10, 10, 20, 20, 20)]
    dora = chain.account("dora")
    first = chain.block([chain.transaction(each, signer=dora, nonce=place) for place, each in enumerate(proposals[:2])])
    assert all(receipt.is_ok for receipt in first.receipts), first.explanations
    chain.blocks(1)
    votes = [Governance.vote.build(proposal=number, choice=YES) for number in (0, 1)]
    chain.block([chain.transaction(*votes, signer=chain.account(name)) for name in powers])
    gov.until(chain, 5)
    assert chain.last is not None
    counting = chain.last.block_receipt.gas_used
    assert [gov.state_of(chain, number).status for number in (0, 1)] == [Status.PASSED] * CLOSED_PER_BLOCK
    gov.until(chain, 10)
    enacting = chain.last.block_receipt.gas_used
    assert [gov.state_of(chain, number).status for number in (0, 1)] == [Status.ENACTED] * ENACTED_PER_BLOCK
    worst_of_calls = ENACTED_PER_BLOCK * ENACTMENT_GAS
    gas = Governance.metadata().hooks["end_block"]
    assert counting + enacting + worst_of_calls < gas, (counting, enacting)


def test_more_than_fits_into_a_block_waits_for_the_next(gov: Any, chain: Chain) -> None:
    dora, alice = chain.account("dora"), chain.account("alice")
    many = 2 * CLOSED_PER_BLOCK + 1
    chain.block([chain.transaction(gov.proposing(), signer=dora, nonce=place) for place in range(many)])
    votes = [Governance.vote.build(proposal=number, choice=YES) for number in range(many)]
    chain.block([chain.transaction(*votes, signer=alice)])
    seen = []
    for height in range(4, 12):
        events = gov.until(chain, height)
        closed = [each.proposal for each in events if isinstance(each, Closed)]
        enacted = [each.proposal for each in events if isinstance(each, Enacted)]
        seen.append((height, closed, enacted))
    assert seen == [
        (4, [0, 1], []),
        (5, [2, 3], []),
        (6, [4], [0, 1]),
        (7, [], [2, 3]),
        (8, [], [4]),
        *((height, [], []) for height in range(9, 12)),
    ]


def test_what_waits_to_be_counted_is_not_voted_on_any_more(gov: Any, chain: Chain) -> None:
    dora = chain.account("dora")
    chain.block([chain.transaction(gov.proposing(), signer=dora, nonce=place) for place in range(5)])
    gov.until(chain, 4)
    assert gov.state_of(chain, 4).status is Status.VOTING
    receipt = chain.submit(Governance.vote.build(proposal=4, choice=YES), signer=chain.account("alice"))
    assert chain.error(receipt) == NotVoting(proposal=4, voting_ends=4)
    receipt = chain.submit(Governance.cancel.build(proposal=4), signer=dora)
    assert chain.error(receipt) == NotVoting(proposal=4, voting_ends=4)


# --- reading


def test_pages_and_contents(gov: Any, chain: Chain) -> None:
    texts = ["one", "two", "three"]
    for text in texts:
        chain.submit(gov.proposing(gov.mint(chain, 1), text=text), signer=chain.account("dora"))
    assert [each.id for each in chain.query(Governance.page, after=None, limit=2)] == [0, 1]
    assert [each.id for each in chain.query(Governance.page, after=1, limit=64)] == [2]
    assert chain.query(Governance.content, id=2) == Content(text="three", calls=(gov.mint(chain, 1),))
    assert chain.query(Governance.content, id=3) is None
    assert chain.query(Governance.proposal, id=3) is None
    assert chain.query(Governance.tally, id=3) is None


def test_votes_are_paged_in_the_order_of_keys(gov: Any, chain: Chain) -> None:
    number = gov.propose(chain)
    gov.vote(chain, number, alice=YES, bob=NO, carol=VETO)
    keys = sorted(gov.key(chain, name) for name in POWERS)
    first = chain.query(Governance.votes, id=number, after=None, limit=2)
    rest = chain.query(Governance.votes, id=number, after=first[-1].validator, limit=2)
    assert [each.validator for each in (*first, *rest)] == keys
