"""The ring that a process signs with: what is signed, what is believed, which ring is taken, and when it is read anew."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import random
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet

from idp.errors import OperatorError, Unavailable
from idp.jws import BadSignature, load_public_jwk
from idp.key_ring import KeyRing
from idp.keys import ALGORITHMS, create_keys, read_ring
from tests import canaries
from tests.rings import CLAIMS, MAX_AGE, NOW, READY, encode, kid_of, rings_at, states, turn, turned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one ring per algorithm, for the test alone."""
    return rings_at(tmp_path / "keys")


@pytest.fixture
def ring(folder: Path) -> KeyRing:
    return KeyRing(folder, MAX_AGE)


# --- signing and believing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_another_library_verifies_what_we_sign_with_the_published_keys(ring: KeyRing, alg: str) -> None:
    token = ring.sign_jwt(CLAIMS, alg, "at+jwt")
    keys = KeySet.import_key_set(json.loads(ring.jwks()))
    with warnings.catch_warnings():
        # RFC 9864 renames EdDSA; OpenID Connect's registrations still say EdDSA.
        warnings.simplefilter("ignore", SecurityWarning)
        found = jws.deserialize_compact(token, keys, algorithms=[alg])
    assert json.loads(found.payload) == CLAIMS
    assert found.headers() == {"alg": alg, "kid": ring.signing(alg).kid, "typ": "at+jwt"}


def test_an_es256_signature_is_the_two_numbers_and_no_der(ring: KeyRing) -> None:
    for _ in range(20):  # DER would vary in length
        assert len(ring.signing("ES256").sign(b"data")) == 64


def test_p_04_signatures_and_keys_do_not_come_from_the_predictable_generator(ring: KeyRing, tmp_path: Path) -> None:
    random.seed(1)
    one = ring.signing("ES256").sign(b"data")
    create_keys(tmp_path / "one", ["ES256"], NOW)
    random.seed(1)
    two = ring.signing("ES256").sign(b"data")
    create_keys(tmp_path / "two", ["ES256"], NOW)
    assert one != two
    assert not states(tmp_path / "one", "ES256").keys() & states(tmp_path / "two", "ES256").keys()


def test_own_tokens_are_believed_for_their_purpose_only(ring: KeyRing) -> None:
    for alg in ALGORITHMS:
        token = ring.sign_jwt(CLAIMS, alg, "logout+jwt")
        assert ring.verify_jwt(token, typ=("JWT", "logout+jwt")) == CLAIMS
        with pytest.raises(BadSignature, match="another purpose"):
            ring.verify_jwt(token, typ=("JWT",))


