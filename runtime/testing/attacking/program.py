"""The program of a failed attack: a test of a few lines that breaks the same rule.

Lives here: its text. Must not: run anything.
"""

from __future__ import annotations

import re

from runtime.testing.attacking.steps import Source, Step
from runtime.testing.attacking.world import World


def program_of(world: World, steps: tuple[Step, ...], rule: str, root: bytes | None = None) -> str:
    """The text of a file for pytest, which ends in RuleBroken. root: the state root that this process came to, where
    another came to another: then the program fails in other processes."""
    source = Source()
    arguments = [source.name(module) for module in world.modules]
    if world.attacked != world.modules:
        arguments.append(f"attacked=({', '.join(map(source.name, world.attacked))},)")
    arguments += [
        f"{name}={source.value({key: dict(value) for key, value in given.items()})}"
        for name, given in (("genesis", world.genesis), ("params", world.params))
        if given
    ]
    if world.engine is not None:
        source.imports.add(("runtime.execution.inference_port", "EnginePort"))
        arguments.append("engine=EnginePort()")
    if world.rules:
        arguments.append(f"rules=({', '.join(map(source.name, world.rules))},)")
    if world.model is not None:
        arguments.append(f"model={source.name(world.model)}()")
    if world.begin is not None:
        arguments.append(f"begin={source.name(world.begin)}")
    for name, names in (("silent", world.silent), ("forgets", world.forgets)):
        if names:
            arguments.append(f"{name}={tuple(names)!r}")
    made = f"chain = Watched({', '.join(arguments)})"
    lines = [source.line(step) for step in steps]
    if root is not None:
        lines.append(f'root = "{root.hex()}"  # not so in every process: run it again with PYTHONHASHSEED=1, 2, 3')
        lines.append("assert chain.application.state_root.hex() == root")
    named = [f'{name} = chain.account("{name}")' for name in sorted(source.used)]
    early = [f'{name} = Chain.account_named("{name}")' for name in sorted(source.used) if f"{name}.id" in made]
    if early:
        source.imports.add(("runtime.execution", "Chain"))
        named = [line for line in named if line.partition(" ")[0] not in {each.partition(" ")[0] for each in early}]
    source.imports.add(("runtime.testing", "Watched"))
    title = re.sub(r"[^a-z0-9]+", "_", rule.lower()).strip("_")
    body = "\n".join(f"    {line}" for line in [*early, made, *named, *lines])
    imports = "\n".join(f"from {module} import {name}" for module, name in sorted(source.imports))
    return f"{imports}\n\n\ndef test_{title}() -> None:\n{body}\n"
