"""Passkeys: added to an account, and believed when somebody shows one (Web Authentication Level 3). The only home of webauthn.

Each counts for the issuer's host alone, is found on the device without an address being typed (discoverable), and says that its
holder was recognized there by a PIN, a finger or a face (user verification): two kinds of proof at once.

A challenge is not stored when a page shows it, so showing pages costs nothing: it carries its end and what it is for, sealed by
a MAC. Redis keeps what was used up, so that an answer counts once.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session as Transaction
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json,
    parse_attestation_object,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from idp.accounts.lifecycle import primary_email
from idp.models import Account, Passkey
from idp.redis_store import RedisStore, token_hash

LIFETIME = 15 * 60  # seconds in which an answer must come: as long as a pending login
MOST = 20  # passkeys of one person
LONGEST_NAME = 80
LONGEST_ID = 1023  # bytes of a credential id (section 4)
LONGEST_ANSWER = 16 * 1024  # characters of what a browser sends

_SALT = 16
_HEAD = _SALT + 4  # and the end, in seconds since 1970
_TRANSPORTS = {one.value: one for one in AuthenticatorTransport}


@dataclass(frozen=True, slots=True)
class Shown:
    """Somebody has shown a passkey and was recognized by its device.

    :ivar passkey: its credential id, in base64url.
    :ivar methods: what that proves, as ``amr`` says it (RFC 8176): a key in hardware, or one that its maker copies to other
        devices; that somebody was there, and was recognized.
    """

    account_id: str
    passkey: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotBelieved:
    """``reason`` is a code of the reasons table; ``detail`` is for the receipt."""

    reason: str
    detail: str = ""


class Passkeys:
    """Makes what pages ask a browser for, and looks at what it answers."""

    def __init__(
        self, issuer: str, host: str, store: RedisStore, secret: bytes, random: Callable[[int], bytes]
    ) -> None:
        """
        :param issuer: our origin, and ``host`` the RP ID in it.
        :param secret: seals challenges.
        """
        self._origin = issuer
        self._host = host
        self._store = store
        self._secret = secret
        self._random = random

    @property
    def possible(self) -> bool:
        """Whether there can be passkeys here: they belong to a name, never to an address of a network (section 5.1.2)."""
        try:
            ipaddress.ip_address(self._host)
        except ValueError:
            return True
        return False

    def options_to_sign_in(self, bound: str, now: float) -> str:
        """What a page asks a browser for: any passkey of anybody; "" where there can be none.

        :param bound: what the answer must belong to: purpose, and the sign-in or session (no secret of it is shown).
        :returns: PublicKeyCredentialRequestOptions in JSON (section 5.5), the same for everybody but for the challenge.
        """
        return self._asked((), bound, now) if self.possible else ""

    def options_for_second(self, db: Transaction, account_id: str, bound: str, now: float) -> str:
        """The same, of one person's passkeys; "" when they have none."""
        theirs = passkeys_of(db, account_id)
        return self._asked(theirs, bound, now) if theirs and self.possible else ""

    def options_to_add(self, db: Transaction, account: Account, bound: str, now: float) -> str:
        """What a page asks a browser for that is to make another passkey; "" where there can be none."""
        if not self.possible:
            return ""
        email = primary_email(account).address
        return options_to_json(
            generate_registration_options(
                rp_id=self._host,
                rp_name=self._host,
                user_id=account.sub.encode(),
                user_name=email,
                user_display_name=str(account.profile.get("name") or email),
                challenge=self._challenge(bound, now),
                timeout=LIFETIME * 1000,
                authenticator_selection=AuthenticatorSelectionCriteria(
                    resident_key=ResidentKeyRequirement.REQUIRED,
                    user_verification=UserVerificationRequirement.REQUIRED,
                ),
                exclude_credentials=_descriptors(passkeys_of(db, account.id)),
            )
        )

    def add(
        self, db: Transaction, account: Account, answer: str, bound: str, *, name: str, now: float
    ) -> Passkey | NotBelieved:
        """Add the passkey that a browser has made to ``account``, whose row the caller holds.

        :param answer: RegistrationResponseJSON (section 5.1.8.1), as a stranger may have written it.
        :param name: what the person calls it, see ``read_name``.
        :raises IntegrityError: somebody else adds the same in this moment; the transaction is over.
        """
        try:
            credential = parse_registration_credential_json(_read(answer))
            challenge = _challenge_in(credential.response.client_data_json)
        except Exception as error:  # noqa: BLE001 # the library meets what a stranger wrote: it fails in many ways
            return NotBelieved("passkey_unreadable", type(error).__name__)
        if not self._take(challenge, bound, now):
            return NotBelieved("passkey_over")
        try:
            _check_statement(credential)
            made = verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                require_user_verification=True,
            )
            decoded_public_key_to_cryptography(decode_credential_public_key(made.credential_public_key))
        except Exception as error:  # noqa: BLE001 # what it checks was written by a stranger too
            return NotBelieved("passkey_wrong", _said(error))
        credential_id = bytes_to_base64url(made.credential_id)
        if len(made.credential_id) > LONGEST_ID:
            return NotBelieved("passkey_wrong", "the credential id is too long")
        if db.scalar(select(Passkey.id).where(Passkey.credential_id == credential_id)) is not None:
            return NotBelieved("passkey_known")
        if len(passkeys_of(db, account.id)) >= MOST:
            return NotBelieved("passkey_too_many")
        added = Passkey(
            account_id=account.id,
            credential_id=credential_id,
            public_key=bytes_to_base64url(made.credential_public_key),
            sign_count=made.sign_count,
            transports=[one.value for one in credential.response.transports or ()],
            name=name,
            synced=made.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
            created_at=int(now),
        )
        db.add(added)
        db.flush()
        return added

    def verify(
        self, db: Transaction, answer: str, bound: str, *, now: float, account_id: str | None = None
    ) -> Shown | NotBelieved:
        """Look at the passkey that a browser shows, and note that it was used.

        :param answer: AuthenticationResponseJSON (section 5.1.8.2), as a stranger may have written it.
        :param account_id: whose it must be; None: whoever's it is signs in, and it must name them itself.
        """
        try:
            credential = parse_authentication_credential_json(_read(answer))
            challenge = _challenge_in(credential.response.client_data_json)
        except Exception as error:  # noqa: BLE001 # the library meets what a stranger wrote: it fails in many ways
            return NotBelieved("passkey_unreadable", type(error).__name__)
        if not self._take(challenge, bound, now):
            return NotBelieved("passkey_over")
        found = db.execute(
            select(Passkey, Account.sub).join(Account, Account.id == Passkey.account_id)
            .where(Passkey.credential_id == credential.id)
        ).first()  # fmt: skip
        if found is None or account_id not in (None, found[0].account_id):
            return NotBelieved("passkey_unknown")
        passkey, sub = found
        handle = credential.response.user_handle
        if (handle or sub.encode()) != sub.encode() or (account_id is None and not handle):
            return NotBelieved("passkey_wrong", "the user handle is another person's, or missing")
        try:
            shown = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=base64url_to_bytes(passkey.public_key),
                credential_current_sign_count=0,  # compared below, where nobody can come in between
                require_user_verification=True,
            )
        except Exception as error:  # noqa: BLE001 # what it checks was written by a stranger too
            return NotBelieved("passkey_wrong", _said(error))
        if not _note_use(db, passkey, shown.new_sign_count, now):
            return NotBelieved("passkey_copied")
        kind = "swk" if shown.credential_device_type == CredentialDeviceType.MULTI_DEVICE else "hwk"
        return Shown(passkey.account_id, passkey.credential_id, (kind, "user", "mfa"))

    def _asked(self, theirs: Iterable[Passkey], bound: str, now: float) -> str:
        return options_to_json(
            generate_authentication_options(
                rp_id=self._host,
                challenge=self._challenge(bound, now),
                timeout=LIFETIME * 1000,
                allow_credentials=_descriptors(theirs),
                user_verification=UserVerificationRequirement.REQUIRED,
            )
        )

    def _challenge(self, bound: str, now: float) -> bytes:
        head = self._random(_SALT) + (int(now) + LIFETIME).to_bytes(4, "big")
        return head + self._seal(head, bound)

    def _take(self, challenge: bytes, bound: str, now: float) -> bool:
        """Use a challenge up: False if it is not ours, is for something else, has ended, or was used before."""
        head, ends = challenge[:_HEAD], int.from_bytes(challenge[_SALT:_HEAD], "big")
        if not hmac.compare_digest(challenge[_HEAD:], self._seal(head, bound)) or ends <= now:
            return False
        # Kept a minute longer than it could be used, since Redis cleans up by a clock of its own.
        key = f"passkey-challenge:{{{token_hash(challenge.hex())}}}"
        return self._store.command("SET", key, ends, "NX", "PXAT", ends * 1000 + 60_000) is not None

    def _seal(self, head: bytes, bound: str) -> bytes:
        return hmac.digest(self._secret, head + bound.encode(), "sha256")


