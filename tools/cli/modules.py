"""What installed modules declare, for commands that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from chain_spec import SpecError, plugins
from runtime.module import Field, ModuleMetadata
from tools.cli.arguments import options
from tools.cli.groups import Listed

Verbs = Callable[[ModuleMetadata], Mapping[str, Any]]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class ModulesGroup(Listed):
    """MODULE VERB: a group for each installed module, a command for each of its calls (or queries).

    verbs: which of a module's declarations become commands; make: the command of one of them. A module that cannot be
    loaded is listed with the reason, and is an error only for who names it.
    """

    def __init__(self, *, verbs: Verbs, make: Callable[[str, Any], click.Command], **settings: Any) -> None:
        super().__init__(**settings)
        self._verbs = verbs
        self._make = make

    def list_commands(self, context: click.Context) -> list[str]:
        """The installed modules that have any verb, sorted."""
        return [name for name in sorted(plugins.installed()) if self._has_verbs(name)]

    def summary(self, context: click.Context, name: str) -> str:
        """As Listed; the reason for a module that cannot be loaded."""
        try:
            return super().summary(context, name)
        except SpecError as error:
            return error.reason

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The group of one module. Raises SpecError for one that cannot be loaded."""
        if name not in plugins.installed():
            return None
        metadata = plugins.load(name, name).metadata()
        commands = {verb: self._make(name, info) for verb, info in self._verbs(metadata).items()}
        return _Verbs(commands, name=name, help=metadata.docs)

    def _has_verbs(self, name: str) -> bool:
        try:
            return bool(self._verbs(plugins.load(name).metadata()))
        except SpecError:
            return True


class _Verbs(Listed):
    """A module's verbs, in the order of its page; `set_issuer` may be written set-issuer."""

    def __init__(self, commands: dict[str, click.Command], **settings: Any) -> None:
        super().__init__(**settings)
        self._all = commands

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._all)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return self._all.get(name.replace("-", "_"))


def verb_command(
    name: str, docs: str, fields: Sequence[Field], shared: Sequence[Decorator], callback: Callable[..., Any]
) -> click.Command:
    """The command of one call or query: an option for each argument, then the shared options."""
    for decorate in reversed(shared):
        callback = decorate(callback)
    return click.command(name, help=docs, params=options(fields))(callback)
