"""Planted bugs: copies of one small module, each with one bug, to see that attacks and the linter find them."""
