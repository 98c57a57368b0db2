"""What a running provider holds of the machine: memory, open files, temporary files, and children that nobody has buried."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

from tests.running import Provider


@dataclass(frozen=True)
class Holding:
    """Of the processes that answer and of the background work, not of the stores.

    :ivar memory: MB that are mapped.
    :ivar zombies: children that have ended and whose end nobody has noticed.
    """

    memory: float
    files: int
    temporary: int
    zombies: int


def holding(provider: Provider, temporary: Path) -> Holding:
    """Look. ``temporary``: the provider's TMPDIR."""
    assert provider.process is not None
    family = provider.family()
    ours = [provider.process.pid, *family.workers, *family.background]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in ours)
    files = sum(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) for pid in ours)
    return Holding(
        pages * resource.getpagesize() / 2**20,
        files,
        sum(1 for _ in temporary.rglob("*")),
        sum(_is_zombie(child) for pid in ours for child in _children(pid)),
    )


def _children(pid: int) -> list[int]:
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
