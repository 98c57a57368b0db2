"""deploy/: the files that operators copy, checked by the programs that will read them."""

from __future__ import annotations

import re
import shlex
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import requires
from pathlib import Path

import pytest
import trustme
from packaging.requirements import Requirement

from idp.app import MAX_UPLOAD
from idp.config import Config, read_config
from tests.backends import free_port, wait_until
from tests.needs import program

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
NAME = "login.example.com"
ADMIN = "admin.example.com"


# --- settings and the lock ------------------------------------------------------------------------------------------------


def test_deploy_and_docs_name_only_settings_that_exist() -> None:
    files = [file for folder in (DEPLOY, ROOT / "docs") for file in folder.rglob("*") if file.is_file()]
    named = {
        (str(file.relative_to(ROOT)), name)
        for file in [*files, ROOT / "README.md", ROOT / "CHANGELOG.md"]
        if file.suffix in {"", ".md", ".py", ".conf", ".service", ".env"}
        for name in re.findall(r"\bIDP_[A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8"))
    }
    settings = {"IDP_" + name.upper() for name in Config.model_fields}
    assert {(file, name) for file, name in named if name.removesuffix("_FILE") not in settings} == set()


def test_the_example_settings_are_accepted_also_those_in_comments() -> None:
    lines = re.findall(r"^#?([A-Z_]+)=(.*)$", (DEPLOY / "idp.env").read_text(encoding="utf-8"), re.MULTILINE)
    settings = {name: value for name, value in lines if not name.endswith("_FILE")}
    assert len(settings) > 10
    assert read_config(settings).issuer == f"https://{NAME}"


