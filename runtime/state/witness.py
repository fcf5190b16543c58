"""The witness of what was read: keys with their values, proven under one state root, enough to read the same again.

Single keys are proven each by its path. Paths are hashes, so they say nothing of what lies between two keys: a range is
proven by all the module's items, from which its root is computed anew, and only while they are few (the bounds below).

Lives here: the witness' form, `Recorder`, which makes one of what is read through it, and `verify_witness`, which gives
a Reader of what is proven and of nothing else. Must not: know queries, headers, signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Final, NoReturn, Protocol

from runtime.limits import STORAGE_KEY_BYTES_MAX, STORAGE_VALUE_BYTES_MAX
from runtime.state.errors import ProofError, ReadRefused
from runtime.state.forest import key_path, value_hash
from runtime.state.proof import StateProof, TreeProof, verify_key, verify_module
from runtime.state.protocols import Reader
from runtime.state.table import Table, key_range
from runtime.state.tree import build, hash_of
from runtime.types import MaxLen, Name, Struct

WITNESS_MODULES_MAX: Final = 64
WITNESS_KEYS_MAX: Final = 4096  # of all modules, and all items of a module that is given whole
WITNESS_BYTES_MAX: Final = 4 * 1024 * 1024  # of their keys and values; the proofs come on top

Key = Annotated[bytes, MaxLen(STORAGE_KEY_BYTES_MAX)]
Value = Annotated[bytes, MaxLen(STORAGE_VALUE_BYTES_MAX)]


class ProvenKey(Struct):
    """A key and its value (None: absent). proof: in the module's tree; None: the module has no state."""

    key: Key
    value: Value | None
    proof: TreeProof | None


class Held(Struct):
    """An item of a module that is given whole."""

    key: Key
    value: Value


class SomeKeys(Struct, tag=0):
    """Single keys of a module, ascending."""

    keys: Annotated[tuple[ProvenKey, ...], MaxLen(WITNESS_KEYS_MAX)]


class WholeModule(Struct, tag=1):
    """All items of a module, by ascending key."""

    items: Annotated[tuple[Held, ...], MaxLen(WITNESS_KEYS_MAX)]


class ModuleWitness(Struct):
    """What was read of a module. proof: of the module's root under the state root."""

    module: Name
    proof: TreeProof
    content: SomeKeys | WholeModule


Witness = Annotated[tuple[ModuleWitness, ...], MaxLen(WITNESS_MODULES_MAX)]
"""By ascending module name."""


class Prover(Protocol):
    """What makes proofs: a Store."""

    def prove(self, module: str, key: bytes, height: int | None = None) -> StateProof:
        """As Store."""
        ...


class _Refusing:
    """A Reader that may refuse. refused: why it did, the first time, even where someone caught it."""

    refused: ReadRefused | None = None

    def refuse(self, reason: str) -> NoReturn:
        """Raises ReadRefused, and remembers it."""
        self.refused = self.refused or ReadRefused(reason)
        raise self.refused


