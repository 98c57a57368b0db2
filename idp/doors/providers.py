"""Social providers: each is data and one function that reads what it says of a person.

Where they stand, what they are asked and what their answers mean is as each provider documents it (docs/operators/social.md
says it in words). A new one is one entry of :data:`PROVIDERS` and one function: docs/operators/add-provider.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Said = Mapping[str, Any]  # what a provider's answers say together, see Provider.read

# Microsoft's tenants: any organization or person, any organization, any person (who are one tenant with this id).
TENANTS = ("common", "organizations", "consumers")
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
LONGEST_SUBJECT = 255  # characters (OpenID Connect Core 2), or digits
# Addresses that Google itself gives out.
_GMAIL = ("gmail.com", "googlemail.com")


class WrongAnswer(Exception):
    """A provider's answer lacks what it must have, or has it in another form; the text says what, and no value."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider says of a person.

    :ivar subject: who it is at the provider, for ever: never a name or an address that can change.
    :ivar email: as the provider spells it.
    :ivar email_verified: whether the address may be believed to be theirs; each provider has a rule of its own.
    :ivar at: when the person proved it to the provider, in seconds since 1970, if it says so.
    """

    subject: str
    email: str | None
    email_verified: bool
    name: str | None
    at: int | None = None

    def __post_init__(self) -> None:
        """Whatever a reading function makes of an answer: two people never share a subject that is none.

        :raises WrongAnswer: the subject, the address or the name is none.
        """
        if not is_subject(self.subject):
            raise WrongAnswer("no subject")
        if not all(text is None or isinstance(text, str) for text in (self.email, self.name)):
            raise WrongAnswer("an address or a name that is no text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider as it is for everybody; endpoints are empty where discovery tells them.

    :ivar issuer: half of the login key, for ever. ``{tenantid}`` in it stands for what the ID token's ``tid`` says.
    :ivar read: is given the claims of the ID token and those of the userinfo endpoint in one mapping (the ID token's go
        before; its ``email`` and ``email_verified`` stay together), with ``emails`` where an emails_endpoint is, and
        ``user``, what Apple sends beside the code. Raises :class:`WrongAnswer`.
    :ivar client_authentication: ``signed_jwt`` is Apple's: a client_secret that is a JWT by our own key.
    :ivar parameters: sent with every authorization request.
    :ivar silent: sent so that nothing is shown to the person; None where that cannot be asked.
    :ivar fresh: sent so that the person proves anew who they are; empty where that cannot be asked.
    :ivar hints: whether ``login_hint`` is understood.
    :ivar locales: whether ``ui_locales`` is understood.
    :ivar iss_parameter: whether each answer must name its issuer (RFC 9207). One that does must always be right.
    :ivar bare_issuer: whether ID tokens may also name the issuer without its https://, as Google's do.
    :ivar appsecret_proof: whether the userinfo request proves that it knows the client secret, as Facebook wants it.
    """

    key: str
    name: str
    protocol: Literal["openid_connect", "oauth2"]
    issuer: str
    read: Callable[[Said], Told]
    scopes: tuple[str, ...]
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str | None = None
    jwks_uri: str | None = None
    emails_endpoint: str | None = None
    client_authentication: Literal["client_secret_post", "client_secret_basic", "signed_jwt"] = "client_secret_post"
    pkce: bool = True
    nonce: bool = True
    response_mode: Literal["query", "form_post"] = "query"
    parameters: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] | None = None
    fresh: Mapping[str, str] = field(default_factory=dict)
    hints: bool = False
    locales: bool = False
    iss_parameter: bool = False
    bare_issuer: bool = False
    appsecret_proof: bool = False


