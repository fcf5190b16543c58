"""How the standard modules are attacked: with which genesis and parameters, beginning with what, and which arguments
no type can tell, such as a model's own bytes.

Lives here: options of `attack`. Must not: run anything.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from modules.accounts import Accounts
from modules.accounts.protocol import OneKey
from modules.governance import Governance
from modules.governance.protocol import Choice
from modules.oracle import Oracle
from modules.registry import Registry
from modules.registry.protocol import Price
from modules.tokens import Tokens
from modules.validators import Validators
from modules.validators.module import GenesisValidator
from runtime import AccountId, Denom, Module, PublicKey
from runtime.execution import Chain
from runtime.execution.inference_port import EnginePort
from runtime.testing.attacking.writing import NAMES, PEOPLE
from runtime.types import Hash
from tools.fuzzing.models import COUNT, SmallModel, card, rows, small_models, upload
from tools.registration import registration_calls

ARM: Final = Denom("arm")
FUNDS: Final = 10**12
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def peer(number: int) -> str:
    """A peer id of its own."""
    first, second = divmod(number, len(_BASE58))
    return "12D3KooW" + "A" * 42 + _BASE58[first % len(_BASE58)] + _BASE58[second]


def validator_key(number: int) -> PublicKey:
    """A validator's key that nobody signs with."""
    return PublicKey(bytes([number]) * 32)


_BALANCES: Final = {"accounts": {}, "tokens": {"balances": {person: {ARM: FUNDS} for person in NAMES}}}
_VALIDATORS: Final = {
    "validators": {
        "validators": tuple(
            GenesisValidator(validator_key(number), AccountId(person), 10, peer(number))
            for number, person in enumerate(list(NAMES)[:3], 1)
        )
    }
}


def has_a_model(chain: Chain) -> None:
    """The first person registers the first small model, in one transaction."""
    calls = [call for _, call in registration_calls(small_models()[0].data, card(ARM, 2))]
    receipt = chain.submit(*calls, signer=chain.account(PEOPLE[0]))
    assert receipt.is_ok, chain.explanation


def has_a_model_and_an_upload(chain: Chain) -> None:
    """Besides: the first person offers it to the second, who has uploaded another and has but to complete it."""
    has_a_model(chain)
    first, second = (chain.account(name) for name in PEOPLE[:2])
    offer = Registry.offer.build(model=small_models()[0].name, to=second.id)
    *upload, _ = (call for _, call in registration_calls(small_models()[1].data, card(ARM, 2)))
    for receipt in (chain.submit(offer, signer=first), chain.submit(*upload, signer=second)):
        assert receipt.is_ok, chain.explanation


def _uploads(name: str) -> Callable[[Random, str], dict[str, Any]]:
    """Each person has two models of its own, so that what one call began the next can go on with."""

    def arguments(random: Random, signer: str) -> dict[str, Any]:
        if not random.randrange(8):
            return {}
        return upload(random, _own_model(random, signer), ARM)[name]

    return arguments


def _own_model(random: Random, signer: str) -> SmallModel:
    """The signer's own, mostly."""
    own = PEOPLE.index(signer) if signer and random.randrange(4) else random.randrange(COUNT)
    return small_models()[own]


def _own(random: Random, signer: str) -> dict[str, Any]:
    return {"model": _own_model(random, signer).name} if random.randrange(4) else {}


def _price(random: Random, signer: str) -> dict[str, Any]:
    return _own(random, signer) | {"price": Price(denom=ARM, amount=random.randrange(4))}


def _offer(random: Random, signer: str) -> dict[str, Any]:
    return _own(random, signer) | {"to": Chain.account_named(random.choice(PEOPLE)).id}


def _offered(random: Random, signer: str) -> dict[str, Any]:
    return {"model": small_models()[random.randrange(COUNT)].name}


def _runs(random: Random, signer: str) -> dict[str, Any]:
    if not random.randrange(8):
        return {}
    return {"model": small_models()[0].name, "inputs": rows(random)}


def _own_rule(random: Random, signer: str) -> dict[str, Any]:
    """Mostly one that the signer can still sign for."""
    own = OneKey(public_key=PublicKey(Chain.account_named(signer).key.public_key))
    return {"rule": random.choice((None, own))} if random.randrange(16) else {}


def _of_arm(random: Random, signer: str) -> dict[str, Any]:
    return {"denom": ARM} if random.randrange(4) else {}


def _allowance(random: Random, signer: str) -> dict[str, Any]:
    spender = Chain.account_named(random.choice(PEOPLE)).id
    return {"denom": ARM, "spender": spender, "expected": None} if random.randrange(4) else {}


