"""The module `validators`: the runtime's role `validators`. Feeds consensus.

Lives here: who validates with which power, and who is jailed for equivocation. Must not: judge evidence (consensus has
verified it), hold stake.
"""

from __future__ import annotations

from typing import Annotated

from msgspec.structs import replace

from modules.validators.protocol import PeerId, Validator
from runtime import (
    U8,
    U16,
    U64,
    U128,
    AccountId,
    CallError,
    DatedGenesis,
    Event,
    Item,
    Map,
    MaxLen,
    Module,
    PublicKey,
    Root,
    Signed,
    Struct,
    ValidatorPower,
    call,
    hook,
    invariant,
    query,
)
from runtime.limits import VALIDATORS_MAX, VOTING_POWER_TOTAL_MAX

PAGE_MAX = 64


class Totals(Struct):
    """members: all validators. voting: those not jailed. power: what these have together."""

    members: U16
    voting: U16
    power: U64


class ValidatorEntry(Struct):
    """A validator under its key."""

    public_key: PublicKey
    validator: Validator


ValidatorPage = Annotated[tuple[ValidatorEntry, ...], MaxLen(PAGE_MAX)]


class GenesisValidator(Struct):
    """A validator from height 1 on."""

    public_key: PublicKey
    operator: AccountId
    power: U64
    peer: PeerId


GenesisValidators = Annotated[tuple[GenesisValidator, ...], MaxLen(VALIDATORS_MAX)]


class ValidatorAdded(Event):
    """It votes two heights from here."""

    public_key: PublicKey
    operator: AccountId
    power: U64


class ValidatorRemoved(Event):
    """It no longer votes, two heights from here."""

    public_key: PublicKey


class PowerChanged(Event):
    """Its voting power is another, two heights from here."""

    public_key: PublicKey
    power: U64


class PeerChanged(Event):
    """Its node is found under another network identity."""

    public_key: PublicKey
    peer: PeerId


class Jailed(Event):
    """It signed two different things at `height` and votes no more, until it is released."""

    public_key: PublicKey
    height: U64


class LastValidatorSpared(Event):
    """It signed two different things at `height`, and there is no other validator: the chain would stop without it."""

    public_key: PublicKey
    height: U64


class Released(Event):
    """It votes again, two heights from here."""

    public_key: PublicKey


class UnknownValidator(CallError):
    """There is no validator with this key."""

    public_key: PublicKey


class ValidatorExists(CallError):
    """There is a validator with this key already."""

    public_key: PublicKey


class OperatorTaken(CallError):
    """The account answers for another validator already."""

    operator: AccountId
    public_key: PublicKey


class PeerTaken(CallError):
    """The network identity belongs to another validator."""

    peer: PeerId
    public_key: PublicKey


class NotOperator(CallError):
    """Only the validator's operator may do this."""

    operator: AccountId


class ZeroPower(CallError):
    """A validator has voting power above 0; to take it away, remove the validator."""


class PowerTooLarge(CallError):
    """All voting power together would exceed the protocol's bound."""

    total: U128
    limit: U64


class TooManyValidators(CallError):
    """There are as many validators as the protocol allows."""

    limit: U16


class LastValidator(CallError):
    """Without this validator nobody would be left to decide blocks."""

    public_key: PublicKey


class NotJailed(CallError):
    """The validator is not jailed."""

    public_key: PublicKey


