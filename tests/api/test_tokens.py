"""Tokens that are not ours, not any more, or not for this: each is refused in the same words, and says nothing else."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import strategies
from sqlalchemy import text, update

from api.tokens import InvalidToken, Tokens
from models.base import Session
from models.sessions import RefreshToken, UserSession
from models.settings import SettingRefused, Settings, from_environment
from models.users import User
from tests.conftest import CALLERS
from tests.factories import now

KEY = CALLERS["TOKEN_KEY"]
OTHER_KEY = "another-key-of-the-tests-of-43-characters-87"
ANOTHER = str(uuid.uuid4())
PRIVATE = "/api/dead-letters"
"""Wants an operator; of a user's good token it thinks otherwise than of a bad one."""


def kid_of(key: str) -> str:
    """Written out again on purpose: a token made elsewhere would have to find it out, too."""
    return hashlib.sha256(b"parley kid " + key.encode()).hexdigest()[:12]


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def forged(header: object, claims: object, *, key: str = KEY, digest: str = "sha256") -> str:
    """A JWS as whoever has got hold of ``key`` could make it."""
    signed = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{signed}.{encoded(hmac.digest(key.encode(), signed.encode(), digest))}"


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    user_id: str
    session_id: str

    def claims(self, **changes: Any) -> dict[str, Any]:
        """As ours are; a change to None leaves the claim out."""
        moment = time.time()
        claims = {
            "iss": "parley",
            "aud": "parley-api",
            "typ": "access",
            "sub": self.user_id,
            "sid": self.session_id,
            "iat": moment,
            "exp": moment + 900,
            "jti": uuid.uuid4().hex,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: str = KEY, **changes: Any) -> str:
        """Signed as ours are."""
        made = {"typ": "JWT", "alg": "HS256", "kid": kid_of(key), **(header or {})}
        return forged(
            {name: value for name, value in made.items() if value is not None}, self.claims(**changes), key=key
        )


def a_person(**user: Any) -> Person:
    """Stores a user with one session."""
    person = Person(str(uuid.uuid4()), str(uuid.uuid4()))
    with Session.begin() as session:
        session.add(User(**{"id": person.user_id, "username": person.user_id, "display_name": "Ada", **user}))
        session.flush()
        session.add(UserSession(id=person.session_id, user_id=person.user_id, expires_at=now() + dt.timedelta(days=1)))
    return person


@pytest.fixture
def person(app: Flask) -> Person:
    """Signed in."""
    return a_person()


def answer_to(client: FlaskClient, token: str, path: str = PRIVATE) -> tuple[int, str]:
    response = client.get(path, headers={"Authorization": f"Bearer {token}"})
    return response.status_code, response.get_json()["code"]


ACCEPTED, REFUSED = (403, "forbidden"), (401, "invalid_token")


def test_a_good_token_says_who_calls(client: FlaskClient, person: Person) -> None:
    """So that the refusals below are not for another reason."""
    assert answer_to(client, person.token()) == ACCEPTED
    assert answer_to(client, Tokens(from_environment(CALLERS)).sign(**dataclasses.asdict(person))) == ACCEPTED


