"""Tokens: fungible tokens in several denominations, and the fees of transactions."""

from modules.tokens.module import Tokens

__all__ = ["Tokens"]
