"""`@call(infers=...)`: a method of the call's own arguments that gives requests; everything else is refused with its
mend."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import U8, U64, DefinitionError, Hash, InferenceRequest, Module, Signed, call


def _runs(self: Any, *, model: Hash, step: U64) -> tuple[InferenceRequest, ...]:
    return (InferenceRequest(model, ()),) * step


def _fewer(self: Any, *, model: Hash) -> tuple[InferenceRequest, ...]:
    return ()


def _other_type(self: Any, *, model: Hash, step: U8) -> tuple[InferenceRequest, ...]:
    return ()


def _positional(self: Any, model: Hash, step: U64) -> tuple[InferenceRequest, ...]:
    return ()


def _with_origin(self: Any, origin: Signed, *, model: Hash, step: U64) -> tuple[InferenceRequest, ...]:
    return ()


def _no_result(self: Any, *, model: Hash, step: U64) -> None:
    return None


def _default(self: Any, *, model: Hash, step: U64 = 1) -> tuple[InferenceRequest, ...]:
    return ()


def _without_self(*, model: Hash, step: U64) -> tuple[InferenceRequest, ...]:
    return ()


async def _async(self: Any, *, model: Hash, step: U64) -> tuple[InferenceRequest, ...]:
    return ()


def declare(infers: Any) -> type[Module]:
    class Judge(Module):
        name = "judge"

        @call(gas=1, infers=infers)
        def judge(self, origin: Signed, *, model: Hash, step: U64) -> None:
            """Judge."""

    return Judge


def test_a_declaration_is_in_the_metadata() -> None:
    model = Hash(bytes(32))
    infers = declare(_runs).metadata().calls["judge"].infers
    assert infers is not None
    assert infers(None, model=model, step=2) == (InferenceRequest(model, ()),) * 2
    assert declare(None).metadata().calls["judge"].infers is None


MEND = (
    r"write def runs\(self, \*, model: Hash, step: U64\) -> tuple\[InferenceRequest, \.\.\.\] above the call, "
    r"and infers=runs"
)


@pytest.mark.parametrize(
    ("infers", "reason"),
    [
        ("runs", r"'runs' is no method of this class: " + MEND),
        (_fewer, r"its arguments are not the call's: " + MEND),
        (_other_type, r"its arguments are not the call's: " + MEND),
        (_positional, r"model is positional"),
        (_with_origin, r"origin is positional"),
        (_no_result, r"it does not say that it gives requests: " + MEND),
        (_default, r"step has a default"),
        (_without_self, r"has no self: " + MEND),
        (_async, r"is async or a generator"),
    ],
)
def test_invalid_declaration_of_runs(infers: Any, reason: str) -> None:
    with pytest.raises(DefinitionError, match=rf"Judge\.judge, infers.*{reason}"):
        declare(infers)
