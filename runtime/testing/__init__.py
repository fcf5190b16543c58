"""What module authors test with: attacks from types, a localnet in virtual time, strategies. Ships with the product.

Names are imported when they are first used: pytest loads this package for the plugin at every start.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.testing.attacking import Attacked, AttackFailed, RuleBroken, Watched, attack
    from runtime.testing.localnet import Localnet

__all__ = ["AttackFailed", "Attacked", "Localnet", "RuleBroken", "Watched", "attack"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = "localnet" if name == "Localnet" else "attacking"
    return getattr(importlib.import_module(f"runtime.testing.{place}"), name)