def operators_command(folder: Path, settings: bytes, *words: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """deploy/idp with a program that shows its environment, folder and words, each ended by NUL."""
    (folder / "idp.env").write_bytes(settings)
    program_itself = folder / "program"
    program_itself.write_text('#!/bin/sh\nenv -0\nprintf \'%s\\0\' "$PWD" "$@"\n')
    program_itself.chmod(0o755)
    text = (DEPLOY / "idp").read_text(encoding="utf-8")
    for shipped, here in (
        ("runuser -u idp --", "env"),
        ("/etc/idp/idp.env", folder / "idp.env"),
        ("/opt/idp/bin/idp", program_itself),
    ):
        assert shipped in text
        text = text.replace(shipped, str(here))
    return subprocess.run(["sh", "-c", text, "idp", *words], capture_output=True, cwd=cwd, check=False)


def test_the_operators_command_hands_on_settings_and_words_and_stays_where_it_is(tmp_path: Path) -> None:
    where = tmp_path / "where the operator stands"
    where.mkdir()
    settings = b"# a comment\n\nIDP_ISSUER=https://login.example.com\nIDP_SUPPORT=last"  # no line end
    done = operators_command(tmp_path, settings, "two words", "$(x)", cwd=where)
    seen = done.stdout.decode().split("\0")
    assert {"IDP_ISSUER=https://login.example.com", "IDP_SUPPORT=last"} <= set(seen), done.stderr
    assert seen[-4:] == [str(where), "two words", "$(x)", ""]


@pytest.mark.parametrize(
    "value",
    [
        "postgresql+psycopg://idp:a&b;c@db/idp?a=1&b=2",
        "$(touch made)",
        "`touch made`",
        "$HOME ${HOME} * ~ (a) <b> |c !d #e",
        "Our Desk <desk@example.com>",
        'it\'s "so"',
        "é",
        "",
    ],
)
def test_the_operators_command_reads_a_setting_as_the_service_does(tmp_path: Path, value: str) -> None:
    done = operators_command(tmp_path, f"IDP_X={value}\n".encode(), cwd=tmp_path)
    assert f"IDP_X={value}" in done.stdout.decode().split("\0"), done.stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "line",
    [
        "IDP_X='a'",
        'IDP_X="a"',
        "IDP_X= a",
        "IDP_X=a ",
        "IDP_X=a\r",
        "IDP_X=a\\b",
        "IDP_X =a",
        "export IDP_X=a",
        "secret-1",
    ],
)
def test_the_operators_command_refuses_what_others_would_read_otherwise(tmp_path: Path, line: str) -> None:
    done = operators_command(tmp_path, f"IDP_A=secret-1\n{line}\n".encode(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"line 2: must be NAME=value" in done.stderr
    assert b"secret-1" not in done.stderr


def test_the_example_settings_are_read_by_the_operators_command_also_those_in_comments(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=[A-Z_]+=)", "", (DEPLOY / "idp.env").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert operators_command(tmp_path, text.encode(), cwd=tmp_path).returncode == 0


def test_hd_08_the_lock_holds_every_dependency_with_its_hash() -> None:
    entries = re.split(r"\n(?=\S)", (DEPLOY / "requirements.txt").read_text(encoding="utf-8"))
    pinned = {}
    for entry in entries:
        if entry.startswith("#"):
            continue
        name, version = re.match(r"([\w.-]+)(?:\[[\w,]+\])?==([\w.!+]+)", entry).groups()
        assert "--hash=sha256:" in entry, f"{name} has no hash"
        pinned[name.lower().replace("_", "-")] = version
    for line in requires("idp"):
        wanted = Requirement(line)
        if wanted.marker is None:
            assert pinned[wanted.name.lower().replace("_", "-")] in wanted.specifier, f"{wanted}: run `make lock`"


def test_the_lock_names_no_registry() -> None:
    assert "://" not in (DEPLOY / "requirements.txt").read_text(encoding="utf-8")


# --- the image -------------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_the_image_is_built_from_files_that_exist_and_are_sent() -> None:
    known = {
        "ARG",
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "ENV",
        "USER",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert {name for name, _ in instructions()} <= known
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            for source in shlex.split(rest)[:-1]:
                assert (ROOT / source).exists(), source
                assert source in sent, f"{source} is not in .dockerignore's exceptions"
    assert not {"keys", "data", ".git"} & set(sent)


def test_the_image_runs_as_nobody_special_from_pinned_packages() -> None:
    final = instructions()[max(i for i, (name, _) in enumerate(instructions()) if name == "FROM") :]
    users = [rest for name, rest in final if name == "USER"]
    assert users
    assert users[-1].split(":")[0] not in {"root", "0"}
    assert ("ENTRYPOINT", '["idp"]') in final
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in run or "--no-deps" in run for run in installs)
    assert not [rest for _, rest in instructions() if re.search(r"(?i)(secret|password|token)\s*=", rest)]


# --- systemd ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    text = (DEPLOY / "idp.service").read_text(encoding="utf-8")
    file = tmp_path / "idp.service"
    file.write_text(text.replace("/opt/idp/bin/idp", sys.executable), encoding="utf-8")
    return file


@pytest.mark.needs("systemd")
def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    done = subprocess.run([program("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if "idp.service" in line]) == (
        0,
        [],
    )


@pytest.mark.needs("systemd")
def test_the_unit_exposes_little(unit: Path) -> None:
    done = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=yes", "--threshold=15", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:]


# --- nginx -----------------------------------------------------------------------------------------------------------------


@dataclass
class Upstream:
    """Stands behind nginx and keeps every byte that reaches it; answers 200 to each request."""

    listener: socket.socket
    seen: list[bytes] = field(default_factory=list)

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request and (more := connection.recv(65536)):
                    request += more
                head, _, body = request.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                while length and len(body) < int(length[1]) and (more := connection.recv(65536)):
                    body += more
                self.seen.append(head + b"\r\n\r\n" + body)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


@dataclass
class Front:
    tls: int
    plain: int
    trust: ssl.SSLContext
    upstream: Upstream
    admin: Upstream
    folder: Path

    def send(self, raw: bytes, name: str = NAME) -> bytes:
        """Raw bytes over TLS; the whole answer."""
        with (
            socket.create_connection(("127.0.0.1", self.tls), timeout=10) as tcp,
            self.trust.wrap_socket(tcp, server_hostname=name) as connection,
        ):
            connection.sendall(raw)
            answer = b""
            while more := connection.recv(65536):
                answer += more
            return answer

    def get(self, path: str, *headers: str, name: str = NAME) -> bytes:
        lines = [f"GET {path} HTTP/1.1", f"Host: {name}", "Connection: close", *headers, "", ""]
        return self.send("\r\n".join(lines).encode(), name)


def answers(port: int, running: subprocess.Popen[bytes], log: Path) -> bool:
    assert running.poll() is None, log.read_text()
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME, ADMIN)
    certificate.private_key_pem.write_to_path(folder / "privkey.pem")
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(folder / "fullchain.pem", append=number > 0)
    upstream, admin = (Upstream(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
    tls, plain = free_port(), free_port()
    site = "".join((DEPLOY / name).read_text(encoding="utf-8") for name in ("nginx.conf", "nginx-admin.conf"))
    for shipped, here in (
        ("/etc/ssl/idp/", f"{folder}/"),
        ("/var/log/nginx/", f"{folder}/"),
        ("listen 443", f"listen 127.0.0.1:{tls}"),
        ("listen 80", f"listen 127.0.0.1:{plain}"),
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{upstream.listener.getsockname()[1]}"),
        ("server 127.0.0.1:8001", f"server 127.0.0.1:{admin.listener.getsockname()[1]}"),
    ):
        assert shipped in site
        site = site.replace(shipped, here)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\n{temporary}{site}}}\n"
    )
    command = [program("nginx"), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(main)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr, checked.stderr
    for behind in (upstream, admin):
        threading.Thread(target=behind.serve, daemon=True).start()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    running = subprocess.Popen(command)
    try:
        wait_until(lambda: answers(tls, running, folder / "error.log"), "nginx answers")
        yield Front(tls, plain, trust, upstream, admin, folder)
    finally:
        running.terminate()
        running.wait(10)
        upstream.listener.close()
        admin.listener.close()


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(
    "smuggled",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "Content-Length: +4\r\n\r\nabcd",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ],
)
def test_hd_03_a_request_that_could_be_read_in_two_ways_ends_at_the_proxy(front: Front, smuggled: str) -> None:
    front.upstream.seen.clear()
    answer = front.send(f"POST /token HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n{smuggled}".encode())
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
    assert front.upstream.seen == []


@pytest.mark.needs("nginx")
def test_hd_03_a_chunked_body_goes_on_with_its_length(front: Front) -> None:
    front.upstream.seen.clear()
    body = "5\r\nhello\r\n0\r\n\r\n"
    front.send(
        f"POST /token HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}".encode()
    )
    (request,) = front.upstream.seen
    assert b"transfer-encoding" not in request.lower()
    assert b"Content-Length: 5\r\n" in request
    assert request.endswith(b"\r\n\r\nhello")


@pytest.mark.needs("nginx")
def test_hd_02_what_a_visitor_claims_about_itself_ends_at_the_proxy(front: Front) -> None:
    front.upstream.seen.clear()
    front.get(
        "/authorize",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: http",
        "Forwarded: for=6.6.6.6;host=evil.example",
        "Connection: X-Forwarded-For",
    )
    (request,) = front.upstream.seen
    assert b"6.6.6.6" not in request
    assert b"evil.example" not in request
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in request
    assert f"Host: {NAME}\r\n".encode() in request


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(
    "path", ["//login", "/x/%2e%2e/login", "/LOGIN", "/login/", "/login;x", "/authorize?a=%00b&c=d%26e"]
)
def test_hd_05_the_path_arrives_as_it_was_sent(front: Front, path: str) -> None:
    front.upstream.seen.clear()
    front.get(path)
    (request,) = front.upstream.seen
    assert request.startswith(f"GET {path} HTTP/1.1\r\n".encode())


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(
    "path", ["/metrics", "//metrics", "/%6detrics", "/x/../metrics", "/health/ready", "/health/live", "//health//ready"]
)
def test_hd_07_the_machine_room_is_closed(front: Front, path: str) -> None:
    front.upstream.seen.clear()
    assert front.get(path).startswith(b"HTTP/1.1 404")
    assert front.upstream.seen == []


@pytest.mark.needs("nginx")
def test_too_much_never_arrives(front: Front) -> None:
    front.upstream.seen.clear()
    body = b"x" * 65537
    head = f"POST /token HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert front.send(head).startswith(b"HTTP/1.1 413")
    assert front.get("/", "X: " + "x" * 20000).startswith(b"HTTP/1.1 400")
    assert front.upstream.seen == []


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        (
            "/saml/acme0001/acs",
            300 * 1024,
            200,
        ),  # what companies' identity providers answer is longer than any form of ours
        ("/saml/acme0001/acs", 400 * 1024 + 1, 413),
        ("/saml/acme0001/acs/", 65537, 413),
        ("/saml/acme0001/slo", 65537, 413),
        ("/x/saml/acme0001/acs", 65537, 413),
    ],
)
def test_one_address_takes_long_forms(front: Front, path: str, size: int, status: int) -> None:
    front.upstream.seen.clear()
    head = f"POST {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n".encode()
    assert front.send(head + b"x" * (size if status == 200 else 0)).startswith(f"HTTP/1.1 {status}".encode())
    assert [request.split(b" ", 2)[1].decode() for request in front.upstream.seen] == [path] * (status == 200)


