"""``python -m bench [NAME…]``: measure the relay, print a table, write JSON."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import report
from bench.process import work_folder
from bench.report import Figure, Outcome
from bench.scenarios import commands, dashboard, history, idle, post, race, sockets, streams, tasks
from bench.scenarios.base import Run

SCENARIOS: dict[str, Callable[[Run], list[Figure]]] = {
    "post": post.run,
    "streams": streams.run,
    "sockets": sockets.run,
    "race": race.run,
    "tasks": tasks.run,
    "history": history.run,
    "dashboard": dashboard.run,
    "commands": commands.run,
    "idle": idle.run,
}


def main() -> int:
    """Run what was asked for; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the relay in this checkout.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter; targets are for the full run")
    parser.add_argument("--write-doc", action="store_true", help="put the table into docs/performance.md")
    given = parser.parse_args()
    unknown = set(given.names) - SCENARIOS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SCENARIOS)}")
    if given.write_doc and (given.quick or given.names):
        parser.error("--write-doc is for a whole run: leave out --quick and the names")
    outcomes: list[Outcome] = []
    with work_folder() as folder:
        run = Run(folder=folder, quick=given.quick)
        for name in given.names or SCENARIOS:
            outcomes.append(_measure(name, run))
            print(report.table(outcomes[-1:]), end="\n\n", flush=True)
    where = report.write_json(outcomes, quick=given.quick)
    if given.write_doc:
        report.write_doc(outcomes)
    if len(outcomes) > 1:
        print(report.table(outcomes), end="\n\n")
    print(f"Written to {where.relative_to(Path.cwd()) if where.is_relative_to(Path.cwd()) else where}")
    return int(any(figure.ok is False for outcome in outcomes for figure in outcome.figures))


def _measure(name: str, run: Run) -> Outcome:
    print(f"bench: {name} …", file=sys.stderr, flush=True)
    begun, busy, own = time.perf_counter(), _busy_s(), _own_s()
    figures = SCENARIOS[name](run)
    took = time.perf_counter() - begun
    others = (_busy_s() - busy - (_own_s() - own)) / took / (os.cpu_count() or 1)
    outcome = Outcome(scenario=name, figures=figures, took_s=took, load=os.getloadavg()[0], others=max(0.0, others))
    print(f"bench: {name} took {took:.0f} s; load {outcome.load:.1f}, others {outcome.others:.0%}", file=sys.stderr)
    return outcome


def _busy_s() -> float:
    """Processor time that the whole machine has spent on programs."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """Processor time of this process and of those that it started and that have ended."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


if __name__ == "__main__":
    sys.exit(main())
