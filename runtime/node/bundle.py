"""What a divergence leaves behind: one JSON file with everything needed to find out who computed what.

Written when this node's execution of a proposed or certified block gives other roots than its header. Bytes in hex.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Final

from runtime.codec import codec
from runtime.consensus import CommitCertificate
from runtime.node.executor import Verdict
from runtime.node.files import write_atomically
from runtime.node.flight import WholeBlock

BUNDLES_MAX: Final = 16


def write_bundle(
    folder: Path, whole: WholeBlock, verdict: Verdict, certificate: CommitCertificate | None, genesis_hash: bytes
) -> Path | None:
    """The file's path; None when the folder is full already or holds this block's."""
    path = folder / f"height-{whole.block.header.height}-{whole.id.hex()[:16]}.json"
    folder.mkdir(parents=True, exist_ok=True)
    if (path.exists() and certificate is None) or len(list(folder.glob("height-*.json"))) >= BUNDLES_MAX:
        return None
    result = verdict.result
    content = {
        "genesis_hash": genesis_hash.hex(),
        "height": whole.block.header.height,
        "block_id": whole.id.hex(),
        "reason": verdict.reason,
        "block": whole.encoded.hex(),
        "certificate": None if certificate is None else codec(CommitCertificate).encode(certificate).hex(),
        "computed": None
        if result is None
        else {
            "state_root": result.state_root.hex(),
            "receipts_root": result.receipts_root.hex(),
            "module_roots": {module: root.hex() for module, root in result.module_roots.items()},
            "gas_used": result.gas_used,
            "explanations": list(result.explanations),
            "receipts": [leaf.hex() for leaf in result.leaves],
        },
        "python": platform.python_version(),
        "machine": platform.platform(),
    }
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return path