def tokens(ring: KeyRing, alg: str) -> Iterator[tuple[str, str]]:
    """Tokens that look like ours (RFC 8725; attacks KY-06), each with a name. Only the good one is."""
    key = ring.signing(alg)
    header: dict[str, Any] = {"alg": alg, "kid": key.kid, "typ": "JWT"}
    payload = encode({"sub": "victim"})

    def signed(value: Any, body: str = payload) -> str:
        data = f"{value if isinstance(value, str) else encode(value)}.{body}"
        return f"{data}.{encode(key.sign(data.encode()))}"

    for none in ("none", "None", "nOnE", ""):
        yield f"alg {none!r} unsigned", f"{encode(header | {'alg': none})}.{payload}."
        yield f"alg {none!r} signed", signed(header | {"alg": none})
    public = serialization.load_der_public_key(
        load_public_jwk(key.public_jwk).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    data = f"{encode(header | {'alg': 'HS256'})}.{payload}"
    yield "HS256 with the public key", f"{data}.{encode(hmac.digest(public, data.encode(), hashlib.sha256))}"
    for other in set(ALGORITHMS) - {alg}:
        yield f"alg {other}", signed(header | {"alg": other})
        yield f"key of {other}", signed(header | {"kid": ring.signing(other).kid})
    yield "alg is a list", signed(header | {"alg": [alg]})
    yield "kid is a list", signed(header | {"kid": [key.kid]})
    for kid in ("../../dev/null", "' OR 1=1 --", "", "rs256-20270115-00000000"):
        yield f"kid {kid!r}", signed(header | {"kid": kid})
    for name, value in {
        "jwk": key.public_jwk,
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/x5u",
        "x5c": ["MIIB"],
        "crit": ["exp"],
        "b64": False,
        "zip": "DEF",
        "cty": "JWT",
    }.items():
        yield f"header {name}", signed(header | {name: value})
    for name in header:
        yield f"no {name}", signed({k: v for k, v in header.items() if k != name})
    twice = f'{{"alg":"none","alg":"{alg}","kid":"{key.kid}","typ":"JWT"}}'
    yield "duplicate header member", signed(encode(twice.encode()))
    yield "duplicate claim", signed(header, encode(b'{"sub":"a","sub":"b"}'))
    for name, body in {"list": b"[1]", "text": b"x", "NaN": b'{"a":NaN}', "deep": b"[" * 9_000, "empty": b""}.items():
        yield f"payload {name}", signed(header, encode(body))
    for name, text in {"list": b"[]", "null": b"null", "deep": b'{"a":' * 150, "digits": b"1" * 700}.items():
        yield f"header is {name}", signed(encode(text))
    good = signed(header)
    yield "good", good
    head, body, signature = good.split(".")
    yield "zeros", f"{head}.{body}.{encode(bytes(64))}"
    yield "empty signature", f"{head}.{body}."
    yield "cut signature", f"{head}.{body}.{signature[:-8]}"
    yield "padding", f"{good}=="
    yield "space", f"{head}.{body}. {signature}"
    yield "newline", f"{good}\n"
    yield "other alphabet", f"{head}.{body}.{signature.translate(str.maketrans('-_', '+/'))}+"
    yield "trailing bits", f"{head}.{body}.{signature[:-1]}{'B' if signature[-1] == 'A' else _next(signature[-1])}"
    yield "other payload", f"{head}.{encode({'sub': 'other'})}.{signature}"
    yield "two parts", f"{head}.{body}"
    yield "five parts, like a JWE", f"{good}.{body}.{signature}"
    yield "1.1", "1.1"
    yield "empty", ""
    yield "dots", ".."
    yield "huge", f"{head}.{'A' * 200_000}.{signature}"
    yield "huge header", f"{'A' * 16_000}.{body}.{signature}"
    yield "not ASCII", f"{head}é.{body}.{signature}"
    yield "lone surrogate", f"{head}\ud800.{body}.{signature}"


def _next(character: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(character) ^ 1]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_ky_06_no_forged_token_is_believed(ring: KeyRing, alg: str) -> None:
    believed = []
    for name, token in tokens(ring, alg):
        try:
            ring.verify_jwt(token, typ=("JWT",))
        except BadSignature as refused:
            assert "victim" not in str(refused)
        else:
            believed.append(name)
    assert believed == ["good"]


def test_p_12_a_token_of_five_parts_is_refused_before_anything_is_decoded(ring: KeyRing) -> None:
    header = encode({"alg": "RSA1_5", "enc": "A128CBC-HS256", "zip": "DEF", "kid": ring.signing("RS256").kid})
    with pytest.raises(BadSignature, match="three parts"):
        ring.verify_jwt(f"{header}.AA.AA.AA.AA", typ=("JWT",))


def test_ky_01_p_14_only_public_members_are_published(ring: KeyRing, folder: Path) -> None:
    turn(folder, NOW + READY)
    keys = json.loads(ring.jwks())["keys"]
    assert len(keys) == 3 * len(ALGORITHMS)
    for key in keys:
        assert set(key) <= {"kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"}
        assert key["use"] == "sig" and key["alg"] in ALGORITHMS
        assert key["kty"] in ("RSA", "EC", "OKP")
    assert len({key["kid"] for key in keys}) == len(keys)


def test_ky_02_p_01_no_key_parameter_can_be_printed(
    ring: KeyRing, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = []
    for record in read_ring(folder):
        assert record.private is not None
        secrets += record.private.splitlines()[1:-1]
        private = serialization.load_pem_private_key(record.private.encode(), None)
        if isinstance(private, rsa.RSAPrivateKey):
            numbers = private.private_numbers()
            secrets += [str(number) for number in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.iqmp)]
    for secret in secrets:
        canaries.register(secret, "key parameter")
    key = ring.signing("RS256")
    turn(folder, NOW + READY, "RS256")
    retired = ring.verifying(key.kid)
    assert retired is not None
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r %s %r %s", key, key, ring, [key], key.record)
        with pytest.raises(Unavailable) as failed:
            retired.sign(b"data")
        assert failed.tb.tb_next is not None  # the first frame is this test, which holds the secrets
        frames = traceback.TracebackException(failed.type, failed.value, failed.tb.tb_next, capture_locals=True)
        said = "".join(frames.format())
        assert "retired" in said
        (folder / "ring.json").write_text('{"version": 1, "keys": [{"private": "' + "".join(secrets[:3]) + '"}]}')
        with pytest.raises(OperatorError) as damaged:
            read_ring(folder)
        said += "".join(traceback.format_exception(damaged.value))
    said += caplog.text
    assert [secret for secret in secrets if secret in said] == []


def test_a_ring_that_was_replaced_is_noticed_at_the_next_look(folder: Path) -> None:
    now = 0.0
    ring = KeyRing(folder, MAX_AGE, look_every=0.1, clock=lambda: now)
    signing = ring.signing("RS256").kid
    turn(folder, NOW + READY, "RS256")
    assert ring.signing("RS256").kid == signing
    now = 0.1
    assert ring.signing("RS256").kid != signing


def test_an_algorithm_without_keys_is_unavailable_and_says_how_to_get_it(tmp_path: Path) -> None:
    create_keys(tmp_path / "keys", [], NOW)
    with pytest.raises(Unavailable, match="idp keys rotate --alg EdDSA"):
        KeyRing(tmp_path / "keys", MAX_AGE).sign_jwt(CLAIMS, "EdDSA")


def test_secrets_last_and_differ_by_purpose(ring: KeyRing, folder: Path, tmp_path: Path) -> None:
    turn(folder, NOW + READY)
    again = KeyRing(folder, MAX_AGE)
    create_keys(tmp_path / "other", [], NOW)
    other = KeyRing(tmp_path / "other", MAX_AGE)
    assert again.subjects_secret == ring.subjects_secret != other.subjects_secret
    assert again.derive("csrf") == ring.derive("csrf")
    assert len({ring.derive("csrf"), ring.derive("mail"), other.derive("csrf"), ring.subjects_secret}) == 4
    assert len(ring.derive("csrf")) == 32


# --- files and processes ----------------------------------------------------------------------------------------------


def test_another_process_signs_with_the_new_key_without_a_restart(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from idp.key_ring import KeyRing\n"
        "ring = KeyRing(Path(sys.argv[1]), 3600)\n"
        "for _ in sys.stdin: print(ring.signing('RS256').kid, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin and worker.stdout

        def signing() -> str:
            assert worker.stdin and worker.stdout
            worker.stdin.write("\n")
            worker.stdin.flush()
            while (line := worker.stdout.readline().strip()) and not line.startswith("rs256-"):
                pass  # log lines
            return line

        assert signing() == kid_of(folder, "signing")
        turned(folder, NOW + READY, "RS256")
        assert signing() == kid_of(folder, "signing")
        worker.stdin.close()


def test_the_last_good_ring_stays_when_the_file_is_damaged(folder: Path, ring: KeyRing) -> None:
    good = (folder / "ring.json").read_bytes()
    kid = ring.signing("RS256").kid
    for damage in (b"", b"{", b'{"version":1,"keys":[]}'[:10], good.replace(b'"signing"', b'"next"', 1)):
        (folder / "ring.json").write_bytes(damage)
        assert ring.signing("RS256").kid == kid
        assert ring.problem and "damaged" in ring.problem
    (folder / "ring.json").unlink()
    assert ring.signing("RS256").kid == kid
    (folder / "ring.json").touch(mode=0o600)
    (folder / "ring.json").write_bytes(good)
    assert ring.signing("RS256").kid == kid
    assert ring.problem is None


@pytest.mark.parametrize("name", ["", "ring.json", "secrets.json"])
@pytest.mark.parametrize("mode", [0o040, 0o004, 0o020, 0o001])
def test_ky_10_keys_that_others_may_touch_are_refused(folder: Path, name: str, mode: int) -> None:
    path = folder / name
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(OperatorError, match=f"chmod {'600' if name else '700'} {path}"):
        KeyRing(folder, MAX_AGE)
    with pytest.raises(OperatorError, match="chmod"):
        turn(folder, NOW + READY)


def change_ring(folder: Path, change: Any) -> None:
    path = folder / "ring.json"
    ring = json.loads(path.read_text())
    change(ring["keys"])
    path.write_text(json.dumps(ring))


def _pem(private: rsa.RSAPrivateKey) -> str:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _weaken(keys: list[dict[str, Any]]) -> None:
    private = rsa.generate_private_key(65537, 1024)
    keys[0]["private"] = _pem(private)
    keys[0]["jwk"]["n"] = encode(private.public_key().public_numbers().n.to_bytes(128, "big"))


def _exchange(keys: list[dict[str, Any]]) -> None:
    keys[0]["private"] = _pem(rsa.generate_private_key(65537, 2048))


def _mix(keys: list[dict[str, Any]]) -> None:
    elliptic = next(key for key in keys if key["alg"] == "ES256")
    keys[0]["jwk"] = elliptic["jwk"] | {"alg": "RS256", "kid": keys[0]["kid"]}


DAMAGES = {
    "1024 bits": (_weaken, "1024 bits"),
    "private part of another key": (_exchange, "do not belong together"),
    "EC key under RS256": (_mix, "cannot sign RS256"),
    "no private part": (lambda keys: keys[0].pop("private"), "private part is missing"),
    "no use": (lambda keys: keys[0]["jwk"].pop("use"), "lacks use"),
    "no alg": (lambda keys: keys[0]["jwk"].pop("alg"), "lacks use"),
    "use enc": (lambda keys: keys[0]["jwk"].update(use="enc"), "lacks use"),
    "symmetric": (lambda keys: keys[0].update(jwk={"kty": "oct", "k": "AAAA"}), "more than its public part"),
    "published d": (lambda keys: keys[0]["jwk"].update(d="AAAA"), "more than its public part"),
    "alg none": (lambda keys: keys[0].update(alg="none"), "damaged"),
    "alg HS256": (lambda keys: keys[0].update(alg="HS256"), "damaged"),
    "kid is a path": (lambda keys: keys[0].update(kid="../../etc/passwd"), "damaged"),
    "one kid twice": (lambda keys: keys[1].update(kid=keys[0]["kid"]), "one kid twice"),
    "unknown member": (lambda keys: keys[0].update(trusted=True), "damaged"),
    "two signing": (lambda keys: keys[1].update(state="signing"), "exactly one"),
    "no keys at all": (lambda keys: keys[0].update(state="gone"), "exactly one"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_ky_10_p_12_p_14_a_ring_that_is_not_sound_stops_the_start(folder: Path, damage: str) -> None:
    change, says = DAMAGES[damage]
    change_ring(folder, change)
    with pytest.raises(OperatorError, match=says):
        KeyRing(folder, MAX_AGE)


@pytest.mark.parametrize("name", ["", "ring.json"])
def test_ky_10_keys_that_are_opened_to_others_while_we_run_are_told_and_the_last_good_ring_stays(
    folder: Path, ring: KeyRing, name: str
) -> None:
    path, kid = folder / name, ring.signing("RS256").kid
    private = path.stat().st_mode
    path.chmod(private | 0o044)
    assert ring.signing("RS256").kid == kid
    assert ring.problem and f"{path}: others on this machine can get at it" in ring.problem
    path.chmod(private)
    assert ring.signing("RS256").kid == kid
    assert ring.problem is None
