"""A shorter list of steps that breaks the same rule: steps left out, arguments made plain, the genesis emptied.

Lives here: the search. Must not: run steps itself (it asks `fails`). It ends when no single change helps, or after
TRIES_MAX trials.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from msgspec.structs import replace as replace_field

from runtime.testing.attacking.steps import Ask, AsRoot, Made, Step, Submit, Wait
from runtime.testing.attacking.writing import NAMES, PEOPLE
from runtime.types import Struct

TRIES_MAX: Final = 600
T = TypeVar("T")
Steps = tuple[Step, ...]
Genesis = Mapping[str, Mapping[str, Any]]


def shrink(steps: Steps, fails: Callable[[Steps], bool]) -> Steps:
    """The shortest that was found. `steps` itself fails."""
    tries = TRIES_MAX

    def still(candidate: Steps) -> bool:
        nonlocal tries
        tries -= 1
        return tries >= 0 and fails(candidate)

    before: Steps = ()
    while steps != before and tries > 0:
        before = steps
        steps = without(steps, still)
        steps = _plainer(steps, still)
        steps = _matched(steps, still)
    return steps


def shrink_genesis(genesis: Genesis, given: Genesis, fails: Callable[[Genesis], bool]) -> Genesis:
    """The emptiest that was found; what the author gave stays."""
    tries = TRIES_MAX
    changed = True
    while changed and tries > 0:
        changed = False
        for candidate in plainer_genesis(genesis, given):
            tries -= 1
            if tries < 0:
                break
            if fails(candidate):
                genesis, changed = candidate, True
                break
    return genesis


def plainer_genesis(genesis: Genesis, given: Genesis) -> Iterator[Genesis]:
    """With less in it, or something plainer."""
    for name in genesis.keys() - given.keys():
        yield {each: fields for each, fields in genesis.items() if each != name}
    for name in sorted(genesis.keys() - given.keys()):
        fields = genesis[name]
        for field in fields:
            yield {**genesis, name: {each: value for each, value in fields.items() if each != field}}
        for field, value in fields.items():
            yield from ({**genesis, name: {**fields, field: plainer}} for plainer in _plainer_values(value))


def without(steps: tuple[T, ...], still: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Runs of steps left out, long ones first, from the end."""
    size = len(steps)
    while size:
        at = len(steps) - size
        while at >= 0:
            candidate = steps[:at] + steps[at + size :]
            if still(candidate):
                steps = candidate
            at -= size
        size //= 2
    return steps


def _matched(steps: Steps, still: Callable[[Steps], bool]) -> Steps:
    """Steps left out where a later number, which was made of theirs, becomes one of those that stay, or lower by as
    many as are left out."""
    for size in (1, 2):
        for at in range(len(steps) - size, -1, -1):
            kept = steps[:at] + steps[at + size :]
            known = {number for step in kept for number in _numbers(step)}
            numbers = sorted(known | {number - size for number in known if number >= size})
            for place in range(at, len(kept)):
                for number in numbers:
                    candidate = (*kept[:place], _with_numbers(kept[place], number), *kept[place + 1 :])
                    if candidate != kept and still(candidate):
                        return candidate
    return steps


def _numbers(step: Step) -> tuple[int, ...]:
    return tuple(value for made in _made(step) for value in made.arguments.values() if type(value) is int)


def _with_numbers(step: Step, number: int) -> Step:
    """The step with this number for every number."""

    def changed(made: Made) -> Made:
        pairs = made.arguments.items()
        return replace(made, arguments={name: number if type(value) is int else value for name, value in pairs})

    match step:
        case Submit():
            return replace(step, calls=tuple(map(changed, step.calls)))
        case AsRoot():
            return replace(step, call=changed(step.call))
    return step


def _made(step: Step) -> tuple[Made, ...]:
    match step:
        case Submit():
            return step.calls
        case AsRoot():
            return (step.call,)
    return ()


def _plainer(steps: Steps, still: Callable[[Steps], bool]) -> Steps:
    for at in range(len(steps)):
        changed = True
        while changed:
            changed = False
            for step in _plainer_steps(steps[at]):
                candidate = (*steps[:at], step, *steps[at + 1 :])
                if still(candidate):
                    steps, changed = candidate, True
                    break
    return steps


def _plainer_steps(step: Step) -> Iterator[Step]:
    match step:
        case Submit():
            for place in range(len(step.calls)):
                if len(step.calls) > 1:
                    yield replace(step, calls=step.calls[:place] + step.calls[place + 1 :])
            for signer in PEOPLE[: PEOPLE.index(step.signer)]:
                yield replace(step, signer=signer)
            for place, made in enumerate(step.calls):
                for plainer in _plainer_made(made):
                    yield replace(step, calls=(*step.calls[:place], plainer, *step.calls[place + 1 :]))
        case AsRoot():
            yield from (replace(step, call=made) for made in _plainer_made(step.call))
        case Ask():
            yield from (replace(step, query=made) for made in _plainer_made(step.query))
        case Wait():
            if step.step_ms != 1_000:
                yield replace(step, step_ms=1_000)
            yield from (replace(step, blocks=blocks) for blocks in _plainer_values(step.blocks) if blocks)


def _plainer_made(made: Made) -> Iterator[Made]:
    for name, value in made.arguments.items():
        for plainer in _plainer_values(value):
            yield replace(made, arguments={**made.arguments, name: plainer})


def _plainer_values(value: Any) -> Iterator[Any]:
    """Plainer ones of the same type, the plainest first."""
    match value:
        case bool() | enum.Enum() | None:
            return
        case int():
            smaller = (0, 1, value // 2, value - value // 4, value - value // 16)
            by_one = (value - 1 if value > 0 else value + 1,) if abs(value) <= 16 else ()
            yield from dict.fromkeys(each for each in (*smaller, *by_one) if abs(each) < abs(value))
        case bytes() if len(value) == 32:
            known = list(NAMES)
            yield from known[: known.index(value) if value in NAMES else len(known)]
        case str() | bytes():
            yield from _shorter(value)
        case tuple():
            yield from _shorter(value)
            for place, part in enumerate(value):
                for plainer in _plainer_values(part):
                    yield (*value[:place], plainer, *value[place + 1 :])
        case dict():
            for key in value:
                yield {each: part for each, part in value.items() if each != key}
            for key, part in value.items():
                for plainer in _plainer_values(part):
                    yield {**value, key: plainer}
        case Struct():
            for name in value.__struct_fields__:
                for plainer in _plainer_values(getattr(value, name)):
                    yield replace_field(value, **{name: plainer})


def _shorter(value: Any) -> Iterator[Any]:
    """A fixed length is kept by the codec: what does not fit the type does not fail, and is not taken."""
    if value:
        yield value[:0]
        yield value[: len(value) // 2]
        yield value[: len(value) - len(value) // 8]
        for place in range(min(len(value), 8)):
            yield value[:place] + value[place + 1 :]
