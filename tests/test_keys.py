"""The life of signing keys: the first ones, staged rotation, revocation, what is lost, and the files they stand in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from idp.errors import OperatorError
from idp.jws import BadSignature
from idp.key_ring import KeyRing
from idp.keys import (
    ALGORITHMS,
    CLOCK_SKEW,
    Replacement,
    Rotation,
    TooEarly,
    create_keys,
    prune,
    read_ring,
    replace_lost,
    revoke,
)
from tests.rings import CLAIMS, LONGEST, MAX_AGE, NOW, READY, kid_of, rings_at, states, turn, turned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one ring per algorithm, for the test alone."""
    return rings_at(tmp_path / "keys")


@pytest.fixture
def ring(folder: Path) -> KeyRing:
    return KeyRing(folder, MAX_AGE)


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_the_first_keys_are_made_once_for_rs256_and_what_clients_ask(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert create_keys(folder, ["ES256"], NOW) == ("RS256", "ES256")
    assert create_keys(folder, ["ES256"], NOW) == ()
    before = read_ring(folder)
    assert create_keys(folder, ["EdDSA"], NOW + 5) == ("EdDSA",)
    assert read_ring(folder)[:4] == before
    assert sorted(states(folder).values()) == ["next", "signing"]


def test_a_rotation_refuses_to_hurry_and_says_how_long_to_wait(folder: Path, ring: KeyRing) -> None:
    before = (folder / "ring.json").read_bytes()
    refused = turn(folder, NOW + READY - 60.5)
    assert isinstance(refused, TooEarly)
    assert (refused.wait, refused.ready_at) == (61, NOW + READY)
    assert states(folder)[refused.kid] == "next"
    assert (folder / "ring.json").read_bytes() == before


def test_ky_03_a_key_is_public_long_enough_before_and_after_it_signs(folder: Path, ring: KeyRing) -> None:
    first, second = kid_of(folder, "signing"), kid_of(folder, "next")
    token = ring.sign_jwt(CLAIMS, "RS256")
    done = turned(folder, NOW + READY, "RS256")
    assert ring.signing("RS256").kid == second
    third = kid_of(folder, "next")
    assert states(folder) == {first: "retired", second: "signing", third: "next"}
    assert (done.swaps[0].signing, done.swaps[0].retired, done.swaps[0].next) == (second, first, third)
    assert ring.verify_jwt(token, typ=("JWT",)) == CLAIMS
    # The old key stays public until the last token that it signed has expired everywhere.
    gone_at = NOW + READY + LONGEST + CLOCK_SKEW
    assert prune(folder, gone_at - 1) == ()
    assert prune(folder, gone_at) == (first,)
    assert first not in ring.jwks().decode()
    with pytest.raises(BadSignature, match="unknown key"):
        ring.verify_jwt(token, typ=("JWT",))


def test_each_step_of_a_key_has_its_time(folder: Path) -> None:
    first = kid_of(folder, "signing")
    second = kid_of(folder, "next")
    turned(folder, NOW + READY, "RS256")
    turned(folder, NOW + 10 * MAX_AGE, "RS256")
    records = {record.kid: record for record in read_ring(folder)}
    assert records[first].created_at == records[first].signing_at == NOW
    assert records[first].retired_at == NOW + READY
    assert (records[first].state, records[first].gone_at) == ("gone", NOW + 10 * MAX_AGE)  # rotating prunes too
    assert (records[second].created_at, records[second].signing_at) == (NOW, NOW + READY)
    assert records[second].public_until == NOW + 10 * MAX_AGE + LONGEST + CLOCK_SKEW


def test_the_private_part_is_erased_when_a_key_retires(folder: Path) -> None:
    before = {record.kid: record.private for record in read_ring(folder)}
    first = kid_of(folder, "signing")
    turned(folder, NOW + READY, "RS256")
    lines = (before[first] or "").splitlines()[1:-1]
    content = "".join(file.read_text() for file in folder.iterdir())
    assert lines and not any(line in content for line in lines)


def test_all_algorithms_turn_together_or_none(folder: Path) -> None:
    assert {swap.alg for swap in turned(folder, NOW + READY).swaps} == set(ALGORITHMS)
    turned(folder, NOW + 3 * MAX_AGE, "ES256")
    before = (folder / "ring.json").read_bytes()
    assert isinstance(turn(folder, NOW + 3 * MAX_AGE + 5), TooEarly)  # because of ES256
    assert (folder / "ring.json").read_bytes() == before


def test_rotating_makes_the_first_keys_of_an_algorithm(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    create_keys(folder, [], NOW)
    done = turned(folder, NOW + 1, "PS256")
    assert done.swaps[0].retired is None
    assert KeyRing(folder, MAX_AGE).algorithms() == {"RS256", "PS256"}


def test_an_emergency_does_not_wait_and_tells_which_key_was_hurried(folder: Path, ring: KeyRing) -> None:
    second = kid_of(folder, "next")
    done = turn(folder, NOW + 1, "RS256", emergency=True)
    assert isinstance(done, Rotation)
    assert done.hurried == (second,)
    assert ring.signing("RS256").kid == second
    calm = turn(folder, NOW + 1 + READY, "RS256", emergency=True)
    assert isinstance(calm, Rotation) and calm.hurried == ()


def test_ky_05_a_revoked_key_is_believed_no_more_and_another_signs(folder: Path, ring: KeyRing) -> None:
    issued = {alg: ring.sign_jwt(CLAIMS, alg) for alg in ALGORITHMS}
    first, second = kid_of(folder, "signing"), kid_of(folder, "next")
    done = revoke(folder, first, NOW + 5)
    assert (done.was, done.signing, done.next) == ("signing", second, kid_of(folder, "next"))
    with pytest.raises(BadSignature, match="unknown key"):
        ring.verify_jwt(issued.pop("RS256"), typ=("JWT",))
    assert first not in ring.jwks().decode()
    for token in issued.values():
        assert ring.verify_jwt(token, typ=("JWT",)) == CLAIMS
    assert ring.verify_jwt(ring.sign_jwt(CLAIMS, "RS256"), typ=("JWT",)) == CLAIMS
    [dead] = [record for record in read_ring(folder) if record.kid == first]
    assert (dead.state, dead.revoked, dead.gone_at, dead.private) == ("gone", True, NOW + 5, None)


def test_a_next_and_a_retired_key_can_be_revoked_too(folder: Path) -> None:
    first, second = kid_of(folder, "signing"), kid_of(folder, "next")
    done = revoke(folder, second, NOW + 5)
    assert (done.was, done.signing, done.next) == ("next", None, kid_of(folder, "next"))
    turned(folder, NOW + 5 + READY, "RS256")
    done = revoke(folder, first, NOW + 6 + READY)
    assert (done.was, done.signing, done.next) == ("retired", None, None)
    with pytest.raises(OperatorError, match="No key in use"):
        revoke(folder, first, NOW + 7 + READY)
    with pytest.raises(OperatorError, match="In use: "):
        revoke(folder, "../../etc/passwd", NOW)


# --- files and processes ----------------------------------------------------------------------------------------------


def test_parallel_rotations_leave_one_signing_key_and_no_reader_ever_fails(folder: Path, ring: KeyRing) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def sign_and_verify() -> None:
        try:
            while not stop.is_set():
                ring.verify_jwt(ring.sign_jwt(CLAIMS, "ES256"), typ=("JWT",))
        except BaseException as failure:  # noqa: BLE001 it is shown by the assertion below
            failures.append(failure)

    readers = [threading.Thread(target=sign_and_verify) for _ in range(3)]
    writers = [threading.Thread(target=turn, args=(folder, NOW, "ES256"), kwargs={"emergency": True}) for _ in range(8)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert sorted(states(folder, "ES256").values()) == ["next", *["retired"] * 8, "signing"]
    assert {file.name for file in folder.iterdir()} == {"ring.json", "secrets.json"}


def test_files_are_private_and_belong_to_the_folders_owner(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)  # as a checkout makes it
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    create_keys(folder, [], NOW)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    for _ in range(2):
        for file in folder.iterdir():
            assert oct(file.stat().st_mode & 0o777) == "0o600"
            assert file.stat().st_uid == folder.stat().st_uid
        turn(folder, NOW, emergency=True)


def test_ky_10_p_32_python_without_assertions_is_refused(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from idp.errors import OperatorError\n"
        "from idp.key_ring import KeyRing; from idp.keys import create_keys\n"
        "for start in (lambda: KeyRing(Path(sys.argv[1]), 1), lambda: create_keys(Path(sys.argv[1]), [], 1)):\n"
        "    try: start()\n"
        "    except OperatorError as refused: print(refused)\n"
    )
    command = [sys.executable, "-O", "-c", script, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.count("PYTHONOPTIMIZE") == 2


def test_lost_secrets_stop_the_start_and_are_never_made_anew_silently(folder: Path) -> None:
    (folder / "secrets.json").unlink()
    for attempt in (lambda: KeyRing(folder, MAX_AGE), lambda: create_keys(folder, [], NOW), lambda: turn(folder, NOW)):
        with pytest.raises(OperatorError, match="Restore it from the backup"):
            attempt()
    assert not (folder / "secrets.json").exists()


def test_only_a_first_start_makes_a_ring_and_every_other_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    (folder / "ring.json").unlink()
    secrets = (folder / "secrets.json").read_bytes()
    for attempt in (
        lambda place: KeyRing(place, 1),
        lambda place: turn(place, NOW, emergency=True),
        lambda place: turn(place, NOW, "ES256"),
        lambda place: prune(place, NOW),
        lambda place: revoke(place, "x", NOW),
    ):
        for place in (folder, tmp_path / "elsewhere"):
            with pytest.raises(OperatorError, match=r"restore keys/ from the backup.*“ring.json is lost”"):
                attempt(place)
    with pytest.raises(OperatorError, match=f"{folder}: no ring.json there"):
        create_keys(folder, [], NOW)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"secrets.json": secrets}
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_lost_is_made_anew_on_demand_and_the_rest_stays(folder: Path) -> None:
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert replace_lost(folder, ALGORITHMS, NOW) == Replacement((), secrets=False)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == kept
    (folder / "ring.json").unlink()
    assert replace_lost(folder, ["ES256"], NOW) == Replacement(("RS256", "ES256"), secrets=False)
    assert (folder / "secrets.json").read_bytes() == kept["secrets.json"]
    assert (ring := (folder / "ring.json").read_bytes()) != kept["ring.json"]
    (folder / "secrets.json").unlink()
    assert replace_lost(folder, ["ES256"], NOW) == Replacement((), secrets=True)
    assert (folder / "ring.json").read_bytes() == ring
    assert KeyRing(folder, MAX_AGE).algorithms() == {"RS256", "ES256"}


def test_a_damaged_file_is_told_in_words_that_read_well(folder: Path) -> None:
    for name in ("ring.json", "secrets.json"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(b"{")
        with pytest.raises(OperatorError, match=r"damaged \(json_invalid\)"):
            KeyRing(folder, MAX_AGE)
        (folder / name).write_bytes(before)
    (folder / "ring.json").write_text('{"version": 1, "keys": []}')
    with pytest.raises(OperatorError, match=r"damaged \(RS256 needs exactly one signing key\)"):
        create_keys(folder, [], NOW)


def test_a_folder_that_cannot_be_written_says_so_and_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("not a folder")
    with pytest.raises(OperatorError, match="IDP_KEYS"):
        create_keys(tmp_path / "keys", [], NOW)
