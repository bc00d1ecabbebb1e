"""Owners: whose a job or a batch is, in one word.

    user:<id>          somebody with an account
    guest:<digest>     whoever holds a guest cookie
    address:<network>  whoever calls from there with neither; an IPv4 address, or an IPv6 /64
    operator           whoever holds ADMIN_TOKEN

A guest's things are open to whoever knows their unguessable id: it is all a guest
has to come back with. What belongs to a user is that user's alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re

OPERATOR = "operator"
ANYONE = "*"
"""Not an owner: as ``reader``, whoever may read everything."""
GUESTS = ("guest", "address")

_READABLE = "(owner = {reader} OR split_part(owner, ':', 1) IN ('guest', 'address') OR {reader} = '*')"
READABLE = _READABLE.format(reader=":reader")
"""For the WHERE of whatever finds something by its id: every such statement carries it."""


def readable_by(reader: str) -> str:
    """The same where the reader is something else than a parameter.

    >>> readable_by("wanted.reader").startswith("(owner = wanted.reader OR ")
    True
    """
    return _READABLE.format(reader=reader)


# A reader that is no user gives no UUID, so no member.
_READABLE_JOB = f"""(CASE WHEN jobs.chat_id IS NULL THEN {_READABLE}
    ELSE {{reader}} = '*' AND jobs.result IS NULL OR EXISTS (
    SELECT FROM chat_members WHERE chat_members.chat_id = jobs.chat_id
    AND user_id = CAST(substring({{reader}} FROM '^user:([0-9a-f-]{{{{36}}}})$') AS uuid)) END)"""  # noqa: S608
READABLE_JOB = _READABLE_JOB.format(reader=":reader")
"""Of ``jobs``: what a chat asked, those read who are in it, and nobody who is not, though they asked.

Who may read everything sees how such a job stands, and no answer: what is said in chats is for those in them.
"""


def readable_job_by(reader: str) -> str:
    """The same where the reader is something else than a parameter."""
    return _READABLE_JOB.format(reader=reader)


_WITH_PORT = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::\d{1,5})?|(?P<v4>[0-9.]+):\d{1,5}")


def of_user(user_id: str) -> str:
    """
    >>> of_user("5f0c")
    'user:5f0c'
    """
    return f"user:{user_id}"


def of_guest(secret: str) -> str:
    """Of the holder of a guest cookie. A digest: who can read the database cannot act as the guest.

    >>> of_guest("s3cret")
    'guest:1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0'
    """
    return f"guest:{hashlib.sha256(secret.encode()).hexdigest()}"


def of_address(address: str | None) -> str:
    """Of a caller that says nothing of itself. An IPv6 network, because each machine there has 2**64 addresses.

    >>> of_address("192.0.2.7"), of_address("2001:db8::a:b:c:d"), of_address("::ffff:192.0.2.7"), of_address(None)
    ('address:192.0.2.7', 'address:2001:db8::/64', 'address:192.0.2.7', 'address:local')

    Some proxies write the port behind it:

    >>> of_address("192.0.2.7:51234"), of_address("[2001:db8::7]:51234")
    ('address:192.0.2.7', 'address:2001:db8::/64')
    """
    with_port = _WITH_PORT.fullmatch(address or "")
    try:
        parsed = ipaddress.ip_address(with_port["v6"] or with_port["v4"] if with_port else address or "")
    except ValueError:
        return "address:local"  # a UNIX socket
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"address:{ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64))}"
        parsed = parsed.ipv4_mapped
    return f"address:{parsed}"


def is_address(owner: str) -> bool:
    """Whether it stands for all who call from there.

    >>> is_address("address:192.0.2.7"), is_address("guest:5f0c")
    (True, False)
    """
    return owner.startswith("address:")


def is_guest(owner: str) -> bool:
    """Whether nobody stands behind it with an account.

    >>> is_guest("address:192.0.2.7"), is_guest("user:5f0c"), is_guest("operator")
    (True, False, False)
    """
    return owner.partition(":")[0] in GUESTS
