"""Events: facts that a call or a hook emits. Records with a class of their own, in the order of their fields."""

from __future__ import annotations

from runtime.types import Struct


class Event(Struct):
    """Base of a module's events.

    class Transferred(Event):
        sender: AccountId
        amount: U128
    """
