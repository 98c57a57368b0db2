"""Relying parties: ``clients.yaml``, checked strictly, read anew when it changes.

A wrong file never replaces a good one: the last good clients stay, and the problem is logged and shown by readiness and
by ``idp clients check`` with file, line and remedy. Secrets stand in the file as hashes, or as ``${NAME}`` of an
environment variable.
"""

from __future__ import annotations

import difflib
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog
from pydantic import ValidationError

from idp.client_record import Client, hash_secret
from idp.clients_file import Node, Refused, parse
from idp.errors import OperatorError
from idp.files import Stamp, replace, stamp

LARGEST_FILE = 16 * 2**20
# A secret from the environment is not ours: it must not be guessable (128 bits as hex).
SHORTEST_SECRET = 32
_SEE = "see docs/operators/add-client.md"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
# Nothing hashes to this: a client whose secret is not set stays shut even where nobody looks whether it is enabled.
_NO_SECRET = "sha256:" + "0" * 64
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in ``clients.yaml``: where (lines from 1), what, and what to do. A warning only switches its client off."""

    file: str
    line: int
    message: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}. {self.remedy[:1].upper()}{self.remedy[1:]}{'' if self.remedy.endswith('?') else '.'}"


@dataclass(frozen=True)
class Reading:
    """What a file says: its clients by client_id, the line of each, and what is wrong, in the order of the lines."""

    file: str
    content: bytes
    clients: dict[str, Client]
    lines: dict[str, int]
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        """The problems because of which the file cannot be taken."""
        return [problem for problem in self.problems if not problem.warning]

    @property
    def algorithms(self) -> frozenset[str]:
        """All algorithms that some client wants its tokens signed with; always RS256."""
        return frozenset({"RS256"}.union(*(client.algorithms for client in self.clients.values())))

    def without_keys(self, signable: Collection[str]) -> list[Problem]:
        """A problem for each client that wants an algorithm for which no key is there."""
        remedy = "run: idp keys rotate --alg {} (until then a running provider keeps the last good file)"
        return [
            Problem(self.file, self.lines[client_id], f"{client_id}: there is no key for {alg} yet", remedy.format(alg))
            for client_id, client in self.clients.items()
            for alg in sorted(client.algorithms - set(signable))
        ]


def read_file(path: Path, environ: Mapping[str, str], *, loopback: bool) -> Reading:
    """Read and check a whole file.

    :param environ: where ``${NAME}`` is looked up.
    :param loopback: whether the issuer is on loopback, so that clients may be too.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = Problem(
            str(path), 1, f"the file cannot be read ({error.strerror})", "give a readable file as IDP_CLIENTS"
        )
        return Reading(str(path), b"", {}, {}, [problem])
    return read_content(content, str(path), environ, loopback=loopback)


def read_content(content: bytes, file: str, environ: Mapping[str, str], *, loopback: bool) -> Reading:
    """The same for what stands, or would stand, in the file called ``file``."""
    try:
        records = read_records(content)
    except Refused as refused:
        return Reading(file, content, {}, {}, [Problem(file, refused.line, refused.message, refused.remedy)])
    clients: dict[str, Client] = {}
    problems: list[Problem] = []
    for client_id, node in records.items():
        try:
            clients[client_id], unset = _read_client(client_id, node, environ, loopback)
            for other in clients[client_id].introspects:
                if other not in records:
                    line = node.value["introspects"].key_line + 1
                    raise Refused(line, f"introspects: there is no client `{other}`", "correct or remove it")
        except Refused as refused:
            problems.append(Problem(file, refused.line, f"{client_id}: {refused.message}", refused.remedy))
        except ValidationError as error:
            rows = error.errors(include_url=False, include_input=False)
            problems += [Problem(file, *_explain(row, client_id, node)) for row in rows]
        else:
            for name, line in unset:
                message = f"{client_id}: is off, because ${{{name}}} is not set"
                problems.append(Problem(file, line, message, f"set {name} and start again", warning=True))
    lines = {client_id: node.key_line + 1 for client_id, node in records.items()}
    return Reading(file, content, clients, lines, sorted(problems, key=lambda problem: problem.line))


