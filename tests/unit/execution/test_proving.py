"""An answer with a proof follows from the proven reads alone, and nothing else follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import (
    U32,
    U64,
    Blobs,
    CallError,
    Hash,
    Inference,
    Item,
    Map,
    MaxLen,
    ModelInfo,
    Module,
    Signed,
    Tensor,
    Uses,
    call,
    query,
)
from runtime.codec import codec
from runtime.errors import CallerError
from runtime.execution import Application, Chain, QueryFailed
from runtime.execution.proving import AnswerRefused, ProvenAnswer, Unprovable, check_answer, prove_query
from runtime.module import BlockInfo
from runtime.state import (
    HeightUnavailable,
    MemoryStore,
    Overlay,
    ProvenState,
    Retention,
    Witness,
    chunk_hash,
    verify_witness,
)
from runtime.state import witness as bounds
from runtime.state.witness import SomeKeys, WholeModule

Numbers = Annotated[tuple[U32, ...], MaxLen(64)]


class Shelf(Module):
    """Numbers by number; each query reads in another way."""

    name = "shelf"
    blobs: Uses[Blobs]
    held: Map[U32, U64] = Map()
    count: Item[U32] = Item(default=0)

    @call(gas=0)
    def put(self, origin: Signed, *, first: U32, last: U32) -> None:
        """Put some, each as its square."""
        for number in range(first, last):
            self.held[number] = number * number
            self.count += 1

    @query
    def squares(self, *, of: Numbers) -> Annotated[tuple[U64 | None, ...], MaxLen(64)]:
        """Single reads."""
        return tuple(self.held.get(number) for number in of)

    @query
    def page(self, *, after: U32 | None, limit: U32) -> Numbers:
        """A range."""
        return tuple(self.held.keys(limit=min(limit, 64), after=after))

    @query
    def both(self, *, of: U32) -> U64:
        """Single reads, then a range."""
        return self.held[of] + sum(self.held.keys(limit=3)) + self.count

    @query
    def age(self) -> U64:
        """What no storage says."""
        return self.height * 1_000_000_000_000 + self.time_ms % 1_000_000_000

    @query
    def nothing(self) -> U64:
        """Reads nothing at all."""
        return 7

    @query
    def chunk(self, *, name: Hash) -> U64:
        """Swallows what it should not."""
        try:
            return self.blobs.chunk_bytes(name)
        except CallError:
            return 0

    @query
    def shy(self, *, of: U32) -> U64:
        """Keeps every failure to itself."""
        try:
            return self.held[of] + len(tuple(self.held.keys(limit=9)))
        except Exception:  # noqa: BLE001 # what this module is for
            return 1


class Echo:
    """An engine whose only model answers what it is asked, at no cost."""

    def verification_gas(self, size_bytes: int, nodes: int) -> int:
        return 0

    def verify(self, model: bytes, blob: Hash, nodes_max: int) -> ModelInfo:
        return ModelInfo(chunk_hash(model), blob, len(model), (), (), (), Hash(bytes(32)), 0, 0, 0, 0)

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return inputs

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...] | None, ...]:
        return batch


class Reads(Module):
    """Queries for what is beside the state."""

    name = "reads"
    blobs: Uses[Blobs]
    inference: Uses[Inference]

    @call(gas=0)
    def put(self, origin: Signed, *, data: Annotated[bytes, MaxLen(64)]) -> None:
        """Keep a chunk."""
        self.inference.admit((self.blobs.put_chunk(data),), nodes_max=1)

    @query
    def guess(self, *, model: Hash) -> U64:
        """Keeps every failure to itself."""
        try:
            return 5 + len(self.inference.run(model, ()))
        except Exception:  # noqa: BLE001 # what this query is for
            return 1

    @query
    def describe(self, *, model: Hash) -> ModelInfo | None:
        """What the state knows."""
        return self.inference.describe(model)

    @query
    def read(self, *, name: Hash) -> Annotated[bytes, MaxLen(64)]:
        """Its bytes."""
        return self.blobs.read_chunk(name)


def shelf(*ranges: tuple[int, int]) -> Chain:
    chain = Chain(Shelf)
    for first, last in ranges:
        assert chain.submit(Shelf.put.build(first=first, last=last), signer=chain.account("alice")).is_ok
    return chain


SMALL = shelf((0, 40), (100, 120))


@pytest.fixture(scope="module")
def small() -> Chain:
    return SMALL


def proven(chain: Chain, name: str, arguments: Mapping[str, Any], *, height: int | None = None) -> ProvenAnswer:
    module = "shelf" if "." not in name else name.partition(".")[0]
    at = chain.height if height is None else height
    return prove_query(chain.application, module, name.rpartition(".")[2], arguments, height=at)


def state_of(chain: Chain, proof: ProvenAnswer) -> ProvenState:
    """The witness as a stranger reads it: from its bytes, under the height's root."""
    witness = codec(Witness).decode(codec(Witness).encode(proof.witness))
    return verify_witness(chain.application.store.root_at(proof.height), witness)


