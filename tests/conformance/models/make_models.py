"""Makes the models beside it: python make_models.py tables|nets [NAME...]

tables   scikit-learn and skl2onnx, as the project's own .venv
nets     torch, onnxscript and scikit-learn, which the project does not need: an environment apart

Writes NAME.onnx, the rows in data/SET.npz and what is to be known of each in index.json. README.md says of origin and
licence.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx

HERE = Path(__file__).parent
CALIBRATION_ROWS = 64
TEST_ROWS = 120
BYTES_MAX = 400_000


def without_stack_traces(model: bytes) -> bytes:
    """They name files of the machine that exported."""
    proto = onnx.load_from_string(model)
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in nodes:
            kept = [entry for entry in node.metadata_props if "stack_trace" not in entry.key]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
    return bytes(proto.SerializeToString())


def store(name: str, model: bytes, data: str, facts: dict[str, Any]) -> None:
    """The file and its line in the index."""
    model = without_stack_traces(model)
    if len(model) > BYTES_MAX:
        raise SystemExit(f"{name}: {len(model)} bytes, at most {BYTES_MAX}")
    (HERE / f"{name}.onnx").write_bytes(model)
    path = HERE / "index.json"
    index = json.loads(path.read_text()) if path.exists() else {}
    index[name] = {"data": data, **facts}
    path.write_text(json.dumps(dict(sorted(index.items())), indent=1) + "\n")


def store_rows(data: str, calibration: dict[str, Any], rows: dict[str, Any], target: Any) -> None:
    """What models of one task share."""
    arrays = {f"calibration/{name}": array[:CALIBRATION_ROWS] for name, array in calibration.items()}
    arrays |= {f"test/{name}": array[:TEST_ROWS] for name, array in rows.items()}
    (HERE / "data").mkdir(exist_ok=True)
    np.savez_compressed(HERE / "data" / f"{data}.npz", target=target[:TEST_ROWS], **arrays)


def make_table(name: str) -> None:
    """One of tables.py."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.model_selection import train_test_split
    from tables import SETS, TABLES

    table = TABLES[name]
    found = SETS[table.data]()
    x, y = found.data if found.data.dtype.kind == "U" else found.data.astype(np.float32), found.target
    y = y.astype(np.float32) if table.metric == "r2" else y
    train, test, wanted, target = train_test_split(
        x, y, test_size=0.3, random_state=0, stratify=y if table.metric == "accuracy" else None
    )
    model = table.build().fit(train, wanted)
    options = {id(model): table.options} if table.options else None
    opsets = {"": table.opset, "ai.onnx.ml": 3}
    types = [("X", StringTensorType([None, x.shape[1]]))] if x.dtype.kind == "U" else None
    like = None if types else train[:1]
    proto = to_onnx(model, like, initial_types=types, target_opset=opsets, options=options)
    input_name = proto.graph.input[0].name
    store_rows(table.data, {input_name: train}, {input_name: test}, target)
    store(
        name,
        proto.SerializeToString(),
        table.data,
        {"metric": table.metric, "opset": table.opset, "made_by": "skl2onnx"},
    )


def make_net(name: str) -> None:
    """One of train.py's."""
    import torch
    import train

    torch.set_num_threads(1)
    export = train.EXPORTS[name]
    task = train.TASKS[export.task]
    model = train.exported(train.trained(export), export)
    (calibration, _), (rows, target) = train.split(task)
    data = f"nets_{export.task}"
    store_rows(data, calibration, rows, target)
    made_by = "torch.onnx.export(dynamo=True)" if export.dynamo else "torch.onnx.export(dynamo=False)"
    store(name, model, data, {"metric": task.metric, "opset": export.opset, "made_by": made_by})


if __name__ == "__main__":
    kind, *names = sys.argv[1:] or ["?"]
    if kind == "tables":
        from tables import TABLES

        for each in names or TABLES:
            make_table(each)
    elif kind == "nets":
        from train import EXPORTS

        for each in names or EXPORTS:
            make_net(each)
    else:
        raise SystemExit(__doc__)
