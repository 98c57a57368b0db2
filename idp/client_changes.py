"""Changes to ``clients.yaml`` by command: a few lines are put in or taken out, everything else stays as it was written.

The result is checked before it replaces the file, so a command never leaves a file that a provider would not take.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from idp.client_record import Client, hash_secret
from idp.clients import Problem, read_content, read_records, read_time
from idp.clients_file import Node, Refused, parse
from idp.errors import OperatorError
from idp.files import only_one, replace

_PLAIN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9 ._/:+-]*[A-Za-z0-9/]\Z")


@dataclass(frozen=True, slots=True)
class ClientsFile:
    """Which file is changed, and what it is checked against."""

    path: Path
    environ: Mapping[str, str]
    loopback: bool

    def change(self, edit: Callable[[list[str]], list[str]]) -> dict[str, Client]:
        """Replace the file by what ``edit`` makes of its lines, if that is right.

        :returns: the clients that the file has now.
        :raises OperatorError: when it would be wrong afterwards, or cannot be read or written. Then nothing was changed.
        """
        path = self.path.resolve()
        try:
            with only_one(path.parent):
                exists = path.exists()
                text = path.read_text("utf-8") if exists else "clients:\n"
                mode = stat.S_IMODE(path.stat().st_mode) if exists else 0o644
                content = "".join(edit(_lines(text))).encode("utf-8")
                reading = read_content(content, str(self.path), self.environ, loopback=self.loopback)
                if reading.errors:
                    said = "\n".join(str(problem) for problem in reading.errors)
                    raise OperatorError(f"Nothing was changed. The file would be wrong:\n{said}")
                replace(path, content, mode)
                return reading.clients
        except Refused as refused:
            problem = Problem(str(self.path), refused.line, refused.message, refused.remedy)
            raise OperatorError(f"{problem} Nothing was changed.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise OperatorError(f"{self.path}: cannot be read ({error}). Nothing was changed.") from error


def add_client(file: ClientsFile, client_id: str, settings: Mapping[str, Any], secret: str | None) -> Client:
    """Write a new client at the end of the file; make the file if there is none.

    :param settings: its settings as in the file; lists are written one value a line.
    :param secret: its secret, of which only the hash is written; None for a public client.
    :raises OperatorError: when the client_id is taken, or a setting is wrong.
    """

    def edit(lines: list[str]) -> list[str]:
        root = parse("".join(lines))
        clients = root.value.get("clients") if isinstance(root.value, dict) else None
        if clients is None or clients.flow:
            raise Refused(root.line + 1, "this cannot be edited by command", "write `clients:` as a block")
        if clients.value is None:
            clients = Node({}, clients.line, 2, len(lines) - 1, clients.key_line)
        if client_id in clients.value:
            raise Refused(
                clients.value[client_id].key_line + 1,
                f"there is a client `{client_id}` already",
                "see it: idp clients show",
            )
        indent = " " * clients.column
        block = ["\n"] if clients.value else []
        block.append(f"{indent}{client_id}:\n")
        for name, value in settings.items():
            if isinstance(value, Sequence) and not isinstance(value, str):
                block += [f"{indent}  {name}:\n", *(f"{indent}    - {_scalar(item)}\n" for item in value)]
            else:
                block.append(f"{indent}  {name}: {_scalar(value)}\n")
        if secret is not None:
            block += [f"{indent}  secrets:\n", f"{indent}    - hash: {hash_secret(secret)}\n"]
        end = clients.last_line + 1
        return lines[:end] + block + lines[end:]

    return file.change(edit)[client_id]


def rotate_secret(file: ClientsFile, client_id: str, secret: str, overlap: int, now: float) -> int | None:
    """Give a client a new secret; the old one goes on to be valid for ``overlap`` seconds, with 0 it ends at once.

    :returns: when the old one ends (epoch seconds), or None when there is none any more.
    :raises OperatorError: when there is no such client, it has no secrets, or two are valid already.
    """

    def edit(lines: list[str]) -> list[str]:
        client = read_records("".join(lines).encode("utf-8")).get(client_id)
        if client is None:
            raise OperatorError(f"{file.path}: there is no client {client_id!r}. See: idp clients list")
        if not isinstance(client.value, dict):
            raise Refused(client.key_line + 1, f"{client_id}: has no settings", "write them first")
        return _with_secret(lines, client_id, client, hash_secret(secret), overlap, now)

    secrets = file.change(edit)[client_id].secrets
    return max((int(own.expires) for own in secrets if own.expires is not None), default=None)


def _with_secret(lines: list[str], client_id: str, client: Node, new: str, overlap: int, now: float) -> list[str]:
    secrets = client.value.get("secrets")
    if secrets is None:
        indent, end = " " * client.column, client.last_line + 1
        return [*lines[:end], f"{indent}secrets:\n", f"{indent}  - hash: {new}\n", *lines[end:]]
    if not isinstance(secrets.value, tuple) or secrets.flow or any(item.flow for item in secrets.value):
        raise Refused(
            secrets.key_line + 1, f"{client_id}: secrets: this cannot be edited by command", "write `- hash:` lines"
        )
    changed = list(lines)
    # From the last to the first, so that the places of those before stay right.
    changed.insert(secrets.last_line + 1, f"{' ' * secrets.column}- hash: {new}\n")
    for item in reversed(secrets.value):
        if not isinstance(item.value, dict):
            raise Refused(
                item.line + 1,
                f"{client_id}: its secret comes from the environment",
                "change it there: name both variables here while the old one is still in use",
            )
        ends = item.value.get("expires")
        if overlap == 0 or (ends is not None and read_time(ends.value, ends.line + 1) <= now):
            del changed[item.line : item.last_line + 1]
        elif ends is not None:
            raise Refused(
                ends.key_line + 1,
                f"{client_id}: two secrets are valid already, the older one until {ends.value}",
                "wait until then, or end both at once with --overlap 0",
            )
        else:
            when = datetime.fromtimestamp(now + overlap, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            changed.insert(item.last_line + 1, f"{' ' * item.column}expires: {when}\n")
    return changed


def _lines(text: str) -> list[str]:
    """The lines with their ends, counted as YAML counts them; the last one has an end too."""
    lines = re.findall(r"[^\n]*\n|[^\n]+\Z", text)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    # JSON's quotes are YAML's, so that no text is taken for anything else.
    plain = _PLAIN_TEXT.match(text) and ": " not in text and text not in ("true", "false", "null")
    return text if plain else json.dumps(text, ensure_ascii=False)
