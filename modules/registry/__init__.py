"""Registry: models by their hash, and the way they come onto the chain."""

from modules.registry.module import Registry

__all__ = ["Registry"]
