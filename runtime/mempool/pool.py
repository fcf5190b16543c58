"""The pool: order, bounds, replacement, eviction, expiry, removal.

Rules:
- Packed in order of (offer per gas, arrival), but a sender's transactions only in nonce order without a gap.
- Bounded in count, bytes and count per sender. When full, the last nonce of some other sender with the lowest
  price goes, and only for a newcomer that offers more per gas: nobody can flush the pool for free.
- The same sender and nonce again replaces the old one only if it offers at least a tenth more.
- A transaction leaves when its block is decided, its nonce used, its last height past, or a re-check fails.
- What it offers may change while it waits, with the chain's price of gas: a re-check says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice

from runtime.limits import BLOCK_TRANSACTIONS_MAX
from runtime.mempool.lane import Entry, Lane
from runtime.mempool.seen import Seen
from runtime.mempool.transaction import Added, Checked, Rejected, Rule
from runtime.types import AccountId, Hash

REPLACEMENT_PERCENT_MIN = 110

# The re-check: the transaction as it is checked in the new state, or why it can be in no block now.
Recheck = Callable[[Checked], Checked | Rejected]


@dataclass(frozen=True)
class MempoolLimits:
    """Bounds of one node's pool; they are no part of the protocol."""

    transactions_max: int = 10_000
    bytes_max: int = 64 * 1024 * 1024
    per_sender_max: int = 1_024
    committed_cache_max: int = 65_536


