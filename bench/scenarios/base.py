"""What every scenario works with."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.process import Relay

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the bench."""

    #: temporary, on the disk that is measured
    folder: Path
    quick: bool

    def pick(self, full: T, quick: T) -> T:
        """The size of something."""
        return quick if self.quick else full

    def home(self) -> Path:
        """A fresh home folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    @contextlib.contextmanager
    def relay(self) -> Iterator[Relay]:
        """A fresh relay on a fresh database."""
        with Relay(self.home()) as relay:
            yield relay


def agent_ids(count: int) -> list[str]:
    """Names."""
    return [f"agent-{number}" for number in range(count)]
