"""What installed modules declare, for commands that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from chain_spec import plugins
from runtime.module import Field, ModuleMetadata
from tools.cli.arguments import options

Verbs = Callable[[ModuleMetadata], Mapping[str, Any]]


class ModulesGroup(click.Group):
    """MODULE VERB: a group for each installed module, a command for each of its calls (or queries).

    verbs: which of a module's declarations become commands; make: the command of one of them.
    """

    def __init__(self, *, verbs: Verbs, make: Callable[[str, Any], click.Command], **settings: Any) -> None:
        super().__init__(**settings)
        self._verbs = verbs
        self._make = make

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name in sorted(plugins.installed()) if self._verbs(plugins.load(name).metadata())]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in plugins.installed():
            return None
        metadata = plugins.load(name).metadata()
        verbs = self._verbs(metadata)
        commands = {verb.replace("_", "-"): self._make(name, info) for verb, info in verbs.items()}
        commands |= {verb: self._make(name, info) for verb, info in verbs.items()}
        return _Verbs(commands, name=name, help=metadata.docs)


class _Verbs(click.Group):
    """A module's verbs, in the order of its page; `set_issuer` may be written set-issuer."""

    def __init__(self, commands: dict[str, click.Command], **settings: Any) -> None:
        super().__init__(**settings)
        self._all = commands

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name in self._all if "-" not in name]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return self._all.get(name)


def verb_command(
    name: str, docs: str, fields: Sequence[Field], shared: Sequence[click.Parameter], callback: Callable[..., Any]
) -> click.Command:
    """The command of one call or query: an option for each argument, then the shared options."""
    return click.Command(name, params=[*options(fields), *shared], help=docs, callback=callback)