def read_records(content: bytes) -> dict[str, Node]:
    """The blocks below ``clients:``, by client_id.

    :raises Refused: when there are none.
    """
    try:
        if len(content) > LARGEST_FILE:
            raise Refused(1, "the file is larger than 16 MiB", "remove what is not needed")
        root = parse(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(content.count(b"\n", 0, error.start) + 1, "this is not UTF-8", "save the file as UTF-8") from None
    if not isinstance(root.value, dict) or set(root.value) != {"clients"}:
        raise Refused(root.line + 1, "there must be `clients:` and nothing beside it", "begin the file with `clients:`")
    records = root.value["clients"].value
    if not isinstance(records, dict) or not records:
        raise Refused(root.line + 1, "no client is listed", "write a client_id, and its settings indented below it")
    return records


def _read_client(
    client_id: str, node: Node, environ: Mapping[str, str], loopback: bool
) -> tuple[Client, list[tuple[str, int]]]:
    """The client, and (name, line) of each environment variable that it needs and that is not set."""
    if not isinstance(node.value, dict):
        raise Refused(node.key_line + 1, "has no settings", "write `name:`, `type:` … indented below it")
    if "client_id" in node.value:
        line = node.value["client_id"].key_line + 1
        raise Refused(line, "client_id: is said twice", "remove the line: the name of the block is the client_id")
    data = {**node.plain(), "client_id": client_id}
    unset: list[tuple[str, int]] = []
    if isinstance(data.get("secrets"), tuple):
        data["secrets"] = tuple(_read_secret(item, environ, unset) for item in node.value["secrets"].value)
    client = Client.model_validate(data, context={"loopback": loopback})
    if unset and client.enabled:
        return client.model_copy(update={"enabled": False}), unset
    return client, []


def _read_secret(node: Node, environ: Mapping[str, str], unset: list[tuple[str, int]]) -> dict[str, Any]:
    line = node.line + 1
    if isinstance(node.value, dict):
        data: dict[str, Any] = node.plain()
        if unknown := set(data) - {"hash", "expires"}:
            raise Refused(line, f"secrets: `{min(unknown)}` is unknown", "write `hash:` and, if it ends, `expires:`")
        if "expires" in data:
            data["expires"] = read_time(data["expires"], line)
        return data
    reference = _REFERENCE.match(node.value) if isinstance(node.value, str) else None
    if reference is None:
        # The value is not repeated: it is likely the secret itself.
        message = "secrets: this is neither a hash nor the ${NAME} of an environment variable"
        raise Refused(line, message, "never write a secret here; run `idp clients rotate-secret`")
    name = reference[1]
    if name.startswith("IDP_"):
        raise Refused(line, f"secrets: ${{{name}}} is one of our own settings", "choose another name")
    value = environ.get(name, "")
    if not value:
        unset.append((name, line))
        return {"hash": _NO_SECRET, "reference": name}
    if len(value) < SHORTEST_SECRET:
        message = f"secrets: ${{{name}}} is shorter than {SHORTEST_SECRET} characters"
        raise Refused(line, message, "make one with: openssl rand -hex 32")
    return {"hash": hash_secret(value), "reference": name}


def read_time(value: Any, line: int) -> float:
    """An ``expires`` of the file as epoch seconds.

    :raises Refused: when it is no time with its zone.
    """
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found.tzinfo is None:
        raise Refused(line, "secrets: `expires` is no time with its zone", "write it like 2026-12-31T23:59:00Z")
    return found.timestamp()


# Pydantic's words for what a record can get wrong, in the words of somebody who edits the file.
_WRONG = {
    "string_type": ("must be text", "put it in quotes"),
    "bool_type": ("must be true or false", "write true or false, without quotes"),
    "int_type": ("must be a whole number", "write digits, without quotes"),
    "tuple_type": ("must be a list", "write each value on its own line after a dash, or as [a, b]"),
    "dict_type": ("must be a block of `key: value`", "write its keys indented below it"),
    "string_pattern_mismatch": ("holds a character that is not allowed, or is empty or too long", _SEE),
}


def _explain(row: Any, client_id: str, node: Node) -> tuple[int, str, str]:
    """One of pydantic's findings as line, message and remedy."""
    context = row.get("ctx", {})
    path = [context["field"]] if context.get("field") else list(row["loc"])
    place, line = node, node.key_line + 1
    for part in path:
        if isinstance(place.value, dict) and part not in place.value:
            break
        if not isinstance(place.value, dict | tuple):
            break
        place = place.value[part]
        line = place.key_line + 1
    name, kind = (str(path[0]) if path else ""), row["type"]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(name, Client.model_fields, 1)
        return line, f"{client_id}: `{name}` is unknown", f"did you mean `{close[0]}`?" if close else "remove it"
    if kind == "missing":
        return line, f"{client_id}: `{name}` is missing", _SEE
    if kind == "refused":
        message, remedy = context["message"], context["remedy"]
    else:
        message, remedy = _WRONG.get(kind, (row["msg"][:1].lower() + row["msg"][1:], _SEE))
    return line, f"{client_id}: {name}: {message}", remedy


class Clients:
    """The relying parties of this process. Looks at most once a second whether the file was replaced."""

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        *,
        loopback: bool,
        signable: Callable[[], Collection[str]] | None = None,
        last_good: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file.

        :param environ: where ``${NAME}`` is looked up.
        :param loopback: whether the issuer is on loopback, so that clients may be too.
        :param signable: tells the algorithms that have a signing key. A file that asks for another one is not taken
            until ``idp keys rotate --alg`` has made it.
        :param last_good: where a copy of the last good file is kept, so that a worker that starts while the file is
            wrong serves the same clients as its siblings.
        :param clock: seconds that only grow.
        :raises OperatorError: with every error of the file, when there is no good copy either.
        """
        self._path, self._environ, self._loopback = path, environ, loopback
        self._signable, self._last_good, self._clock = signable, last_good, clock
        self._reading = threading.Lock()
        self._clients: Mapping[str, Client] = {}
        self._enabled: dict[str, Client] = {}
        self._stamp: Stamp | None = None
        self.problem: str | None = None
        self.problems: tuple[Problem, ...] = ()  # the same with their places
        self.warnings: tuple[Problem, ...] = ()
        self.lines: Mapping[str, int] = {}  # of each client, where it stands in the file that holds
        self._taken = clock()
        self._next_look = clock() + 1
        if not self._read_anew() and not self._take_last_good():
            raise OperatorError(self.problem or "")

    def find(self, client_id: str) -> Client | None:
        """The client, unless it is unknown or not enabled."""
        self._look()
        return self._enabled.get(client_id)

    def all(self) -> Mapping[str, Client]:
        """Every client by its id, also those that are not enabled."""
        self._look()
        return self._clients

    def age(self) -> float:
        """Seconds since the clients that hold were read."""
        return self._clock() - self._taken

    def algorithms(self) -> frozenset[str]:
        """All algorithms that some client wants its tokens signed with; always RS256."""
        self._look()
        return self._algorithms

    def _look(self) -> None:
        now = self._clock()
        if now < self._next_look or not self._reading.acquire(blocking=False):
            return
        try:
            self._next_look = now + 1
            # A file that waits for a key is looked at again even though it did not change.
            if self.problem is not None or _find_stamp(self._path) != self._stamp:
                self._read_anew()
        finally:
            self._reading.release()

    def _read_anew(self) -> bool:
        """Whether the file could be taken."""
        before = self.problem
        # Taken before reading: a file that is replaced meanwhile is noticed at the next look.
        self._stamp = _find_stamp(self._path)
        reading = read_file(self._path, self._environ, loopback=self._loopback)
        errors = reading.errors or (reading.without_keys(self._signable()) if self._signable else [])
        self.problems = tuple(errors)
        self.problem = "\n".join(str(error) for error in errors) or None
        if self.problem is None:
            self._take(reading)
            self._keep_copy(reading.content)
        elif self.problem != before:
            _log.error("clients_not_read", problem=self.problem, kept=len(self._clients))
        return self.problem is None

    def _take(self, reading: Reading) -> None:
        self._clients = MappingProxyType(reading.clients)
        self._enabled = {client_id: client for client_id, client in reading.clients.items() if client.enabled}
        self._algorithms = reading.algorithms
        self.warnings = tuple(reading.problems)
        self.lines, self._taken = reading.lines, self._clock()
        _log.info("clients_read", file=reading.file, clients=len(self._clients), enabled=len(self._enabled))
        for warning in self.warnings:
            _log.warning("client_off", problem=str(warning))

    def _take_last_good(self) -> bool:
        if self._last_good is None:
            return False
        reading = read_file(self._last_good, self._environ, loopback=self._loopback)
        if reading.errors:
            return False
        self._take(reading)
        return True

    def _keep_copy(self, content: bytes) -> None:
        if self._last_good is None:
            return
        try:
            replace(self._last_good, content)
        except OperatorError as error:
            _log.warning("clients_not_copied", problem=str(error))


def _find_stamp(path: Path) -> Stamp | None:
    try:
        return stamp(path)
    except OSError:
        return None
