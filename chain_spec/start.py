"""A chain at height 0, in memory: whether the modules themselves take what the spec gives them."""

from __future__ import annotations

import re

from chain_spec.errors import SpecError
from chain_spec.late_engine import LateEngine
from chain_spec.resolve import ResolvedChain
from runtime.errors import CodecError, DefinitionError
from runtime.execution import Application, GenesisError, InvariantBroken
from runtime.state import MemoryStore

_NOTE = re.compile(r" \([a-z0-9_]*\)$")  # the runtime adds the module's name to a path


def start_in_memory(chain: ResolvedChain) -> Application:
    """The chain's state machine at height 0, its invariants checked. Raises SpecError with the path of what a module
    refuses."""
    try:
        application = Application(chain.genesis, chain.modules, MemoryStore(), engine=LateEngine())
        application.start()
        application.check_invariants()
    except GenesisError as error:
        raise SpecError(f"$.{_NOTE.sub('', error.field)}", error.reason) from None
    except InvariantBroken as error:
        place = [module.name for module in chain.modules].index(error.module)
        raise SpecError(f"$.modules[{place}].genesis", str(error)) from None
    except (DefinitionError, CodecError) as error:
        raise SpecError("$.modules", str(error)) from None
    return application
