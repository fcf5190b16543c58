"""Calls as the chain itself: what the module with the role `governance` may ask for (services.RootCalls).

Lives here: the gas, events and rollback of a list of calls under Root inside a hook. Must not: decide who may ask
(composition.py) or when (the module).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final

from runtime.execution.composition import Environment
from runtime.execution.core import NAME
from runtime.execution.dispatch import arguments_of, dispatch, error_record, takes_all_gas, target_of, traceback_of
from runtime.limits import BLOCK_EVENT_BYTES_MAX, EVENT_BYTES_MAX
from runtime.module import BoundExceeded, Call, CallError, CallFailure, Root, RootOutcome
from runtime.module.services import ROOT_EVENT_BYTES_MAX, ROOT_EVENTS_MAX

SET_PARAMS: Final = f"{NAME}.set_params"


class _Tried(Exception):
    """Ends a trial: all of it is undone."""


class RootDispatcher:
    """RootCalls over one environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def check_root_calls(self, calls: tuple[Call, ...]) -> None:
        """As RootCalls."""
        for call in calls:
            arguments_of(self._environment, target_of(self._environment, Root(), call), call)
        changes = tuple(takewhile(lambda call: call.name == SET_PARAMS, calls))
        if changes:
            self._try(changes)

    def _try(self, calls: Sequence[Call]) -> None:
        """Make the calls and undo them; what they use is the caller's to pay. Raises what they raise."""
        with suppress(_Tried), self._environment.context.checkpoint():
            for call in calls:
                dispatch(self._environment, Root(), call)
            raise _Tried

    def run_as_root(self, calls: tuple[Call, ...], *, gas_limit: int) -> RootOutcome:
        """As RootCalls. The calls have a meter and events of their own; what they did not use is given back."""
        context = self._environment.context
        taken = context.event_bytes + ROOT_EVENT_BYTES_MAX + EVENT_BYTES_MAX  # and an event of the caller's own
        if taken > BLOCK_EVENT_BYTES_MAX:
            raise BoundExceeded(what="events of a block, bytes", size=taken, limit=BLOCK_EVENT_BYTES_MAX)
        context.charge(gas_limit)
        gas_before, left_before = context.gas_limit, context.gas_left + gas_limit
        events, gas_used = context.events, gas_limit
        context.events = []
        context.set_gas(gas_limit)
        try:
            failure = self._run(calls)
            if failure is None or not takes_all_gas(error_record(self._environment, *failure)):
                gas_used = context.gas_used
        finally:
            context.events = events + context.events
            context.gas_limit, context.gas_left = gas_before, left_before - gas_used
        if failure is None:
            return RootOutcome(gas_used=gas_used, failure=None)
        record = error_record(self._environment, *failure)
        return RootOutcome(gas_used=gas_used, failure=CallFailure(record.call, f"{record.module}.{record.name}"))

    def _run(self, calls: Sequence[Call]) -> tuple[CallError, int, str] | None:
        """All calls or none. The error, the number of the call that raised it, and its module."""
        context, place = self._environment.context, 0
        bytes_before = context.event_bytes
        if not calls:
            return None
        try:
            with context.checkpoint():
                for place, call in enumerate(calls):  # noqa: B007 # the number of the failing call is read below
                    dispatch(self._environment, Root(), call)
                if len(context.events) > ROOT_EVENTS_MAX:
                    raise BoundExceeded(what="events under Root", size=len(context.events), limit=ROOT_EVENTS_MAX)
                size = context.event_bytes - bytes_before
                if size > ROOT_EVENT_BYTES_MAX:
                    raise BoundExceeded(what="events under Root, bytes", size=size, limit=ROOT_EVENT_BYTES_MAX)
        except CallError as error:
            if traceback_of(error):
                self._environment.faults.append(traceback_of(error))
            return error, place, calls[place].name.partition(".")[0]
        return None
