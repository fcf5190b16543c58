"""What module authors test with: attacks from types, and strategies. Ships with the product."""

from runtime.testing.attacking import Attacked, AttackFailed, RuleBroken, Watched, attack

__all__ = ["AttackFailed", "Attacked", "RuleBroken", "Watched", "attack"]
