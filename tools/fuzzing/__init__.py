"""Attacks from the command line: one module, the planted bugs, the composed chain of a spec."""