FORGERIES: dict[str, Callable[[Person], str]] = {
    "no signature wanted": lambda p: p.token(header={"alg": "none"}).rsplit(".", 1)[0] + ".",
    "no signature wanted, in capitals": lambda p: p.token(header={"alg": "NONE"}).rsplit(".", 1)[0] + ".",
    "no signature given": lambda p: p.token().rsplit(".", 1)[0] + ".",
    "no third part": lambda p: p.token().rsplit(".", 1)[0],
    "a fourth part": lambda p: p.token() + ".x",
    "an algorithm with a public key": lambda p: p.token(header={"alg": "RS256"}),
    "an algorithm on curves": lambda p: p.token(header={"alg": "ES256"}),
    "a longer hash": lambda p: forged({"typ": "JWT", "alg": "HS512", "kid": kid_of(KEY)}, p.claims(), digest="sha512"),
    "an algorithm that is a number": lambda p: p.token(header={"alg": 7}),
    "no algorithm": lambda p: p.token(header={"alg": None}),
    "signed with another key": lambda p: p.token(header={"kid": kid_of(KEY)}, key=OTHER_KEY),
    "signed with nothing": lambda p: p.token(header={"kid": kid_of(KEY)}, key=""),
    "signed with the name of the key": lambda p: p.token(header={"kid": kid_of(KEY)}, key=kid_of(KEY)),
    "no key named": lambda p: p.token(header={"kid": None}),
    "an empty key name": lambda p: p.token(header={"kid": ""}),
    "an unknown key": lambda p: p.token(header={"kid": kid_of(OTHER_KEY)}),
    "a key that is a file": lambda p: p.token(header={"kid": "../../../../dev/null"}, key=""),
    "a key that is a statement": lambda p: p.token(header={"kid": "x' UNION SELECT 'k' --"}, key="k"),
    "a key that is a list": lambda p: p.token(header={"kid": [kid_of(KEY)]}),
    "a key that is null": lambda p: p.token(header={"kid": {"a": None}}),
    "a key that it brings along": lambda p: p.token(
        header={"kid": "mine", "jwk": {"kty": "oct", "k": encoded(OTHER_KEY.encode()), "kid": "mine"}}, key=OTHER_KEY
    ),
    "a key that is elsewhere": lambda p: p.token(
        header={"kid": "mine", "jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/cert"}, key=OTHER_KEY
    ),
    "something critical that nobody knows": lambda p: p.token(header={"crit": ["exp2"], "exp2": 1}),
    "expired": lambda p: p.token(iat=time.time() - 1000, exp=time.time() - 11),
    "expired, as text": lambda p: p.token(exp="soon"),
    "expiring in a list": lambda p: p.token(exp=[time.time() + 900]),
    "expiring never": lambda p: p.token(exp=float("inf")),
    "not to be used yet": lambda p: p.token(nbf=time.time() + 60),
    "issued in the future": lambda p: p.token(iat=time.time() + 60),
    "for somebody else": lambda p: p.token(aud="another-api"),
    "for nobody": lambda p: p.token(aud=[]),
    "of somebody else": lambda p: p.token(iss="another"),
    "of several": lambda p: p.token(iss=["parley"]),
    "not for access": lambda p: p.token(typ="refresh"),
    "for access, in a list": lambda p: p.token(typ=["access"]),
    "a subject that is no id": lambda p: p.token(sub="admin"),
    "a subject that is a number": lambda p: p.token(sub=7),
    "a session that is no id": lambda p: p.token(sid="../1"),
    "a session that is a statement": lambda p: p.token(sid="' OR '1'='1"),
    "a session that never was": lambda p: p.token(sid=ANOTHER),
    "a user that never was": lambda p: p.token(sub=ANOTHER),
    "another user's session": lambda p: p.token(sub=a_person().user_id),
    "a list instead of claims": lambda p: forged({"typ": "JWT", "alg": "HS256", "kid": kid_of(KEY)}, [p.claims()]),
    "claims nested without end": lambda p: (
        f"{p.token().split('.')[0]}.{encoded(b'[' * 2000 + b']' * 2000)[:2600]}.{p.token().split('.')[2]}"
    ),
    "a header nested without end": lambda _: f"{encoded(b'[' * 1400 + b']' * 1400)}.e30.x",
    "too long": lambda p: p.token(more="x" * 8000),
    "a megabyte": lambda _: "e" * 1_000_000,
    "no token at all": lambda _: "nonsense",
    "an API key that never was": lambda _: "parley_" + "x" * 43,
    "an API key and a half": lambda _: "parley_" + "x" * 3000,
    "letters beyond ASCII": lambda _: "\u00e9.\u00fc.\u00df",
    **{
        f"no {claim}": lambda p, claim=claim: p.token(**{claim: None})  # type: ignore[misc]
        for claim in ("exp", "iat", "sub", "jti", "aud", "iss", "typ", "sid")
    },
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_token_is_refused_in_the_same_words_whatever_is_wrong_with_it(
    client: FlaskClient, person: Person, forge: Callable[[Person], str]
) -> None:
    """Whoever tries learns nothing from the answer, and is not taken for a guest."""
    token = forge(person)
    for path in (PRIVATE, "/api/jobs/nonsense"):
        response = client.get(path, headers={"Authorization": f"Bearer {token}"})
        body = response.get_json()
        del body["requestId"]

        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].lower() == "bearer"
        assert body == {
            "type": "urn:parley:problem:invalid_token",
            "title": "Unauthorized",
            "status": 401,
            "detail": "The token is not valid, or no longer.",
            "code": "invalid_token",
            "error": "Invalid token",
        }


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "Token x", "bearer\t", "x"])
def test_who_brings_no_token_is_told_that_there_is_none(client: FlaskClient, header: str) -> None:
    """`{"error": "No token"}` is for programs that look no further."""
    for headers in ({"Authorization": header}, {}):
        response = client.get(PRIVATE, headers=headers)

        assert response.status_code == 401
        assert response.get_json()["error"] == "No token"
        assert response.get_json()["code"] == "no_token"


