"""Throttling: slows whoever guesses, and never locks an owner out.

A bucket holds tries and fills up again steadily. What a try costs is taken before the password is looked at, so parallel
tries count; a success puts its own try back and nobody else's, so an attacker's own account does not wash anything clean.

A browser in which the person has signed in before has a bucket of its own and meets no other: nothing that strangers do
reaches it. From other browsers a network that guesses much is made to wait. An account that is under attack from many
networks, or a provider that is, refuses nobody outright: each network then has only very few tries per account, which is
enough for an owner and too few for a guesser.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from idp.redis_store import RedisStore, token_hash


@dataclass(frozen=True, slots=True)
class Bucket:
    """``tries`` at once, and one more every ``seconds``."""

    name: str
    tries: int
    seconds: float


# The owner's own browser: ten slips of the finger, then one per half minute.
DEVICE = Bucket("device", 10, 30)
# One network on one account: a person needs few tries; 10 + 1,440 a day do not find even a weak password.
PAIR = Bucket("pair", 10, 60)
# The same while the account or the provider is under attack: three tries, then one per ten minutes.
PAIR_UNDER_ATTACK = Bucket("pair-under-attack", 3, 600)
# One IPv4 address or IPv6 /64, whatever the accounts: an office or a school behind one address has room, since
# successful sign-ins cost nothing.
NETWORK = Bucket("network", 60, 6)
# The network around it (IPv4 /24, IPv6 /48): who owns many addresses does not get as many times the tries.
NEIGHBOURHOOD = Bucket("neighbourhood", 300, 2)
# Failures on one account from everywhere: more than its owner ever makes mean an attack.
ACCOUNT = Bucket("account", 20, 60)
# Failures on the whole provider: about what ten thousand people in a Monday-morning hour mistype.
PROVIDER = Bucket("provider", 2000, 0.5)

# Failed authentications of one relying party from one network: a secret cannot be guessed, so more is a broken deployment
# or noise, and neither needs an answer each time.
CLIENT = Bucket("client", 30, 2)

# Mails that let whoever reads them prove an address: so many from one network, and to one mailbox, whoever asks.
PROOF_MAILS = Bucket("proof-mails", 10, 120)
PROOF_MAILS_AROUND = Bucket("proof-mails-around", 50, 30)
PROOF_MAILS_TO = Bucket("proof-mails-to", 3, 900)
# The same for forgotten passwords, counted apart so that no other mail uses them up. Whoever has to wait has a link that is still good
# (forgotten.LIFETIME): a stranger who asks in somebody's name keeps nobody out.
RESET_MAILS_TO = Bucket("reset-mails-to", 3, 900)
# And for the code that is mailed where a person signs in for the first time, by account: only who knows its password uses these up.
CODE_MAILS_TO = Bucket("code-mails-to", 3, 900)

# Companies' domains that one network may ask the way for: whoever sits there needs a few, a list of our customers needs
# thousands. A domain counts once an hour, so that an office or a telephone company costs little.
DOMAINS = Bucket("domains", 100, 10)
DOMAINS_AROUND = Bucket("domains-around", 500, 2)
REMEMBERED = 3600  # seconds for which a domain is not counted again

# Trips to one identity provider that begin with an answer which nobody asked for: a person needs one, and an identity
# provider that never answers what it was asked would send the browser round for ever.
UNSOLICITED = Bucket("unsolicited", 3, 60)

# Responses that one network brings for one identity provider and that sign nobody in: more than the largest office has
# on a Monday morning when its identity provider begins by itself, and too few to keep a worker from other companies.
RESPONSES = Bucket("responses", 100, 0.1)

# Answers of social providers that one network brings and that name nobody. Each may cost a call to the provider, whose
# patience with us is not endless; what signs somebody in costs nothing, however large the office.
SOCIAL = Bucket("social", 60, 2)

# Passkeys that one network shows and that sign nobody in. None can be guessed, so more is noise.
PASSKEYS = Bucket("passkeys", 60, 2)

# Second factors. Whoever guesses at codes knows the password, and may be many networks; of a million codes three count at a time.
# One sign-in has five tries, while it lasts.
SECOND_TRIES = Bucket("second-tries", 5, 3600)
SECOND_DEVICE = Bucket("second-device", 10, 60)
SECOND_PAIR = Bucket("second-pair", 10, 300)
SECOND_PAIR_UNDER_ATTACK = Bucket("second-pair-under-attack", 3, 3600)
SECOND_ACCOUNT = Bucket("second-account", 20, 300)

# Ways to sign in that one person sets out to add: each that is made is announced by mails that nothing holds back.
ADDITIONS = Bucket("additions", 10, 360)

# Passwords that one person gives themselves: each is announced by a mail that nothing holds back.
PASSWORDS = Bucket("passwords", 10, 360)

# How often support, whoever it is, lets one account try again: ten more guesses each time are no help to a guesser if they are rare.
FORGIVENESS = Bucket("forgiveness", 3, 3600)

# Cases that one agent of support opens, or looks for: more than there are calls in a shift is browsing, or guessing at codes.
LOOKS = Bucket("looks", 60, 60)

# Empty ones refuse nobody: from then on the narrower ones of their kind count.
_ALARMS = {ACCOUNT, PROVIDER, SECOND_ACCOUNT}
_UNDER_ATTACK = {PAIR_UNDER_ATTACK, SECOND_PAIR_UNDER_ATTACK}

Tried = tuple[Bucket, str]

# What support gives a caller who is made to wait: so many tries more, from wherever, within half an hour. Each is one more for a guesser as
# well, and ten find no password.
FORGIVEN, FORGIVEN_SECONDS = 10, 1800


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to try once, or the whole seconds to ``wait``. ``taken`` is what ``give_back`` returns after a success."""

    wait: int
    taken: tuple[Tried, ...]


