"""The vote keeper against a naive model that recounts everything from the list of all votes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.consensus import Reached, Threshold, Validator, ValidatorSet, Vote, VoteKeeper, VoteKind
from runtime.consensus.certificate import CommitCertificate, certificate_of
from runtime.types import Hash, PublicKey, Signature

KEYS = [PublicKey(bytes([number]) * 32) for number in range(1, 6)]
VALUES = [None, Hash(b"a" * 32), Hash(b"b" * 32)]

votes = st.builds(
    Vote,
    kind=st.sampled_from(VoteKind),
    height=st.just(1),
    round=st.integers(0, 3),
    block_id=st.sampled_from(VALUES),
    validator=st.sampled_from(KEYS),
    signature=st.just(Signature(bytes(64))),
)
powers = st.lists(st.integers(1, 40), min_size=len(KEYS), max_size=len(KEYS))


class Naive:
    """The rules of the model, recounted from scratch after every vote."""

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self.history: list[Vote] = []
        self.emitted: set[Reached] = set()

    def counted(self, round_: int, kind: VoteKind) -> dict[PublicKey, Hash | None]:
        first: dict[PublicKey, Hash | None] = {}
        for vote in self.history:
            if (vote.round, vote.kind) == (round_, kind):
                first.setdefault(vote.validator, vote.block_id)
        return first

    def power(self, keys: set[PublicKey]) -> int:
        return sum(self.validators.power_of(key) for key in keys)

    def apply(self, vote: Vote, current_round: int) -> Reached | None:
        self.history.append(vote)
        total, prevote = self.validators.total_power, vote.kind is VoteKind.PREVOTE
        voters = {other.validator for other in self.history if other.round == vote.round}
        counted = self.counted(vote.round, vote.kind)
        same = self.power({key for key, value in counted.items() if value == vote.block_id})
        reached = None
        if vote.round > current_round and 3 * self.power(voters) > total:
            reached = Reached(Threshold.SKIP, vote.round)
        elif 3 * same > 2 * total and vote.block_id is not None:
            name = Threshold.POLKA_VALUE if prevote else Threshold.PRECOMMIT_VALUE
            reached = Reached(name, vote.round, vote.block_id)
        elif 3 * same > 2 * total and prevote:
            reached = Reached(Threshold.POLKA_NIL, vote.round)
        elif 3 * self.power(set(counted)) > 2 * total:
            reached = Reached(Threshold.POLKA_ANY if prevote else Threshold.PRECOMMIT_ANY, vote.round)
        if reached is None or (reached in self.emitted and reached.threshold is not Threshold.SKIP):
            return None
        self.emitted.add(reached)
        return reached

    def offences(self) -> set[tuple[PublicKey, int, VoteKind]]:
        said: dict[tuple[PublicKey, int, VoteKind], set[Hash | None]] = {}
        for vote in self.history:
            said.setdefault((vote.validator, vote.round, vote.kind), set()).add(vote.block_id)
        return {spot for spot, values in said.items() if len(values) > 1}


def set_of(weights: list[int]) -> ValidatorSet:
    return ValidatorSet.of(Validator(key, weight) for key, weight in zip(KEYS, weights, strict=True))


@given(powers, st.lists(st.tuples(votes, st.integers(-1, 3)), max_size=60))
def test_keeper_equals_a_naive_recount(weights: list[int], stream: list[tuple[Vote, int]]) -> None:
    keeper, naive = VoteKeeper(set_of(weights)), Naive(set_of(weights))
    for vote, current_round in stream:
        assert keeper.apply(vote, current_round) == naive.apply(vote, current_round)
        assert keeper.has(vote)
    offences = {(piece.offender, piece.first.round, piece.first.kind) for piece in keeper.equivocations}
    assert offences == naive.offences()
    assert len(keeper.equivocations) == len(offences), "an offence was reported twice"
    for round_ in range(4):
        for kind in VoteKind:
            counted = naive.counted(round_, kind)
            held = keeper.round_votes(round_)
            assert {vote.validator: vote.block_id for vote in held.votes(kind)} == counted if held else not counted
            quorum = 3 * naive.power(set(counted)) > 2 * keeper.validators.total_power
            assert keeper.has_quorum(kind, round_) == quorum


@given(powers, st.lists(votes, max_size=40), st.sampled_from(KEYS), st.integers(0, 3))
def test_forgetting_a_validator_leaves_what_the_others_said(
    weights: list[int], stream: list[Vote], key: PublicKey, round_: int
) -> None:
    keeper, without = VoteKeeper(set_of(weights)), VoteKeeper(set_of(weights))
    for vote in stream:
        keeper.apply(vote, 3)
        if (vote.validator, vote.round) != (key, round_):
            without.apply(vote, 3)
    if round_ in keeper.commits:
        return
    keeper.forget(round_, key)
    ours, theirs = keeper.round_votes(round_), without.round_votes(round_)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert (ours.voters, ours.voters_power) == (theirs.voters, theirs.voters_power)
        for kind in VoteKind:
            assert ours.powers(kind) == theirs.powers(kind)
            assert ours.votes(kind) == theirs.votes(kind)


@given(powers, st.lists(votes, max_size=25), st.sets(st.sampled_from(KEYS), min_size=1), st.sampled_from(VoteKind))
def test_a_certificate_counts_whatever_its_signers_were_seen_to_say(
    weights: list[int], stream: list[Vote], signers: set[PublicKey], kind: VoteKind
) -> None:
    keeper = VoteKeeper(set_of(weights))
    for vote in stream:
        keeper.apply(vote, 0)
    value = Hash(b"c" * 32)
    shown = [Vote(kind, 1, 2, value, key, Signature(bytes(64))) for key in sorted(signers)]
    quorum = keeper.validators.has_quorum(sum(map(keeper.validators.power_of, signers)))
    before = keeper.polka(2), dict(keeper.commits)
    reached = keeper.merge(shown)
    if not quorum:
        assert reached is None
        assert (keeper.polka(2), keeper.commits) == before
        return
    assert reached is not None
    assert reached.block_id == value
    certificate = keeper.certificate(kind, 2)
    assert certificate is not None
    assert {entry.public_key for entry in certificate.signatures} == signers
    assert keeper.polka(2) == value if kind is VoteKind.PREVOTE else keeper.commits[2] == value


def test_the_certificate_of_a_commit_takes_later_precommits_in() -> None:
    keeper, value = VoteKeeper(set_of([1, 1, 1, 1, 1])), Hash(b"a" * 32)
    stream = [Vote(VoteKind.PRECOMMIT, 1, 0, value, key, Signature(bytes(64))) for key in KEYS]
    for vote in stream[:4]:
        keeper.apply(vote, 0)
    assert keeper.certificate(VoteKind.PRECOMMIT, 0) == certificate_of(stream[:4])
    keeper.apply(stream[4], 0)
    grown = keeper.certificate(VoteKind.PRECOMMIT, 0)
    assert isinstance(grown, CommitCertificate)
    assert grown.signers == tuple(sorted(KEYS))


def test_invalid_certificates_change_nothing() -> None:
    keeper, value = VoteKeeper(set_of([1, 1, 1, 1, 1])), Hash(b"a" * 32)
    good = [Vote(VoteKind.PREVOTE, 1, 0, value, key, Signature(bytes(64))) for key in KEYS]
    nil = [Vote(VoteKind.PREVOTE, 1, 0, None, key, Signature(bytes(64))) for key in KEYS]
    other_round = Vote(VoteKind.PREVOTE, 1, 1, value, KEYS[4], Signature(bytes(64)))
    for wrong in ([], nil, [*good[:4], other_round], good[:1] * 5, [*good[:4], nil[4]]):
        assert keeper.merge(wrong) is None
        assert keeper.round_votes(0) is None
