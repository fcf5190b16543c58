"""Every bound of the network, with its unit in its name. None is consensus-critical: nodes may differ in them,
except for the sizes of frames, which both ends must agree on."""

from __future__ import annotations

from typing import Final

from runtime.limits import BLOCK_BYTES_MAX, TRANSACTION_BYTES_MAX

KIB: Final = 1024

# Before a peer is known. Noise XX with Ed25519 keys takes under 400 bytes each way; a small allowance also bounds
# the cost of the exotic keys that libp2p would verify.
UPGRADE_BYTES_MAX: Final = 1024
UPGRADE_TIMEOUT_S: Final = 5.0
NEGOTIATION_BYTES_MAX: Final = 128
HALF_OPEN_MAX: Final = 128
DIAL_TIMEOUT_S: Final = 3.0

# Yamux. The window is what the specification starts with; larger streams raise it when they are opened.
YAMUX_WINDOW_BYTES: Final = 256 * KIB
YAMUX_DATA_BYTES_MAX: Final = 32 * KIB  # of one frame that is sent: what a vote may have to wait for on each stream
YAMUX_STREAMS_MAX: Final = 16
YAMUX_CONTROL_FRAMES_MAX: Final = 1024
BULK_WINDOW_BYTES: Final = 1024 * KIB

# Frames and queues.
FRAME_HEADER_BYTES: Final = 5
HELLO_BYTES_MAX: Final = 512
GOODBYE_BYTES_MAX: Final = 256
REQUEST_BYTES_MAX: Final = 64 * KIB
RESPONSE_BYTES_MAX: Final = BLOCK_BYTES_MAX + 256 * KIB  # one block and the certificate of its header
REQUESTS_IN_FLIGHT_MAX: Final = 64
REQUESTS_SERVED_MAX: Final = 4  # at once, to one peer
READ_BYTES: Final = 64 * KIB
WRITE_BATCH_BYTES: Final = 256 * KIB
EVENTS_MAX: Final = 256

# Time.
HEARTBEAT_S: Final = 0.5
SILENCE_HEARTBEATS_MAX: Final = 5
STALL_TIMEOUT_S: Final = 30.0  # a peer that takes nothing of what it is sent for so long is disconnected
DIAL_YIELD_S: Final = 0.25  # how long the higher peer id waits for the lower one to dial
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 1.0  # so that a peer that returns is met within a second
REFUSED_RETRY_S: Final = 30.0  # after another genesis, or no room
BANNED_S: Final = 10.0  # after `disconnect`
BANNED_PEERS_MAX: Final = 1024
GOODBYE_TIMEOUT_S: Final = 0.5

_RELATIONS = {
    "the largest transaction fits into a frame": TRANSACTION_BYTES_MAX + KIB <= 384 * KIB,
    "a frame of Yamux fits into its window": YAMUX_DATA_BYTES_MAX <= YAMUX_WINDOW_BYTES,
    "a hello fits into the first window": HELLO_BYTES_MAX + FRAME_HEADER_BYTES <= YAMUX_WINDOW_BYTES,
}
for _sentence, _holds in _RELATIONS.items():
    if not _holds:
        raise ImportError(f"runtime.network.limits contradict each other: {_sentence} does not hold")
