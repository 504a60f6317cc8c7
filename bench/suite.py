"""A whole run: servers started, scenarios measured one after the other, records checked."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from msgspec import Struct

from bench.figures import Figure, Outcome, figures
from bench.footprint import footprint
from bench.idle import idle
from bench.ledger import Check, Ledger, check, fill
from bench.machine import cores, describe, folder_on_disk, work_ms
from bench.measure import Driver, Load, Measured
from bench.peers import Started, after_kill, peers
from bench.report import Report
from bench.scenarios import FOOTPRINT, SCENARIOS, Needs, Scenario
from bench.target import Stage, Target, chatkeep, forwarder, stage

_WARMING = 6_000  # records made before anything is measured: more than a server remembers
_MAIN = "main"

Say = Callable[[str], None]


class Plan(Struct, frozen=True):
    """`rows` are the sizes of the stores that lists are measured on."""

    seconds: int
    rows: tuple[int, ...]
    scenarios: frozenset[str]
    peers: tuple[str, ...] = ()


def run(plan: Plan, say: Say) -> Report:
    """Raises Broken."""
    with folder_on_disk() as folder, ExitStack() as running:
        machine = describe(cores(), folder)
        ground = running.enter_context(stage(folder, cores()))
        said: list[str] = []
        references = [ground.mock, running.enter_context(forwarder(ground))]
        guests = running.enter_context(peers(plan.peers, ground, said.append))
        suite = _Suite(plan, ground, references, guests, machine.fsync_ms, say)
        suite.run()
        said += [after_kill(guest, ground) for guest in guests if guest.ledger.records]
        said += suite.drift()
        return Report(machine, plan.seconds, suite.figures, suite.outcomes, suite.checks, said)


class _Suite:
    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        references: Sequence[Target],
        guests: Sequence[Started],
        fsync_ms: float,
        say: Say,
    ) -> None:
        self.figures: list[Figure] = []
        self.outcomes: list[Outcome] = []
        self.checks: list[Check] = []
        self._plan = plan
        self._stage = stage
        self._references = references
        self._guests = guests
        self._fsync_ms = fsync_ms
        self._say = say
        self._driver = Driver(stage, plan.seconds)
        self._known: dict[tuple[str, Load], Measured] = {}
        self._work_ms: list[float] = []

    def run(self) -> None:
        if FOOTPRINT in self._plan.scenarios:
            self._say(FOOTPRINT)
            self.figures += footprint(self._stage)
        self._on_store(_MAIN, _WARMING, self._wanted("records"), None)
        for rows in self._plan.rows:
            self._on_store(f"{rows} rows", rows, self._wanted("rows"), rows)

    def drift(self) -> list[str]:
        """How evenly the machine itself worked: other tenants slow it down unseen."""
        if not self._work_ms:
            return []
        least, most = min(self._work_ms), max(self._work_ms)
        return [
            f"a fixed piece of work, before each scenario: {least:.1f} to {most:.1f} ms;"
            f" where it differs by more than a little, trust ratios only"
        ]

    def _wanted(self, needs: Needs) -> list[Scenario]:
        wanted = self._plan.scenarios
        return [one for one in SCENARIOS if one.needs == needs and one.name in wanted]

    def _on_store(
        self, store: str, records: int, scenarios: Sequence[Scenario], rows: int | None
    ) -> None:
        if not scenarios:
            return
        ledger = Ledger()
        with chatkeep(self._stage, store) as ours:
            self._say(f"{store}: {records} records")
            fill(ours.url, ledger, range(records))
            for scenario in scenarios:
                self._measure(scenario, ours, ledger, rows)
            ours.process.kill()  # whatever was acknowledged must be on the disk
        with chatkeep(self._stage, store) as again:
            self._say(f"{store}: checking {len(ledger.records)} records")
            self.checks.append(check(store, again.url, ledger))

    def _measure(self, scenario: Scenario, ours: Target, ledger: Ledger, rows: int | None) -> None:
        self._say(scenario.name)
        self._work_ms.append(work_ms(self._stage.cores.server))
        with idle(ours, scenario.idle):
            runs = {ours.name: self._driver.measure(ours, scenario.load, ledger)}
        for target in self._references:
            runs[target.name] = self._reference(target, scenario.reference, Ledger())
        for guest in self._guests:
            load = guest.peer.load(scenario, guest.ledger)
            if load is not None:
                runs[guest.peer.name] = self._reference(guest.target, load, guest.ledger)
        title = scenario.title if rows is None else f"{scenario.title}, {rows:,} rows"
        outcome = Outcome(scenario.name, title, runs, rows)
        self.outcomes.append(outcome)
        self.figures += figures(scenario, outcome, self._fsync_ms)

    def _reference(self, target: Target, load: Load, ledger: Ledger) -> Measured:
        """A reference is measured once a run, however many scenarios are held against it."""
        key = (target.name, load)
        if key not in self._known:
            self._known[key] = self._driver.measure(target, load, ledger)
        return self._known[key]
