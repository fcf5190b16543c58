"""The task that drives consensus: takes events, feeds the driver, performs its effects, applies decided blocks.

Rules. One task owns the driver, so nothing races. Every input is logged before the driver sees it; a message of this
node's own is signed, logged and on disk before it is sent. Building and judging blocks run beside it, so that it goes
on counting votes. A height ends when its block is decided by votes or comes verified from block sync, whichever is
first; then the block, its certificate, its receipts and the state are committed at once, and the next height begins.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from runtime.consensus import (
    CastVote,
    CertificateRefused,
    CommitCertificate,
    CommittedInvalid,
    Decide,
    DriverInput,
    Effect,
    Equivocated,
    Equivocation,
    MessageRefused,
    ProposalContradicted,
    ProposalReceived,
    Propose,
    RequestValidation,
    RequestValue,
    ScheduleTimeout,
    Start,
    Step,
    TimeoutExpired,
    Validated,
    ValidatorSetError,
    ValueProposed,
    replay,
    split_block,
    verify_equivocation,
)
from runtime.errors import PeerError
from runtime.node.application import consensus_validators, params_of, wire_hash
from runtime.node.block_store import block_records
from runtime.node.bundle import write_bundle
from runtime.node.consensus_parts import (
    AppliedBlock,
    Built,
    ConsensusParts,
    Decision,
    Event,
    Fetched,
    FromPeer,
    Judged,
    TimedOut,
    Wake,
)
from runtime.node.errors import Diverged
from runtime.node.executor import Verdict
from runtime.node.flight import Flight, WholeBlock
from runtime.node.height_work import HeightWork, Upcoming
from runtime.node.own_messages import OwnMessages
from runtime.node.records import LoggedBlock, decode_records, encode_record
from runtime.node.tip import Tip
from runtime.node.wire import (
    ConsensusMessage,
    EvidenceMessage,
    PartMessage,
    PolkaMessage,
    ProposalMessage,
    VoteMessage,
    wrap,
)
from runtime.types import Hash

INBOX_EVENTS_MAX: Final = 1024
GAS_CANDIDATES: Final = 8
FETCH_DELAY_S: Final = 0.3
CATCHING_UP_S: Final = 1.0
LONG_AGO_S: Final = -1e9


class ConsensusTask:
    """See the file's head. `run` never returns by itself."""

    def __init__(self, parts: ConsensusParts, tip: Tip) -> None:
        self._p = parts
        self.tip = tip
        self.inbox, self._events = trio.open_memory_channel[Event](INBOX_EVENTS_MAX)
        self._genesis_hash = parts.app.genesis_hash
        self._params = params_of(parts.app.genesis)
        self._own: OwnMessages | None = None
        if parts.signer is not None:
            self._own = OwnMessages(parts, parts.signer)
        self._last_applied_s = self._last_synced_s = LONG_AGO_S
        self._begin()
        self._upcoming = Upcoming(tip, self._genesis_hash)

    # --- for the rest of the node -----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look again. Cheap; when the inbox is full the task looks anyway."""
        try:
            self.inbox.send_nowait(Wake())
        except trio.WouldBlock:
            return

    @property
    def round(self) -> int:
        """The round being worked on; -1 while waiting for a reason to make a block."""
        return self._work.driver.state.round

    @property
    def progress(self) -> tuple[int, int, int]:
        """Changes whenever something moves."""
        state = self._work.driver.state
        return self.tip.height, state.round, int(state.step)

    def held_messages(self) -> list[ConsensusMessage]:
        """What a peer at this height may lack."""
        return [wrap(message) for message in self._work.driver.held_messages()]

    def undecided_block(self, block_id: Hash) -> bytes | None:
        """A block of the height being worked on."""
        found = self._work.flight.whole.get(block_id)
        return None if found is None else found.encoded

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Decide height after height until cancelled. Raises Diverged and other faults of this node."""
        while True:
            async with trio.open_nursery() as nursery:
                decision = await self._decide(nursery)
                nursery.cancel_scope.cancel()
            await self._apply(decision)
            self._begin()

    def _begin(self) -> None:
        self._work = HeightWork(
            self.tip,
            key=None if self._own is None else self._own.public_key,
            genesis_hash=self._genesis_hash,
            params=self._params,
            store=self._p.store,
        )
        self._effects: deque[Effect] = deque()
        self._decision: Decide | None = None
        self._interval_over = False

    async def _decide(self, nursery: trio.Nursery) -> Decision:
        """Work on the height until there is a block to apply."""
        self._nursery = nursery
        self._resume()
        self._release_upcoming()
        nursery.start_soon(self._interval_timer)
        while True:
            synced = self._p.outside.next_synced(self._work.parent)
            if synced is not None:
                return synced
            self._maybe_start()
            while self._effects and self._decision is None:
                await self._perform(self._effects.popleft())
            if self._decision is not None:
                whole = self._work.flight.whole[self._decision.block_id]
                certificate = self._work.driver.commit_certificate() or self._decision.certificate
                return Decision(whole, certificate, synced=False)
            self._on_event(await self._events.receive())

    def _resume(self) -> None:
        """Replay what an earlier run logged of this height; nothing for a fresh one."""
        inputs, blocks = decode_records(self._p.wal.open_height(self._work.height))
        for encoded in blocks:
            self._work.flight.add_whole(encoded)
        for event in inputs:
            if isinstance(event, ProposalReceived):
                self._work.flight.add_proposal(event.proposal)
        if inputs:
            self._effects.extend(replay(self._work.driver, inputs))
            self._p.log.info("consensus resumed", inputs=len(inputs))

    def _release_upcoming(self) -> None:
        messages, parts = self._upcoming.release()
        fits = self._upcoming.height == self._work.height
        self._upcoming = Upcoming(self.tip, self._genesis_hash)
        for message in messages if fits else ():
            self._feed_all(self._work.verified(message, self._p.now_ms()))
        for part in parts if fits else ():
            try:
                self._work.take(part, 0)
            except MessageRefused:
                continue  # whose it was is no longer known
        self._judge_whole()

    def _maybe_start(self) -> None:
        """Begin round 0 when there is a reason to make a block, unless blocks are coming in from block sync."""
        work = self._work
        if work.driver.state.step is not Step.NEW:
            return
        if self._p.outside.behind() > 0 and trio.current_time() - self._last_synced_s < CATCHING_UP_S:
            return
        changing = self.tip.validators.hash != self.tip.next_validators.hash
        waiting = self._p.mempool.has_ready or bool(self._p.evidence.select(work.height))
        if work.height == 1 or waiting or changing or work.heard or self._interval_over:
            self._feed(Start(work.height))

    async def _interval_timer(self) -> None:
        interval_s = self._params.empty_block_interval_ms / 1000
        await trio.sleep_until(max(self._last_applied_s + interval_s, trio.current_time()))
        self._interval_over = True
        await self.inbox.send(Wake())

    # --- inputs -----------------------------------------------------------------------------------------------------

    def _feed(self, event: DriverInput) -> None:
        """Log an input, then let the driver see it."""
        self._p.wal.append(encode_record(event))
        self._effects.extend(self._work.driver.step(event))

    def _feed_all(self, events: list[DriverInput]) -> None:
        for event in events:
            self._feed(event)

    def _on_event(self, event: Event) -> None:
        match event:
            case FromPeer(peer, message):
                try:
                    self._on_message(message)
                except (PeerError, CertificateRefused) as error:
                    self._p.outside.blame(peer, str(error))
            case TimedOut(expired):
                if expired.height == self._work.height:
                    self._feed(expired)
            case Built():
                self._on_built(event)
            case Judged():
                self._on_judged(event)
            case Fetched(height, whole):
                if height == self._work.height:
                    self._work.flight.whole.setdefault(whole.id, whole)
                    self._judge_whole()
            case Wake():
                pass

    def _on_message(self, message: ConsensusMessage | PartMessage) -> None:
        if isinstance(message, EvidenceMessage):
            self._on_evidence(message.evidence)
            return
        self._feed_all(self._work.take(message, self._p.now_ms()))
        self._upcoming.take(message)
        if isinstance(message, PartMessage | ProposalMessage):
            self._judge_whole()

    def _on_evidence(self, evidence: Equivocation) -> None:
        if evidence.height > self.tip.height or not self._p.evidence.wants(evidence):
            return
        validators = self._p.store.validators_at(evidence.height)
        if validators is not None:
            verify_equivocation(evidence, genesis_hash=self._genesis_hash, validators=validators)
            self._add_evidence(evidence)

    def _add_evidence(self, evidence: Equivocation) -> None:
        if self._p.evidence.add(evidence):
            self._p.outside.broadcast(EvidenceMessage(evidence))

    def _on_built(self, event: Built) -> None:
        for dropped in event.block.dropped:
            if dropped.is_invalid:
                self._p.mempool.drop([wire_hash(dropped.data)])
                self._p.log.info("transaction dropped", reason=dropped.reason)
        if event.height == self._work.height:
            whole = self._work.flight.whole.setdefault(event.block.whole.id, event.block.whole)
            self._work.judging.add(whole.id)
            self._p.wal.append(encode_record(LoggedBlock(whole.encoded)))
            self._feed(ValueProposed(event.height, event.round, whole.id))

    def _on_judged(self, event: Judged) -> None:
        height, whole, verdict = event.height, event.whole, event.verdict
        if height != self._work.height:
            return
        if not verdict.ok:
            self._p.log.warning("block refused", block_id=whole.id.hex(), reason=verdict.reason)
        if verdict.diverged:
            path = write_bundle(self._p.bundles, whole, verdict, None, self._genesis_hash)
            self._p.log.error("execution diverged", block_id=whole.id.hex(), bundle=str(path))
        self._p.wal.append(encode_record(LoggedBlock(whole.encoded)))
        self._feed(Validated(height, whole.id, verdict.ok))

    def _judge_whole(self) -> None:
        """Have judged what is wanted and whole now."""
        for found in tuple(self._work.to_judge()):
            if isinstance(found, ProposalContradicted):
                self._feed(found)
            else:
                self._nursery.start_soon(self._judge, found)

    # --- effects ----------------------------------------------------------------------------------------------------

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case CastVote(unsigned):
                assert self._own is not None
                cast = await self._own.vote(unsigned)
                if cast is not None:
                    self._effects.extend(self._work.driver.step(cast))
                    self._p.outside.broadcast(VoteMessage(cast.vote))
            case Propose():
                await self._propose(effect)
            case ScheduleTimeout(kind, height, round_):
                delay_ms = self._params.timeouts.duration_ms(kind, round_)
                self._nursery.start_soon(self._timer, TimeoutExpired(kind, height, round_), delay_ms / 1000)
            case RequestValue(height, round_):
                self._nursery.start_soon(self._build, height, round_)
            case RequestValidation(height, round_, block_id):
                self._work.wanted[block_id] = round_
                self._judge_whole()
                if block_id not in self._work.flight.whole:
                    self._nursery.start_soon(self._fetch, height, block_id)
            case Decide():
                self._decision = effect
            case CommittedInvalid(_, _, block_id, certificate):
                await self._halt(self._work.flight.whole[block_id], certificate)
            case Equivocated(evidence):
                self._p.log.warning("equivocation seen", offender=evidence.offender.hex(), at_height=evidence.height)
                self._add_evidence(evidence)

    async def _propose(self, effect: Propose) -> None:
        assert self._own is not None
        whole = self._work.flight.whole[effect.block_id]  # it is valid, so it was judged or built here
        split = split_block(whole.encoded)
        made = await self._own.proposal(effect, whole, split)
        if made is None:
            return
        self._work.flight.add_proposal(made.proposal)
        self._effects.extend(self._work.driver.step(made))
        if effect.polka is not None:
            self._p.outside.broadcast(PolkaMessage(effect.polka))
        self._p.outside.broadcast(ProposalMessage(made.proposal))
        for part in split.parts:
            self._work.flight.add_part(split.part_root, part)
            self._p.outside.broadcast_part(PartMessage(effect.height, split.part_root, part))

    async def _timer(self, event: TimeoutExpired, delay_s: float) -> None:
        await trio.sleep(delay_s)
        await self.inbox.send(TimedOut(event))

    async def _build(self, height: int, round_: int) -> None:
        assert self._own is not None
        bounds = self._p.app.params()
        gas_max = bounds.block_gas_max * GAS_CANDIDATES  # limits are rarely used up; the application packs by use
        chosen = self._p.mempool.select(bounds.block_bytes_max, gas_max, bounds.block_transactions_max)
        block = await self._p.executor.build(
            self._work.parent,
            proposer=self._own.public_key,
            time_ms=max(self._p.now_ms(), self.tip.time_ms + 1),
            transactions=[item.data for item in chosen],
            evidence=self._p.evidence.select(height),
            last_certificate=self.tip.certificate,
        )
        await self.inbox.send(Built(height, round_, block))

    async def _judge(self, whole: WholeBlock) -> None:
        work = self._work
        verdict = await self._p.executor.judge(whole, work.parent)
        await self.inbox.send(Judged(work.height, whole, verdict))

    async def _fetch(self, height: int, block_id: Hash) -> None:
        """The parts did not make it here: ask peers for the block until it is there or the height is over."""
        while True:
            await trio.sleep(FETCH_DELAY_S)
            if block_id in self._work.flight.whole:
                return
            encoded = await self._p.outside.fetch_block(height, block_id)
            if encoded is None:
                continue
            try:
                whole = Flight().add_whole(encoded)
            except MessageRefused:
                continue
            if whole.id == block_id:
                await self.inbox.send(Fetched(height, whole))
                return

    # --- applying ---------------------------------------------------------------------------------------------------

    async def _apply(self, decision: Decision) -> None:
        """Commit a decided block with its records, atomically; then tell the rest of the node."""
        whole, certificate = decision.whole, decision.certificate
        verdict = await self._p.executor.judge(whole, self._work.parent)
        if not verdict.ok or verdict.result is None:
            await self._halt(whole, certificate)
            return
        result = verdict.result
        updates = consensus_validators(result.validator_updates)
        try:
            tip = self.tip.advance(whole.block.header, whole.id, certificate, updates)
        except ValidatorSetError as error:
            self._p.log.error("validator updates ignored", reason=str(error))
            tip = self.tip.advance(whole.block.header, whole.id, certificate, ())
        hashes = tuple(receipt.transaction for receipt in result.receipts)
        records = block_records(tip, whole.block, whole.encoded, hashes, result.leaves)
        await self._p.executor.commit(whole.id, records)
        self.tip = tip
        self._last_applied_s = trio.current_time()
        if decision.synced:
            self._last_synced_s = self._last_applied_s
        self._p.outside.applied(AppliedBlock(whole, tip, hashes, result, decision.synced))

    async def _halt(self, whole: WholeBlock, certificate: CommitCertificate) -> None:
        """A certified block is invalid here: keep the evidence and stop, rather than go on with a wrong state."""
        verdict: Verdict = await self._p.executor.judge(whole, self._work.parent)
        path = write_bundle(self._p.bundles, whole, verdict, certificate, self._genesis_hash)
        raise Diverged(
            f"more than two thirds of the power certified block {whole.id.hex()} at height {certificate.height}, "
            f"which this node finds wrong ({verdict.reason}); the evidence is in {path or self._p.bundles}"
        )
