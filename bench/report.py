"""Figures, and how they are shown: a table, JSON, and the section of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from bench.process import ROOT, WORK

DOC = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- table: make bench ARGS=--write-doc -->", "<!-- end of table -->"
_HEAD = ("scenario", "figure", "value", "target", "floor in the same run", "ratio", "verdict")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure."""

    name: str
    value: float
    unit: str
    #: what it must reach; of the ratio if ``by_ratio``
    target: float | None = None
    at_least: bool = False
    by_ratio: bool = False
    #: what the machine can do at all, in the same unit
    floor: float | None = None
    floor_name: str = ""

    @property
    def ratio(self) -> float | None:
        """To the floor."""
        return self.value / self.floor if self.floor else None

    @property
    def ok(self) -> bool | None:
        """Whether it reaches its target, if it has one."""
        judged = self.ratio if self.by_ratio else self.value
        if self.target is None or judged is None:
            return None
        return judged >= self.target if self.at_least else judged <= self.target


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One scenario's figures, and how disturbed it was."""

    scenario: str
    figures: list[Figure]
    took_s: float
    #: load average when it ended
    load: float
    #: share of all processors that others took meanwhile
    others: float


def table(outcomes: Sequence[Outcome], *, markdown: bool = False) -> str:
    """For people."""
    rows = [
        _row(outcome, figure, first=index == 0) for outcome in outcomes for index, figure in enumerate(outcome.figures)
    ]
    if markdown:
        lines = [_HEAD, tuple("---" for _ in _HEAD), *rows]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    widths = [max(len(cells[column]) for cells in (_HEAD, *rows)) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (_HEAD, *rows)
    )


def _row(outcome: Outcome, figure: Figure, *, first: bool) -> tuple[str, ...]:
    target = ""
    if figure.target is not None:
        sign = "≥" if figure.at_least else "≤"
        target = f"{sign} {number(figure.target)}{'×' if figure.by_ratio else ' ' + figure.unit}"
    floor = f"{number(figure.floor)} {figure.unit} ({figure.floor_name})" if figure.floor is not None else ""
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}×"
    verdict = {None: "", True: "ok", False: "MISS"}[figure.ok]
    shown = outcome.scenario if first else ""
    return shown, figure.name, f"{number(figure.value)} {figure.unit}", target, floor, ratio, verdict


def number(value: float) -> str:
    """Three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def machine() -> dict[str, str]:
    """What was measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "date": date.today().isoformat(),  # noqa: DTZ011 - the reader's day
        "cores": str(os.cpu_count()),
        "cpu": cpu,
        "kernel": platform.release(),
        "filesystem": filesystem(WORK),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def filesystem(path: Path) -> str:
    """The type of the file system that holds a folder."""
    best = ("", "unknown")
    here = str(path.resolve())
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind = line.split()[:3]
        if (here == mount or here.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def write_json(outcomes: Sequence[Outcome], *, quick: bool) -> Path:
    """For programs."""
    found: dict[str, Any] = {"machine": machine(), "quick": quick, "scenarios": []}
    for outcome in outcomes:
        figures = [asdict(figure) | {"ratio": figure.ratio, "ok": figure.ok} for figure in outcome.figures]
        found["scenarios"].append(asdict(outcome) | {"figures": figures})
    path = WORK / "latest.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    return path


def write_doc(outcomes: Sequence[Outcome]) -> None:
    """Replace the section between the markers."""
    about = machine()
    where = (
        f"{about['date']}, {about['cores']} cores of {about['cpu']}, Linux {about['kernel']}, {about['filesystem']}, "
        f"Python {about['python']}, SQLite {about['sqlite']}. Other programs took "
        f"{min(o.others for o in outcomes):.0%} to {max(o.others for o in outcomes):.0%} of the processors meanwhile."
    )
    text = DOC.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"bench: {DOC} has lost its markers {BEGIN} and {END}")
    DOC.write_text(f"{before}{BEGIN}\n{where}\n\n{table(outcomes, markdown=True)}\n{END}{after}")
