"""Groups of commands: listed with the first sentence of their help, and with a suggestion for one that is not there."""

from __future__ import annotations

import re

import click


def first_sentence(text: str) -> str:
    """Of a docstring, on one line, without its full stop."""
    line = " ".join(text.partition("\n\n")[0].split())
    found = re.match(r"(.+?)\.(\s|$)", line)
    return found[1] if found else line


class Listed(click.Group):
    """A group that lists whole sentences, however long, and suggests the nearest name."""

    def summary(self, context: click.Context, name: str) -> str:
        """What the list says of the command `name`."""
        command = self.get_command(context, name)
        return "" if command is None else first_sentence(command.help or "")

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """As click, with whole sentences."""
        rows = [(name, self.summary(context, name)) for name in self.list_commands(context)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click; an unknown name is an error that suggests the nearest of those that are there."""
        try:
            return super().resolve_command(context, arguments)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=self.list_commands(context), ctx=context
            ) from None
