"""A network of validators as processes on this machine: for development, tests and the demo."""

from tools.localnet.network import Localnet
from tools.localnet.process import NodeFailed, NodeProcess

__all__ = ["Localnet", "NodeFailed", "NodeProcess"]