def take_sign_in(store: RedisStore, *, email: str, network: str, device: str | None, now: float) -> Ticket:
    """Ask for leave to check one password. One round trip, and another one for who must wait.

    ``email`` is canonical, known to us or not; ``network`` the visitor's network address; ``device`` the cookie value of a
    browser that ``devices.is_known`` for this account, else None.
    """
    mailbox = _mailbox(email)
    if device is not None:
        return _or_forgiven(store, mailbox, _take(store, [(DEVICE, f"{device} {email}")], now), now)
    near, around = networks(network)
    pair = f"{near} {mailbox}"
    ticket = _take(
        store,
        [
            (NETWORK, near),
            (NEIGHBOURHOOD, around),
            (PAIR, pair),
            (PAIR_UNDER_ATTACK, pair),
            (ACCOUNT, mailbox),
            (PROVIDER, ""),
        ],
        now,
    )
    return _or_forgiven(store, mailbox, ticket, now)


def forgive(store: RedisStore, *, emails: Iterable[str], account_id: str, now: float) -> bool:
    """Let somebody whom support has on the telephone try again at once, with their password, their second factor and their mails.

    Networks that guess much go on waiting with everybody else's accounts. ``emails``: theirs, canonical.

    :returns: False when that was done so often for this account that it would help whoever guesses; nothing has changed then.
    """
    if _take_one(store, FORGIVENESS, account_id, now):
        return False
    mailboxes = [_mailbox(email) for email in emails]
    emptied = [(bucket, box) for box in mailboxes for bucket in (ACCOUNT, PROOF_MAILS_TO, RESET_MAILS_TO)]
    emptied += [(SECOND_ACCOUNT, account_id), (CODE_MAILS_TO, account_id)]
    with store.batch() as batch:
        for bucket, subject in emptied:
            batch.command("DEL", _key(bucket, subject))
        for subject in (*mailboxes, account_id):
            key = _forgiven(subject)
            batch.command("DEL", key)
            batch.command("RPUSH", key, *(str(int(now) + FORGIVEN_SECONDS) for _ in range(FORGIVEN)))
            batch.command("EXPIRE", key, FORGIVEN_SECONDS)
    return True


def _or_forgiven(store: RedisStore, subject: str, ticket: Ticket, now: float) -> Ticket:
    """Asked only for who would have to wait. Each of the tries is taken once, however many ask."""
    until = store.command("LPOP", _forgiven(subject)) if ticket.wait else None
    return Ticket(0, ()) if until is not None and int(until) > now else ticket


def count_client_failure(store: RedisStore, *, client_id: str, network: str, now: float) -> int:
    """Count a failed authentication of a relying party; the seconds to wait when there were too many. One round trip.

    Asked only after a failure: whoever has the right secret never waits for those who have not.
    """
    near, _ = networks(network)
    wait = store.call("idp_throttle_take", _key(CLIENT, f"{client_id} {near}"), *_numbers(CLIENT, now))
    return math.ceil(int(wait) / 1000)


