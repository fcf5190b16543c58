"""Validators: whose votes count, and how much."""

from modules.validators.module import Validators

__all__ = ["Validators"]