class Mempool:
    """Waiting transactions. Every method is a pure step on memory."""

    def __init__(self, limits: MempoolLimits | None = None, *, height: int = 0) -> None:
        self.limits = limits or MempoolLimits()
        self.height = height  # of the last decided block
        self.bytes = 0
        self._entries: dict[Hash, Entry] = {}  # in the order of the next re-check
        self._lanes: dict[AccountId, Lane] = {}
        self._ready: dict[AccountId, None] = {}
        self._named: dict[Hash, Hash] = {}
        self._committed = Seen(self.limits.committed_cache_max)
        self._arrivals = count()
        self._worst: list[tuple[int, int, Hash]] = []  # a heap of tails, stale ones are skipped when popped
        self._expiry: list[tuple[int, Hash]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, hash_: Hash) -> bool:
        return hash_ in self._entries

    @property
    def has_ready(self) -> bool:
        """Whether `select` would return anything, given room."""
        return bool(self._ready)

    def get(self, hash_: Hash) -> Checked | None:
        """By the hash of its bytes; None where it does not wait."""
        entry = self._entries.get(hash_)
        return entry.checked if entry else None

    def find(self, transaction: Hash) -> Checked | None:
        """By the chain's name of it."""
        return self.get(self._named.get(transaction, transaction))

    def was_committed(self, hash_: Hash) -> bool:
        """Whether it was in one of the last blocks, as far as the cache reaches."""
        return hash_ in self._committed

    def hashes(self) -> Iterator[Hash]:
        """Of everything that waits, the longest unchecked first; later changes do not disturb it."""
        return iter(tuple(self._entries))

    def next_nonce(self, sender: AccountId) -> int | None:
        """The nonce after the sender's waiting transactions, up to a gap; None when nothing of it waits."""
        lane = self._lanes.get(sender)
        if lane is None:
            return None
        nonce = lane.next_nonce
        while lane.get(nonce) is not None:
            nonce += 1
        return nonce

    # --- adding ---------------------------------------------------------------------------------------------

    def add(self, checked: Checked) -> Added | Rejected:
        """Take a checked transaction, or say why not; then nothing has changed."""
        refused = self._refuse(checked)
        if refused is not None:
            return refused
        lane = self._lanes.get(checked.sender)
        next_nonce = max(checked.next_nonce, lane.next_nonce if lane else 0)
        old = lane.get(checked.nonce) if lane else None
        victims = self._victims(checked, old)
        if victims is None:
            return Rejected(
                Rule.POOL_FULL,
                f"the mempool holds {len(self)} transactions of {self.bytes} bytes in all, "
                f"and too few of them offer less per gas than this one",
            )
        for entry in (*victims, *((old,) if old else ())):
            self._remove(entry.checked.hash)
        self._insert(Entry(checked, next(self._arrivals)), next_nonce)
        evicted = tuple(entry.checked.hash for entry in victims)
        return Added(checked.hash, old.checked.hash if old else None, evicted)

    def _refuse(self, new: Checked) -> Rejected | None:
        if new.hash in self._entries:
            return Rejected(Rule.DUPLICATE, "this transaction is already waiting")
        if new.hash in self._committed:
            return Rejected(Rule.COMMITTED, "this transaction is already in a block")
        if new.last_valid_height <= self.height:
            late = f"last valid height {new.last_valid_height} is below the next height {self.height + 1}"
            return Rejected(Rule.EXPIRED, late)
        lane = self._lanes.get(new.sender)
        next_nonce = max(new.next_nonce, lane.next_nonce if lane else 0)
        if new.nonce < next_nonce:
            used = f"nonce {new.nonce} was used: the sender's next nonce is {next_nonce}"
            return Rejected(Rule.NONCE_USED, used)
        if new.nonce >= next_nonce + self.limits.per_sender_max:
            return Rejected(
                Rule.NONCE_TOO_FAR,
                f"nonce {new.nonce} is too far ahead of the sender's next nonce {next_nonce}; "
                f"at most {self.limits.per_sender_max - 1} may wait before it",
            )
        old = lane.get(new.nonce) if lane else None
        if old is not None:
            return _refuse_replacement(old.checked, new)
        if lane is not None and len(lane) >= self.limits.per_sender_max:
            return Rejected(Rule.SENDER_FULL, f"{len(lane)} transactions of this sender wait already")
        return None

    def _victims(self, new: Checked, replaced: Entry | None) -> list[Entry] | None:
        """What must go so that `new` fits, worst first; None when too little is worse. Changes nothing."""
        count_over = len(self) + 1 - self.limits.transactions_max - (1 if replaced else 0)
        bytes_over = self.bytes + new.size - self.limits.bytes_max
        bytes_over -= replaced.checked.size if replaced else 0
        victims: list[Entry] = []
        popped: list[Entry] = []
        taken: dict[AccountId, int] = {}
        while count_over > 0 or bytes_over > 0:
            worst = self._pop_worst(taken)
            if worst is None:
                break
            popped.append(worst)
            sender = worst.checked.sender
            if sender == new.sender:
                continue  # without the sender's own earlier nonce `new` would wait behind a gap
            if worst.checked.price >= new.price:
                break
            victims.append(worst)
            count_over -= 1
            bytes_over -= worst.checked.size
            taken[sender] = taken.get(sender, 0) + 1
            following = self._lanes[sender].from_end(taken[sender])
            if following is not None:
                self._push_worst(following)
        for entry in popped:
            self._push_worst(entry)
        return None if count_over > 0 or bytes_over > 0 else victims

    def _pop_worst(self, taken: Mapping[AccountId, int]) -> Entry | None:
        """The worst entry that is its lane's last but for the `taken` ones after it."""
        while self._worst:
            price, _, hash_ = heapq.heappop(self._worst)
            entry = self._entries.get(hash_)
            if entry is not None and entry.checked.price == price:
                sender = entry.checked.sender
                if self._lanes[sender].from_end(taken.get(sender, 0)) is entry:
                    return entry
        return None

    def _push_worst(self, entry: Entry) -> None:
        heapq.heappush(self._worst, (entry.checked.price, -entry.arrival, entry.checked.hash))

    def _compact(self) -> None:
        """Drop what is stale from the lazy heaps once it outweighs what is live."""
        if len(self._worst) > 4 * len(self._entries) + 64:
            self._worst.clear()
            for lane in self._lanes.values():
                tail = lane.from_end(0)
                if tail is not None:
                    self._push_worst(tail)
        if len(self._expiry) > 4 * len(self._entries) + 64:
            live = (entry.checked for entry in self._entries.values())
            self._expiry = [(checked.last_valid_height, checked.hash) for checked in live]
            heapq.heapify(self._expiry)

    # --- packing --------------------------------------------------------------------------------------------

    def select(self, max_bytes: int, max_gas: int, max_count: int = BLOCK_TRANSACTIONS_MAX) -> tuple[Checked, ...]:
        """The next block's transactions: the best first, each sender's in nonce order, within the bounds.

        A transaction that does not fit is passed over, and so is all of that sender's that follows it.
        """
        heap = [self._head(sender) for sender in self._ready]
        heapq.heapify(heap)
        chosen: list[Checked] = []
        while heap and len(chosen) < max_count:
            _, _, sender, nonce = heapq.heappop(heap)
            lane = self._lanes[sender]
            entry = lane.get(nonce)
            if entry is None:
                continue
            checked = entry.checked
            if checked.size > max_bytes or checked.gas_limit > max_gas:
                continue
            max_bytes -= checked.size
            max_gas -= checked.gas_limit
            chosen.append(checked)
            following = lane.get(nonce + 1)
            if following is not None:
                heapq.heappush(heap, (*following.rank, sender, nonce + 1))
        return tuple(chosen)

    def _head(self, sender: AccountId) -> tuple[int, int, AccountId, int]:
        lane = self._lanes[sender]
        entry = lane.get(lane.next_nonce)
        assert entry is not None, "a ready sender has its next nonce waiting"
        return (*entry.rank, sender, lane.next_nonce)

    # --- leaving --------------------------------------------------------------------------------------------

    def committed(
        self, hashes: Iterable[Hash], height: int, next_nonces: Mapping[AccountId, int] | None = None
    ) -> tuple[Hash, ...]:
        """A block was decided at `height`. Returns the hashes that left without being in it.

        next_nonces: nonces that the block moved, of senders whose transactions did not pass through here.
        """
        self.height = height
        moved: dict[AccountId, int] = dict(next_nonces or {})
        for hash_ in hashes:
            self._committed.add(hash_)
            entry = self._remove(hash_)
            if entry is not None:
                sender, after = entry.checked.sender, entry.checked.nonce + 1
                moved[sender] = max(moved.get(sender, 0), after)
                self._advance(sender, after)
        left: list[Hash] = []
        for sender, nonce in moved.items():
            left += self._advance(sender, nonce)
        while self._expiry and self._expiry[0][0] <= height:
            _, hash_ = heapq.heappop(self._expiry)
            entry = self._entries.get(hash_)
            if entry is not None and entry.checked.last_valid_height <= height:
                self._remove(hash_)
                left.append(hash_)
        return tuple(left)

    def drop(self, hashes: Iterable[Hash]) -> None:
        """Remove transactions that turned out invalid, for example when the proposer executed them."""
        for hash_ in hashes:
            self._remove(hash_)

    def recheck(self, check: Recheck, count_max: int) -> tuple[tuple[Hash, Rejected], ...]:
        """Check the `count_max` longest unchecked again, after a block; returns what had to leave and why."""
        left: list[tuple[Hash, Rejected]] = []
        for hash_ in tuple(islice(self._entries, count_max)):
            entry = self._entries.pop(hash_, None)
            if entry is None:
                continue  # the sender's nonce moved past it within this loop
            self._entries[hash_] = entry
            answer = check(entry.checked)
            if isinstance(answer, Rejected):
                self._remove(hash_)
                left.append((hash_, answer))
                continue
            self._renew(entry, answer)
            used = Rejected(Rule.NONCE_USED, f"the sender's next nonce is {answer.next_nonce}")
            left += [(gone, used) for gone in self._advance(answer.sender, answer.next_nonce)]
        return tuple(left)

    def _renew(self, entry: Entry, checked: Checked) -> None:
        """Its place among the others is that of what it offers now."""
        if checked.offer == entry.checked.offer:
            return
        renewed, lane = Entry(checked, entry.arrival), self._lanes[checked.sender]
        self._entries[checked.hash] = renewed
        lane.insert(renewed)
        if lane.from_end(0) is renewed:
            self._push_worst(renewed)

    def _advance(self, sender: AccountId, next_nonce: int) -> list[Hash]:
        lane = self._lanes.get(sender)
        if lane is None:
            return []
        lane.next_nonce = max(lane.next_nonce, next_nonce)
        used = [entry.checked.hash for entry in lane.used()]
        for hash_ in used:
            self._remove(hash_)
        self._settle(sender)
        return used

    # --- keeping the indexes together -----------------------------------------------------------------------

    def _insert(self, entry: Entry, next_nonce: int) -> None:
        checked = entry.checked
        lane = self._lanes.setdefault(checked.sender, Lane(next_nonce))
        lane.next_nonce = next_nonce
        lane.insert(entry)
        self._entries[checked.hash] = entry
        self._named[checked.transaction] = checked.hash
        self.bytes += checked.size
        if lane.from_end(0) is entry:
            self._push_worst(entry)
        heapq.heappush(self._expiry, (checked.last_valid_height, checked.hash))
        self._settle(checked.sender)
        self._compact()

    def _remove(self, hash_: Hash) -> Entry | None:
        entry = self._entries.pop(hash_, None)
        if entry is None:
            return None
        sender = entry.checked.sender
        self.bytes -= entry.checked.size
        if self._named.get(entry.checked.transaction) == hash_:
            del self._named[entry.checked.transaction]
        lane = self._lanes[sender]
        lane.remove(entry.checked.nonce)
        tail = lane.from_end(0)
        if tail is not None:
            self._push_worst(tail)
        self._settle(sender)
        return entry

    def _settle(self, sender: AccountId) -> None:
        lane = self._lanes.get(sender)
        if lane is None:
            return
        if len(lane) == 0:
            del self._lanes[sender]
        if lane.ready:
            self._ready[sender] = None
        else:
            self._ready.pop(sender, None)


def _refuse_replacement(old: Checked, new: Checked) -> Rejected | None:
    needed = max(old.offer + 1, -(-old.offer * REPLACEMENT_PERCENT_MIN // 100))
    if new.offer >= needed and new.price >= old.price:
        return None
    return Rejected(
        Rule.UNDERPRICED,
        f"nonce {new.nonce} already waits with an offer of {old.offer}: "
        f"a replacement must offer at least {needed}, and no less per gas; this one offers {new.offer}",
    )