def take_domain(store: RedisStore, *, domain: str, network: str, now: float) -> int:
    """Ask for leave to look up the company of an e-mail domain; the whole seconds to wait, or 0. One round trip.

    ``network`` is the visitor's network address.
    """
    near, around = networks(network)
    with store.batch() as batch:
        for bucket, subject in ((DOMAINS, near), (DOMAINS_AROUND, around)):
            key = _key(bucket, subject)
            numbers = _numbers(bucket, now)
            batch.command("FCALL", "idp_throttle_take_new", 2, key, f"{key}:seen", *numbers, domain, REMEMBERED * 1000)
    return math.ceil(max(map(int, batch.results)) / 1000)


def take_proof_mail(store: RedisStore, *, email: str, network: str, now: float) -> int:
    """Ask for leave to mail a proof to an address, known to us or not; the whole seconds to wait, or 0.

    ``email`` is canonical, ``network`` the visitor's network address. One round trip, and another one for who must wait.
    """
    return _take_mail(store, PROOF_MAILS_TO, _mailbox(email), network, now)


def take_reset_mail(store: RedisStore, *, email: str, network: str, now: float) -> int:
    """The same for the mail about a forgotten password."""
    return _take_mail(store, RESET_MAILS_TO, _mailbox(email), network, now)


def take_code_mail(store: RedisStore, *, account_id: str, network: str, now: float) -> int:
    """The same for a code that is mailed to whoever has given an account's password."""
    return _take_mail(store, CODE_MAILS_TO, account_id, network, now)


def _take_mail(store: RedisStore, to: Bucket, whose: str, network: str, now: float) -> int:
    near, around = networks(network)
    wanted = [(PROOF_MAILS, near), (PROOF_MAILS_AROUND, around), (to, whose)]
    with store.batch() as batch:
        for bucket, subject in wanted:
            batch.call("idp_throttle_take", _key(bucket, subject), *_numbers(bucket, now))
    waits = [int(wait) for wait in batch.results]
    if not any(waits):
        return 0
    give_back(store, Ticket(0, tuple(one for one, wait in zip(wanted, waits, strict=True) if not wait)), now)
    return math.ceil(max(waits) / 1000)


def take_unsolicited(store: RedisStore, *, browser: str, connection: str, now: float) -> int:
    """Ask for leave to answer an unsolicited response with a request of ours; the whole seconds to wait, or 0.

    ``browser`` is the browser cookie's value. One round trip.
    """
    key = _key(UNSOLICITED, f"{connection} {browser}")
    return math.ceil(int(store.call("idp_throttle_take", key, *_numbers(UNSOLICITED, now))) / 1000)


def take_response(store: RedisStore, *, connection: str, network: str, now: float) -> int:
    """Ask for leave to examine a response for one connection; the whole seconds to wait, or 0. One round trip.

    ``give_response_back`` when it has signed somebody in. ``network`` is the visitor's network address.
    """
    wait = store.call("idp_throttle_take", _response_key(connection, network), *_numbers(RESPONSES, now))
    return math.ceil(int(wait) / 1000)


def give_response_back(store: RedisStore, *, connection: str, network: str, now: float) -> None:
    """A response has signed somebody in, which costs nothing. One round trip."""
    store.call("idp_throttle_give_back", _response_key(connection, network), *_numbers(RESPONSES, now))


def _response_key(connection: str, network: str) -> str:
    return _key(RESPONSES, f"{connection} {networks(network)[0]}")


def take_social(store: RedisStore, *, provider: str, network: str, now: float) -> int:
    """Ask for leave to look at an answer of a social provider; the whole seconds to wait, or 0. One round trip.

    ``give_social_back`` when it has named somebody. ``network`` is the visitor's network address.
    """
    wait = store.call("idp_throttle_take", _social_key(provider, network), *_numbers(SOCIAL, now))
    return math.ceil(int(wait) / 1000)


def give_social_back(store: RedisStore, *, provider: str, network: str, now: float) -> None:
    """An answer has named somebody, which costs nothing. One round trip."""
    store.call("idp_throttle_give_back", _social_key(provider, network), *_numbers(SOCIAL, now))


def take_passkey(store: RedisStore, *, network: str, now: float) -> Ticket:
    """Ask for leave to look at a passkey; ``give_back`` when it has signed somebody in. One round trip.

    ``network`` is the visitor's network address.
    """
    wanted = (PASSKEYS, networks(network)[0])
    wait = store.call("idp_throttle_take", _key(*wanted), *_numbers(PASSKEYS, now))
    return Ticket(math.ceil(int(wait) / 1000), (wanted,))


