"""What the kernel knows of a process: its CPU time, its memory, its children, and who listens on a port."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

TICK = os.sysconf("SC_CLK_TCK")


def cpu(processes: Iterable[int]) -> float:
    """Seconds of CPU that these processes have used, user and system, all their threads."""
    used = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICK


@dataclass(frozen=True)
class Memory:
    """Megabytes. ``rss``: all that is mapped; ``pss``: with what is shared divided by those who share it; ``own``: shared with
    nobody."""

    rss: float
    pss: float
    own: float


def memory(process: int) -> Memory:
    found: dict[str, int] = {}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, _ = line.split()
        found[name] = int(value)
    own = found["Private_Clean:"] + found["Private_Dirty:"]
    return Memory(*(round(number / 1024, 1) for number in (found["Rss:"], found["Pss:"], own)))


def descendants(process: int) -> list[int]:
    """Its children, their children and so on."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(parents.get(process, ()))
    for child in found:
        found += parents.get(child, ())
    return found


def listeners(processes: Iterable[int], port: int) -> list[int]:
    """Those of ``processes`` that hold a socket on which ``port`` is listened to."""
    sockets = {
        f"socket:[{fields[9]}]"
        for fields in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    return [process for process in processes if sockets & set(_open_files(process))]


def _open_files(process: int) -> Iterator[str]:
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            yield os.readlink(link)
        except OSError:  # closed meanwhile
            continue


@contextmanager
def watched(look: Callable[[], float], every: float = 0.02) -> Iterator[list[float]]:
    """Collect what ``look`` says, again and again, while the block runs."""
    seen, over = [look()], Event()

    def watch() -> None:
        while not over.wait(every):
            seen.append(look())

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
