"""Every bound of the HTTP interface, with its unit in its name. Beyond a bound the answer is a problem, or the end."""

from __future__ import annotations

from typing import Final

BACKLOG: Final = 128
CONNECTIONS_MAX: Final = 256  # an operator may choose another number: http.connections_max
REFUSALS_MAX: Final = (
    64  # connections at once that are told that there are too many; further ones are closed unanswered
)
REFUSAL_S_MAX: Final = 1.0
REQUESTS_IN_FLIGHT_MAX: Final = 128
REQUESTS_PER_CONNECTION_MAX: Final = 10_000
REQUEST_S_MAX: Final = 30.0  # from the head of a request to the head of its answer
HEAD_BYTES_MAX: Final = 16 * 1024
IDLE_S_MAX: Final = 30.0  # between requests, and for the head of the first
SEND_BYTES_MAX: Final = 64 * 1024
SEND_S_MAX: Final = 20.0  # until the reader has taken that many; then the connection is cut
RECEIVE_BYTES_MAX: Final = 8 * 1024  # read at a time: what it may inflate to by compression stays small
DEAD_PEER_MS_MAX: Final = 30_000  # a machine that stopped answering is noticed by TCP
LINGER_S: Final = 0.1  # for what a connection that was closed left under way
GRACE_S: Final = 0.5  # for what is under way when the node stops

PAGE_ITEMS_MAX: Final = 100
PAGE_ITEMS_DEFAULT: Final = 50

WAIT_MS_MAX: Final = 20_000  # for a transaction to leave the mempool
WAITING_MAX: Final = 96

SUBSCRIBERS_MAX: Final = 64
FILTER_VALUES_MAX: Final = 16  # of each kind in one filter
PING_S: Final = 15.0
SLOW_S_MAX: Final = 5.0  # for a reader to take one message
MESSAGE_FROM_READER_BYTES_MAX: Final = 1024  # none is expected
PAGE_BLOCKS_MAX: Final = 100  # read for one page of events

_RELATIONS = {
    "waiting is shorter than a request may be": WAIT_MS_MAX < REQUEST_S_MAX * 1000,
    "requests that wait leave room for others": WAITING_MAX < REQUESTS_IN_FLIGHT_MAX,
    "subscribers leave room for requests": SUBSCRIBERS_MAX < CONNECTIONS_MAX,
    "a slow reader is told so before it is cut": SLOW_S_MAX < SEND_S_MAX < REQUEST_S_MAX,
}
for _sentence, _holds in _RELATIONS.items():
    if not _holds:
        raise ImportError(f"runtime.rpc.bounds contradict each other: {_sentence} does not hold")