def _allowed(random: Random, signer: str) -> dict[str, Any]:
    owner = Chain.account_named(random.choice(PEOPLE)).id
    return {"denom": ARM, "owner": owner, "amount": random.randrange(1, 8)} if random.randrange(4) else {}


def _member(random: Random, signer: str) -> dict[str, Any]:
    return {"public_key": validator_key(random.randrange(1, 5))} if random.randrange(4) else {}


def _new_validator(random: Random, signer: str) -> dict[str, Any]:
    number = random.randrange(1, 9)
    return {"public_key": validator_key(number), "power": random.randrange(1, 100), "peer": peer(random.randrange(16))}


def _new_peer(random: Random, signer: str) -> dict[str, Any]:
    return {"peer": peer(random.randrange(16)), **_member(random, signer)}


def _proposal(random: Random, signer: str) -> dict[str, Any]:
    """Mostly of calls that Root may make."""
    calls = (
        Tokens.mint.build(to=Chain.account_named(PEOPLE[0]).id, denom=ARM, amount=random.randrange(3)),
        Tokens.create_denom.build(denom=Denom("gold"), issuer=None),
        Validators.set_power.build(public_key=validator_key(1), power=random.randrange(1, 20)),
        Registry.approve.build(model=Hash(small_models()[0].name)),
    )
    chosen = tuple(random.choice(calls[:3]) for _ in range(random.randrange(3)))
    return {"title": "t" * random.randrange(3), "text": "", "calls": chosen, "enact_at": None}


def _ballot(random: Random, signer: str) -> dict[str, Any]:
    return {"proposal": random.randrange(4)} if random.randrange(2) else {}


def _vote(random: Random, signer: str) -> dict[str, Any]:
    """Mostly for it."""
    return _ballot(random, signer) | ({"choice": Choice.YES} if random.randrange(3) else {})


ARGUMENTS: Final[dict[str, Any]] = {
    **{f"registry.{name}": _uploads(name) for name in ("begin_upload", "upload_chunk", "complete_upload")},
    **{f"registry.{name}": _own for name in ("set_metadata", "retire", "cancel_upload")},
    **{f"registry.{name}": _offered for name in ("accept", "approve", "revoke")},
    "registry.set_price": _price,
    "registry.offer": _offer,
    "oracle.infer": _runs,
    "accounts.rotate": _own_rule,
    **{f"tokens.{name}": _of_arm for name in ("transfer", "mint", "burn", "set_issuer", "set_minimum", "set_metadata")},
    "tokens.approve": _allowance,
    "tokens.transfer_from": _allowed,
    **{f"validators.{name}": _member for name in ("remove", "set_power", "unjail")},
    "validators.add": _new_validator,
    "validators.set_peer": _new_peer,
    "governance.propose": _proposal,
    "governance.vote": _vote,
    "governance.cancel": _ballot,
}


def options_of(module: type[Module]) -> dict[str, Any]:
    """The options of an attack on a module: what the standard ones need, nothing for others."""
    options = _OPTIONS.get(module, {})
    if not options:
        return {}
    around = {module, *options.get("also", ())}
    mine = {name: given for name, given in ARGUMENTS.items() if name.partition(".")[0] == module.name}
    engine = {"engine": EnginePort()} if around & {Registry, Oracle} else {}
    return {**options, **engine, "arguments": mine}


_OPTIONS: Final[dict[type[Module], dict[str, Any]]] = {
    Accounts: {"genesis": {}},
    Tokens: {"also": (Accounts,), "genesis": _BALANCES, "weights": {"create_denom": 3}},
    Registry: {
        "also": (Accounts, Tokens),
        "genesis": _BALANCES | {"registry": {}},
        "params": {"registry": {"upload_blocks": 20, "price_notice_blocks": 3, "deposit_base": 10}},
        "silent": ("registry.cancel_upload",),  # it says so once all is cleared
        "begin": has_a_model_and_an_upload,
        "weights": {
            "begin_upload": 2,
            "upload_chunk": 3,
            "complete_upload": 3,
            "offer": 2,
            "accept": 3,
            "cancel_upload": 2,
        },
    },
    Oracle: {
        "also": (Accounts, Tokens, Registry),
        "genesis": _BALANCES | {"registry": {}, "oracle": {}},
        "begin": has_a_model,
    },
    Validators: {"also": (Accounts,), "genesis": _VALIDATORS},
    Governance: {
        "also": (Accounts, Tokens, Validators),
        "genesis": _BALANCES | _VALIDATORS | {"governance": {}},
        "params": {"governance": {"deposit": 1_000, "voting_blocks": 6, "delay_blocks": 2}},
        "weights": {"vote": 5, "cancel": 2},
    },
}
