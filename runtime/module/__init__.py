"""The author's DSL: what `from runtime import ...` gives is here. See docs/modules.md for the author's page.

Lives here: declarations, their metadata, the context that modules run in, and the Protocols between modules and the
runtime (roles.py: what the runtime asks of modules; services.py: what it offers them).
Must not: transactions, fees, blocks' execution (runtime.execution).
"""

from runtime.module.authorisation import (
    Auth,
    KeySignature,
    MultiKey,
    SingleKey,
    account_of,
    is_module_account,
    module_account,
    multisig_account,
)
from runtime.module.block import NOBODY, BlockInfo, Offence
from runtime.module.config import DatedGenesis, Genesis, ModuleParams
from runtime.module.context import Context
from runtime.module.errors import (
    RUNTIME_ERRORS,
    BadArgument,
    BadValue,
    BoundExceeded,
    CallError,
    KeyMissing,
    ModuleFault,
    OriginRefused,
    OutOfGas,
    OutsideContext,
    QueryWrites,
    UnknownCall,
)
from runtime.module.event import Event
from runtime.module.metadata import (
    CallInfo,
    ErrorInfo,
    EventInfo,
    Field,
    InvariantInfo,
    ModuleMetadata,
    QueryInfo,
    StorageInfo,
)
from runtime.module.module import Module
from runtime.module.origin import ModuleOrigin, Origin, Root, Signed
from runtime.module.roles import AuthRules, FeeLedger, ValidatorPower, ValidatorSource
from runtime.module.services import (
    Blobs,
    CallFailure,
    ChunkMissing,
    Inference,
    InferenceRequest,
    InputRefused,
    ModelInfo,
    ModelRefused,
    ModelUnknown,
    RootCalls,
    RootOutcome,
    Tensor,
    TensorInfo,
)
from runtime.module.storage import NO_DEFAULT, Item, Map
from runtime.module.uses import Uses, find_provider
from runtime.module.verbs import CallMethod, Invariant, QueryMethod, call, hook, invariant, query
from runtime.module.wire import Call, ErrorRecord, EventRecord

__all__ = [
    "NOBODY",
    "NO_DEFAULT",
    "RUNTIME_ERRORS",
    "Auth",
    "AuthRules",
    "BadArgument",
    "BadValue",
    "Blobs",
    "BlockInfo",
    "BoundExceeded",
    "Call",
    "CallError",
    "CallFailure",
    "CallInfo",
    "CallMethod",
    "ChunkMissing",
    "Context",
    "DatedGenesis",
    "ErrorInfo",
    "ErrorRecord",
    "Event",
    "EventInfo",
    "EventRecord",
    "FeeLedger",
    "Field",
    "Genesis",
    "Inference",
    "InferenceRequest",
    "InputRefused",
    "Invariant",
    "InvariantInfo",
    "Item",
    "KeyMissing",
    "KeySignature",
    "Map",
    "ModelInfo",
    "ModelRefused",
    "ModelUnknown",
    "Module",
    "ModuleFault",
    "ModuleMetadata",
    "ModuleOrigin",
    "ModuleParams",
    "MultiKey",
    "Offence",
    "Origin",
    "OriginRefused",
    "OutOfGas",
    "OutsideContext",
    "QueryInfo",
    "QueryMethod",
    "QueryWrites",
    "Root",
    "RootCalls",
    "RootOutcome",
    "Signed",
    "SingleKey",
    "StorageInfo",
    "Tensor",
    "TensorInfo",
    "UnknownCall",
    "Uses",
    "ValidatorPower",
    "ValidatorSource",
    "account_of",
    "call",
    "find_provider",
    "hook",
    "invariant",
    "is_module_account",
    "module_account",
    "multisig_account",
    "query",
]