class Validators(Module):
    """Keys, operators, voting power, jail. Invariant: somebody votes, and the power is within the protocol's bounds."""

    name = "validators"
    members: Map[PublicKey, Validator] = Map()
    by_operator: Map[AccountId, PublicKey] = Map()
    by_peer: Map[PeerId, PublicKey] = Map()
    sums: Item[Totals] = Item(default=Totals(members=0, voting=0, power=0))

    class GenesisConfig(DatedGenesis):
        """validators: those of height 1; at least one, for a chain to begin. jailed: who else there is. settled: by
        key, where it was released: an equivocation at this height or below counts no more."""

        validators: GenesisValidators = ()
        jailed: GenesisValidators = ()
        settled: dict[PublicKey, U64] = {}

    def genesis(self, config: GenesisConfig) -> None:
        """Adds each as `add` does, and raises what it raises; UnknownValidator for what is settled of nobody."""
        for entry in config.validators:
            self._add(entry.public_key, entry.operator, entry.power, entry.peer)
        for entry in config.jailed:
            self._add(entry.public_key, entry.operator, entry.power, entry.peer, jailed=True)
        for key, height in config.settled.items():
            self.members[key] = replace(self._member(key), offences_after=config.at(height))

    def export_genesis(self) -> GenesisConfig:
        """All of them."""
        members = dict(self.members.items(limit=VALIDATORS_MAX))
        voting, jailed = (
            tuple(
                GenesisValidator(public_key=key, operator=member.operator, power=member.power, peer=member.peer)
                for key, member in members.items()
                if member.jailed is is_jailed
            )
            for is_jailed in (False, True)
        )
        settled = {key: member.offences_after for key, member in members.items() if member.offences_after}
        return self.GenesisConfig(validators=voting, jailed=jailed, settled=settled)

    @hook(gas=4_000_000)
    def begin_block(self) -> None:
        """Jail whoever this block proves to have signed two different things."""
        for offence in self.block.evidence:
            self._punish(offence.public_key, offence.height)

    # --- calls

    @call(gas=20_000)
    def add(self, origin: Root, *, public_key: PublicKey, operator: AccountId, power: U64, peer: PeerId) -> None:
        """Add a validator: its consensus key, the account that answers for it, its voting power, its node's peer id."""
        self._add(public_key, operator, power, peer)
        self.emit(ValidatorAdded(public_key=public_key, operator=operator, power=power))

    @call(gas=20_000)
    def remove(self, origin: Root, *, public_key: PublicKey) -> None:
        """Take a validator out. Refused for the last one that votes."""
        member = self._member(public_key)
        if member.jailed:
            self._count(public_key, members=-1)
        else:
            self._count(public_key, members=-1, voting=-1, power=-member.power)
        del self.members[public_key]
        del self.by_operator[member.operator]
        del self.by_peer[member.peer]
        self.emit(ValidatorRemoved(public_key=public_key))

    @call(gas=20_000)
    def set_power(self, origin: Root, *, public_key: PublicKey, power: U64) -> None:
        """Give a validator another voting power, above 0. A jailed one has it from its release on."""
        member = self._member(public_key)
        if power == 0:
            raise ZeroPower()
        if not member.jailed:
            self._count(public_key, power=power - member.power)
        self.members[public_key] = replace(member, power=power)
        self.emit(PowerChanged(public_key=public_key, power=power))

    @call(gas=20_000)
    def unjail(self, origin: Root, *, public_key: PublicKey) -> None:
        """Release a jailed validator. What it signed up to this height is settled."""
        member = self._member(public_key)
        if not member.jailed:
            raise NotJailed(public_key=public_key)
        self._count(public_key, voting=1, power=member.power)
        self.members[public_key] = replace(member, jailed=False, offences_after=self.height)
        self.emit(Released(public_key=public_key))

    @call(gas=20_000)
    def set_peer(self, origin: Signed | Root, *, public_key: PublicKey, peer: PeerId) -> None:
        """Say under which libp2p peer id the validator's node is found. For its operator, and Root."""
        member = self._member(public_key)
        if isinstance(origin, Signed) and origin.account != member.operator:
            raise NotOperator(operator=member.operator)
        self._check_peer(public_key, peer)
        del self.by_peer[member.peer]
        self.by_peer[peer] = public_key
        self.members[public_key] = replace(member, peer=peer)
        self.emit(PeerChanged(public_key=public_key, peer=peer))

    # --- queries

    @query
    def validator(self, *, public_key: PublicKey) -> Validator | None:
        """The validator with this consensus key; nothing where there is none."""
        return self.members.get(public_key)

    @query
    def operated_by(self, *, operator: AccountId) -> ValidatorEntry | None:
        """The validator that this account answers for; nothing where there is none."""
        return self._entry(self.by_operator.get(operator))

    @query
    def at_peer(self, *, peer: PeerId) -> ValidatorEntry | None:
        """The validator whose node has this peer id; nothing where there is none."""
        return self._entry(self.by_peer.get(peer))

    @query
    def page(self, *, after: PublicKey | None, limit: U8) -> ValidatorPage:
        """Validators by ascending key, from behind `after`, at most `limit` and 64."""
        found = self.members.items(limit=min(limit, PAGE_MAX), after=after)
        return tuple(ValidatorEntry(public_key=key, validator=member) for key, member in found)

    @query
    def totals(self) -> Totals:
        """How many validators there are, how many vote, and with what power together."""
        return self.sums

    # --- the runtime's role `validators`, and modules.validators.protocol

    def validators(self) -> tuple[ValidatorPower, ...]:
        """The set that should be: everyone who is not jailed."""
        return tuple(
            ValidatorPower(public_key=key, power=member.power)
            for key, member in self.members.items(limit=VALIDATORS_MAX)
            if not member.jailed
        )

    def operator_of(self, public_key: PublicKey) -> AccountId | None:
        """The account that answers for the validator; None where there is none."""
        member = self.members.get(public_key)
        return None if member is None else member.operator

    def key_of(self, operator: AccountId) -> PublicKey | None:
        """The key of the validator that the account answers for; None where there is none."""
        return self.by_operator.get(operator)

    # --- rules

    @invariant
    def somebody_votes(self) -> None:
        """Once there are validators, at least one is not jailed; number and power are counted right and in bounds."""
        members = dict(self.members.items(limit=VALIDATORS_MAX + 1))
        voting = [member.power for member in members.values() if not member.jailed]
        assert voting or not members, "every validator is jailed"
        assert all(member.power > 0 for member in members.values()), "a validator has no power"
        counted = Totals(members=len(members), voting=len(voting), power=sum(voting))
        assert self.sums == counted, f"the totals are {self.sums}, counted are {counted}"
        assert len(members) <= VALIDATORS_MAX, f"{len(members)} validators, at most {VALIDATORS_MAX}"
        assert sum(voting) <= VOTING_POWER_TOTAL_MAX, f"voting power {sum(voting)} is above {VOTING_POWER_TOTAL_MAX}"

    @invariant
    def operators_and_peers_name_their_validator(self) -> None:
        """Both indexes and the validators are one to one."""
        members = dict(self.members.items(limit=VALIDATORS_MAX))
        operators = dict(self.by_operator.items(limit=VALIDATORS_MAX + 1))
        peers = dict(self.by_peer.items(limit=VALIDATORS_MAX + 1))
        assert operators == {member.operator: key for key, member in members.items()}, "by_operator is not members"
        assert peers == {member.peer: key for key, member in members.items()}, "by_peer is not members"

    def _member(self, public_key: PublicKey) -> Validator:
        member = self.members.get(public_key)
        if member is None:
            raise UnknownValidator(public_key=public_key)
        return member

    def _entry(self, public_key: PublicKey | None) -> ValidatorEntry | None:
        if public_key is None:
            return None
        return ValidatorEntry(public_key=public_key, validator=self._member(public_key))

    def _add(
        self, public_key: PublicKey, operator: AccountId, power: int, peer: PeerId, *, jailed: bool = False
    ) -> None:
        if public_key in self.members:
            raise ValidatorExists(public_key=public_key)
        taken = self.by_operator.get(operator)
        if taken is not None:
            raise OperatorTaken(operator=operator, public_key=taken)
        self._check_peer(public_key, peer)
        if power == 0:
            raise ZeroPower()
        self._count(public_key, members=1, voting=not jailed, power=0 if jailed else power)
        self.by_operator[operator] = public_key
        self.by_peer[peer] = public_key
        self.members[public_key] = Validator(operator=operator, power=power, jailed=jailed, peer=peer, offences_after=0)

    def _check_peer(self, public_key: PublicKey, peer: PeerId) -> None:
        taken = self.by_peer.get(peer)
        if taken is not None and taken != public_key:
            raise PeerTaken(peer=peer, public_key=taken)

    def _count(self, public_key: PublicKey, *, members: int = 0, voting: int = 0, power: int = 0) -> None:
        """Add to the totals; refuse what would leave nobody to vote, or exceed a bound of the protocol."""
        old = self.sums
        new = Totals(members=old.members + members, voting=old.voting + voting, power=old.power + power)
        if new.voting == 0:
            raise LastValidator(public_key=public_key)
        if new.members > VALIDATORS_MAX:
            raise TooManyValidators(limit=VALIDATORS_MAX)
        if new.power > VOTING_POWER_TOTAL_MAX:
            raise PowerTooLarge(total=new.power, limit=VOTING_POWER_TOTAL_MAX)
        self.sums = new

    def _punish(self, public_key: PublicKey, height: int) -> None:
        member = self.members.get(public_key)
        if member is None or member.jailed or height <= member.offences_after:
            return
        if self.sums.voting == 1:
            self.emit(LastValidatorSpared(public_key=public_key, height=height))
            return
        self._count(public_key, voting=-1, power=-member.power)
        self.members[public_key] = replace(member, jailed=True)
        self.emit(Jailed(public_key=public_key, height=height))