def take_second(store: RedisStore, *, account_id: str, network: str, device: str | None, now: float) -> Ticket:
    """Ask for leave to look at a second factor of an account; ``give_back`` when it counts. Arguments as in ``take_sign_in``."""
    if device is not None:
        return _or_forgiven(store, account_id, _take(store, [(SECOND_DEVICE, f"{device} {account_id}")], now), now)
    pair = f"{networks(network)[0]} {account_id}"
    wanted = [(SECOND_PAIR, pair), (SECOND_PAIR_UNDER_ATTACK, pair), (SECOND_ACCOUNT, account_id)]
    return _or_forgiven(store, account_id, _take(store, wanted, now), now)


def take_second_try(store: RedisStore, *, handle: str, now: float) -> bool:
    """Take one of the tries of one sign-in; False when there is none left. One round trip."""
    return int(store.call("idp_throttle_take", _key(SECOND_TRIES, handle), *_numbers(SECOND_TRIES, now))) == 0


def take_addition(store: RedisStore, *, account_id: str, now: float) -> int:
    """Ask for leave to add a way to sign in; the whole seconds to wait, or 0. One round trip."""
    return _take_one(store, ADDITIONS, account_id, now)


def take_password_change(store: RedisStore, *, account_id: str, now: float) -> int:
    """Ask for leave to have another password; the whole seconds to wait, or 0. One round trip."""
    return _take_one(store, PASSWORDS, account_id, now)


def take_look(store: RedisStore, *, account_id: str, now: float) -> int:
    """Ask for leave to open a case by its receipt; the whole seconds to wait, or 0. One round trip."""
    return _take_one(store, LOOKS, account_id, now)


def _take_one(store: RedisStore, bucket: Bucket, subject: str, now: float) -> int:
    """Take one try of a bucket that nothing gives back; the whole seconds to wait, or 0."""
    wait = store.call("idp_throttle_take", _key(bucket, subject), *_numbers(bucket, now))
    return math.ceil(int(wait) / 1000)


def _social_key(provider: str, network: str) -> str:
    return _key(SOCIAL, f"{provider} {networks(network)[0]}")


def give_back(store: RedisStore, ticket: Ticket, now: float) -> None:
    """Put a try back: the password was right, or was never looked at. One round trip."""
    with store.batch() as batch:
        for bucket, subject in ticket.taken:
            batch.call("idp_throttle_give_back", _key(bucket, subject), *_numbers(bucket, now))


def networks(address: str) -> tuple[str, str]:
    """The network that one visitor holds (IPv4 /32, IPv6 /64) and the one around it (/24, /48)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown", "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    near, around = (32, 24) if ip.version == 4 else (64, 48)
    return str(ipaddress.ip_network((ip, near), strict=False)), str(ipaddress.ip_network((ip, around), strict=False))


def _take(store: RedisStore, wanted: Sequence[Tried], now: float) -> Ticket:
    with store.batch() as batch:
        for bucket, subject in wanted:
            batch.call("idp_throttle_take", _key(bucket, subject), *_numbers(bucket, now))
    waits = {bucket: int(wait) for (bucket, _), wait in zip(wanted, batch.results, strict=True)}
    under_attack = any(waits.get(alarm) for alarm in _ALARMS)
    silent = _ALARMS if under_attack else _ALARMS | _UNDER_ATTACK
    longest = max(wait for bucket, wait in waits.items() if bucket not in silent)
    taken = tuple((bucket, subject) for bucket, subject in wanted if not waits[bucket])
    if longest == 0:
        return Ticket(0, taken)
    give_back(store, Ticket(0, taken), now)
    return Ticket(math.ceil(longest / 1000), ())


def _mailbox(email: str) -> str:
    """carol+anything@ is carol's mailbox as far as guessing goes: writing her address differently earns no new tries."""
    local, _, domain = email.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _forgiven(subject: str) -> str:
    return f"throttle-forgiven:{{{token_hash(subject)}}}"


def _key(bucket: Bucket, subject: str) -> str:
    # Hashed: what visitors type never becomes part of a key's structure, and no address stands in Redis in clear.
    return f"throttle:{{{token_hash(f'{bucket.name} {subject}')}}}"


def _numbers(bucket: Bucket, now: float) -> tuple[int, int, int]:
    return int(now * 1000), bucket.tries, int(bucket.seconds * 1000)
