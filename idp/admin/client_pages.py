"""``/operator/clients``: the relying parties as clients.yaml says them. Only to be read: the file is the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort

from idp.admin.access import admin_page, needs
from idp.admin.operator_counts import moment
from idp.admin.staff import Right
from idp.client_record import Client
from idp.clients import Problem
from idp.parts import clients_path, parts

bp = Blueprint("client_pages", __name__)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What may be told of a client's secrets: how many count now, and until when those that end do."""

    valid: int
    ends: tuple[str, ...]


@bp.get("/operator/clients")
@needs(Right.see_operations)
def list_clients() -> Response:
    """All of them, and what is wrong with the file."""
    clients = parts().clients
    found = clients.all().values()
    return admin_page(
        "admin/operator_clients.html",
        place="operator",
        here="clients",
        file=str(clients_path(parts().config)),
        read_at=parts().clock() - clients.age(),
        found=[(client.client_id, client.name, client.type, client.enabled, _line(client)) for client in found],
        problems=clients.problems,
        warnings=clients.warnings,
    )


@bp.get("/operator/clients/<client_id>")
@needs(Right.see_operations)
def show_client(client_id: str) -> Response:
    """One of them with every setting that holds."""
    client = parts().clients.all().get(client_id)
    if client is None:
        abort(404)
    return admin_page(
        "admin/operator_client.html",
        place="operator",
        here="clients",
        client_id=client.client_id,
        name=client.name,
        on=client.enabled,
        line=_line(client),
        settings=settings_of(client),
        secrets=secrets_of(client, parts().clock()),
        problems=_problems_of(client),
    )


def settings_of(client: Client) -> list[tuple[str, list[str], bool]]:
    """Each setting by its name in the file, its values, and whether the file says it. No secret, and of keys only how many."""
    values: dict[str, Any] = client.model_dump(mode="json", exclude={"secrets", "jwks", "client_id", "name"})
    if client.jwks is not None:
        values["jwks"] = len(client.jwks["keys"])
    return [
        (
            name,
            [_written(one) for one in (value if isinstance(value, list) else [value])],
            name in client.model_fields_set,
        )
        for name, value in values.items()
        if value is not None
    ]


def secrets_of(client: Client, now: float) -> Secrets:
    """What may be told of the secrets of a client."""
    valid = [secret for secret in client.secrets if secret.is_valid(now)]
    return Secrets(len(valid), tuple(moment(secret.expires) for secret in valid if secret.expires is not None))


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(client: Client) -> int:
    return parts().clients.lines.get(client.client_id, 0)


def _problems_of(client: Client) -> list[Problem]:
    clients = parts().clients
    return [one for one in (*clients.problems, *clients.warnings) if one.message.startswith(f"{client.client_id}:")]
