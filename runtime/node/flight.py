"""Blocks of one height on their way: proposals, parts that arrive in any order, whole blocks by id.

Pure. Bounded: part sets only for proposals that the driver kept; parts that arrive before their proposal, a few blocks'
worth in all. What must not live here: judging blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.consensus import Block, MessageRefused, Part, PartSet, Proposal, check_proposed_header
from runtime.consensus import decode_block as decode
from runtime.types import Hash

EARLY_PARTS_MAX: Final = 256  # 16 MiB


@dataclass(frozen=True)
class WholeBlock:
    """A decoded block and its canonical bytes."""

    block: Block
    encoded: bytes
    id: Hash


class Flight:
    """The blocks of one height."""

    def __init__(self) -> None:
        self.whole: dict[Hash, WholeBlock] = {}
        self._sets: dict[Hash, PartSet] = {}
        self._proposals: dict[tuple[int, Hash], Proposal] = {}
        self._early: dict[Hash, dict[int, Part]] = {}
        self._early_count = 0

    def add_proposal(self, proposal: Proposal) -> None:
        """A proposal that the driver kept. Parts that came before it are taken in, false ones dropped."""
        self._proposals[proposal.round, proposal.block_id] = proposal
        if proposal.part_root in self._sets:
            return
        parts = self._sets[proposal.part_root] = PartSet.of(proposal)
        for part in self._early.pop(proposal.part_root, {}).values():
            self._early_count -= 1
            try:
                parts.add(part)
            except MessageRefused:
                continue  # nobody can be blamed for a part that nobody could check on arrival
        self._complete(proposal.part_root)

    def add_part(self, part_root: Hash, part: Part) -> bool:
        """Whether a block became whole with it. Raises MessageRefused for a false part."""
        parts = self._sets.get(part_root)
        if parts is None:
            early = self._early.setdefault(part_root, {})
            if part.index not in early and self._early_count < EARLY_PARTS_MAX:
                early[part.index] = part
                self._early_count += 1
            return False
        return parts.add(part) and parts.complete and self._complete(part_root)

    def add_whole(self, encoded: bytes) -> WholeBlock:
        """A block that was built here, fetched or logged. Raises MessageRefused when it is none."""
        block = decode(encoded)
        found = WholeBlock(block, encoded, block.id)
        return self.whole.setdefault(found.id, found)

    def contradicts(self, round_: int, block_id: Hash) -> bool | None:
        """Whether the proposal of this round misstates its block: its parts hold another one or none, or it differs in
        height or time. None while that cannot be told, or without such a proposal."""
        proposal = self._proposals.get((round_, block_id))
        if proposal is None:
            return None
        found = self.whole.get(block_id)
        if found is None:
            parts = self._sets.get(proposal.part_root)
            return True if parts is not None and parts.complete else None
        return misstates(proposal, found.block)

    def _complete(self, part_root: Hash) -> bool:
        parts = self._sets[part_root]
        if not parts.complete:
            return False
        try:
            self.add_whole(parts.assemble())
        except MessageRefused:
            return True  # `contradicts` says so of the proposal: its parts hold no block
        return True


def misstates(proposal: Proposal, block: Block) -> bool:
    """Whether a proposal says of this block what is not so."""
    try:
        check_proposed_header(proposal, block.header)
    except MessageRefused:
        return True
    return False
