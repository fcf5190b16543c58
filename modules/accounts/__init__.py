"""Accounts: whose turn it is (nonces) and which keys may act for whom."""

from modules.accounts.module import Accounts

__all__ = ["Accounts"]
