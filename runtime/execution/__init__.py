"""Execution: transactions to receipts and roots. Stands on the module layer; consensus and network stand beside it.

What a node drives (all of it in `Application`, application.py):

    app = Application(genesis, modules, store, engine=engine)    # engine: inference_port.EnginePort()
    app.start()                                                  # writes height 0, or checks that the store is ours
    app.check(data) -> CheckedTransaction                        # mempool; raises InvalidTransaction(rule, reason)
    app.propose(BlockInputs(height, time_ms, proposer=..., evidence=..., last_signers=...), candidates)
        -> (Executed, (Dropped, ...))                            # the block is executed.transactions
    app.execute(BlockInputs(..., transactions=...)) -> Executed  # raises InvalidBlock(rule, height, index, reason)
    app.commit(executed, extra={...})                            # atomically with the node's own records
    app.simulate(data) -> Outcome(receipt, explanation)          # dry run in the next block
    app.query(module, name, {argument: value}, height=None)      # a Python value; query_info(...) has the codecs
    app.prove(module, storage, key, height=None) -> ProvenValue
    proving.prove_query(app, module, name, arguments, height=...) -> ProvenAnswer; check_answer(...) asks again from it
    app.validators(height=None), app.metadata, app.live_chunks(), app.check_invariants(), app.genesis_hash

Executed: height, time_ms, transactions, state_root, receipts_root, receipts, block_receipt, leaves, events,
validator_updates (act two heights later), gas_used, explanations. A receipt's proof: receipt_proof(executed.leaves, i).

What a chain spec makes: ChainGenesis (genesis.py); `module_genesis(Module, params=..., genesis=...)` makes an entry
from values as people write them. What tests use: Chain (chain.py).
"""

from runtime.execution.application import (
    Application,
    CheckedTransaction,
    ProvenValue,
    QueryFailed,
    UnknownQuery,
)
from runtime.execution.block import BlockInputs, Dropped, Executed
from runtime.execution.chain import Account, BareAccounts, Chain, decode_error
from runtime.execution.composition import module_genesis
from runtime.execution.core import ModelEngine
from runtime.execution.errors import (
    ExecutionFault,
    GenesisError,
    InvalidBlock,
    InvalidTransaction,
    InvariantBroken,
    Rule,
)
from runtime.execution.executor import Outcome
from runtime.execution.genesis import (
    DEFAULT_CONSENSUS,
    FREE,
    GENESIS_VERSION,
    UNPINNED,
    ChainGenesis,
    ConsensusParams,
    ModuleGenesis,
    Roles,
)
from runtime.execution.params import FeeParams, RuntimeParams
from runtime.execution.receipts import (
    BlockReceipt,
    Receipt,
    receipt_leaves,
    receipt_proof,
    receipts_root,
    verify_receipt,
)
from runtime.execution.transaction import (
    Body,
    Prepared,
    Transaction,
    build_transaction,
    encode_transaction,
    prepare_transaction,
    signers,
    transaction_hash,
)

__all__ = [
    "DEFAULT_CONSENSUS",
    "FREE",
    "GENESIS_VERSION",
    "UNPINNED",
    "Account",
    "Application",
    "BareAccounts",
    "BlockInputs",
    "BlockReceipt",
    "Body",
    "Chain",
    "ChainGenesis",
    "CheckedTransaction",
    "ConsensusParams",
    "Dropped",
    "Executed",
    "ExecutionFault",
    "FeeParams",
    "GenesisError",
    "InvalidBlock",
    "InvalidTransaction",
    "InvariantBroken",
    "ModelEngine",
    "ModuleGenesis",
    "Outcome",
    "Prepared",
    "ProvenValue",
    "QueryFailed",
    "Receipt",
    "Roles",
    "Rule",
    "RuntimeParams",
    "Transaction",
    "UnknownQuery",
    "build_transaction",
    "decode_error",
    "encode_transaction",
    "module_genesis",
    "prepare_transaction",
    "receipt_leaves",
    "receipt_proof",
    "receipts_root",
    "signers",
    "transaction_hash",
    "verify_receipt",
]
