"""Modules that come with Armillary, one folder each: module.py does it, protocol.py is what others may import."""
