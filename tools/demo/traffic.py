"""The demo's transactions: one image each, first one after another, then many at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

from modules.oracle import Oracle
from runtime.errors import CallerError
from runtime.inference import from_arrays, model_hash
from runtime.module import Call, Tensor
from tools.demo.digits import LABEL, Array
from tools.transactions import Sender, with_margin


class PredictionFailed(CallerError):
    """A transaction of the demo failed on the chain."""


class Traffic:
    """Sends rows of `inputs` (int64, by name) to a registered model, and keeps what came of each."""

    def __init__(self, sender: Sender, model: bytes, inputs: dict[str, Array]) -> None:
        self.sender = sender
        self.model = model_hash(model)
        self.inputs = inputs
        self.records: dict[int, int] = {}
        self.finality_ms: list[float] = []
        self.per_second = 0.0
        self._gas_limit = with_margin(sender.dry_run([self._call(0)])["gas_used"])

    def one(self, index: int) -> float:
        """Send row `index` and wait for its receipt. Returns its finality: submit to committed receipt, in ms."""
        started = time.perf_counter()
        sent = self.sender.send([self._call(index)], gas_limit=self._gas_limit)
        outcome = self.sender.client.wait(sent)
        took = (time.perf_counter() - started) * 1000
        self._keep(index, outcome)
        self.finality_ms.append(took)
        return took

    def at_once(self, indices: Iterable[int], on_done: Callable[[int], None]) -> None:
        """Send all these rows without waiting, then collect their receipts."""
        started = time.perf_counter()
        sent = {index: self.sender.send([self._call(index)], gas_limit=self._gas_limit) for index in indices}
        for index, name in sent.items():
            self._keep(index, self.sender.client.wait(name, timeout_s=120))
            on_done(index)
        self.per_second = len(sent) / (time.perf_counter() - started) if sent else 0.0

    def output(self, index: int) -> dict[str, list[int]]:
        """The outputs that the chain keeps of row `index`, as integers by name."""
        answer = self.sender.client.get("/query/oracle/record", id=self.records[index])
        return {
            tensor["name"]: [
                int.from_bytes(bytes.fromhex(tensor["data"])[at : at + 8], "little", signed=True)
                for at in range(0, len(tensor["data"]) // 2, 8)
            ]
            for tensor in answer["result"]["outputs"]
        }

    def predicted(self, index: int) -> int:
        """The digit that the chain decided on for row `index`."""
        return self.output(index)[LABEL][0]

    def finality(self) -> dict[str, float]:
        """Percentiles over the transactions that were sent one by one, in ms."""
        values = sorted(self.finality_ms)
        if not values:
            return {"p50": 0.0, "p99": 0.0}
        at_99 = values[min(len(values) - 1, int(len(values) * 0.99))]
        return {"p50": round(statistics.median(values), 1), "p99": round(at_99, 1)}

    def _call(self, index: int) -> Call:
        rows = from_arrays({name: array[index : index + 1] for name, array in self.inputs.items()})
        inputs = tuple(Tensor(tensor.name, tensor.shape, tensor.data) for tensor in rows)
        return Oracle.infer.build(model=self.model, inputs=inputs)

    def _keep(self, index: int, outcome: dict[str, Any]) -> None:
        if outcome["error"]:
            raise PredictionFailed(f"the prediction of image {index} failed: {outcome['error']['message']}")
        event = next(event for event in outcome["events"] if event["name"] == "Inferred")
        self.records[index] = int(event["fields"]["record"])