def stranger(chain: Chain) -> Application:
    """The same chain at its genesis: what is not in a proof is nowhere."""
    known = chain.application
    made = Application(known.genesis, tuple(known.composition.modules.values())[1:], MemoryStore())
    made.start()
    return made


def checked(chain: Chain, proof: ProvenAnswer, **other: Any) -> Any:
    """The answer that the proof gives to a stranger; `other`: in place of what it says."""
    given: dict[str, Any] = {
        "state": state_of(chain, proof),
        "block": chain.application.block_at(proof.height),
        "info": proof.info,
        "arguments": proof.arguments,
        "answer": proof.answer,
    }
    return check_answer(stranger(chain), **given | other)[1]


def refused(chain: Chain, proof: ProvenAnswer, **other: Any) -> str:
    with pytest.raises(AnswerRefused) as caught:
        checked(chain, proof, **other)
    return caught.value.part


# --- what is proven

QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("squares", {"of": (1, 5, 99, 5)}),
    ("squares", {"of": ()}),
    ("page", {"after": None, "limit": 64}),
    ("page", {"after": 37, "limit": 9}),
    ("page", {"after": 119, "limit": 9}),
    ("both", {"of": 3}),
    ("age", {}),
    ("chunk", {"name": Hash(bytes(32))}),
    ("shy", {"of": 3}),
    ("shy", {"of": 77}),
    ("runtime.last_block", {}),
    ("runtime.validators_at", {}),
]


@pytest.mark.parametrize(("name", "arguments"), QUESTIONS)
def test_an_answer_follows_from_its_proof_alone(small: Chain, name: str, arguments: dict[str, Any]) -> None:
    for height in (1, small.height):
        proof = proven(small, name, arguments, height=height)
        module, _, query_name = proof.info.full_name.partition(".")
        assert proof.value == small.application.query(module, query_name, arguments, height=height)
        assert checked(small, proof) == proof.value


@settings(max_examples=40, deadline=None)
@given(of=st.lists(st.integers(0, 130), max_size=20), after=st.none() | st.integers(0, 130), limit=st.integers(0, 70))
def test_any_question_is_proven(of: list[int], after: int | None, limit: int) -> None:
    for name, arguments in (("squares", {"of": tuple(of)}), ("page", {"after": after, "limit": limit})):
        proof = proven(SMALL, name, arguments)
        assert checked(SMALL, proof) == SMALL.application.query("shelf", name, arguments)


def test_single_reads_prove_only_what_was_read(small: Chain) -> None:
    (found,) = [each for each in proven(small, "squares", {"of": (1, 99)}).witness if each.module == "shelf"]
    assert isinstance(found.content, SomeKeys)
    assert [read.value is None for read in found.content.keys] == [False, True]
    (whole,) = [each for each in proven(small, "page", {"after": 3, "limit": 1}).witness if each.module == "shelf"]
    assert isinstance(whole.content, WholeModule)


def test_every_query_of_the_house_is_proven(whole: Chain) -> None:
    """With arguments that lead somewhere where there are such; else with whatever fits."""
    alice = whole.account("alice").id
    sample = {"account": alice, "owner": alice, "caller": alice, "denom": "arm", "limit": 3, "after": None, "id": 0}
    models = whole.application.query("registry", "page", {"after": None, "limit": 1})
    sample["model"] = models.models[0].record.model if hasattr(models, "models") else bytes(32)
    proved = 0
    for module, metadata in whole.application.metadata.items():
        for info in metadata.queries.values():
            arguments = {field.name: sample.get(field.name, bytes(32)) for field in info.fields}
            try:
                expected = whole.application.query(module, info.name, arguments)
            except CallerError:
                continue
            proof = prove_query(whole.application, module, info.name, arguments, height=whole.height)
            assert proof.value == expected
            assert checked(whole, proof) == expected
            proved += 1
    assert proved > 12


# --- what is not


def test_invalid_answer_is_named(small: Chain) -> None:
    proof = proven(small, "squares", {"of": (1, 99)})
    assert refused(small, proof, answer=proof.info.result_codec.encode((1, 2))) == "answer"
    assert refused(small, proof, answer=b"") == "answer"
    assert refused(small, proof, answer=proof.answer + b"\x00") == "answer"


def test_invalid_arguments_are_named(small: Chain) -> None:
    proof = proven(small, "squares", {"of": (1, 99)})
    assert refused(small, proof, arguments=b"\xc1") == "arguments"
    for of in ((1, 98), (1,), (1, 99, 99)):
        arguments = proof.info.codec.encode(proof.info.method.record({"of": of}))
        assert refused(small, proof, arguments=arguments) in ("witness", "answer")


def test_invalid_query_in_place_of_another_is_refused(small: Chain) -> None:
    page = proven(small, "page", {"after": 3, "limit": 5})
    other = small.application.query_info("shelf", "squares")
    assert refused(small, page, info=other) == "arguments"


