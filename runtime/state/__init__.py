"""The state: what the chain knows, authenticated, with history.

Lives here: `Overlay` (pending changes with nested checkpoints), the trees and their proofs, the store in RAM, blobs.
The store on disk is in runtime.state.disk, the only part that touches files. Imports nothing of the module layer.
"""

from runtime.state.blobs import BlobMissing, MemoryBlobStore, blob_root, blob_root_of, chunk_hash, split_chunks
from runtime.state.errors import (
    HeightUnavailable,
    ProofError,
    ReadRefused,
    StateBoundError,
    StateError,
    StoreCorrupt,
    StoreLocked,
    StoreUnwritable,
)
from runtime.state.memory import MemoryStore
from runtime.state.overlay import Overlay
from runtime.state.proof import StateProof, TreeProof, verify_proof
from runtime.state.protocols import HEIGHT_EMPTY, BlobStore, Changes, PreparedState, Reader, Store
from runtime.state.versions import Retention
from runtime.state.witness import ModuleWitness, ProvenState, Recorder, Witness, verify_witness

__all__ = [
    "HEIGHT_EMPTY",
    "BlobMissing",
    "BlobStore",
    "Changes",
    "HeightUnavailable",
    "MemoryBlobStore",
    "MemoryStore",
    "ModuleWitness",
    "Overlay",
    "PreparedState",
    "ProofError",
    "ProvenState",
    "ReadRefused",
    "Reader",
    "Recorder",
    "Retention",
    "StateBoundError",
    "StateError",
    "StateProof",
    "Store",
    "StoreCorrupt",
    "StoreLocked",
    "StoreUnwritable",
    "TreeProof",
    "Witness",
    "blob_root",
    "blob_root_of",
    "chunk_hash",
    "split_chunks",
    "verify_proof",
    "verify_witness",
]
