"""The determinism linter: what only reading a module's source finds, before a chain of many machines does.

Lives here: the rules over syntax trees, their table, suppressions, which files are module code. It needs the source
and nothing else: it imports no module that it checks. Must not: print (tools.cli.lint), load (chain_spec.plugins).

It finds mistakes. It is no sandbox: code that hides what it does on purpose is a matter of who pins its digest.
"""

from runtime.module.lint.checker import check_file, check_files, check_source
from runtime.module.lint.paths import module_files, python_files
from runtime.module.lint.rules import RULES, Finding, Rule

__all__ = ["RULES", "Finding", "Rule", "check_file", "check_files", "check_source", "module_files", "python_files"]
