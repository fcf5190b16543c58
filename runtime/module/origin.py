"""Who a call comes from, verified: the annotation of `origin` in a call's signature says which are accepted."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.types import AccountId, Name


@dataclass(frozen=True, slots=True)
class Origin:
    """The base of the three below; not used by itself."""


@dataclass(frozen=True, slots=True)
class Signed(Origin):
    """`account` signed the transaction by its own rule."""

    account: AccountId


@dataclass(frozen=True, slots=True)
class Root(Origin):
    """The chain itself: genesis, governance, and the in-process Chain."""


@dataclass(frozen=True, slots=True)
class ModuleOrigin(Origin):
    """The composed module `name`, calling another one (`self.origin`)."""

    name: Name


ORIGINS: tuple[type[Origin], ...] = (Signed, Root, ModuleOrigin)


def describe_origin(origin: Origin) -> str:
    """For receipts and messages: "Signed", "Root", "ModuleOrigin"."""
    return type(origin).__name__
