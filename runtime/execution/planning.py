"""Planning: the runs that a block's calls say they will ask for (`@call(infers=...)`), one batch for each model.

Lives here: asking those declarations, within bounds, on the state before the block; and the engine that answers a
block's runs from the batches. Must not: change what a run gives or costs. A run is a function of model and inputs
alone, so a declaration that is wrong, or is not asked, costs time and no bit of a receipt.
Nothing runs before a transaction has paid for a run of that model; then the whole batch does. What was declared and is
then not asked for is wasted: in all at most the work that a block's gas stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from runtime.codec import codec
from runtime.execution.composition import Environment, Target
from runtime.execution.core import ModelEngine
from runtime.execution.dispatch import LET_THROUGH, arguments_of, contained, explain, traceback_of
from runtime.execution.params import RuntimeParams
from runtime.execution.transaction import Prepared
from runtime.module import Call, CallError, InferenceRequest, ModelInfo, OutOfGas, Signed, Tensor
from runtime.module.services import InferenceRequests
from runtime.types import Hash

PLANNING_SHARE: Final = 8
"""Asking the declarations may take one part in so many of a block's gas; calls that come later are not asked."""
OUTPUT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of a block's batches together: how much memory their results may take."""

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """By model: the inputs to run together, each once, in the block's order. faults: for the node's log. gas: what the
    runs stand for."""

    batches: Mapping[Hash, tuple[Inputs, ...]]
    faults: tuple[str, ...]
    gas: int


def plan_runs(environment: Environment, transactions: Iterable[Prepared], *, gas_max: int) -> Plan:
    """What the transactions' calls say they will infer. The environment's context is open for reading, on the state
    before the block. gas_max: of the block; neither the runs nor, by a share of it, the asking exceed it."""
    environment.context.set_gas(gas_max // PLANNING_SHARE)
    budget, faults = _Budget(gas_max, environment.params), []
    batches: dict[Hash, dict[Inputs, None]] = {}
    for prepared, call, target in _declaring(environment, transactions):
        try:
            wanted = [
                (request, environment.core.describe(request.model)) for request in _asked(environment, call, target)
            ]
        except LET_THROUGH:
            raise
        except OutOfGas:
            break
        except BaseException as error:  # noqa: BLE001 # the boundary to module code: a declaration breaks nothing
            found = contained(error, target.module, call.name)
            faults.append(f"{call.name}, infers: {explain(found)}\n{traceback_of(found)}".rstrip())
            continue
        for request, info in wanted:
            known = batches.get(request.model, {})
            if info is None or request.inputs in known:
                continue
            if budget.take(info, request.inputs, prepared.body.gas_limit, is_loaded=bool(known)):
                batches.setdefault(request.model, {})[request.inputs] = None
    return Plan({model: tuple(batch) for model, batch in batches.items()}, tuple(faults), gas_max - budget.gas)


def _declaring(environment: Environment, transactions: Iterable[Prepared]) -> Iterator[tuple[Prepared, Call, Target]]:
    """The calls that say what they infer."""
    targets = environment.composition.targets
    for prepared in transactions:
        for call in prepared.body.calls:
            target = targets.get(call.name)
            if target is not None and target.info.infers is not None and Signed in target.info.origins:
                yield prepared, call, target


def _asked(environment: Environment, call: Call, target: Target) -> tuple[InferenceRequest, ...]:
    """What one call says. () where its arguments are not its own: dispatch says so, in a receipt. Raises whatever the
    declaration raises, CodecError where it gives no requests, OutOfGas where the meter for all of them is empty."""
    context = environment.context
    try:
        arguments = arguments_of(environment, target, call)
    except OutOfGas:
        raise
    except CallError:
        return ()
    requests: tuple[InferenceRequest, ...] = ()
    if target.info.infers is not None:
        requests = target.info.infers(environment.modules[target.module], **target.info.method.keywords(arguments))
    if context.is_exhausted:
        raise OutOfGas(gas_limit=context.gas_limit)
    codec(InferenceRequests).encode(requests)
    return requests


class _Budget:
    """What a block's batches may cost: gas, and bytes of results."""

    def __init__(self, gas: int, params: RuntimeParams) -> None:
        self.gas = gas
        self.params = params
        self.bytes = OUTPUT_BYTES_MAX

    def take(self, info: ModelInfo, inputs: Inputs, gas_limit: int, *, is_loaded: bool) -> bool:
        """Whether the run still fits, in here and in what its transaction may pay; then it is taken."""
        rows = inputs[0].shape[0] if inputs and inputs[0].shape else 1
        run = info.gas_fixed + rows * info.gas_per_row
        gas = run if is_loaded else run + info.gas_load
        size = 8 * rows * sum(prod(output.shape) for output in info.outputs)
        if gas > self.gas or size > self.bytes or self.params.inference_gas(info.gas_load + run) > gas_limit:
            return False
        self.gas -= gas
        self.bytes -= size
        return True


class BatchingEngine:
    """A ModelEngine for one block: the first run of a batch runs all of it; the others find their results."""

    def __init__(self, engine: ModelEngine, batches: Mapping[Hash, tuple[Inputs, ...]]) -> None:
        self._engine = engine
        self._waiting = {model: frozenset(batch) for model, batch in batches.items()}
        self._batches = batches
        self._results: dict[Hash, dict[Inputs, tuple[Tensor, ...] | None]] = {}
        self.verification_gas = engine.verification_gas
        self.verify = engine.verify
        self.run_many = engine.run_many

    def run(self, model: Hash, load: Callable[[], bytes], inputs: Inputs) -> tuple[Tensor, ...]:
        """As ModelEngine."""
        if inputs in self._waiting.get(model, ()):
            del self._waiting[model]
            batch = self._batches[model]
            self._results[model] = dict(zip(batch, self._engine.run_many(model, load, batch), strict=True))
        found = self._results.get(model, {}).get(inputs)
        return self._engine.run(model, load, inputs) if found is None else found
