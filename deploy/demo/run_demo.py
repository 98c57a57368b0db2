"""``make run``: the provider, a sample product, a sample company, social stand-ins and a mailbox on this machine, until Ctrl-C.

Everything that is made here, secrets and passwords included, is made at the first start and kept in ``data/demo``. The provider differs
from production only in its settings.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from stand_ins import SITES, secret_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEPT = ROOT / os.environ.get("IDP_DATA", "data") / "demo"
ISSUER = "http://localhost:8000"
ADDRESSES = {
    "provider": (ISSUER, "the provider; /me is where a person arrives"),
    "admin center": (
        "http://localhost:8001",
        "the admin center, for administrators of companies, support and operators",
    ),
    "product": ("http://localhost:8002", "a sample product, “GoToWebinar”"),
    "Acme": ("http://localhost:8003", "“Acme”, a company that signs its people in by itself"),
    "stand-ins": ("http://localhost:8004", "stand-ins for Google, Facebook, LinkedIn, Microsoft, Apple and GitHub"),
    "mailbox": ("http://localhost:8005", "the mailbox: every mail that was sent"),
}
SMTP_PORT = 8025
NAME_SERVER_PORT = 8053
PROGRAMS: dict[str, list[str | Path]] = {
    "mailbox": [sys.executable, HERE / "mailbox.py", KEPT / "mail"],
    "name server": [sys.executable, HERE / "name_server.py", str(NAME_SERVER_PORT), KEPT / "names.json"],
    "Acme": [sys.executable, HERE / "acme.py", KEPT, "http://localhost:8003"],
    "stand-ins": [sys.executable, HERE / "stand_ins.py", "http://localhost:8004", ISSUER, KEPT / "providers.yaml"],
    "provider": [sys.executable, "-m", "idp", "serve"],
    "product": [sys.executable, HERE / "sample_product.py"],
}
STANDARD = {"carol@example.org": "Carol Example"}  # people with a password at the provider; Acme's have theirs at Acme
PEOPLE = {
    "carol@example.org": "standard account",
    "alice@acme.example": "Acme",
    "bob@acme.example": "Acme",
    "admin@acme.example": "Acme, administrator",
}
SOCIAL = {"bob@example.net": "social: at each stand-in, without a password"}
PATIENCE = 60  # seconds for a program to answer


class Stopped(Exception):
    """Somebody asked us to stop: Ctrl-C, a signal, or the end of make."""


def main() -> int:
    on_signals(stop)
    end_with_parent()
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        KEPT.mkdir(parents=True, exist_ok=True)
        KEPT.chmod(0o700)
        refuse_taken_ports()
        environment = {**os.environ, **settings(), **kept("secrets.json", client_secrets(), secrets.token_urlsafe)}
        environment |= kept("social.json", social_secrets(), secrets.token_urlsafe)
        environment |= kept("apple.json", [secret_name("apple")], signing_key)
        passwords = kept("passwords.json", list(PEOPLE), readable_password)
        run_well(*IDP, "database", "upgrade", environment=environment)
        for name, command in PROGRAMS.items():
            if name == "provider":  # which reads at its start what the stand-ins write at theirs
                wait_for(ADDRESSES["stand-ins"][0], "stand-ins", running["stand-ins"])
            running[name] = start(name, command, environment)
        for email, name in STANDARD.items():
            add_person(email, name, passwords[email], environment)
        for name, (address, _) in ADDRESSES.items():
            own = name in ("provider", "admin center")
            wait_for(f"{address}/health/ready" if own else address, name, running["provider" if own else name])
        run_well(sys.executable, HERE / "sample_company.py", KEPT, ADDRESSES["Acme"][0], environment=environment)
        show_table(passwords)
        ended, _ = os.wait()
        explain(next(name for name, process in running.items() if process.pid == ended))
    except Stopped:
        print("\nStopping …", flush=True)
        return 0
    except Failed as failure:
        print(f"make run: {failure}", file=sys.stderr)
        return 1
    finally:
        on_signals(signal.SIG_IGN)
        for process in running.values():
            process.terminate()
        for process in running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Failed(Exception):
    """Something that the person at the keyboard must mend."""


def stop(number: int, frame: FrameType | None) -> None:
    on_signals(signal.SIG_IGN)  # once is enough: make and its end both send one
    raise Stopped


def on_signals(act: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, act)


def settings() -> dict[str, str]:
    """What makes a provider of this machine out of one for the world."""
    return {
        "IDP_ISSUER": ISSUER,
        "IDP_LISTEN": "127.0.0.1:8000",
        "IDP_ADMIN_CENTER": ADDRESSES["admin center"][0],
        "IDP_ADMIN_LISTEN": "127.0.0.1:8001",
        "IDP_SMTP": f"localhost:{SMTP_PORT}",
        "IDP_SMTP_STARTTLS": "false",
        "IDP_DNS_SERVER": f"127.0.0.1:{NAME_SERVER_PORT}",
        "IDP_PROVIDERS": str(KEPT / "providers.yaml"),
        "OIDC_ISSUER": ISSUER,
    }


# --- what is kept ------------------------------------------------------------------------------------------------------------


def client_secrets() -> list[str]:
    """The names that clients.yaml takes from the environment."""
    return sorted(set(re.findall(r"\$\{(\w+)\}", (ROOT / "clients.yaml").read_text(encoding="utf-8"))))


def social_secrets() -> list[str]:
    """The names of our secrets at the stand-ins; Apple's is a key."""
    return [secret_name(kind.key) for kind in SITES if kind.key != "apple"]


