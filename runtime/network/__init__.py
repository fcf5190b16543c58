"""Peers and bytes: who is connected, and frames to and from them. What the bytes mean is not known here.

    transport.py    the Transport protocol that the node uses; everything below is behind it
    simulated.py    the same protocol in memory, for tests under a mock clock; simulated_schedule.py  its parts
    libp2p_transport.py   the same protocol over TCP, Noise and Yamux as libp2p speaks them
      dialling.py   when to dial whom again;  hello.py  how a connection begins;  link.py  how it goes on
      yamux.py      streams over one connection;  framing.py, queues.py  frames and bounded queues
      upgrade.py    the only file that imports libp2p (it takes about a second to import)
    identity.py     the node's network key and peer ids;  addresses.py  where a peer is reached

This package imports nothing of itself, so that the command line does not pay for libp2p.
"""
