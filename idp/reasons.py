"""Every way in which the road can fail: its code, who can mend it, and what caused it.

What people read stands in the catalogue under ``reason.<code>.says`` (a plain sentence) and ``reason.<code>.next`` (the
next step). docs/reasons.md is made from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Owner = Literal["person", "product", "company", "operator", "us"]

OWNERS: dict[Owner, str] = {
    "person": "the person who signs in",
    "product": "the developers of the product",
    "company": "the company's IT, who run its identity provider",
    "operator": "the operator of this provider",
    "us": "whoever writes this program",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One way to fail.

    :ivar owner: who can mend it, see OWNERS.
    :ivar cause: for support and developers.
    """

    code: str
    owner: Owner
    cause: str

    @property
    def says(self) -> str:
        """The catalogue key of the sentence that people read."""
        return f"reason.{self.code}.says"

    @property
    def next(self) -> str:
        """The catalogue key of what they can do now."""
        return f"reason.{self.code}.next"


_TABLE = (
    # The authorization request that a product sends
    Reason(
        "client_unknown",
        "product",
        "client_id is missing, not in clients.yaml, or its client is switched off; at /token and the like also an unknown name.",
    ),
    Reason(
        "redirect_uri_unregistered",
        "product",
        "redirect_uri is missing or not, byte for byte, one of the client's in clients.yaml.",
    ),
    Reason(
        "request_unreadable",
        "product",
        "The request is not a form or query in UTF-8, has too many fields, or a header or form value that cannot be read.",
    ),
    Reason("request_too_large", "product", "The request is larger than anything that we answer."),
    Reason("parameter_repeated", "product", "A parameter was given more than once (RFC 6749 section 3.1)."),
    Reason(
        "parameter_too_long", "product", "state or nonce is longer than 1024 characters or holds control characters."
    ),
    Reason(
        "parameter_missing",
        "product",
        "A parameter without which nothing can be done was not sent; error_description or the log names the endpoint.",
    ),
    Reason(
        "request_object_unsupported",
        "product",
        "request, request_uri or registration was sent; discovery says that none is supported.",
    ),
    Reason("response_type_missing", "product", "response_type was not sent."),
    Reason("response_type_unsupported", "product", "response_type is not code."),
    Reason(
        "response_mode_unsupported",
        "product",
        "response_mode is not query or form_post, or not among this client's response_modes.",
    ),
    Reason(
        "scope_without_openid", "product", "scope lacks openid or is malformed, or the token was granted without it."
    ),
    Reason("pkce_missing", "product", "code_challenge was not sent, and this client must use PKCE (RFC 7636)."),
    Reason("pkce_method_unsupported", "product", "code_challenge_method is not S256; plain is not supported."),
    Reason("pkce_malformed", "product", "code_challenge is not 43 characters of base64url, as SHA-256 makes them."),
    Reason("prompt_wrong", "product", "prompt holds an unknown value, or none beside another."),
    Reason("max_age_wrong", "product", "max_age is not a whole number of seconds."),
    Reason("claims_wrong", "product", "claims is not a claims request in JSON (OpenID Connect Core 5.5)."),
    # What the road decides
    Reason(
        "login_required",
        "product",
        "prompt=none was sent, but nobody is signed in, or not freshly enough. Ordinary: the product then asks without prompt=none.",
    ),
    Reason(
        "other_person_signed_in",
        "person",
        "Another person is signed in than the one whom id_token_hint or a requested sub names.",
    ),
    Reason(
        "acr_unmet",
        "product",
        "The product demands a strength of sign-in (claims.id_token.acr, essential) that this person does not have.",
    ),
    Reason("consent_denied", "person", "The person pressed Deny on the consent page."),
    Reason(
        "consent_required", "product", "prompt=none was sent, but the person must first allow what the client asks for."
    ),
    # The pages on the way
    Reason(
        "pending_unknown",
        "person",
        "The pending login is older than 15 minutes, was finished (the Back button), or never existed.",
    ),
    Reason(
        "pending_foreign_browser",
        "person",
        "The pending login was begun in another browser, or the browser keeps no cookies.",
    ),
    Reason(
        "csrf",
        "person",
        "The form lacks our token, or the token belongs to another browser; often the browser keeps no cookies.",
    ),
    Reason(
        "session_expired",
        "person",
        "The session ended while the answer was being made: signed out elsewhere, suspended, or too old.",
    ),
    Reason("link_over", "person", "A link from a mail was used before, is too old, or was cut by the mail program."),
    Reason("page_unknown", "person", "There is no page at this address."),
    Reason("method_not_allowed", "product", "The address exists but is not called this way (GET, POST)."),
    Reason(
        "id_token_hint_wrong",
        "product",
        "At /logout, id_token_hint is not an ID token of ours, or names another client than client_id.",
    ),
    Reason(
        "post_logout_redirect_uri_unregistered",
        "product",
        "At /logout, post_logout_redirect_uri is not registered for the client, or no client is named.",
    ),
    # The standard door
    Reason(
        "password_wrong",
        "person",
        "The account exists; the password is not its own. The page says the same for every address.",
    ),
    Reason(
        "password_missing",
        "person",
        "The account has no password: it signs in another way. The page says the same as for a wrong password.",
    ),
    Reason("password_too_long", "person", "The password is longer than 1024 characters; no password of ours is."),
    Reason(
        "account_unknown",
        "person",
        "No account fits. At the password door the page says the same as for a wrong password.",
    ),
    Reason(
        "account_suspended",
        "operator",
        "The account is suspended (idp people reactivate). At the password door the page says the same as for a wrong password.",
    ),
    Reason(
        "throttled",
        "person",
        "Too many attempts from this network or for this address; the time to wait stands in the step. Nobody is locked out.",
    ),
    # A company's connections, and the metadata of its identity provider
    Reason(
        "connection_unknown",
        "company",
        "There is no connection with this id.",
    ),
    Reason(
        "connection_field_wrong",
        "company",
        "A name, attribute, binding or another setting of a connection is empty, too long or unknown.",
    ),
    Reason(
        "connection_too_many",
        "company",
        "The company has as many connections as are allowed.",
    ),
    Reason(
        "connection_untested",
        "company",
        "A connection was to go live that nobody has tested since it was made or changed.",
    ),
    Reason(
        "connection_last_live",
        "company",
        "The company requires SSO, and this is the only live connection: without it nobody could sign in.",
    ),
    Reason(
        "connection_entity_id_wrong",
        "company",
        "The identity provider's entityID is empty, longer than 1024 characters, or holds a space, quote or control character.",
    ),
    Reason(
        "connection_entity_id_taken",
        "company",
        "Another connection of the same company leads to the identity provider with this entityID.",
    ),
    Reason(
        "connection_entity_id_fixed",
        "company",
        "The entityID of a live connection was to be changed; every person who signs in through it would become another person.",
    ),
    Reason(
        "connection_address_wrong",
        "company",
        "An address is not https on a public DNS name, has a fragment or user name, or holds a character that no address has.",
    ),
    Reason(
        "connection_name_id_format_wrong",
        "company",
        "The NameID format is none of emailAddress, persistent, unspecified. Transient NameIDs name nobody twice.",
    ),
    Reason(
        "connection_certificate_missing",
        "company",
        "No certificate was found in what was pasted, uploaded or read.",
    ),
    Reason(
        "connection_certificate_unreadable",
        "company",
        "A certificate is cut short or was changed on the way.",
    ),
    Reason(
        "connection_certificate_other",
        "company",
        "Something else than an identity provider's certificates was given: a request, a public key, a .p7b file, metadata, or too much.",
    ),
    Reason(
        "connection_certificate_private_key",
        "company",
        "A private key was pasted or uploaded instead of a certificate. It was neither kept nor logged.",
    ),
    Reason(
        "connection_certificate_weak",
        "company",
        "The key of a certificate is weaker than RSA with 2048 bits or P-256, or of another kind.",
    ),
    Reason(
        "connection_certificate_ended",
        "company",
        "All certificates that were given or are kept have ended.",
    ),
    Reason(
        "connection_certificate_unknown",
        "company",
        "The connection has no certificate with this fingerprint.",
    ),
    Reason(
        "connection_last_certificate",
        "company",
        "The only certificate of a connection was to be removed.",
    ),
    Reason(
        "connection_metadata_unknown",
        "company",
        "The metadata was decided about before, or never kept aside.",
    ),
    Reason(
        "saml_metadata_unreachable",
        "company",
        "The metadata address did not answer with 200 within five seconds over TLS, redirects, or is not a public address.",
    ),
    Reason(
        "saml_metadata_too_large",
        "company",
        "The metadata is larger than 1 MB, or has too many elements or levels.",
    ),
    Reason(
        "saml_metadata_not_xml",
        "company",
        "What was read is not XML in UTF-8: often a sign-in page or an error page.",
    ),
    Reason(
        "saml_metadata_forbidden",
        "company",
        "The metadata holds a document type, an entity, a CDATA section or a processing instruction.",
    ),
    Reason(
        "saml_metadata_several",
        "company",
        "The metadata describes no, or several, identity providers: exactly one EntityDescriptor with one IDPSSODescriptor is read.",
    ),
    Reason(
        "saml_metadata_incomplete",
        "company",
        "The metadata has no sign-on address with a binding that we speak (HTTP-Redirect, HTTP-POST), no entityID, or does not speak SAML 2.0.",
    ),
    Reason(
        "saml_metadata_expired",
        "company",
        "The metadata's validUntil has passed, or cannot be read.",
    ),
    Reason(
        "saml_metadata_other_entity",
        "company",
        "The metadata is of another entityID than the connection.",
    ),
    Reason(
        "saml_metadata_unsigned",
        "company",
        "The connection trusts metadata only with a signature, and the document has none of its own.",
    ),
    Reason(
        "saml_metadata_signature_wrong",
        "company",
        "The signature of the metadata is not by the pinned certificate, or does not cover the whole document.",
    ),
    # The machine endpoints
    Reason(
        "content_type_unsupported",
        "product",
        "The body is not application/x-www-form-urlencoded in UTF-8, or is compressed.",
    ),
    Reason("client_auth_repeated", "product", "Credentials were given in two ways at once (RFC 6749 section 2.3)."),
    Reason("client_throttled", "product", "Too many failed authentications of this client from this network."),
    Reason(
        "client_secret_wrong",
        "product",
        "The client secret is not, or no longer, one of the client's. Often: it was rotated, or is not form-encoded (RFC 6749 section 2.3.1).",
    ),
    Reason(
        "client_method_wrong", "product", "The client authenticates in another way than its token_endpoint_auth_method."
    ),
    Reason(
        "client_credentials_missing", "product", "A confidential client, or one who introspects, sent only its name."
    ),
    Reason(
        "client_header_malformed",
        "product",
        "The Authorization header is not Basic with a form-encoded name and secret (RFC 6749 section 2.3.1).",
    ),
    Reason(
        "assertion_wrong",
        "product",
        "The client assertion is not in order: type, audience, issuer, subject, time or header (RFC 7523 section 3).",
    ),
    Reason("assertion_signature_wrong", "product", "No key of the client verifies the client assertion."),
    Reason("assertion_repeated", "product", "This client assertion was used before (its jti)."),
    Reason("grant_type_missing", "product", "grant_type was not sent."),
    Reason("grant_type_unsupported", "product", "grant_type is not authorization_code or refresh_token."),
    Reason("grant_type_forbidden", "product", "grant_type is not among the client's grant_types in clients.yaml."),
    Reason(
        "code_unknown",
        "product",
        "The code was never ours, or its grant has ended (sign-out, a failed redemption, too old).",
    ),
    Reason(
        "code_used",
        "product",
        "The code was redeemed before; everything that the first redemption gave is revoked (RFC 6749 section 4.1.2).",
    ),
    Reason("code_expired", "product", "The code was redeemed too late; it lives for the client's code_lifetime."),
    Reason(
        "code_foreign", "product", "Another client redeemed the code than the one it was issued to. The code is burnt."
    ),
    Reason(
        "redirect_uri_different",
        "product",
        "redirect_uri at /token is not the one of the authorization request. The code is burnt.",
    ),
    Reason(
        "verifier_wrong",
        "product",
        "code_verifier is missing, or its hash is not the code_challenge (RFC 7636 section 4.6). The code is burnt.",
    ),
    Reason(
        "refresh_unknown",
        "product",
        "The refresh token was never ours, or its grant has ended: signed out everywhere, suspended, revoked, or an old token was shown before.",
    ),
    Reason("refresh_foreign", "product", "Another client used the refresh token than the one it was issued to."),
    Reason(
        "refresh_expired",
        "product",
        "The refresh token has reached the client's refresh_token_lifetime, counted from the sign-in.",
    ),
    Reason(
        "refresh_reused",
        "product",
        "An older refresh token was shown after its successor was issued: it may be stolen, so the whole family is revoked.",
    ),
    Reason("scope_exceeded", "product", "A refresh asked for a scope that was not granted (RFC 6749 section 6)."),
    Reason("token_missing", "product", "No access token was sent."),
    Reason("token_malformed", "product", "The access token was sent in several ways, or not as RFC 6750 says."),
    Reason("token_unknown", "product", "The access token is expired, revoked, or never was ours."),
    # Companies and their domains
    Reason("company_unknown", "operator", "No company has this id."),
    Reason(
        "company_field_wrong",
        "company",
        "A field of a company is unknown, may not be set here, or holds something that it must not; the detail names it.",
    ),
    Reason(
        "company_session_too_long",
        "company",
        "A session length is longer than the provider's own (IDP_SESSION_IDLE, IDP_SESSION_LIFETIME); a company only shortens.",
    ),
    Reason("company_role_unknown", "company", "The role is none of administrator, read_only, member."),
    Reason(
        "company_member_unknown", "company", "The account does not exist, or belongs to no company or to another one."
    ),
    Reason("company_member_elsewhere", "company", "The person belongs to a company already; nobody belongs to two."),
    Reason(
        "company_member_outside", "company", "No verified address of the person is in a verified domain of the company."
    ),
    Reason(
        "company_member_not_new", "company", "The account was to be prepared, but has a password or a link already."
    ),
    Reason(
        "company_last_administrator",
        "company",
        "The company would have no administrator left who can act (active, and not only prepared).",
    ),
    Reason("company_break_glass_password", "company", "A break-glass person needs an active account with a password."),
    Reason(
        "company_last_break_glass",
        "company",
        "SSO is required, and nobody else could sign in if the connection failed.",
    ),
    Reason(
        "company_no_break_glass",
        "company",
        "SSO was to be required, but no break-glass person with a password is named.",
    ),
    Reason(
        "company_sso_untried",
        "company",
        "SSO was to be required, but no administrator of the company has signed in through a live connection yet.",
    ),
    Reason(
        "domain_malformed",
        "company",
        "What was given is no domain name that can stand in e-mail addresses: an address, a URL, an IP address, a wrong letter.",
    ),
    Reason(
        "domain_public_suffix",
        "company",
        "Under this name strangers register domains (public suffix list), so it belongs to no company.",
    ),
    Reason(
        "domain_public_mail", "company", "Under this domain anybody can get a mailbox, so it belongs to no company."
    ),
    Reason(
        "domain_taken",
        "company",
        "Another company holds the domain, one above it or one below it, or did so within the last 30 days.",
    ),
    Reason("domain_unclaimed", "company", "The company has not claimed this domain."),
    Reason("domain_released", "company", "The company gave the domain back; claiming it again makes a new code."),
    Reason(
        "domain_code_expired", "company", "The code is older than 10 days; claiming the domain again makes a new one."
    ),
    Reason("domain_name_unknown", "company", "The DNS knows no such name (NXDOMAIN)."),
    Reason(
        "domain_record_missing",
        "company",
        "The name has no TXT record with the code. Often the change has not reached all name servers yet.",
    ),
    Reason(
        "domain_record_elsewhere",
        "company",
        "The record stands at another name: at the domain above, or with the domain twice because the control panel adds it by itself.",
    ),
    Reason("domain_record_old", "company", "The record holds another code: an older one, or that of another company."),
    Reason(
        "domain_record_malformed",
        "company",
        "The record holds the code, but not exactly as shown: quotes, spaces, a part missing or too much.",
    ),
    Reason(
        "domain_record_alias",
        "company",
        "The name is an alias (CNAME) of another name. What stands there proves nothing; use the file, or replace the alias.",
    ),
    Reason(
        "domain_dns_failing",
        "company",
        "The name servers of the domain, or ours, do not answer (SERVFAIL, REFUSED, timeout).",
    ),
    Reason(
        "domain_file_missing",
        "company",
        "There is no such file (its status is not 200, or another page is shown instead).",
    ),
    Reason("domain_file_wrong", "company", "The file holds more than the text shown, or another code."),
    Reason(
        "domain_file_redirected",
        "company",
        "The address of the file redirects; redirects are not followed, because they may lead to somebody else.",
    ),
    Reason("domain_file_tls", "company", "The web server of the domain has no certificate that is good for it."),
    Reason(
        "domain_file_unreachable",
        "company",
        "The web server of the domain does not answer, or its name does not resolve.",
    ),
    # Ourselves and what we stand on
    Reason("redis_down", "operator", "Redis does not answer within two seconds, refuses writes, or is out of memory."),
    Reason("sql_down", "operator", "The SQL database does not answer, or too many write at once."),
    Reason(
        "hashing_busy",
        "operator",
        "More people are signing in than passwords can be hashed (IDP_HASHING, IDP_WORKERS).",
    ),
    Reason(
        "signing_key_missing",
        "operator",
        "No key of the client's algorithm is there to sign with (idp keys rotate --alg).",
    ),
    Reason(
        "signature_bad", "product", "A signed token that we were given is not genuine, or made for another purpose."
    ),
    Reason(
        "outgoing_refused", "operator", "Our rules forbid the address that we should call: see IDP_ALLOWED_NETWORKS."
    ),
    Reason("outgoing_failed", "operator", "An address that we called did not answer in time, or not as it should."),
    Reason("operator", "operator", "Something must be mended on the server; the log says what, where and how."),
    Reason("internal", "us", "A mistake of ours; the log has the place under the same receipt."),
)

REASONS = {reason.code: reason for reason in _TABLE}
