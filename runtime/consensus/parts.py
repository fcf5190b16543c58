"""Blocks travel in parts: slices of the encoded block, each with a Merkle proof against the root in the proposal.

A part is checked before the others are there, so a false one is refused at once and costs its sender only. The leaves
of the tree are the hashes of the slices: proofs of a full block cost microseconds, not another pass over its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from runtime.consensus.errors import MessageRefused
from runtime.consensus.messages import PART_BYTES, PARTS_MAX, Proposal, check_part_sizes
from runtime.crypto import hash_bytes, merkle_proof, merkle_root, verify_merkle
from runtime.types import U16, Hash, MaxLen, Struct

PROOF_HASHES_MAX: Final = (PARTS_MAX - 1).bit_length()
_TREE: Final = "armillary/parts"
_SLICE: Final = "armillary/part"


class Part(Struct):
    """Slice number `index` of an encoded block; all but the last have PART_BYTES bytes."""

    index: U16
    data: Annotated[bytes, MaxLen(PART_BYTES)]
    proof: Annotated[tuple[Hash, ...], MaxLen(PROOF_HASHES_MAX)]


@dataclass(frozen=True)
class SplitBlock:
    """An encoded block cut into parts, and what its proposal says of them."""

    parts: tuple[Part, ...]
    part_root: Hash
    block_bytes: int

    @property
    def part_count(self) -> int:
        """At least 1."""
        return len(self.parts)


def split_block(encoded: bytes) -> SplitBlock:
    """Cut an encoded block. Raises MessageRefused when it is empty or above BLOCK_BYTES_MAX."""
    slices = [encoded[start : start + PART_BYTES] for start in range(0, len(encoded), PART_BYTES)]
    check_part_sizes(len(slices), len(encoded))
    leaves = [hash_bytes(_SLICE, piece) for piece in slices]
    parts = tuple(Part(index, piece, merkle_proof(_TREE, leaves, index)) for index, piece in enumerate(slices))
    return SplitBlock(parts, merkle_root(_TREE, leaves), len(encoded))


class PartSet:
    """Collects the parts of one block. Holds at most `block_bytes` bytes, which is bounded first."""

    def __init__(self, *, part_count: int, part_root: Hash, block_bytes: int) -> None:
        """Raises MessageRefused when the sizes contradict each other or a limit."""
        check_part_sizes(part_count, block_bytes)
        self.part_count = part_count
        self.part_root = part_root
        self.block_bytes = block_bytes
        self._parts: dict[int, Part] = {}

    @classmethod
    def of(cls, proposal: Proposal) -> PartSet:
        """An empty set for the block that a proposal names."""
        return cls(part_count=proposal.part_count, part_root=proposal.part_root, block_bytes=proposal.block_bytes)

    def add(self, part: Part) -> bool:
        """Keep a part; False when it was there. Raises MessageRefused naming what does not fit."""
        if not 0 <= part.index < self.part_count:
            raise MessageRefused("block part", "index", f"{part.index} of {self.part_count} parts")
        if part.index in self._parts:
            return False
        if len(part.data) != self._size_of(part.index):
            reason = f"part {part.index} has {len(part.data)} bytes, not {self._size_of(part.index)}"
            raise MessageRefused("block part", "size", reason)
        leaf = hash_bytes(_SLICE, part.data)
        if not verify_merkle(_TREE, leaf, part.index, self.part_count, part.proof, self.part_root):
            raise MessageRefused("block part", "proof", f"part {part.index} is not under the proposal's root")
        self._parts[part.index] = part
        return True

    def get(self, index: int) -> Part | None:
        """A part that is there, for a peer that lacks it."""
        return self._parts.get(index)

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the parts that are not there."""
        return tuple(index for index in range(self.part_count) if index not in self._parts)

    @property
    def complete(self) -> bool:
        """Whether `assemble` gives the block."""
        return len(self._parts) == self.part_count

    def assemble(self) -> bytes:
        """The encoded block. Raises MessageRefused while parts are missing."""
        if not self.complete:
            raise MessageRefused("block part", "missing", f"{self.part_count - len(self._parts)} are not there yet")
        return b"".join(self._parts[index].data for index in range(self.part_count))

    def _size_of(self, index: int) -> int:
        return PART_BYTES if index < self.part_count - 1 else self.block_bytes - PART_BYTES * (self.part_count - 1)