@dataclass(frozen=True, slots=True)
class Registered:
    """A provider at which we are registered: an entry of providers.yaml.

    :ivar client_secret: or, for Apple, the private key in PEM that signs one; with ``team_id`` and ``key_id``.
    :ivar tenant: Microsoft's: one of TENANTS or the id of one.
    """

    provider: Provider
    client_id: str
    client_secret: str = field(repr=False)
    team_id: str = ""
    key_id: str = ""
    tenant: str = ""

    @property
    def key(self) -> str:
        """How it is called in addresses, cookies and receipts."""
        return self.provider.key

    @property
    def name(self) -> str:
        """How it is called on pages."""
        return self.provider.name


# --- reading ---------------------------------------------------------------------------------------------------------------


def read_google(said: Said) -> Told:
    """Google is the authority for an address of its own mail, or of the organization (``hd``) that the account is of."""
    email = _text(said, "email")
    domain = (email or "").rpartition("@")[2].lower()
    hosted = (_text(said, "hd") or "").lower()
    verified = said.get("email_verified") is True and (domain in _GMAIL or (domain != "" and domain == hosted))
    return Told(_subject(said, "sub"), email, verified, _text(said, "name"), _time(said, "auth_time"))


def read_microsoft(said: Said) -> Told:
    """An administrator of any tenant can write any address; xms_edov says that its domain is proved."""
    verified = said.get("xms_edov") in (True, 1, "1", "true")
    return Told(_subject(said, "sub"), _text(said, "email"), verified, _text(said, "name"), _time(said, "auth_time"))


def read_apple(said: Said) -> Told:
    """The flag may be text. The name is told once, beside the code, where the browser could change it: only a name."""
    user = said.get("user")
    name = user.get("name") if isinstance(user, Mapping) else None
    parts = [_text(name, part) for part in ("firstName", "lastName")] if isinstance(name, Mapping) else []
    full = " ".join(part for part in parts if part) or None
    verified = said.get("email_verified") in (True, "true")
    return Told(_subject(said, "sub"), _text(said, "email"), verified, full, _time(said, "auth_time"))


def read_facebook(said: Said) -> Told:
    """Facebook says nothing of whether an address was proved."""
    return Told(_subject(said, "id"), _text(said, "email"), False, _text(said, "name"))


def read_linkedin(said: Said) -> Told:
    """The flag may be text."""
    verified = said.get("email_verified") in (True, "true")
    return Told(_subject(said, "sub"), _text(said, "email"), verified, _text(said, "name"))


def read_github(said: Said) -> Told:
    """The address is the primary one of the list; the one in the profile is chosen for show."""
    emails = said.get("emails")
    if not isinstance(emails, list):
        raise WrongAnswer("emails is no list")
    primary = next((row for row in emails if isinstance(row, Mapping) and row.get("primary") is True), {})
    name = _text(said, "name") or _text(said, "login")
    return Told(_subject(said, "id"), _text(primary, "email"), primary.get("verified") is True, name)


def read_openid_connect(said: Said) -> Told:
    """Any OpenID Connect provider, whose word for addresses is not taken."""
    return Told(_subject(said, "sub"), _text(said, "email"), False, _text(said, "name"), _time(said, "auth_time"))


def read_openid_connect_by_claim(said: Said) -> Told:
    """Any OpenID Connect provider whose email_verified the operator trusts: true, and nothing that resembles it."""
    told = read_openid_connect(said)
    return Told(told.subject, told.email, said.get("email_verified") is True, told.name, told.at)


def read_oauth2(subject: str, email: str, name: str) -> Callable[[Said], Told]:
    """Any OAuth 2 provider: the names of the members of its userinfo that hold these."""

    def read(said: Said) -> Told:
        return Told(_subject(said, subject), _text(said, email), False, _text(said, name))

    return read


def _subject(said: Said, member: str) -> str:
    value = said.get(member)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**LONGEST_SUBJECT:
        return str(value)
    if not is_subject(value):
        raise WrongAnswer(f"{member} is not a subject")
    return str(value)


