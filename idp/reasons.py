"""Every way in which the road can fail: its code, who can mend it, and what caused it.

What people read stands in the catalogue under ``reason.<code>.says`` (a plain sentence) and ``reason.<code>.next`` (the
next step). docs/reasons.md is made from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Owner = Literal["person", "product", "company", "provider", "operator", "us"]

OWNERS: dict[Owner, str] = {
    "person": "the person who signs in",
    "product": "the developers of the product",
    "company": "the company's IT, who run its identity provider",
    "provider": "the social provider",
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
    Reason(
        "verify_over",
        "person",
        "The link of a sign-up is over: used, older than 24 hours, cut by the mail program, or its address has an account meanwhile or was another account's less than seven days ago.",
    ),
    Reason(
        "address_held",
        "person",
        "Somebody new came by a social provider or their company, with an address that another account has left less than seven days ago and may take back until then. No account was made.",
    ),
    Reason(
        "reset_over",
        "person",
        "A link to set a forgotten password counts no more: it was used, is older than 30 minutes, a newer one was sent, or the account has changed since.",
    ),
    Reason(
        "invite_over",
        "person",
        "An invitation counts no more: it was accepted, is older than a week, was sent once more, or was taken back.",
    ),
    Reason("link_over", "person", "A link from a mail was used before, is too old, or was cut by the mail program."),
    Reason(
        "link_other_account",
        "person",
        "Somebody was to prove an account by going through another door, and came back as another account, or as nobody whom we know. Nothing was linked.",
    ),
    Reason(
        "organizer_needed",
        "person",
        "Somebody without an account came through a social provider, and the product is for organizers only (needs: organizer in clients.yaml): no account was made.",
    ),
    Reason(
        "link_taken",
        "person",
        "A signed-in person wanted to add a social provider whose identity leads to another account already. It is never moved.",
    ),
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
        "password_short",
        "person",
        "The password that the person wants has fewer characters than the provider or their company asks for.",
    ),
    Reason(
        "password_breached",
        "person",
        "The password that the person wants is on the list of those known from breaches (IDP_BREACH_LIST).",
    ),
    Reason(
        "password_about_you",
        "person",
        "The password that the person wants is made of their address, name, company or this site, with little else.",
    ),
    Reason(
        "password_guessable",
        "person",
        "The password that the person wants would be among the first hundred million that somebody guesses.",
    ),
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
    # Second factors
    Reason(
        "second_code_wrong",
        "person",
        "The code is not one of the app's that count now, or was used before; or no unused recovery code, or not the one that was mailed.",
    ),
    Reason(
        "second_over",
        "person",
        "Five codes were wrong; or the account, its password or its factors have changed since the sign-in began: it begins anew.",
    ),
    Reason(
        "second_demanded",
        "company",
        "The company demands a second factor of its people, and this is the last that the account has.",
    ),
    # Passkeys
    Reason("passkey_unreadable", "person", "What the browser sent is no answer as browsers make it of a passkey."),
    Reason(
        "passkey_over",
        "person",
        "The challenge of the answer is older than 15 minutes, was used before, or was made for another sign-in or page.",
    ),
    Reason("passkey_unknown", "person", "The passkey is nobody's here, or another person's than who must show one."),
    Reason(
        "passkey_wrong",
        "person",
        "A check of Web Authentication failed: origin, RP ID, user handle, user verification, attestation or signature; the step says which.",
    ),
    Reason(
        "passkey_copied",
        "person",
        "The counter of the passkey did not go up since it was used last: there may be two devices with it.",
    ),
    Reason("passkey_known", "person", "The passkey that was to be added belongs to an account already."),
    Reason("passkey_too_many", "person", "The account has twenty passkeys."),
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
    # The company's door
    Reason(
        "company_member_missing",
        "company",
        "The company's sign-in was in order, but the person has no account in the company here, and its policy makes none by itself (JIT is off).",
    ),
    Reason(
        "company_name_id_changed",
        "company",
        "An account has this address, but the company knew it by another NameID before, and it has no password: a new colleague with an old address, or a changed NameID. An administrator of the company decides.",
    ),
    Reason(
        "company_sso_required",
        "person",
        "The company requires its own sign-in for this address, and the person is not one for emergencies. The page says the same as for a wrong password.",
    ),
    Reason(
        "connection_not_live",
        "company",
        "The connection is a draft: until it goes live it answers only tests (idp companies try).",
    ),
    Reason(
        "saml_request_over",
        "person",
        "The request that this response answers is older than 15 minutes, or was answered already (the Back button).",
    ),
    Reason(
        "connection_trial_over",
        "company",
        "The address of a test trip is older than an hour, was used first in another browser, or its result was shown before.",
    ),
    Reason("saml_response_repeated", "company", "The assertion has signed somebody in before; each counts once."),
    Reason(
        "saml_unsolicited_again",
        "company",
        "The identity provider does not answer our requests: its responses keep coming without InResponseTo.",
    ),
    # Single logout with a company
    Reason(
        "saml_logout_issuer",
        "company",
        "The logout message has another Issuer than the connection's identity provider.",
    ),
    Reason(
        "saml_logout_destination",
        "company",
        "Destination of the logout message is missing or not our sign-out address of this connection.",
    ),
    Reason(
        "saml_logout_time",
        "company",
        "The logout message is older than five minutes, from the future, or past its NotOnOrAfter: the clock of the identity provider is wrong, or the message is old.",
    ),
    Reason(
        "saml_logout_encrypted", "company", "The NameID of the logout request is encrypted; we read it in the clear."
    ),
    Reason("saml_logout_repeated", "company", "The logout request was used before; each counts once."),
    Reason(
        "saml_logout_unasked",
        "company",
        "The logout response answers no request of ours that is still waiting, or one that was sent to another identity provider.",
    ),
    Reason(
        "saml_logout_unfinished",
        "company",
        "The identity provider answered our logout request with another status than Success, or with PartialLogout.",
    ),
    Reason("company_unknown", "operator", "No company has this id."),
    Reason(
        "company_field_wrong",
        "company",
        "A field of a company is unknown, may not be set here, or holds something that it must not; the detail names it.",
    ),
    Reason("company_colour_wrong", "company", "A colour is not written as # and six digits from 0 to f."),
    Reason("company_colour_faint", "company", "A colour can hardly be told from white: the contrast is below 3 to 1."),
    Reason(
        "company_logo_wrong",
        "company",
        "What was sent as a logo is no PNG, JPEG, GIF or WebP image, or is broken; the detail says how.",
    ),
    Reason("company_logo_large", "company", "A logo has more than 256 KiB or more than four million pixels."),
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
    Reason("invite_known", "company", "Somebody was to be invited, and has an account here that is in use."),
    Reason(
        "invite_waiting", "company", "Somebody was to be invited, and was invited already, without an answer so far."
    ),
    Reason(
        "invite_none",
        "company",
        "An invitation was to be sent again to somebody who does not wait for one: never invited, invited by others, or here by now.",
    ),
    Reason(
        "invite_not_allowed",
        "company",
        "Whoever invites is no administrator of the company, or vouches for an address, which only operators do.",
    ),
    Reason(
        "invite_too_many",
        "company",
        "Too many invitations: 5 mails an hour to one address, 1,000 a day for one company.",
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
    Reason("domain_too_many", "company", "The company has claimed as many domains as one may."),
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
    # What a company's identity provider answers
    Reason(
        "saml_too_large",
        "company",
        "The message is larger than 256 kB, or has more elements, attributes or levels than any sign-in needs.",
    ),
    Reason(
        "saml_unreadable",
        "company",
        "The message is not base64 of plain XML in UTF-8: a document type, comment, processing instruction or other trick is in it, or it was cut.",
    ),
    Reason(
        "saml_not_a_response",
        "company",
        "Another SAML message than a Response 2.0 was sent to the ACS address.",
    ),
    Reason(
        "saml_structure_wrong",
        "company",
        "The Response is not built as SAML 2.0 prescribes: an element is missing, twice, or in a wrong place. Programs that follow the standard never send this; somebody may have meddled with it.",
    ),
    Reason(
        "saml_unsigned",
        "company",
        "Neither the Response nor its Assertion is signed. Switch on the signing of assertions (or responses) for this application.",
    ),
    Reason(
        "saml_encrypted_unsigned",
        "company",
        "The Assertion is encrypted but the Response around it is not signed. Switch on the signing of responses too, or the encryption off.",
    ),
    Reason(
        "saml_encrypted_other_key",
        "company",
        "The Assertion is encrypted for a certificate that is not this connection's. Often our metadata was read before our key changed, or comes from another connection.",
    ),
    Reason(
        "saml_decryption_failed",
        "company",
        "None of this connection's keys opens the encrypted Assertion, or what is in it cannot be read. Why exactly is not told, on purpose.",
    ),
    Reason(
        "saml_algorithm_weak",
        "company",
        "The message is signed or encrypted in a way that we do not accept. Accepted: RSA from 2048 bits or ECDSA with SHA-256 or stronger, exclusive canonicalisation, RSA-OAEP with AES.",
    ),
    Reason(
        "saml_certificate_other",
        "company",
        "The message is signed with a key whose certificate is not registered for the connection. Nearly always the identity provider has a new certificate.",
    ),
    Reason(
        "saml_signature_wrong",
        "company",
        "The signature does not fit the message: it was changed after it was signed. Some proxies and rewriting mail or web filters do that; so does an attacker.",
    ),
    Reason(
        "saml_status_no_passive",
        "person",
        "We asked the company silently (prompt=none), and nobody is signed in there. Ordinary: the product then asks without prompt=none.",
    ),
    Reason(
        "saml_status_denied",
        "company",
        "The identity provider refused this person: wrong password there, or not assigned to the application. What it says stands in the step.",
    ),
    Reason(
        "saml_status_failed",
        "company",
        "The identity provider answered with a failure of its own. What it says stands in the step.",
    ),
    Reason(
        "saml_unsolicited",
        "person",
        "The Response answers no request (a start from the company's own portal). The sign-in is begun anew from here.",
    ),
    Reason(
        "saml_request_unknown",
        "person",
        "The Response answers a request that we did not send, or that was answered before (the Back button). One that only comes too late begins the sign-in anew.",
    ),
    Reason(
        "saml_request_other",
        "company",
        "The Response and its Assertion answer different requests, or a request to another identity provider.",
    ),
    Reason(
        "saml_issuer_wrong",
        "company",
        "Issuer of the Response or of the Assertion is not, character for character, the entityID that is registered for the connection.",
    ),
    Reason(
        "saml_destination_wrong",
        "company",
        "Destination is missing or not our ACS address. Often the ACS (reply) address of another connection or environment was entered.",
    ),
    Reason(
        "saml_recipient_wrong",
        "company",
        "Recipient of the confirmation is missing or not our ACS address. Often the ACS (reply) address of another connection was entered.",
    ),
    Reason(
        "saml_audience_wrong",
        "company",
        "Audience is missing or not our entityID. Often the identifier (entityID) of another connection or environment was entered.",
    ),
    Reason(
        "saml_confirmation_wrong",
        "company",
        "The Assertion has not exactly one SubjectConfirmation of the method bearer, without NotBefore (SAML profiles section 4.1.4.2).",
    ),
    Reason(
        "saml_condition_unknown",
        "company",
        "The Assertion holds a condition that SAML 2.0 does not define, or is of another version; what we cannot judge does not hold.",
    ),
    Reason(
        "saml_expired",
        "company",
        "The Response came too late: it counts no longer, or was made more than ten minutes ago. If it happens to everybody, the identity provider's clock is slow.",
    ),
    Reason(
        "saml_clock_ahead",
        "company",
        "The Response says that it was made, or begins to count, in the future: the identity provider's clock is fast. 60 seconds are allowed.",
    ),
    Reason(
        "saml_clock_behind",
        "company",
        "The Response says that it was made before our request for it: the identity provider's clock is slow. 60 seconds are allowed.",
    ),
    Reason(
        "saml_lifetime_wrong",
        "company",
        "The confirmation has no NotOnOrAfter, or the Assertion says that it counts longer than a day.",
    ),
    Reason(
        "saml_authn_old",
        "company",
        "We asked for a fresh proof (ForceAuthn, max_age), but AuthnInstant is older.",
    ),
    Reason(
        "saml_context_unmet",
        "company",
        "The product asked for a strength of sign-in (RequestedAuthnContext), and AuthnContextClassRef names another.",
    ),
    Reason(
        "saml_name_id_missing",
        "company",
        "The Assertion names nobody: its Subject has no NameID, or an empty one.",
    ),
    Reason(
        "saml_name_id_qualified",
        "company",
        "NameQualifier or SPNameQualifier of the NameID names another identity provider or application: the same NameID may be somebody else there (SAML core section 8.3.7).",
    ),
    Reason(
        "company_name_id_malformed",
        "company",
        "The NameID is longer than 256 characters, or holds characters that cannot be printed, or spaces around it.",
    ),
    Reason(
        "company_name_id_transient",
        "company",
        "The NameID is transient: another one at each sign-in, so nobody could be recognised.",
    ),
    Reason(
        "company_name_id_format_wrong",
        "company",
        "The NameID has another format than the connection was set up with.",
    ),
    Reason(
        "company_email_missing",
        "company",
        "The attribute that the connection names for the e-mail address was not sent. The names of those that were sent stand in the step.",
    ),
    Reason(
        "company_email_several",
        "company",
        "The attribute for the e-mail address has several values; which one counts must not be guessed.",
    ),
    Reason(
        "company_email_malformed",
        "company",
        "What was sent as the e-mail address is none, for example a user name.",
    ),
    Reason(
        "company_email_upn",
        "company",
        "A User Principal Name was sent instead of the e-mail address. Entra ID does so unless the NameID (or claim) is set to user.mail.",
    ),
    Reason(
        "company_domain_foreign",
        "company",
        "The address is of a domain that the company of this connection has not proved. A company speaks for its own domains only.",
    ),
    # A social provider's answer
    Reason(
        "social_cancelled",
        "person",
        "The person pressed Cancel at the provider, or did not let it tell us who they are.",
    ),
    Reason(
        "social_unproved_there",
        "person",
        "The provider wants the person to prove their address to it before it tells us who they are (GitHub: unverified_user_email).",
    ),
    Reason(
        "social_login_required",
        "person",
        "The provider was asked to show nothing (prompt=none), but nobody is signed in there, or it must ask something first. Ordinary.",
    ),
    Reason(
        "social_code_over",
        "person",
        "The provider no longer takes the code: it was used (the Back button), is too old, or its sign-in ended there.",
    ),
    Reason(
        "social_not_fresh",
        "person",
        "The product asked for a new sign-in, but the provider's auth_time is from before: it knew the person still and did not ask.",
    ),
    Reason(
        "social_tenant_forbidden",
        "person",
        "The Microsoft account is of another tenant than the entry allows (tenant in providers.yaml).",
    ),
    Reason(
        "social_unavailable",
        "provider",
        "The provider does not answer in time, says that it cannot now, or answers with a status of 500 or more, or 429.",
    ),
    Reason(
        "social_error_unknown",
        "provider",
        "The provider answers with an error code of its own that says nothing to us; the step names it.",
    ),
    Reason(
        "social_answer_wrong",
        "provider",
        "An answer of the provider is not what its protocol says: HTML, a redirect, not JSON, or something is missing; the step says what.",
    ),
    Reason(
        "social_id_token_wrong",
        "provider",
        "There is no ID token, it is not a JWT, or at_hash is of another access token.",
    ),
    Reason(
        "social_signature_wrong",
        "provider",
        "No key that the provider publishes has signed the ID token, or its alg is none that we accept (never none, never HS256).",
    ),
    Reason(
        "social_issuer_wrong",
        "provider",
        "The answer or its ID token names another issuer than the provider to which the person was sent: perhaps a mix-up attack (RFC 9207).",
    ),
    Reason(
        "social_audience_wrong",
        "provider",
        "The ID token was made for another client (aud, azp).",
    ),
    Reason(
        "social_nonce_wrong",
        "provider",
        "The ID token was made for another request (nonce).",
    ),
    Reason(
        "social_time_wrong",
        "provider",
        "The ID token is over or not valid yet (exp, iat, nbf): one of the two clocks is wrong by more than two minutes.",
    ),
    Reason(
        "social_userinfo_other",
        "provider",
        "The userinfo endpoint tells of another person than the ID token (sub).",
    ),
    Reason(
        "social_misconfigured",
        "operator",
        "The provider does not take our registration (client_id, client secret, redirect URI, scopes), or our rules forbid its address: see docs/operators/social.md.",
    ),
    # A social provider's answer, before anything in it is looked at
    Reason(
        "social_state_unknown",
        "person",
        "No trip to a provider waits for this state: it is older than 15 minutes, was answered already (the Back button, a second tab), or was never ours.",
    ),
    Reason(
        "social_state_elsewhere",
        "provider",
        "The state belongs to a trip to another provider: perhaps a mix-up attack (RFC 9700 section 4.4).",
    ),
    Reason(
        "social_link_session",
        "person",
        "Who asked to add this way to sign in is no longer signed in at this browser, or somebody else is.",
    ),
    Reason(
        "social_parameter_repeated",
        "provider",
        "A parameter of the answer is given more than once (RFC 6749 section 3.1).",
    ),
    Reason(
        "social_busy",
        "provider",
        "So many wait for this provider's answers that the next would take a thread from everybody else: it is slow.",
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
    # The admin center
    Reason(
        "admin_sign_in_failed",
        "us",
        "What the provider answered the admin center with did not stand its checks; detail says which.",
    ),
    Reason(
        "admin_not_signed_in",
        "person",
        "The provider sent the browser back to the admin center without a code: detail says its error.",
    ),
    Reason(
        "admin_logout_token_wrong",
        "us",
        "What was posted to the admin center's back-channel logout address is no logout token of the provider for it.",
    ),
    Reason(
        "admin_forbidden",
        "person",
        "The page or act in the admin center needs a right that the person's role does not give.",
    ),
    Reason(
        "connection_description_missing",
        "company",
        "An identity provider was to be connected without its metadata or the values that stand for it.",
    ),
    Reason("person_is_oneself", "person", "An administrator tried to suspend or remove their own account."),
    Reason(
        "person_of_provider", "person", "A company's administrator tried to change somebody who works at the provider."
    ),
    Reason("person_not_suspended", "person", "An account that is not suspended was to be reactivated."),
    Reason("person_not_active", "person", "An account that is suspended or closed already was to be suspended."),
    Reason(
        "person_suspended_by_provider",
        "operator",
        "A company's administrator tried to reactivate an account that an operator had suspended.",
    ),
    Reason(
        "factor_removal_reason", "person", "The removal of somebody's second factors was asked for without a reason."
    ),
    Reason("factor_removal_none", "person", "The person has no second factor that could be taken away."),
    Reason(
        "factor_removal_over",
        "person",
        "Nothing waits for a second person: it was done, withdrawn, or asked more than a day ago.",
    ),
    Reason(
        "factor_removal_alone",
        "person",
        "Whoever asked for the removal of second factors, or whose they are, tried to agree to it too.",
    ),
    Reason("staff_role_unknown", "operator", "A role at the provider that there is not."),
    Reason(
        "staff_person_unknown", "operator", "A role at the provider for somebody without an account that can be used."
    ),
    Reason("staff_last_operator", "operator", "Nobody would be left who can sign in as an operator."),
)

REASONS = {reason.code: reason for reason in _TABLE}
