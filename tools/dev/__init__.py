"""The dev chain: one validator on this machine, blocks as soon as there are transactions, modules reloaded on save.

sources.py finds and imports what is developed, home.py decides on which state it runs, alone.py keeps the
start short, report.py says what blocks did, chain.py runs it all. Nothing here is for a chain that others use.
"""

from tools.dev.chain import DevChain

__all__ = ["DevChain"]
