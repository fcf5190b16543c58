"""The module `accounts`: the runtime's role `auth`.

Lives here: nonces, and which keys an account obeys. Must not: verify signatures (the runtime has done it), hold funds.
"""

from __future__ import annotations

from itertools import pairwise

from modules.accounts.protocol import Account, AuthRule, ManyKeys, OneKey
from runtime import (
    U8,
    U64,
    AccountId,
    Auth,
    CallError,
    Event,
    Genesis,
    Map,
    Module,
    Signed,
    SingleKey,
    account_of,
    call,
    invariant,
    query,
)

EVERYTHING = 1 << 62


class KeysRotated(Event):
    """From the next transaction on, the account obeys this rule; None: the key that it is."""

    account: AccountId
    rule: AuthRule | None


class BadRule(CallError):
    """A rule of several keys has 1 to as many signatures as keys, and its keys are sorted and distinct."""

    threshold: U8
    keys: U8


class Accounts(Module):
    """Nonces and keys of accounts. Invariant: every stored rule can be satisfied."""

    name = "accounts"
    nonces: Map[AccountId, U64] = Map(default=0)
    rules: Map[AccountId, AuthRule] = Map()

    class GenesisConfig(Genesis):
        """nonces: of accounts that have signed on a chain before this one."""

        rules: dict[AccountId, AuthRule] = {}
        nonces: dict[AccountId, U64] = {}

    def genesis(self, config: GenesisConfig) -> None:
        """Nonces and rules as configured; an account in neither starts at nonce 0 with its own key. Raises what
        `rotate` raises."""
        for account, nonce in config.nonces.items():
            self.nonces[account] = nonce
        for account, rule in config.rules.items():
            self._check_rule(rule)
            self.rules[account] = rule

    def export_genesis(self) -> GenesisConfig:
        """Every nonce and every rule that is stored."""
        return self.GenesisConfig(
            rules=dict(self.rules.items(limit=EVERYTHING)), nonces=dict(self.nonces.items(limit=EVERYTHING))
        )

    @call(gas=20_000)
    def rotate(self, origin: Signed, *, rule: AuthRule | None) -> None:
        """Let the signer's account obey other keys from the next transaction on. Whoever names keys that nobody holds
        has lost the account. Without a rule, the account obeys the key that it is."""
        if rule is None:
            del self.rules[origin.account]
        else:
            self._check_rule(rule)
            self.rules[origin.account] = rule
        self.emit(KeysRotated(account=origin.account, rule=rule))

    @query
    def info(self, *, account: AccountId) -> Account:
        """The account's next nonce and the keys that it obeys."""
        return Account(nonce=self.nonces[account], rule=self.rules.get(account))

    # --- the runtime's role `auth`

    def nonce(self, account: AccountId) -> int:
        """The nonce that the account's next transaction must carry."""
        return self.nonces[account]

    def advance_nonce(self, account: AccountId) -> None:
        """The account's transaction is in a block."""
        self.nonces[account] += 1

    def admits(self, account: AccountId, auth: Auth) -> bool:
        """Whether these keys may act for the account. Signatures are verified, and as many as `auth` says."""
        rule = self.rules.get(account)
        if rule is None:
            return account_of(auth) == account
        if isinstance(rule, OneKey):
            return isinstance(auth, SingleKey) and auth.public_key == rule.public_key
        return (
            not isinstance(auth, SingleKey)
            and auth.threshold == rule.threshold
            and tuple(auth.public_keys) == rule.public_keys
        )

    # --- rules

    @invariant
    def rules_can_be_satisfied(self) -> None:
        """Every stored rule passes the check of `rotate`."""
        for _, rule in self.rules.items(limit=EVERYTHING):
            self._check_rule(rule)

    def _check_rule(self, rule: AuthRule) -> None:
        if isinstance(rule, ManyKeys):
            keys = rule.public_keys
            ascending = all(before < after for before, after in pairwise(keys))
            if not (1 <= rule.threshold <= len(keys) and ascending):
                raise BadRule(threshold=rule.threshold, keys=len(keys))