def is_subject(value: object) -> bool:
    """Whether it can name somebody for ever (OpenID Connect Core 2)."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_SUBJECT and value.isascii() and value.isprintable()


def _text(said: Said, member: str) -> str | None:
    value = said.get(member)
    return value if isinstance(value, str) and value.strip() else None


def _time(said: Said, member: str) -> int | None:
    value = said.get(member)
    if isinstance(value, str) and value.isascii() and value.isdecimal():  # as Apple's once were
        value = int(value[:12])
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**40 else None


# --- who there is ------------------------------------------------------------------------------------------------------------

_ALL = (
    Provider(
        key="google",
        name="Google",
        protocol="openid_connect",
        issuer="https://accounts.google.com",
        read=read_google,
        scopes=("openid", "email", "profile"),
        authorization_endpoint="https://accounts.google.com/o/oauth2/v2/auth",
        token_endpoint="https://oauth2.googleapis.com/token",
        jwks_uri="https://www.googleapis.com/oauth2/v3/certs",
        silent={"prompt": "none"},
        # prompt=login is none of Google's; the account is chosen anew, and auth_time tells when it was proved.
        fresh={"prompt": "select_account", "claims": '{"id_token":{"auth_time":{"essential":true}}}'},
        hints=True,
        bare_issuer=True,
    ),
    Provider(
        key="microsoft",
        name="Microsoft",
        protocol="openid_connect",
        issuer="https://login.microsoftonline.com/{tenantid}/v2.0",
        read=read_microsoft,
        scopes=("openid", "email", "profile"),
        authorization_endpoint="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
        token_endpoint="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        jwks_uri="https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys",
        silent={"prompt": "none"},
        fresh={"prompt": "login"},
        hints=True,
    ),
    Provider(
        key="apple",
        name="Apple",
        protocol="openid_connect",
        issuer="https://appleid.apple.com",
        read=read_apple,
        scopes=("name", "email"),
        authorization_endpoint="https://appleid.apple.com/auth/authorize",
        token_endpoint="https://appleid.apple.com/auth/token",
        jwks_uri="https://appleid.apple.com/auth/keys",
        client_authentication="signed_jwt",
        pkce=False,  # documented nowhere; the nonce binds the answer
        response_mode="form_post",  # who asks for a name or an address must have it
    ),
    Provider(
        key="facebook",
        name="Facebook",
        protocol="oauth2",
        issuer="https://www.facebook.com",
        read=read_facebook,
        scopes=("public_profile", "email"),
        authorization_endpoint="https://www.facebook.com/v24.0/dialog/oauth",
        token_endpoint="https://graph.facebook.com/v24.0/oauth/access_token",
        userinfo_endpoint="https://graph.facebook.com/v24.0/me?fields=id,name,email",
        nonce=False,
        fresh={"auth_type": "reauthenticate"},
        appsecret_proof=True,
    ),
    Provider(
        key="linkedin",
        name="LinkedIn",
        protocol="openid_connect",
        issuer="https://www.linkedin.com/oauth",
        read=read_linkedin,
        scopes=("openid", "profile", "email"),
        authorization_endpoint="https://www.linkedin.com/oauth/v2/authorization",
        token_endpoint="https://www.linkedin.com/oauth/v2/accessToken",
        userinfo_endpoint="https://api.linkedin.com/v2/userinfo",
        jwks_uri="https://www.linkedin.com/oauth/openid/jwks",
        pkce=False,  # only for native apps, at another address
        nonce=False,  # its ID tokens leave it out
    ),
    Provider(
        key="github",
        name="GitHub",
        protocol="oauth2",
        issuer="https://github.com/login/oauth",
        read=read_github,
        scopes=("read:user", "user:email"),
        authorization_endpoint="https://github.com/login/oauth/authorize",
        token_endpoint="https://github.com/login/oauth/access_token",
        userinfo_endpoint="https://api.github.com/user",
        emails_endpoint="https://api.github.com/user/emails",
        nonce=False,
        fresh={"prompt": "select_account"},
    ),
)

PROVIDERS: Mapping[str, Provider] = {provider.key: provider for provider in _ALL}
