"""The node: the one place where effects happen. It wires the pure parts and performs what they ask for.

node.py            one node in one nursery: wiring, lifecycle;  run.py  from a home folder, signals, logs
consensus_task.py  drives the consensus driver: the only task that decides, persists and moves to the next height
  height_work.py   the height being worked on: verifying messages, what must be judged
  own_messages.py  this node's votes and proposals: durable before they are sent
  flight.py        proposals and parts of the height until its blocks are whole
  executor.py      execution and commits, one at a time, outside the event loop; results cached by block id
  evidence_pool.py equivocations that wait for a block;  bundle.py  what a divergence leaves behind
peers.py           frames in, frames out: consensus gossip;  wire.py  its messages
mempool_task.py, sync_task.py, requests.py   the same for transactions, block sync, requests of peers
mempool_journal.py what was acknowledged to clients;  blob_sweep.py  model chunks that nothing refers to any more
metrics.py, timed_engine.py, logs.py   what the node tells its operator
tip.py, block_store.py   where the chain stands; records beside the state
signer.py, wal.py, journal.py, files.py      what was promised survives a crash
keystore.py, config.py, config_file.py   keys and options of an operator
application.py     what the node needs of the execution;  api.py  what HTTP needs of the node

What must not live here: rules of consensus, execution or the mempool. No module of it is imported by a pure part.
"""
