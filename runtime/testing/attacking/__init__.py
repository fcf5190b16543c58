"""Attacks on modules from their types alone: machine.py chooses steps, watched.py checks the rules of rules.py after
each, shrink.py and program.py make a short test of what broke."""

from runtime.testing.attacking.machine import Attacked, AttackFailed, attack
from runtime.testing.attacking.rules import RuleBroken
from runtime.testing.attacking.watched import Watched

__all__ = ["AttackFailed", "Attacked", "RuleBroken", "Watched", "attack"]