def test_invalid_time_of_the_block_changes_the_answer(small: Chain) -> None:
    proof = proven(small, "age", {})
    block = small.application.block_at(proof.height)
    for forged in (BlockInfo(block.height + 1, block.time_ms), BlockInfo(block.height, block.time_ms + 1)):
        assert refused(small, proof, block=forged) == "answer"


def test_invalid_read_that_is_missing_or_too_much_is_named(small: Chain) -> None:
    few, many = (proven(small, "squares", {"of": of}) for of in ((1,), (1, 2)))
    with pytest.raises(AnswerRefused, match=r"^witness: key 68656c6400.* of module shelf is read and not proven$"):
        checked(small, many, state=state_of(small, few))
    with pytest.raises(AnswerRefused, match=r"^witness: key 68656c6400.* is proven, and the query does not read it$"):
        checked(small, few, state=state_of(small, many))
    listed = proven(small, "page", {"after": None, "limit": 64})
    with pytest.raises(AnswerRefused, match=r"^witness: module shelf is proven, and the query does not read it$"):
        checked(small, few, state=state_of(small, listed))
    with pytest.raises(AnswerRefused, match=r"^witness: keys of module shelf are listed and not proven$"):
        checked(small, listed, state=state_of(small, few))


def test_invalid_missing_read_is_found_where_the_query_swallows_it(small: Chain) -> None:
    """`shy` answers 1 where anything fails: that must not be provable by leaving a read out."""
    proof = proven(small, "shy", {"of": 3})
    few = state_of(small, proven(small, "squares", {"of": (3,)}))
    one = proof.info.result_codec.encode(1)
    assert refused(small, proof, state=few, answer=one) == "witness"


def test_invalid_query_that_lists_a_large_module_is_refused_with_its_name(
    small: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "WITNESS_KEYS_MAX", 50)
    reason = r"^shelf\.page cannot be proven: what is read of module shelf is too much to prove: a proof holds 50 keys"
    with pytest.raises(Unprovable, match=reason):
        proven(small, "page", {"after": None, "limit": 1})
    with pytest.raises(Unprovable, match=r"^shelf\.shy cannot be proven"):
        proven(small, "shy", {"of": 1})
    assert checked(small, proven(small, "squares", {"of": (1, 2)})) == (1, 4)


def test_invalid_query_that_reads_a_blob_or_runs_a_model_has_no_proof() -> None:
    chain = Chain(Shelf, Reads, engine=Echo())
    receipt = chain.submit(Reads.put.build(data=b"chunk"), signer=chain.account("alice"))
    assert receipt.is_ok
    name = chunk_hash(b"chunk")
    assert chain.query(Reads.read, name=name) == b"chunk"
    with pytest.raises(Unprovable, match=rf"^reads\.read cannot be proven: it reads the bytes of chunk {name.hex()}"):
        proven(chain, "reads.read", {"name": name})
    assert checked(chain, proven(chain, "shelf.chunk", {"name": name})) == 5
    assert chain.query(Reads.guess, model=name) == 5
    with pytest.raises(Unprovable, match=rf"^reads\.guess cannot be proven: it runs the model {name.hex()}"):
        proven(chain, "reads.guess", {"model": name})
    assert checked(chain, proven(chain, "reads.describe", {"model": name})).model == name


def test_invalid_query_that_fails_has_no_proof(small: Chain) -> None:
    with pytest.raises(QueryFailed, match=r"^shelf\.both"):
        proven(small, "both", {"of": 77})
    proof = proven(small, "both", {"of": 7})
    arguments = proof.info.codec.encode(proof.info.method.record({"of": 77}))
    assert refused(small, proof, arguments=arguments) == "answer"


def test_invalid_height_is_refused(small: Chain) -> None:
    with pytest.raises(HeightUnavailable, match=f"no state at height 99: heights 0 to {small.height} are retained"):
        proven(small, "age", {}, height=99)
    chain = Chain(Shelf, store=MemoryStore(retention=Retention(heights=2)))
    chain.blocks(5)
    assert checked(chain, proven(chain, "age", {}, height=3)) == chain.query_at(3, Shelf.age)
    with pytest.raises(HeightUnavailable, match="no state at height 2: heights 3 to 5 are retained"):
        proven(chain, "age", {}, height=2)


def test_a_height_that_is_pruned_under_a_query_is_no_fault_of_the_query() -> None:
    chain = Chain(Shelf, store=MemoryStore(retention=Retention(heights=2)))
    chain.blocks(5)
    app = chain.application
    info = app.query_info("shelf", "squares")
    with app.reading(Overlay(app.store.at(3)), app.block_at(3)) as run:
        chain.block()
        with pytest.raises(HeightUnavailable, match="heights 4 to 6"):
            app.answer(run.environment, info, app.query_record(info, {"of": (1,)}))
