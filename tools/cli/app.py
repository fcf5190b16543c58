"""The root of the command line, and the one place where an error becomes a line and an exit code.

Exit codes: 0 ok, 1 refused or failed, 2 usage, 3 our fault. Commands are imported when they are called, so that
`armillary keys show` does not wait for onnxruntime or libp2p.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import tempfile
import traceback
from typing import Any, Final

import click

from runtime.errors import ArmillaryError
from tools.cli.groups import Listed

COMMANDS: Final = {
    "init": ("tools.cli.node:init", "Make the home of a node: keys, config.toml, a place for its data."),
    "node": ("tools.cli.node:node", "Run a node until Ctrl-C or SIGTERM."),
    "status": ("tools.cli.status:status", "Show how a node is: height, validators, peers, mempool, versions."),
    "localnet": ("tools.cli.localnet:localnet", "Run a network of validators on this machine until Ctrl-C."),
    "new": ("tools.cli.new:new", "Write a new module, a package whose tests pass, or a new chain."),
    "dev": ("tools.cli.dev:dev", "Run a chain for whoever writes a module: blocks at once, reload on save."),
    "keys": ("tools.cli.keys:keys", "Make, list, show, import and export account keys."),
    "spec": ("tools.cli.spec:spec", "Make, check, compare and show chain specs; found a chain together."),
    "tx": ("tools.cli.tx:tx", "Send a transaction: armillary tx MODULE CALL --argument value --key NAME."),
    "query": ("tools.cli.query:query", "Ask a module about the state: armillary query MODULE QUERY --argument value."),
    "governance": ("tools.cli.governance:governance", "Propose, vote on and read what the chain decides about itself."),
    "lint": ("tools.cli.lint:lint", "Find what would fork or stop a chain in a module's source."),
    "model": ("tools.cli.model:model", "Lower, verify, run, register and show models."),
    "conformance": (
        "tools.cli.conformance:conformance",
        "Run the ONNX standard's own test cases; a table by operator.",
    ),
    "certificate": ("tools.cli.certificate:certificate", "Fetch the decision certificate of one inference."),
    "verify-certificate": ("tools.cli.certificate:verify", "Check a decision certificate offline."),
    "fuzz": ("tools.cli.fuzz:fuzz", "Attack a module, or the composed chain of a spec, from its types."),
    "bench": ("tools.cli.bench:bench", "Measure this machine: exact inference beside stock onnxruntime."),
    "demo": ("tools.cli.demo:demo", "See four validators classify images with one model, and one of them die."),
}


class Lazy(Listed):
    """A group whose commands are named in a table and imported when they are needed."""

    def list_commands(self, context: click.Context) -> list[str]:
        """As click."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """As click: imports the command's module. None where the table has no such name."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def summary(self, context: click.Context, name: str) -> str:
        """As Listed, from the table: nothing is imported for a list."""
        return COMMANDS[name][1]


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="armillary")
def app() -> None:
    """Armillary: a modular chain runtime whose transactions run ONNX models, the same bits on every validator."""


def main(arguments: list[str] | None = None) -> None:
    """The console script's entry: runs the command line and exits with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # a second Ctrl-C while the first was being answered
        code = 130
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # all is done: a late one must not kill Python as it shuts down
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. No exception leaves it, no traceback reaches the terminal."""
    try:
        result: Any = app.main(args=arguments, prog_name="armillary", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _fail(_sentence(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except ArmillaryError as error:
        return _fail(str(error) or type(error).__name__, error.exit_code)
    except SystemExit as error:  # click's way out when the reader of a pipe has left: say nothing more
        return error.code if isinstance(error.code, int) else 1
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _fail(named, 1)
    except Exception as error:  # noqa: BLE001 # the boundary: a person gets a sentence, the traceback goes to a file
        return _fail(f"this is a fault of Armillary: {type(error).__name__}; details are in {_save(error)}", 3)
    return result if isinstance(result, int) else 0


def _sentence(error: click.ClickException) -> str:
    """Click's message as one line of ours, and whose help says more."""
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    help_at = f" ({context.command_path} --help says more)" if context is not None else ""
    return text[:1].lower() + text[1:] + help_at


def _fail(sentence: str, code: int) -> int:
    clean = "".join(character if character.isprintable() or character == "\n" else "?" for character in sentence)
    click.echo(click.style("error: ", fg="red") + clean, err=True)
    return code


def _save(error: Exception) -> str:
    handle, path = tempfile.mkstemp(prefix="armillary-fault-", suffix=".txt")
    with os.fdopen(handle, "w") as file:
        file.write("".join(traceback.format_exception(error)))
    return path