def passkeys_of(db: Transaction, account_id: str) -> list[Passkey]:
    """A person's passkeys, the oldest first."""
    return list(db.scalars(select(Passkey).where(Passkey.account_id == account_id).order_by(Passkey.id)))


def has_passkey(db: Transaction, account_id: str) -> bool:
    """Whether a person has any."""
    return db.scalar(select(Passkey.id).where(Passkey.account_id == account_id).limit(1)) is not None


def read_name(text: str) -> str:
    """What a person calls a passkey, in one line; "" if nothing of it can be seen."""
    visible = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text[:LONGEST_ANSWER])
    return " ".join(visible.split())[:LONGEST_NAME].strip()


def _note_use(db: Transaction, passkey: Passkey, count: int, now: float) -> bool:
    """Note a use; False if the counter of its device has not gone up: then somebody has a copy (section 6.1.1). Devices that
    do not count say 0 each time."""
    goes_up = Passkey.sign_count < count if count else Passkey.sign_count == 0
    use = update(Passkey).where(Passkey.id == passkey.id, goes_up).values(sign_count=count, last_used_at=int(now))
    answer = db.execute(use.execution_options(synchronize_session=False))
    assert isinstance(answer, CursorResult)
    return answer.rowcount == 1


def _read(answer: str) -> dict[str, object]:
    if len(answer) > LONGEST_ANSWER:
        raise ValueError("longer than any answer")
    read = json.loads(answer)
    if not isinstance(read, dict):
        raise ValueError("no object")
    return read


def _challenge_in(client_data_json: bytes) -> bytes:
    """The challenge that an answer is for (section 5.8.1).

    :raises ValueError: it was not asked for by a page of ours alone, but from within another site's.
    """
    read = parse_client_data_json(client_data_json)
    if read.cross_origin:
        raise ValueError("cross-origin")
    return read.challenge


def _check_statement(credential: RegistrationCredential) -> None:
    """We ask for no attestation, so what comes is none, or signed by the new key itself (section 8.2): nobody's certificates
    are read.

    :raises ValueError: it is another.
    """
    made = parse_attestation_object(credential.response.attestation_object)
    if made.fmt not in (AttestationFormat.NONE, AttestationFormat.PACKED) or made.att_stmt.x5c is not None:
        raise ValueError("an attestation that was not asked for")


def _descriptors(theirs: Iterable[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=base64url_to_bytes(one.credential_id),
            transports=[_TRANSPORTS[name] for name in one.transports if name in _TRANSPORTS],
        )
        for one in theirs
    ]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
