"""The home of a dev chain: keys, spec, data, and on which state edited modules run.

Lives here: files of the home, and the judgement whether the state that is there fits. Must not: run anything.
The keys of alice, bob and carol are those of `Chain.account("alice")` in tests: anybody can make them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from chain_spec import FoundingValidator, ResolvedChain, SpecError, make_spec, plugins, read_spec, render_spec, resolve
from chain_spec.founding import refounded
from chain_spec.presets import FOUNDER_BALANCE, LOCAL_PARAMS, STANDARD_MODULES, check_modules
from chain_spec.start import start_in_memory
from chain_spec.types import ChainSpec
from runtime import Module
from runtime.bech32m import DEFAULT_PREFIX, encode_address
from runtime.crypto import SigningKey, hash_bytes
from runtime.errors import UsageError
from runtime.execution import Chain
from runtime.network.transport import PeerId
from runtime.node.config import NodeConfig
from runtime.node.files import write_atomically
from runtime.node.home import NodeHome
from runtime.node.keystore import open_keystore, write_keystore
from runtime.testing.golden import STATE, changes, describe
from runtime.types import AccountId
from tools.cli.founders import founder_of
from tools.cli.home import VALIDATOR_KEY, make_home
from tools.dev.sources import OPTION, Broken, Chosen
from tools.localnet.homes import THROWAWAY_SCRYPT_N

PEOPLE: Final = ("alice", "bob", "carol")
MARK: Final = "dev.json"
OFFERED: Final = "offered"
_DATA: Final = "data"


@dataclass(frozen=True)
class Plan:
    """What is to run. afresh: why not on the state that is there, in words; None: on that state."""

    spec: ChainSpec
    chain: ResolvedChain
    forms: Mapping[str, Any]
    afresh: str | None


class DevHome:
    """The folder of one dev chain. base: the chain that is to be, but for its founders; None: of the standard modules.
    Raises UsageError for a folder that holds something else."""

    def __init__(self, path: Path, base: ChainSpec | None = None) -> None:
        if path.exists() and any(path.iterdir()) and not (path / MARK).exists():
            raise UsageError(f"--home {path}: it is not empty, and no dev chain's; name a new folder")
        self.path, self.base = path, base
        self.password_file = path / "password"
        self.data = path / _DATA
        if not (path / MARK).exists():
            self._make()

    def _make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = secrets.token_urlsafe(24)
        write_atomically(self.password_file, f"{password}\n".encode(), mode=0o600)
        make_home(self.path, NodeConfig(), password, prefix=self.prefix, scrypt_n=THROWAWAY_SCRYPT_N)
        for name in PEOPLE:
            file = self.path / "keys" / f"{name}.json"
            key = Chain.account_named(name).key
            write_keystore(file, key, password, prefix=self.prefix, scrypt_n=THROWAWAY_SCRYPT_N)
        self._remember({})

    # --- what is here

    @cached_property
    def validator(self) -> SigningKey:
        """The key that decides the blocks."""
        return open_keystore(self.path / "keys" / f"{VALIDATOR_KEY}.json", self.password_file.read_text().strip())

    @cached_property
    def peer_id(self) -> PeerId:
        """Who the validator's node is."""
        return NodeHome(self.path, NodeConfig()).network_key().peer_id

    @property
    def prefix(self) -> str:
        """Of the chain's addresses."""
        return DEFAULT_PREFIX if self.base is None else self.base.address_prefix

    @property
    def addresses(self) -> dict[str, str]:
        """Of the development accounts."""
        return {name: encode_address(Chain.account_named(name).id, self.prefix) for name in PEOPLE}

    # --- modules as plugins of this chain

    def offer(self, chosen: Sequence[Chosen], modules: Sequence[type[Module]]) -> dict[str, str]:
        """Make the modules known as installed ones are, here and to those who get the returned PYTHONPATH. Raises
        UsageError where another package offers one of the names, or two are one."""
        folder = self.path / OFFERED
        shutil.rmtree(folder, ignore_errors=True)
        missing = {
            module.name: each
            for each, module in zip(chosen, modules, strict=True)
            if module.name not in plugins.installed() or plugins.load(module.name, OPTION) is not module
        }
        paths = list(dict.fromkeys(str(each.folder) for each in missing.values() if each.folder is not None))
        if missing:
            information = folder / "armillary_dev-0.dist-info"
            information.mkdir(parents=True)
            lines = [f"{name} = {each.target}" for name, each in missing.items()]
            (information / "METADATA").write_text("Metadata-Version: 2.1\nName: armillary-dev\nVersion: 0\n")
            (information / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]) + "\n")
            paths.append(str(folder.resolve()))
        sys.path[:0] = [path for path in paths if path not in sys.path]
        plugins.installed.cache_clear()
        check_modules([module.name for module in modules], OPTION)
        return {"PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])} if paths else {}

    # --- on which state they run

    def plan(self, modules: Sequence[type[Module]]) -> Plan:
        """How these modules, as they are now, go on. Raises Broken where no chain can be made of them."""
        forms = {module.name: describe(module) for module in modules}
        try:
            spec = self._new_spec([module.name for module in modules])
            chain = resolve(spec)
            start_in_memory(chain)
        except SpecError as error:
            raise Broken(str(error)) from None
        afresh = self._misfit(forms)
        if afresh is None:
            spec = read_spec(self._spec_file)
            return Plan(spec, resolve(spec), forms, None)
        return Plan(spec, chain, forms, afresh)

    def settle(self, plan: Plan) -> None:
        """Make the home ready for what is planned; nothing runs in it. What a height had begun when it was left is
        forgotten: other code may come to another result, and nobody else has seen it."""
        if plan.afresh is not None:
            shutil.rmtree(self.data, ignore_errors=True)
            write_atomically(self._spec_file, render_spec(plan.spec).encode())
        shutil.rmtree(self.data / "wal", ignore_errors=True)
        (self.data / "signer.journal").unlink(missing_ok=True)
        self.data.mkdir(exist_ok=True)
        self._remember(plan.forms)

    @property
    def _spec_file(self) -> Path:
        return self.path / "spec.json"

    def _remember(self, forms: Mapping[str, Any]) -> None:
        mark = {"base": self._base_hash, "forms": forms}
        write_atomically(self.path / MARK, (json.dumps(mark, indent=2) + "\n").encode())

    @property
    def _base_hash(self) -> str | None:
        return None if self.base is None else hash_bytes("armillary/dev-base", render_spec(self.base).encode()).hex()

    def _misfit(self, forms: Mapping[str, Any]) -> str | None:
        """Why the state that is here is not that of modules of these forms; None where it is."""
        try:
            mark = json.loads((self.path / MARK).read_text(encoding="utf-8"))
            known, base = mark["forms"], mark["base"]
        except (ValueError, KeyError, TypeError):
            return f"{self.path / MARK} is damaged"
        if not self._spec_file.exists() or not self.data.exists():
            return ""
        if base != self._base_hash:
            return "the chain is of another --spec"
        if set(known) != set(forms):
            return "the chain has other modules"
        for name, form in forms.items():
            for change in changes(known[name], form, STATE):
                if not change.is_compatible or change.is_version:
                    return f"{name}: {change.what}"
        try:
            resolve(read_spec(self._spec_file))
        except SpecError as error:
            return f"{error.problems[0]}"
        return None

    def _new_spec(self, names: Sequence[str]) -> ChainSpec:
        """Modules that are being written are not pinned: their sources change under the chain."""
        people = [Chain.account_named(name).id for name in PEOPLE]
        founder = founder_of(self.path)
        balances = dict.fromkeys([AccountId(founder.operator), *people], FOUNDER_BALANCE)
        made = make_spec(
            "dev", [founder], balances, modules=(*STANDARD_MODULES, *names), params=LOCAL_PARAMS, prefix=self.prefix
        )
        spec = made if self.base is None else self._on_base(made, founder, balances)
        free = [each.model_copy(update={"digest": None}) if each.name in names else each for each in spec.modules]
        return spec.model_copy(update={"modules": free})

    def _on_base(self, made: ChainSpec, founder: FoundingValidator, balances: Mapping[AccountId, int]) -> ChainSpec:
        """The base, founded by us, with a developer's patience, and with the modules that it lacks of those named."""
        assert self.base is not None
        there = {entry.name for entry in self.base.modules}
        more = [entry for entry in made.modules if entry.name not in there | set(STANDARD_MODULES)]
        spec = refounded(self.base, [founder], balances)
        return spec.model_copy(update={"modules": [*spec.modules, *more], "consensus": made.consensus, "bootnodes": []})


def read_base(file: Path) -> ChainSpec:
    """The spec in the file, its form checked; what modules make of it is judged once they are found. Raises
    UsageError."""
    try:
        return read_spec(file)
    except SpecError as error:
        raise UsageError(f"{file}: {error}") from None
