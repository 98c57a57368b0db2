"""Commands change a few lines of clients.yaml and leave what the operator wrote."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from idp.client_changes import ClientsFile, add_client, rotate_secret
from idp.client_record import Client, hash_secret
from idp.clients import read_file
from idp.errors import OperatorError
from tests import canaries

NOW = 1_800_000_000
OLD = canaries.register("the-old-secret-of-a-client-in-a-file", "client secret")
NEW = canaries.register("the-new-secret-of-a-client-in-a-file", "client secret")
NEXT = canaries.register("the-next-secret-of-a-client-in-a-file", "client secret")
DAY = 86_400

TEXT = f"""\
# Ours. Ask Ann before you change anything.
clients:

    # the shop
    shop:   # since 2024
        name: 'Shop'
        type: web
        secrets:   # see the vault
        - hash: {hash_secret(OLD)}   # made by Ann

        redirect_uris: [ "https://shop.example/cb" ]

    # the app
    app:
        name: App
        type: native
        redirect_uris:
        - com.example.app:/cb
# the end
"""


@pytest.fixture
def file(tmp_path: Path) -> ClientsFile:
    path = tmp_path / "clients.yaml"
    path.write_text(TEXT)
    return ClientsFile(path, {}, loopback=False)


def changes(file: ClientsFile, before: str = TEXT) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), file.path.read_text().splitlines())
    return [line for line in lines if line[0] in "+-"]


def client(file: ClientsFile, client_id: str) -> Client:
    reading = read_file(file.path, {}, loopback=False)
    assert reading.problems == []
    return reading.clients[client_id]


def test_a_rotated_secret_adds_two_lines_and_both_secrets_are_valid_for_a_while(file: ClientsFile) -> None:
    assert rotate_secret(file, "shop", NEW, 7 * DAY, NOW) == NOW + 7 * DAY
    assert changes(file) == ["+           expires: 2027-01-22T08:00:00Z", f"+         - hash: {hash_secret(NEW)}"]
    shop = client(file, "shop")
    assert shop.secret_matches(OLD, NOW + 7 * DAY - 1) and shop.secret_matches(NEW, NOW)
    assert not shop.secret_matches(OLD, NOW + 7 * DAY)


def test_a_third_secret_waits_until_the_first_is_over(file: ClientsFile) -> None:
    rotate_secret(file, "shop", NEW, DAY, NOW)
    before = file.path.read_text()
    with pytest.raises(OperatorError, match="two secrets are valid already, the older one until 2027-01-16T08:00:00Z"):
        rotate_secret(file, "shop", NEXT, DAY, NOW + DAY - 1)
    assert file.path.read_text() == before
    rotate_secret(file, "shop", NEXT, DAY, NOW + DAY)
    shop = client(file, "shop")
    assert len(shop.secrets) == 2
    assert shop.secret_matches(NEW, NOW + DAY) and shop.secret_matches(NEXT, NOW + DAY)


def test_an_overlap_of_nothing_ends_every_other_secret_at_once(file: ClientsFile) -> None:
    rotate_secret(file, "shop", NEW, DAY, NOW)
    assert rotate_secret(file, "shop", NEXT, 0, NOW + 1) is None
    shop = client(file, "shop")
    assert [shop.secret_matches(secret, NOW + 1) for secret in (OLD, NEW, NEXT)] == [False, False, True]
    assert "# since 2024" in file.path.read_text() and "# the end" in file.path.read_text()


def test_a_client_without_any_secret_gets_its_first(file: ClientsFile) -> None:
    text = TEXT.replace("        secrets:   # see the vault\n", "").replace(
        f"        - hash: {hash_secret(OLD)}   # made by Ann\n", ""
    )
    file.path.write_text(text)
    assert rotate_secret(file, "shop", NEW, 7 * DAY, NOW) is None
    assert client(file, "shop").secret_matches(NEW, NOW)


def test_a_new_client_stands_at_the_end_and_nothing_else_moves(file: ClientsFile) -> None:
    settings = {
        "name": "Say: no # more",
        "type": "web",
        "first_party": False,
        "redirect_uris": ("https://new.example/cb",),
    }
    added = add_client(file, "new", settings, NEW)
    assert [line[2:] for line in changes(file)] == [
        "",
        "    new:",
        '      name: "Say: no # more"',
        "      type: web",
        "      first_party: false",
        "      redirect_uris:",
        "        - https://new.example/cb",
        "      secrets:",
        f"        - hash: {hash_secret(NEW)}",
    ]
    assert file.path.read_text().endswith("# the end\n")
    assert added == client(file, "new")
    assert (added.name, added.first_party, added.secret_matches(NEW, NOW)) == ("Say: no # more", False, True)


@pytest.mark.parametrize(
    "name", ["yes", "true", "null", "42", "~", "- x", "[a]", "a: b", "#x", "'", '"', "é", "x ", "&a", "*", "%", "@"]
)
def test_a_name_is_written_so_that_it_is_read_again(file: ClientsFile, name: str) -> None:
    settings = {"name": name, "type": "spa", "redirect_uris": ("https://new.example/cb",)}
    assert add_client(file, "new", settings, None).name == name
    assert client(file, "new").name == name


@pytest.mark.parametrize("text", [None, "clients:\n", "# mine\nclients:", "clients:\n  # nobody yet\n"])
def test_the_first_client_makes_the_file(tmp_path: Path, text: str | None) -> None:
    file = ClientsFile(tmp_path / "clients.yaml", {}, loopback=False)
    if text is not None:
        file.path.write_text(text)
    add_client(file, "new", {"name": "New", "type": "spa", "redirect_uris": ("https://new.example/cb",)}, None)
    assert client(file, "new").name == "New"
    if text is not None:
        assert file.path.read_text().startswith(text.rstrip("\n"))


def test_a_file_without_a_last_line_end_is_no_trap(file: ClientsFile) -> None:
    file.path.write_text(TEXT.removesuffix("# the end\n").rstrip("\n"))
    add_client(file, "new", {"name": "New", "type": "spa", "redirect_uris": ("https://new.example/cb",)}, None)
    assert client(file, "new").name == "New" and client(file, "app").name == "App"


def rotate(client_id: str) -> Callable[[ClientsFile], object]:
    return lambda file: rotate_secret(file, client_id, NEW, DAY, NOW)


def add(client_id: str, **settings: object) -> Callable[[ClientsFile], object]:
    full = {"name": "New", "type": "spa", "redirect_uris": ("https://new.example/cb",)} | settings
    return lambda file: add_client(file, client_id, full, None)


IN_ONE_LINE = re.sub(r"secrets:.*\n.*\n", f"secrets: [{{hash: '{hash_secret(OLD)}'}}]\\n", TEXT)
FLOW = "clients: {shop: {name: Shop, type: spa, redirect_uris: ['https://shop.example/cb']}}\n"


@pytest.mark.parametrize(
    ("text", "act", "says"),
    [
        (TEXT, rotate("nobody"), "there is no client 'nobody'"),
        (TEXT, rotate("app"), r"clients.yaml:19: app: secrets: have no effect with `none`"),
        (TEXT.replace(f"hash: {hash_secret(OLD)}", "${SHOP}"), rotate("shop"), "its secret comes from the environment"),
        (IN_ONE_LINE, rotate("shop"), "clients.yaml:8: shop: secrets: this cannot be edited by command"),
        (TEXT, add("app"), r"clients.yaml:14: there is a client `app` already. See it: idp clients show"),
        (TEXT, add("bad id"), "client_id: holds a character"),
        (TEXT, add("new", redirect_uris=("http://new.example/cb",)), "redirect_uris: is http"),
        (TEXT, add("new", redirect_uris=("https://x.example/a\n  evil:\n",)), "redirect_uris: holds a character"),
        (TEXT, add("new\n    evil", name="x"), "not YAML|client_id: holds"),
        (TEXT.replace("type: native", "type: nothing"), add("new"), "clients.yaml:16: app: type"),
        (FLOW, add("new"), "cannot be edited by command. Write `clients:` as a block"),
        ("- a\n", add("new"), "cannot be edited by command"),
        ("a: [\n", add("new"), "not YAML"),
        ("", add("new"), "the file is empty"),
    ],
)
def test_a_change_that_cannot_be_right_changes_nothing(
    file: ClientsFile, text: str, act: Callable[[ClientsFile], object], says: str
) -> None:
    file.path.write_text(text)
    with pytest.raises(OperatorError, match=says) as refused:
        act(file)
    assert file.path.read_text() == text
    assert NEW not in str(refused.value)


def test_mode_and_link_of_the_file_stay(file: ClientsFile, tmp_path: Path) -> None:
    file.path.chmod(0o640)
    link = tmp_path / "elsewhere" / "link.yaml"
    link.parent.mkdir()
    link.symlink_to(file.path)
    rotate_secret(ClientsFile(link, {}, loopback=False), "shop", NEW, DAY, NOW)
    assert link.is_symlink() and not file.path.is_symlink()
    assert file.path.stat().st_mode & 0o777 == 0o640
    assert client(file, "shop").secret_matches(NEW, NOW)
