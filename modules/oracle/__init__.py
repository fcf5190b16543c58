"""Oracle: inference inside transactions, with a record of each decision."""

from modules.oracle.module import Oracle

__all__ = ["Oracle"]
