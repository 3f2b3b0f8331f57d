"""Run rows: build, check, then rounds in which the contestants take turns in rotating order."""

from __future__ import annotations

import contextlib
import datetime
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, final

from twofold.arena import agreed, judge, machine, registry
from twofold.arena.floors import Floors, Meter
from twofold.arena.machine import Watch
from twofold.arena.peer import Peer, PeerError, as_installed, interpreter
from twofold.arena.reach import reach
from twofold.arena.registry import Row
from twofold.runtime import limits

PAUSE = 0.02  # between turns: the stopped process's last threads leave the CPUs
NOISY = 0.15  # share of the machine that others had during a turn: more, and it is repeated
FORMAT = 1  # of the report in JSON
Entry = dict[str, Any]


class Settings(NamedTuple):
    """How a run is done."""

    frameworks: tuple[str, ...] = registry.FRAMEWORKS
    only: tuple[str, ...] = ()  # modes, as `torch/compile`; all of a framework when it has none
    threads: int = 0
    rounds: int = 5
    seconds: float = 0.3  # of work in a turn
    patience: int = 2  # repeats of a noisy turn
    limit: float = 300.0  # seconds for any one answer
    python: str = ""  # the interpreter of the peers
    record: bool = False  # keep what the peers agree on; see agreed.py
    quick: bool = False  # each framework in its main modes only, unless they are named

    def wants(self, framework: str, mode: str) -> bool:
        chosen = [name for name in self.only if name.split("/")[0] == framework]
        if self.quick and not chosen and mode not in registry.constant(framework, "QUICK"):
            return False
        return framework in self.frameworks and (not chosen or f"{framework}/{mode}" in chosen)


