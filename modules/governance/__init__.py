"""Governance: what the chain does by itself, decided by its validators."""

from modules.governance.module import Governance

__all__ = ["Governance"]