def signing_key() -> str:
    """A key as Apple gives one for its client secrets."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def kept(file: str, names: list[str], make: Callable[[], str]) -> dict[str, str]:
    """A secret for each name, made once and kept in a file that only its owner reads."""
    path = KEPT / file
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    made = {name: known.get(name) or make() for name in names}
    if made != known:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump({**known, **made}, out, indent=2)
    return made


def readable_password() -> str:
    """79 bits that can be read aloud and typed: ``k7fm-2wqt-x9pd-h3ja``."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


# --- programs ------------------------------------------------------------------------------------------------------------------


IDP = (sys.executable, "-m", "idp")


def run(*command: str | Path, environment: dict[str, str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )


def run_well(*command: str | Path, environment: dict[str, str], text: str = "") -> None:
    done = run(*command, environment=environment, text=text)
    if done.returncode:
        raise Failed(done.stderr.strip())


def add_person(email: str, name: str, password: str, environment: dict[str, str]) -> None:
    if run(*IDP, "people", "show", email, environment=environment).returncode == 0:
        return
    add = ("people", "add", email, "--name", name, "--password-stdin")
    run_well(*IDP, *add, environment=environment, text=password)
    run_well(*IDP, "people", "set", email, "email_verified=true", environment=environment)


def start(name: str, command: list[str | Path], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (KEPT / f"{name}.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches us alone, and we end everything in order.
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )


def explain(name: str) -> NoReturn:
    """A program ended by itself: show why."""
    log = KEPT / f"{name}.log"
    raise Failed(f"the {name} ended. Its last words, from {log}:\n{log.read_text()[-1500:]}")


def _death_signal() -> Callable[[], None]:
    """Ask the kernel for SIGTERM when the parent dies, however it dies: nothing is left behind (Linux)."""
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl  # found now: between fork and exec there is no time for it
    set_death_signal = 1  # PR_SET_PDEATHSIG
    return lambda: prctl(set_death_signal, signal.SIGTERM)


end_with_parent = _death_signal()


# --- the network ---------------------------------------------------------------------------------------------------------------


def refuse_taken_ports() -> None:
    ports = [(int(address.rpartition(":")[2]), "t") for address, _ in ADDRESSES.values()]
    for port, kind in [*ports, (SMTP_PORT, "t"), (NAME_SERVER_PORT, "u")]:
        with socket.socket(type=socket.SOCK_STREAM if kind == "t" else socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise Failed(f"port {port} is taken. Who has it: ss -l{kind}np 'sport = :{port}'") from None


def wait_for(address: str, name: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                explain(name)
    raise Failed(f"{address} did not answer within {PATIENCE} seconds. See {KEPT}/*.log")


def show_table(passwords: dict[str, str]) -> None:
    print()
    for address, what in ADDRESSES.values():
        print(f"  {address:24} {what}")
    print()
    for email, kind in PEOPLE.items():
        print(f"  {email:24} {passwords[email]:20} {kind}")
    for email, kind in SOCIAL.items():
        print(f"  {email:24} {'':20} {kind}")
    print(f"\n  Begin at http://localhost:8002. Logs are in {KEPT}. Ctrl-C stops everything.\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
