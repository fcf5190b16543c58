"""attack(Module): steps chosen from the module's types and the chain's state, every rule checked after each.

    def test_the_counter_withstands() -> None:
        attack(Counter)

Lives here: choosing steps, and what is reported of a whole attack. Values come from Hypothesis' strategies, choices
from one seeded generator and not from Hypothesis' own search: a chain takes more choices than one of its examples may,
and concrete steps are shortened (shrink.py) and written as a program (program.py) better than choices are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from runtime.codec import codec, key_codec
from runtime.errors import UsageError
from runtime.execution.core import ModelEngine
from runtime.execution.errors import GenesisError, InvalidTransaction
from runtime.module import CallInfo, Module, QueryInfo, Root, Signed
from runtime.module.params import PARAMS, PARAMS_KEY
from runtime.state import Store
from runtime.testing.attacking.pools import Entry, Pools, form_of, known_schema, leaves
from runtime.testing.attacking.program import program_of
from runtime.testing.attacking.rules import RuleBroken
from runtime.testing.attacking.second_process import Diverged, Played, check_second_process, mark, shortened
from runtime.testing.attacking.shrink import shrink, shrink_genesis
from runtime.testing.attacking.steps import Accuse, Ask, AsRoot, Export, Made, Step, Submit, Wait, perform
from runtime.testing.attacking.watched import Rule, Watched
from runtime.testing.attacking.world import World, closure
from runtime.testing.attacking.writing import NAMES, PEOPLE
from runtime.types import U64

STEPS: Final = 1_000
STEPS_PER_CHAIN: Final = 50
PLAYED_AGAIN_MAX: Final = 8
"""Chains that other processes play again."""
GENESIS_TRIES: Final = 4
"""How often a genesis is drawn for a chain before it begins with what was given alone."""
LEARNT_MAX: Final = 6
"""Entries of each map whose parts arguments are made of."""
Arguments = Callable[[Random, str], Mapping[str, Any]]
_KINDS: Final = ("submit",) * 14 + ("ask",) * 2 + ("wait",) * 2 + ("root",) * 3 + ("export", "accuse", "accuse")
_PAUSES_MS: Final = (1_000, 1_000, 1, 60_000, 86_400_000)


@dataclass
class Attacked:
    """What an attack reached. outcomes: by call, how often with which end; events: how often each was emitted.
    unreached: calls that never succeeded and events that were never emitted, in words."""

    seed: int
    steps: int = 0
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    unreached: tuple[str, ...] = ()


class AttackFailed(AssertionError):
    """A rule broke. rule: which; detail: how; program: a test that fails for the same reason; steps: as data; report:
    what was reached until then."""

    def __init__(self, rule: str, detail: str, program: str, steps: tuple[Step, ...], report: Attacked) -> None:
        self.rule, self.detail, self.program, self.steps, self.report = rule, detail, program, steps, report
        count = f"{len(steps)} step" + "s" * (len(steps) != 1)
        super().__init__(
            f"{detail}\n\nAfter {count} (seed {report.seed}). A test that fails the same way:\n\n{program}"
        )


def attack(
    *modules: type[Module],
    steps: int | None = None,
    seed: int | None = None,
    also: Sequence[type[Module]] = (),
    genesis: Mapping[str, Mapping[str, Any]] | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    engine: ModelEngine | None = None,
    rules: Sequence[Rule] = (),
    model: Any = None,
    weights: Mapping[str, int] | None = None,
    silent: Sequence[str] = (),
    forgets: Sequence[str] = (),
    begin: Rule | None = None,
    arguments: Mapping[str, Arguments] | None = None,
    processes: int = 2,
) -> Attacked:
    """Attacks the modules; several together, on one chain. Raises AttackFailed with the rule that broke.

    steps: how many in all (1,000); seed: of the choices (0). also: modules that they use, where installed ones do not
    serve or are ambiguous. genesis, params: by module, as for Chain; a genesis that is not given is drawn from its
    type. rules: functions of the chain that raise AssertionError, run after each step. model: a class with methods like
    the calls, of signer and arguments, that say whether a call succeeds, and `check(chain)`. weights: how often a call
    is chosen, 1 where not said. silent: full names of calls that change state without an event, by intent.
    forgets: full names of storage items that an export does not keep, by intent.
    begin: does what every chain begins with, before the first step; a function of the chain. arguments: for a call's
    full name a function of the chance and of whoever signs, which gives some of the call's arguments, or all.
    processes: how many others, each with another PYTHONHASHSEED, play a part of it again.
    """
    around = closure(modules, also)
    world = World(
        attacked=modules,
        modules=around,
        genesis=dict(genesis or {}),
        params=dict(params or {}),
        engine=engine,
        rules=tuple(rules),
        model=model,
        silent=tuple(silent),
        forgets=tuple(forgets),
        begin=begin,
    )
    machine = _Machine(world, STEPS if steps is None else steps, 0 if seed is None else seed, processes)
    machine.choose_by(dict(weights or {}), dict(arguments or {}))
    return machine.run()


class _Machine:
    """One attack while it runs."""

    def __init__(self, world: World, steps: int, seed: int, processes: int) -> None:
        if steps < 1:
            raise UsageError(f"steps={steps}: an attack takes at least one")
        self.world, self.steps, self.seed, self.processes = world, steps, seed, processes
        self.random = Random(seed)  # noqa: S311 # an attack is repeated by its seed
        self.every = [info for module in world.modules for info in module.metadata().calls.values()]
        self.queries = [info for module in world.attacked for info in module.metadata().queries.values()]
        self.owners = {module.name: module for module in world.modules}
        self.report = Attacked(seed)
        self.arguments: Mapping[str, Arguments] = {}

    def choose_by(self, weights: Mapping[str, int], arguments: Mapping[str, Arguments]) -> None:
        """What the author says of choices. Raises UsageError where there is no such call."""
        calls = [info for module in self.world.attacked for info in module.metadata().calls.values()]
        known = {name for info in calls for name in (info.name, info.full_name)}
        for what, given in (("weights", weights), ("arguments", arguments)):
            unknown = given.keys() - known - {info.full_name for info in self.every}
            if unknown:
                raise UsageError(f"{what}: no call is named {', '.join(sorted(unknown))}")
        self.arguments = arguments
        self.signed = _weighted([info for info in calls if Signed in info.origins], weights)
        self.rooted = _weighted([info for info in calls if Root in info.origins], weights)

    def run(self) -> Attacked:
        """The whole attack: one chain after another."""
        played: list[Played] = []
        while self.report.steps < self.steps:
            world, chain, pools = self._begin()
            done: list[Step] = []
            marks: list[str] = []
            for _ in range(min(STEPS_PER_CHAIN, self.steps - self.report.steps)):
                step = self._choose(pools, chain)
                done.append(step)
                try:
                    ended = perform(chain, step)
                except RuleBroken as broken:
                    raise self._explained(world, tuple(done), broken) from None
                marks.append(mark(chain, ended))
                self._note(chain, pools, step, ended)
            played.append(Played(world, tuple(done), tuple(marks)))
        try:
            check_second_process(played[:PLAYED_AGAIN_MAX], self.processes)
        except Diverged as broken:
            shorter = shortened(broken, self.world.genesis)
            raise self._failed(shorter.played.world, shorter.played.steps, shorter) from None
        self.report.unreached = tuple(self._unreached())
        return self.report

    # --- choosing

    def _begin(self) -> tuple[World, Watched, Pools]:
        """A chain with a genesis of its own: what was given, and the rest drawn, a few times where modules refuse it;
        as declared where that is of no use."""
        pools = Pools(tuple(NAMES), self.random)
        for attempt in range(GENESIS_TRIES + 1):
            genesis = self.world.genesis if attempt == GENESIS_TRIES else self._drawn_genesis(pools)
            world = replace(self.world, genesis=genesis)
            try:
                chain = world.chain()
            except (GenesisError, InvalidTransaction):  # the drawn one may shut out whom `begin` needs
                if attempt == GENESIS_TRIES:
                    raise
                continue
            except RuleBroken as broken:
                raise self._explained(world, (), broken) from None
            self._see(pools, chain)
            return world, chain, pools
        raise AssertionError("unreachable: the given genesis is tried last, and raises")

    def _drawn_genesis(self, pools: Pools) -> Mapping[str, Mapping[str, Any]]:
        """What was given, and for the other modules some fields of a genesis, or none."""
        drawn = dict(self.world.genesis)
        for module in self.world.modules:
            config = module.metadata().genesis
            if module.name not in drawn and config is not None and self.random.randrange(4):
                schema = known_schema(config)
                fields = zip(schema.names, schema.items, strict=True)
                drawn[module.name] = {name: pools.draw(item) for name, item in fields if self.random.randrange(4)}
        return drawn

    def _choose(self, pools: Pools, chain: Watched) -> Step:
        kind = self.random.choice(_KINDS)
        if kind == "root" and self.rooted:
            return AsRoot(self._alone(pools, self.random.choice(self.rooted)))
        if kind == "ask" and self.queries:
            return Ask(self._alone(pools, self.random.choice(self.queries)))
        if kind == "wait":
            return Wait(self.random.randrange(1, 5), self.random.choice(_PAUSES_MS))
        if kind == "export":
            return Export()
        if kind == "accuse" and (voting := chain.application.validators()):
            return Accuse(self.random.choice(voting).public_key, self.random.randrange(chain.height + 1))
        if not self.signed:
            return AsRoot(self._alone(pools, self.random.choice(self.rooted))) if self.rooted else Wait(1, 1_000)
        calls = [self.random.choice(self.signed)]
        if not self.random.randrange(6):
            calls.append(self.random.choice(self.signed if self.random.randrange(2) else self.every))
        pools.focus(_names(calls[0]))
        signer = PEOPLE[pools.account()]
        return Submit(signer, tuple(self._made(pools, info, signer) for info in calls))

    def _alone(self, pools: Pools, info: CallInfo | QueryInfo) -> Made:
        pools.focus(_names(info))
        return self._made(pools, info)

    def _made(self, pools: Pools, info: CallInfo | QueryInfo, signer: str = "") -> Made:
        given = self.arguments.get(info.full_name)
        chosen = {} if given is None else given(self.random, signer)
        drawn = {
            item.name: chosen[item.name] if item.name in chosen else pools.draw(known_schema(item.type))
            for item in info.fields
        }
        return Made(self.owners[info.full_name.partition(".")[0]], info.name, drawn)

    # --- what was seen

    def _note(self, chain: Watched, pools: Pools, step: Step, ended: str) -> None:
        self.report.steps += 1
        for made in _calls(step):
            self.report.outcomes.setdefault(f"{made.module.name}.{made.name}", Counter())[ended] += 1
            if ended == "ok":
                for item in made.module.metadata().calls[made.name].fields:
                    pools.keep(known_schema(item.type), made.arguments[item.name])
        if not isinstance(step, Ask | Export):
            self.report.events.update(f"{event.module}.{event.name}" for event in chain.last_events)
            self._see(pools, chain)

    def _see(self, pools: Pools, chain: Watched) -> None:
        """What stands in the state, and now: arguments may mean heights and times."""
        now = tuple((form_of(known_schema(U64)), each) for each in (chain.height, chain.time_ms))
        pools.see_state((*learnt(chain.application.store, self.world.modules), Entry("now", now)))

    def _unreached(self) -> Iterator[str]:
        for module in self.world.attacked:
            for info in module.metadata().calls.values():
                if not self.report.outcomes.get(info.full_name, Counter())["ok"]:
                    yield f"{info.full_name} never succeeded"
            for name in module.metadata().events:
                if not self.report.events[f"{module.name}.{name}"]:
                    yield f"{module.name}.{name} was never emitted"

    # --- what broke

    def _explained(self, world: World, steps: tuple[Step, ...], broken: RuleBroken) -> AttackFailed:
        def fails(world: World, steps: tuple[Step, ...]) -> bool:
            found = broken_rule(world, steps)
            return found is not None and found.rule == broken.rule

        if fails(world, steps):
            steps = shrink(steps, lambda candidate: fails(world, candidate))
            genesis = shrink_genesis(
                world.genesis, self.world.genesis, lambda candidate: fails(replace(world, genesis=candidate), steps)
            )
            world = replace(world, genesis=genesis)
            broken = broken_rule(world, steps) or broken
        return self._failed(world, steps, broken)

    def _failed(self, world: World, steps: tuple[Step, ...], broken: RuleBroken) -> AttackFailed:
        root = broken.played.root if isinstance(broken, Diverged) else None
        program = program_of(world, steps, broken.rule, root)
        return AttackFailed(broken.rule, str(broken), program, steps, self.report)


def broken_rule(world: World, steps: tuple[Step, ...]) -> RuleBroken | None:
    """The rule that these steps break on a fresh chain; None where none."""
    try:
        chain = world.chain()
        for step in steps:
            perform(chain, step)
    except RuleBroken as broken:
        return broken
    except GenesisError:
        return None
    return None


def learnt(store: Store, modules: Sequence[type[Module]]) -> Iterator[Entry]:
    """What stands in the modules' storage and parameters; a few entries of each map."""
    for module in modules:
        metadata = module.metadata()
        for info in metadata.storage.values():
            prefix = info.declared.prefix
            for key, data in store.iterate(module.name, prefix, limit=LEARNT_MAX):
                entry = [*leaves(known_schema(info.value), codec(info.value).decode(data))]
                if info.key is not None:
                    entry += leaves(known_schema(info.key), key_codec(info.key).decode(key[len(prefix) :]))
                yield Entry(info.declared.name, tuple(entry))
        params = store.get(module.name, PARAMS_KEY)
        if params is not None and metadata.params is not None:
            yield Entry(PARAMS, tuple(leaves(known_schema(metadata.params), codec(metadata.params).decode(params))))


def _names(info: CallInfo | QueryInfo) -> tuple[str, ...]:
    return tuple(item.name for item in info.fields)


def _calls(step: Step) -> tuple[Made, ...]:
    match step:
        case Submit():
            return step.calls
        case AsRoot():
            return (step.call,)
    return ()


def _weighted(calls: list[CallInfo], weights: Mapping[str, int]) -> list[CallInfo]:
    return [info for info in calls for _ in range(weights.get(info.full_name, weights.get(info.name, 1)))]
