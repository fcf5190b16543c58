"""What governance's tests share, by the fixture `gov`: a chain with operators, and what people do on it."""

from __future__ import annotations

from typing import Any

import pytest

from modules.accounts import Accounts
from modules.governance import Governance
from modules.governance.protocol import Choice, Proposal
from modules.tokens import Tokens
from modules.validators import Validators
from modules.validators.module import GenesisValidator
from runtime import Call, CallError, Denom, Module
from runtime.execution import Chain

ARM = Denom("arm")
DEPOSIT, FUNDS = 1_000, 10**9
POWERS = {"alice": 50, "bob": 30, "carol": 20}
VOTING, DELAY = 3, 2
YES, NO, ABSTAIN, VETO = Choice


def peer(place: int) -> str:
    digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    return f"12D3KooW{'1' * 41}{digits[place // 3364]}{digits[place // 58 % 58]}{digits[place % 58]}"


def chain_of(*more: type[Module], powers: dict[str, int] = POWERS, **params: Any) -> Chain:
    """Operators answer for validators of these powers; the key of alice's is that of the account "alice-key"."""
    named = Chain().account
    validators = tuple(
        GenesisValidator(named(f"{name}-key").key.public_key, named(name).id, power=power, peer=peer(place))
        for place, (name, power) in enumerate(powers.items())
    )
    people = [*list(powers)[:8], "dora"]
    return Chain(
        Accounts,
        Tokens,
        Validators,
        Governance,
        *more,
        genesis={
            "tokens": {"balances": {named(name).id: {ARM: FUNDS} for name in people}},
            "validators": {"validators": validators},
        },
        params={
            "governance": {"deposit": DEPOSIT, "voting_blocks": VOTING, "delay_blocks": DELAY} | params,
        },
    )


def key(chain: Chain, name: str) -> Any:
    return chain.account(f"{name}-key").key.public_key


def balance(chain: Chain, name: str = "dora") -> int:
    return chain.query(Tokens.balance_of, account=chain.account(name).id, denom=ARM)


def proposing(*calls: Call, enact_at: int | None = None, title: str = "t", text: str = "") -> Call:
    return Governance.propose.build(title=title, text=text, calls=calls, enact_at=enact_at)


def propose(chain: Chain, *calls: Call, by: str = "dora", enact_at: int | None = None) -> int:
    receipt = chain.submit(proposing(*calls, enact_at=enact_at), signer=chain.account(by))
    assert receipt.is_ok, chain.explanation
    return chain.query(Governance.count) - 1


def vote(chain: Chain, number: int, **choices: Choice) -> None:
    """All in one block."""
    calls = {name: Governance.vote.build(proposal=number, choice=choice) for name, choice in choices.items()}
    done = chain.block([chain.transaction(each, signer=chain.account(name)) for name, each in calls.items()])
    assert all(receipt.is_ok for receipt in done.receipts), done.explanations


def state_of(chain: Chain, number: int) -> Proposal:
    found = chain.query(Governance.proposal, id=number)
    assert found is not None
    return found


def until(chain: Chain, height: int) -> list[Any]:
    """Empty blocks up to and with `height`; the events of the last one's hooks."""
    chain.blocks(height - chain.height)
    assert chain.last is not None
    return [chain.decode_event(event) for event in chain.last.block_receipt.end_events]


def mint(chain: Chain, amount: int, to: str = "bob") -> Call:
    return Tokens.mint.build(to=chain.account(to).id, denom=ARM, amount=amount)


def refused(chain: Chain, call: Call, by: str, expected: CallError, fails: Any) -> None:
    """In the one block that `fails` makes nothing is due."""
    fails(chain, call, chain.account(by), expected)


class Gov:
    """These functions, for tests."""

    peer = staticmethod(peer)
    chain_of = staticmethod(chain_of)
    key = staticmethod(key)
    balance = staticmethod(balance)
    proposing = staticmethod(proposing)
    propose = staticmethod(propose)
    vote = staticmethod(vote)
    state_of = staticmethod(state_of)
    until = staticmethod(until)
    mint = staticmethod(mint)
    refused = staticmethod(refused)


@pytest.fixture(scope="session")
def gov() -> type[Gov]:
    return Gov


@pytest.fixture
def chain() -> Chain:
    return chain_of()
