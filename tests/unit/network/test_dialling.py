"""Backoff grows and is jittered; bans end and are bounded. And what is imported for it."""

import subprocess
import sys

import trio

from runtime.network.dialling import Backoff, Bans
from runtime.network.limits import BACKOFF_MAX_S, BACKOFF_MIN_S, BANNED_PEERS_MAX
from runtime.network.transport import PeerId


def test_delays_double_to_the_most_and_start_over_after_a_reset() -> None:
    backoff = Backoff()
    full = BACKOFF_MIN_S
    for _ in range(10):
        assert full / 2 <= backoff.next() <= full
        full = min(2 * full, BACKOFF_MAX_S)
    assert full == BACKOFF_MAX_S
    backoff.reset()
    assert backoff.next() <= BACKOFF_MIN_S


def test_delays_of_two_nodes_differ() -> None:
    one, other = Backoff(), Backoff()
    assert [one.next() for _ in range(5)] != [other.next() for _ in range(5)]


async def test_a_ban_lasts_its_time_and_no_shorter_one_cuts_it(autojump_clock: trio.abc.Clock) -> None:
    bans, peer = Bans(), PeerId("a")
    assert bans.remaining_s(peer) == 0
    bans.ban(peer, 10)
    bans.ban(peer, 1)
    await trio.sleep(4)
    assert 5.9 < bans.remaining_s(peer) < 6.1
    await trio.sleep(6.1)
    assert bans.remaining_s(peer) == 0


async def test_bans_are_bounded_and_the_soonest_to_end_is_forgotten(autojump_clock: trio.abc.Clock) -> None:
    bans = Bans()
    for number in range(BANNED_PEERS_MAX + 5):
        bans.ban(PeerId(str(number)), 100 + number)
    assert len(bans._until) == BANNED_PEERS_MAX
    assert not bans.remaining_s(PeerId("4"))
    assert bans.remaining_s(PeerId("5"))


def test_only_the_real_transport_imports_libp2p() -> None:
    """It takes a second, which the command line and simulations do not pay."""
    modules = "simulated, addresses, identity, transport, yamux, requests, framing, queues, dialling"
    program = f"import sys; from runtime.network import {modules}; sys.exit('libp2p' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