class Recorder(_Refusing):
    """A Reader over `base` that remembers what was read. Raises ReadRefused where that is more than can be proven."""

    def __init__(self, base: Reader) -> None:
        self._base = base
        self._keys: dict[str, dict[bytes, bytes | None]] = {}
        self._whole: dict[str, Table[bytes]] = {}
        self._count = 0
        self._bytes = 0

    def get(self, module: str, key: bytes) -> bytes | None:
        """As Reader."""
        if len(key) > STORAGE_KEY_BYTES_MAX:
            return None  # no state holds it
        known = self._keys.setdefault(module, {})
        if key not in known:
            value = self._base.get(module, key)
            self._add(module, key, value)
            known[key] = value
        return known[key]

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Reader; takes the module whole."""
        if module not in self._whole:
            table: Table[bytes] = Table()
            for key, value in self._base.iterate(module):
                self._add(module, key, value)
                table.set(key, value)
            self._whole[module] = table
        return _range(self._whole[module], prefix, limit, start)

    def _add(self, module: str, key: bytes, value: bytes | None) -> None:
        self._count += 1
        self._bytes += len(key) + len(value or b"")
        if self._count > WITNESS_KEYS_MAX or self._bytes > WITNESS_BYTES_MAX:
            self.refuse(
                f"what is read of module {module} is too much to prove: a proof holds {WITNESS_KEYS_MAX} keys and "
                f"{WITNESS_BYTES_MAX} bytes at most, and where keys are listed, all of their module"
            )

    def witness(self, prover: Prover, height: int) -> tuple[ModuleWitness, ...]:
        """The proof of what was read; `base` must be the state at `height`. Raises HeightUnavailable."""
        return tuple(self._of(module, prover, height) for module in sorted({*self._keys, *self._whole}))

    def _of(self, module: str, prover: Prover, height: int) -> ModuleWitness:
        if module in self._whole:
            items = self._whole[module].range(b"", None)
            upper = prover.prove(module, b"", height).module
            return ModuleWitness(Name(module), upper, WholeModule(tuple(Held(key, value) for key, value in items)))
        read = [(key, value, prover.prove(module, key, height)) for key, value in sorted(self._keys[module].items())]
        upper = read[0][2].module
        keys = tuple(ProvenKey(key, value, proof.key) for key, value, proof in read)
        return ModuleWitness(Name(module), upper, SomeKeys(keys))


class ProvenState(_Refusing):
    """A Reader of what a witness proves; any other read raises ReadRefused. Made by `verify_witness`."""

    def __init__(self, keys: dict[str, dict[bytes, bytes | None]], whole: dict[str, Table[bytes]]) -> None:
        self._keys = keys
        self._whole = whole
        self._unread = {(module, key) for module, known in keys.items() for key in known} | {
            (module, None) for module in whole
        }

    @property
    def unread(self) -> frozenset[tuple[str, bytes | None]]:
        """What is proven for nothing so far: single keys, and (with None) modules given whole."""
        return frozenset(self._unread)

    def get(self, module: str, key: bytes) -> bytes | None:
        """As Reader."""
        if module in self._whole:
            return self._whole[module].values.get(key)
        if len(key) > STORAGE_KEY_BYTES_MAX:
            return None
        known = self._keys.get(module, {})
        if key not in known:
            self.refuse(f"key {key.hex()} of module {module} is read and not proven")
        self._unread.discard((module, key))
        return known[key]

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Reader, of modules that are given whole."""
        if module not in self._whole:
            self.refuse(f"keys of module {module} are listed and not proven")
        self._unread.discard((module, None))
        return _range(self._whole[module], prefix, limit, start)


def _range(table: Table[bytes], prefix: bytes, limit: int | None, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    return iter(table.range(*key_range(prefix, start), None if limit is None else max(limit, 0)))


def verify_witness(state_root: bytes, witness: tuple[ModuleWitness, ...]) -> ProvenState:
    """The reads that the witness proves under the state root. Raises ProofError naming the part that fails.

    Total for any well-formed witness; linear in its size.
    """
    if any(left.module >= right.module for left, right in pairwise(witness)):
        raise ProofError("modules", "their names are not strictly ascending")
    keys: dict[str, dict[bytes, bytes | None]] = {}
    whole: dict[str, Table[bytes]] = {}
    for each in witness:
        try:
            root = verify_module(state_root, each.module, each.proof)
            if isinstance(each.content, SomeKeys):
                keys[each.module] = _keys(root, each.module, each.content)
            else:
                whole[each.module] = _items(root, each.module, each.content)
        except ProofError as error:
            raise ProofError(f"{each.module}.{error.part}", error.reason) from None
    return ProvenState(keys, whole)


def _keys(root: bytes | None, module: str, content: SomeKeys) -> dict[bytes, bytes | None]:
    if not content.keys or any(left.key >= right.key for left, right in pairwise(content.keys)):
        raise ProofError("keys", "they are none, or not strictly ascending")
    for place, read in enumerate(content.keys):
        try:
            verify_key(root, module, read.key, read.value, read.proof)
        except ProofError as error:
            raise ProofError(f"keys[{place}].{error.part}", error.reason) from None
    return {read.key: read.value for read in content.keys}


def _items(root: bytes | None, module: str, content: WholeModule) -> Table[bytes]:
    if any(left.key >= right.key for left, right in pairwise(content.items)):
        raise ProofError("items", "their keys are not strictly ascending")
    entries = sorted(key_path(item.key) + value_hash(item.value) for item in content.items)
    found = hash_of(build(b"".join(entries))) if entries else None
    if found != root:
        raise ProofError("items", f"they are not all that module {module} holds, and nothing else")
    table: Table[bytes] = Table()
    for item in content.items:
        table.set(item.key, item.value)
    return table