@pytest.fixture(scope="module")
def reader() -> Tokens:
    """Of the tests' key."""
    return Tokens(from_environment(CALLERS))


@hypothesis.given(position=strategies.integers(0, 10_000), bit=strategies.integers(0, 7))
def test_a_token_of_which_any_bit_is_another_is_refused(reader: Tokens, position: int, bit: int) -> None:
    """Also the bits that base64 does not use."""
    token = reader.sign(user_id=ANOTHER, session_id=ANOTHER)
    place = position % len(token)
    changed = token[:place] + chr(ord(token[place]) ^ (1 << bit)) + token[place + 1 :]

    with pytest.raises(InvalidToken):
        reader.read(changed)


@hypothesis.given(token=strategies.text() | strategies.from_regex(r"\A[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}\Z"))
def test_no_text_makes_the_reader_fail_in_another_way(reader: Tokens, token: str) -> None:
    """A crash would be a 500, and a traceback in the log for everybody who likes to send one."""
    with pytest.raises(InvalidToken):
        reader.read(token)


@hypothesis.given(
    header=strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.floats() | strategies.text(max_size=5),
        lambda inner: (
            strategies.lists(inner, max_size=2)
            | strategies.dictionaries(strategies.sampled_from(["alg", "kid", "typ", "crit", "b64"]), inner)
        ),
    ),
    claims=strategies.dictionaries(
        strategies.sampled_from(["exp", "iat", "nbf", "sub", "jti", "aud", "iss", "typ", "sid"]),
        strategies.none() | strategies.booleans() | strategies.floats() | strategies.lists(strategies.integers()),
    ),
)
def test_no_well_signed_nonsense_makes_the_reader_fail_in_another_way(
    reader: Tokens, header: object, claims: dict[str, Any]
) -> None:
    """As above, past the signature."""
    for head in (header, {"typ": "JWT", "alg": "HS256", "kid": kid_of(KEY)}):
        with pytest.raises(InvalidToken):
            reader.read(forged(head, claims))


def test_a_key_that_has_been_replaced_is_good_until_the_next_replacement(make_app: Callable[..., Flask]) -> None:
    """Two live keys: nobody is signed out by a rotation; the third oldest is no key any more."""
    keys = [f"{letter}-key-of-the-tests-of-43-characters-0123456" for letter in "abc"]
    person = a_person()
    tokens = [person.token(key=key) for key in keys]

    first = make_app(token_key=keys[1], previous_token_key=keys[0]).test_client()
    assert [answer_to(first, token) for token in tokens] == [ACCEPTED, ACCEPTED, REFUSED]
    second = make_app(token_key=keys[2], previous_token_key=keys[1]).test_client()
    assert [answer_to(second, token) for token in tokens] == [REFUSED, ACCEPTED, ACCEPTED]
    signed = Tokens(Settings(token_key=keys[2], previous_token_key=keys[1])).sign(**dataclasses.asdict(person))
    assert answer_to(first, signed) == REFUSED


@pytest.mark.parametrize("key", ["tiny", "x" * 31, "x" * 64, "abababababababababababababababababab"])
@pytest.mark.parametrize("name", ["TOKEN_KEY", "PREVIOUS_TOKEN_KEY", "PHONE_KEY"])
def test_a_key_that_can_be_guessed_is_refused_at_start(name: str, key: str) -> None:
    """PyJWT itself only warns."""
    with pytest.raises(SettingRefused, match=f"^{name}: ") as refused:
        from_environment({name: key})

    assert key not in str(refused.value)


