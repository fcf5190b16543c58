"""Transactions that wait for a block. Sans-IO: values in, values out.

What lives here: the order and bounds of waiting transactions (pool.py, lane.py), the cache of hashes seen
(seen.py) and the gossip of transactions as messages and effects (gossip.py, messages.py). What must not:
sockets, clocks, disks, logs, execution. The shell checks a transaction (signature, nonce, fee) and hands over
a `Checked`.
"""

from runtime.mempool.gossip import Gossip, Misbehaved, Offer, Send
from runtime.mempool.messages import FetchTransactions, MempoolMessage, TransactionHashes, Transactions
from runtime.mempool.pool import Mempool, MempoolLimits
from runtime.mempool.seen import Seen
from runtime.mempool.transaction import Added, Checked, Rejected, Rule

__all__ = [
    "Added",
    "Checked",
    "FetchTransactions",
    "Gossip",
    "Mempool",
    "MempoolLimits",
    "MempoolMessage",
    "Misbehaved",
    "Offer",
    "Rejected",
    "Rule",
    "Seen",
    "Send",
    "TransactionHashes",
    "Transactions",
]
