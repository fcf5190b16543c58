"""Times as integers: how long a step may take, and whether a proposal's time is plausible. The clock is the shell's."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.consensus.round import TimeoutKind
from runtime.types import U32, Struct


class Timeouts(Struct):
    """Milliseconds each step waits in round 0, and what every later round adds to each, up to a bound.

    propose_ms must allow for two executions of a full block: the proposer's and the voter's.
    """

    propose_ms: U32
    prevote_ms: U32
    precommit_ms: U32
    round_delta_ms: U32
    timeout_ms_max: U32

    def duration_ms(self, kind: TimeoutKind, round_: int) -> int:
        """How long to wait before TimeoutExpired of this kind and round."""
        first = {
            TimeoutKind.PROPOSE: self.propose_ms,
            TimeoutKind.PREVOTE: self.prevote_ms,
            TimeoutKind.PRECOMMIT: self.precommit_ms,
        }[kind]
        return min(first + round_ * self.round_delta_ms, max(first, self.timeout_ms_max))


@dataclass(frozen=True)
class Synchrony:
    """Bounds of proposer-based timestamps: clocks differ by precision_ms, messages take message_delay_ms, at most."""

    precision_ms: int
    message_delay_ms: int

    def is_timely(self, *, time_ms: int, received_ms: int, round_: int) -> bool:
        """Whether a fresh proposal with this time may be received at `received_ms` by the receiver's clock.

        CometBFT's rule (spec/consensus/proposer-based-timestamp): sent - precision <= received <= sent + delay +
        precision, where each round adds a tenth to the delay, so that a bound set too low cannot halt a chain.
        """
        grown = min(round_, 100)
        delay: int = self.message_delay_ms * 11**grown // 10**grown
        return time_ms - self.precision_ms <= received_ms <= time_ms + delay + self.precision_ms