def test_without_any_key_nothing_is_a_token(make_app: Callable[..., Flask]) -> None:
    """An empty key must not be one that everybody knows."""
    client, person = make_app(token_key="").test_client(), a_person()

    for key in ("", KEY):
        assert answer_to(client, person.token(key=key)) == REFUSED


ENDINGS: dict[str, Any] = {
    "the session is revoked": update(UserSession).values(revoked_at=now()),
    "the session is over": update(UserSession).values(expires_at=now() - dt.timedelta(seconds=1)),
    "the user is deleted": update(User).values(deleted_at=now(), username=None, password_hash=None),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_token_ends_with_what_it_stands_on(client: FlaskClient, person: Person, app: Flask, ending: Any) -> None:
    """At once where it was ended; elsewhere once what is remembered has run out, after ten seconds."""
    assert answer_to(client, person.token()) == ACCEPTED
    token = person.token()
    assert answer_to(client, token) == ACCEPTED

    with Session.begin() as session:
        session.execute(ending)

    assert answer_to(client, person.token()) == REFUSED
    app.extensions["parley"]["callers"].forget(person.user_id)
    assert answer_to(client, token) == REFUSED


def test_a_remembered_token_is_asked_after_again_within_half_a_minute(
    client: FlaskClient, person: Person, app: Flask
) -> None:
    """Thirty seconds is what is promised, in a process that nobody has told."""
    answer_to(client, person.token())

    (kept,) = [until for until, _ in app.extensions["parley"]["callers"]._remembered.values()]

    assert 0 < kept - time.monotonic() <= 30


def test_a_token_about_to_expire_is_not_remembered_beyond_that(client: FlaskClient, person: Person, app: Flask) -> None:
    """Else the memory would give it the seconds that its claims do not."""
    answer_to(client, person.token(exp=time.time() - 8))  # within the leeway of ten

    (kept,) = [until for until, _ in app.extensions["parley"]["callers"]._remembered.values()]

    assert kept - time.monotonic() <= 2


def test_what_was_refused_is_not_remembered(client: FlaskClient, person: Person, app: Flask) -> None:
    """A flood of forged tokens must not push out the good ones."""
    for _ in range(20):
        answer_to(client, person.token(key=OTHER_KEY))

    assert app.extensions["parley"]["callers"]._remembered == {}


def test_a_refresh_token_is_no_access_token(client: FlaskClient, person: Person) -> None:
    """Nor is its hash, which whoever reads the database has."""
    secret = "r" * 43
    kept = hashlib.sha256(secret.encode()).digest()
    with Session.begin() as session:
        session.add(RefreshToken(token_hash=kept, session_id=person.session_id))

    for token in (secret, kept.hex(), base64.urlsafe_b64encode(kept).decode(), person.session_id):
        assert answer_to(client, token) == REFUSED


def test_a_role_is_not_what_the_token_says(client: FlaskClient, person: Person) -> None:
    """Only the database says it."""
    assert answer_to(client, person.token(role="admin", scopes=["admin"], admin=True)) == ACCEPTED
    with Session.begin() as session:
        session.execute(text("UPDATE users SET role = 'operator' WHERE NOT is_ai"))

    response = client.get(PRIVATE, headers={"Authorization": f"Bearer {person.token()}"})

    assert response.status_code == 200


@pytest.mark.parametrize("place", ["query", "cookie", "form"])
def test_a_token_is_taken_from_its_header_only(client: FlaskClient, person: Person, place: str) -> None:
    """Addresses stand in logs and histories, and a browser sends cookies by itself."""
    token = person.token()
    if place == "cookie":
        client.set_cookie("access_token", token)
    query = f"?access_token={token}&token={token}" if place == "query" else ""

    response = client.get(f"{PRIVATE}/{ANOTHER}{query}", data={"access_token": token} if place == "form" else None)

    assert (response.status_code, response.get_json()["code"]) == (401, "no_token")