@final
class Arena:
    """The contestants' processes, the machine's meter, and what was found so far."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        threads = settings.threads or limits.cpus()
        self.settings = settings._replace(threads=threads)
        self.say = say
        self.peers: dict[str, Peer] = {}
        self.meter = Meter(threads)
        self.floors: list[Floors] = []
        self.reaches: list[float] = []
        self.frameworks: list[Entry] = []
        self.rows: list[Entry] = []

    def start_all(self) -> None:
        """Start every contestant once, to learn who is here."""
        as_installed()
        for framework in registry.FRAMEWORKS:
            for mode in registry.modes(framework):
                if self.settings.wants(framework, mode):
                    self.frameworks.append(self.start(framework, mode))

    def start(self, framework: str, mode: str) -> Entry:
        """What is known of this contestant: its version and import time, or why it is not here."""
        name = f"{framework}/{mode}"
        entry: Entry = {"framework": framework, "mode": mode, "title": registry.title(framework)}
        try:
            peer, answer = self.new_peer(framework, mode)
        except PeerError as error:
            return entry | {"skipped": str(error)}
        reason = answer.get("refused") or answer.get("error")
        if reason:
            peer.close()
            self.say(f"  {name}: skipped, {reason}")
            return entry | {"skipped": reason}
        peer.pause()
        self.peers[name] = peer
        self.say(f"  {name}: {answer['version']}, imported in {answer['import']:.2f} s")
        return entry | answer

    def new_peer(self, framework: str, mode: str, cold: str = "") -> tuple[Peer, Entry]:
        python = interpreter(framework, self.settings.python)
        path, threads = registry.framework_path(framework), self.settings.threads
        peer = Peer(path, mode, python, threads, cold)
        answer = peer.ask(
            self.settings.limit, "start", framework=str(path), mode=mode, threads=threads
        )
        return peer, answer

    def here(self) -> list[tuple[str, str]]:
        """(framework, mode) of everybody who is not skipped."""
        return [(f["framework"], f["mode"]) for f in self.frameworks if "skipped" not in f]

    def run(self, row: Row) -> Entry:
        """Measure one row, and keep it."""
        self.say(f"{row.name}: {row.title}")
        entries = {f"{framework}/{mode}": self.entry(row, framework, mode) for framework, mode in
                   self.here()}  # fmt: skip
        if row.fresh:
            self.run_fresh(row, entries)
        else:
            self.run_in_turns(row, entries)
        made: Entry = {
            "name": row.name,
            "workload": row.workload,
            "case": row.case,
            "title": row.title,
            "group": row.group,
            "sizes": row.sizes,
            "repeats": row.repeats,
            "work": row.work,
            "floor": self.floor(row),
            "entries": list(entries.values()),
        }
        self.rows.append(made)
        return made

    def entry(self, row: Row, framework: str, mode: str) -> Entry:
        code = row.code(framework) if framework in row.frameworks() else ""
        return {"framework": framework, "mode": mode, "verdict": "", "reason": "", "code": code}

    def run_in_turns(self, row: Row, entries: dict[str, Entry]) -> None:
        checks = {}
        for name, entry in entries.items():
            with self.turn_of(name, entry) as peer:
                if peer is not None:
                    check = self.build_and_check(peer, row, entry)
                    if check is not None:
                        checks[name] = check
        self.verdicts(row, entries, checks)
        for number in range(self.settings.rounds):
            self.round(row, entries, number)
        for name, entry in entries.items():
            if entry["verdict"] == "right":
                with self.turn_of(name, entry) as peer:
                    if peer is not None:
                        entry["memory"] = peer.ask(30, "memory")["peak"]
                self.conclude(row, entry)
        self.drop_all(entries)

    def verdicts(self, row: Row, entries: dict[str, Entry], checks: dict[str, Entry]) -> None:
        """Say of everybody who was checked whether it is right."""
        if self.settings.record:
            self.say(f"  recorded: {agreed.record(row, checks) or 'nothing, no two peers agree'}")
        witnesses = agreed.witness(row)
        found = judge.judge(checks | witnesses, row.allowed) if checks else {}
        for name, (verdict, reason) in found.items():
            if name in entries:
                entries[name].update(verdict=verdict, reason=reason)
                if verdict != "right":
                    self.say(f"  {name}: {verdict}: {reason}")

    def build_and_check(self, peer: Peer, row: Row, entry: Entry) -> Entry | None:
        began = time.perf_counter()
        answer = self.ask(
            peer,
            "build",
            workload=str(row.path),
            contestant=entry["framework"],
            sizes=row.sizes,
        )
        if not failed(answer, entry):
            entry["build"] = answer["build"]
            answer = self.ask(peer, "check")
        if failed(answer, entry):
            if entry["verdict"] != "refused":
                self.say(f"  {entry['framework']}/{entry['mode']}: {entry['reason']}")
            return None
        entry["first"] = answer["times"][0]
        took = time.perf_counter() - began
        self.say(f"  {entry['framework']}/{entry['mode']}: checked in {took:.1f} s")
        return answer

    def round(self, row: Row, entries: dict[str, Entry], number: int) -> None:
        """One turn each, in an order that rotates from round to round; then who cheated."""
        self.floors.append(self.meter.measure())
        if self.settings.threads > 1:
            self.reaches.append(reach(self.meter.pool))
        right = [name for name, entry in entries.items() if entry["verdict"] == "right"]
        shift = number % max(1, len(right))
        turns = {}
        for name in right[shift:] + right[:shift]:
            with self.turn_of(name, entries[name]) as peer:
                if peer is not None:
                    answer = self.quiet_turn(peer, entries[name], number)
                    if not failed(answer, entries[name]):
                        turns[name] = answer
        for name, turn in turns.items():
            others = {other: theirs for other, theirs in turns.items() if other != name}
            fault = judge.turn_faults(turn, others, row.allowed)
            if fault:
                entries[name].update(verdict="wrong", reason=fault)
                self.say(f"  {name}: wrong: {fault}")

    def quiet_turn(self, peer: Peer, entry: Entry, number: int) -> Entry:
        """A turn, repeated while others use the machine; the quietest one counts."""
        best: tuple[float, float, list[float]] = (float("inf"), 0.0, [])
        for attempt in range(1 + self.settings.patience):
            watch, used = Watch(), peer.cpu()
            answer = self.ask(
                peer, "turn", number=number + 1000 * attempt, seconds=self.settings.seconds
            )
            if "times" not in answer:
                return answer
            noise = watch.noise(peer.cpu() - used)
            if attempt == 0:
                first = answer
            share, stolen = (noise.share, noise.stolen) if noise else (0.0, 0.0)
            if share < best[0]:
                best = (share, stolen, answer["times"])
            if share <= NOISY:
                break
        entry.setdefault("noise", []).append(round(best[0], 3))
        entry.setdefault("stolen", []).append(round(best[1], 3))
        entry.setdefault("turns", []).append(best[2])
        return first

    def run_fresh(self, row: Row, entries: dict[str, Entry]) -> None:
        """A new process with empty caches for each contestant, and one call."""
        checks = {}
        for name, entry in entries.items():
            if not entry["code"]:
                entry.update(verdict="refused", reason="not written for this framework")
                continue
            with tempfile.TemporaryDirectory() as cold:
                peer = None
                try:
                    peer, _ = self.new_peer(entry["framework"], entry["mode"], cold)
                    check = self.build_and_check(peer, row, entry)
                    if check is not None:
                        checks[name] = check
                        entry["turns"] = [[entry["build"] + check["times"][0]]]
                        entry["memory"] = peer.ask(30, "memory")["peak"]
                except PeerError as error:
                    entry.update(verdict="error", reason=str(error))
                finally:
                    if peer is not None:
                        peer.close()
        self.verdicts(row, entries, checks)
        for entry in entries.values():
            if entry["verdict"] == "right":
                self.conclude(row, entry)

    def ask(self, peer: Peer, do: str, **request: Any) -> Entry:
        try:
            return peer.ask(self.settings.limit, do, **request)
        except PeerError as error:
            return {"error": str(error)}

    @contextlib.contextmanager
    def turn_of(self, name: str, entry: Entry) -> Iterator[Peer | None]:
        """The contestant's process, awake for a while; a new one if the last one died."""
        peer = self.peers.get(name)
        if peer is None or not peer.alive:
            if peer is not None:
                peer.close()
            try:
                peer, answer = self.new_peer(entry["framework"], entry["mode"])
            except PeerError as error:
                answer = {"error": str(error)}
            if failed(answer, entry) or peer is None:
                yield None
                return
            self.peers[name] = peer
        peer.resume()
        try:
            yield peer
        finally:
            peer.pause()
            time.sleep(PAUSE)

    def drop_all(self, entries: dict[str, Entry]) -> None:
        for name, entry in entries.items():
            peer = self.peers.get(name)
            if peer is not None and peer.alive:
                with self.turn_of(name, entry) as awake:
                    if awake is not None:
                        self.ask(awake, "drop")

    def floor(self, row: Row) -> Entry | None:
        """The least time that this machine could need, and what decides it. What is copied may lie
        in a cache: `possible` seconds are a time that nobody can be below.
        """
        if not self.floors or not row.work:
            return None
        flops = max(each.flops for each in self.floors)
        moved = max(each.bytes for each in self.floors)
        copy = max(each.copy for each in self.floors)
        work = {"flop": 0.0, "bytes": 0.0, "copied": 0.0} | row.work
        compute = work["flop"] / flops
        memory = max(work["bytes"] / moved, work["copied"] / copy)
        possible = max(compute, (work["bytes"] + work["copied"]) / moved)
        by = "compute" if compute > memory else "memory"
        return {"seconds": max(compute, memory), "possible": possible, "by": by}

    def conclude(self, row: Row, entry: Entry) -> None:
        """Medians: of the calls of each turn, then of the turns."""
        turns = entry.get("turns")
        if not turns:
            return
        entry["times"] = [statistics.median(turn) / row.repeats for turn in turns]
        entry["median"] = statistics.median(entry["times"])
        reason = self.too_fast(row, entry)
        if reason:
            self.floors += [self.meter.measure() for _ in range(3)]  # was the machine disturbed?
            reason = self.too_fast(row, entry)
        if reason:
            entry.update(verdict="wrong", reason=reason)
            self.say(f"  {entry['framework']}/{entry['mode']}: wrong: {reason}")

    def too_fast(self, row: Row, entry: Entry) -> str:
        floor = self.floor(row)
        return judge.too_fast(entry["median"] * row.repeats, floor["possible"] if floor else None)

    def report(self) -> Entry:
        """All that was found, ready for JSON."""
        settings = self.settings._asdict()
        settings.pop("python")
        if not self.floors:
            self.floors.append(self.meter.measure())
        middle = [statistics.median(column) for column in zip(*self.floors, strict=True)]
        best = [max(column) for column in zip(*self.floors, strict=True)]
        return {
            "format": FORMAT,
            "when": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": machine.facts() | {"load": machine.load()},
            "settings": settings,
            "floors": {"median": middle, "best": best, "names": list(Floors._fields)},
            "reach": [min(self.reaches), max(self.reaches)] if self.reaches else [],
            "frameworks": self.frameworks,
            "rows": self.rows,
        }

    def close(self) -> None:
        for peer in self.peers.values():
            peer.close()
        self.meter.close()


def failed(answer: Entry, entry: Entry) -> bool:
    """Whether an answer says that the contestant is out; the entry then tells why."""
    for verdict in ("refused", "error"):
        if verdict in answer:
            entry.update(verdict=verdict, reason=answer[verdict])
            return True
    return False