@pytest.mark.needs("nginx")
def test_another_name_gets_no_answer(front: Front) -> None:
    with pytest.raises(ssl.SSLError):
        front.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", name="evil.example")
    with socket.create_connection(("127.0.0.1", front.plain), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(1024) == b""


@pytest.mark.needs("nginx")
def test_plain_http_only_points_to_https(front: Front) -> None:
    with socket.create_connection(("127.0.0.1", front.plain), timeout=10) as connection:
        connection.sendall(f"GET /me?x=1 HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        answer = connection.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 308")
    assert f"\r\nLocation: https://{NAME}/me?x=1\r\n" in answer


@pytest.mark.needs("nginx")
def test_the_proxy_log_keeps_no_query(front: Front) -> None:
    front.get("/authorize/resume?code=canary-in-the-query")
    front.get("/", "Referer: https://x.example/?canary-in-the-referrer")
    log = (front.folder / "idp.log").read_text()
    assert "/authorize/resume" in log
    assert "canary" not in log


@pytest.mark.needs("nginx")
def test_the_admin_center_answers_at_its_own_name_alone(front: Front) -> None:
    front.upstream.seen.clear()
    front.admin.seen.clear()
    front.get("/companies", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.example", name=ADMIN)
    front.get("/login")
    (asked,) = front.admin.seen
    assert f"Host: {ADMIN}\r\n".encode() in asked and b"X-Forwarded-For: 127.0.0.1\r\n" in asked
    assert b"6.6.6.6" not in asked and b"evil.example" not in asked
    assert [request.split()[1] for request in front.upstream.seen] == [b"/login"]
    for path in ("/metrics", "/health/ready", "//health/live"):
        assert front.get(path, name=ADMIN).startswith(b"HTTP/1.1 404")


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(("size", "status"), [(MAX_UPLOAD, 200), (MAX_UPLOAD + 1, 413)])
def test_the_admin_center_takes_what_idp_takes_there(front: Front, size: int, status: int) -> None:
    head = f"POST /x HTTP/1.1\r\nHost: {ADMIN}\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n".encode()
    assert front.send(head + b"x" * (size if status == 200 else 0), ADMIN).startswith(f"HTTP/1.1 {status}".encode())
