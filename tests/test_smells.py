"""Doors that were left open elsewhere, looked for in all of our code; each look is shown to find something."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from flask import Flask

from api import access
from api.callers import Callers
from models.settings import from_environment
from tests import smells
from tests.conftest import CALLERS, ROOT
from tests.smells import Finder

ROOMS = ("api", "models", "tasks", "local", "scripts", "migrations")
DOORS = ("run.py", "wsgi.py", "gunicorn.conf.py", "celeryconfig.py")
# Where something may be written after all, and why.
EXCUSED = {
    (smells.publishing, "tasks/dispatcher.py"): "the one process that may wait for Redis",
    (smells.sql_of_parts, "models/states.py"): "the one statement that writes a status; columns are named by our code",
    (smells.sql_of_parts, "models/batch_results.py"): "two statements of one form, made at import",
    (
        smells.sql_of_parts,
        "models/exports.py",
    ): "a page of each of eight sections, all of them constants, made at import",
    (smells.sql_of_parts, "migrations/versions/0002_nothing_is_lost.py"): "two columns, named in the line above",
    (smells.sql_of_parts, "migrations/versions/0005_chats.py"): "three conditions, written in the lines above",
    (smells.sql_of_parts, "scripts/dumps.py"): "names of databases and tables, quoted by psycopg2's own composition",
    (smells.sql_of_parts, "scripts/restore.py"): "as in dumps.py",
    (smells.sql_of_parts, "scripts/beside.py"): "as in dumps.py",
    (smells.unbounded_waiting, "tasks/llm/openai_compatible.py"): "its transport is the next one",
    (smells.unbounded_waiting, "tasks/llm/transport.py"): "tasks/llm/wire.py bounds each wait of its connections",
}
PLANTED: dict[Finder, tuple[list[str], list[str]]] = {
    smells.unpinned_jwt: (
        [
            "jwt.decode(token, key)",
            "jwt.decode(token, key, algorithms=[])",
            "jwt.decode(token, key, algorithms=header['alg'])",
            "jwt.decode(token, key, algorithms=[ALGORITHM, 'none'])",
            "jwt.decode(token, options={'verify_signature': False}, algorithms=[ALGORITHM])",
            "jwt.decode(token, key, algorithms=['HS256'], options={'verify_aud': False})",
        ],
        ["jwt.decode(token, key, algorithms=[ALGORITHM], options={'require': ['exp']})", "raw.decode('utf-8')"],
    ),
    smells.sql_of_parts: (
        [
            "text(f'SELECT * FROM jobs WHERE id = {job_id}')",
            "text('SELECT * FROM jobs WHERE id = %s' % job_id)",
            "text('SELECT * FROM jobs WHERE id = {}'.format(job_id))",
            "text('SELECT * FROM ' + table)",
            "text(statement)",
            "cursor.execute(f'TRUNCATE {table}')",
            "cursor.execute('DELETE FROM jobs WHERE id = ' + job_id)",
            "cursor.execute('DELETE FROM jobs WHERE id = {}'.format(job_id))",
            "cursor.execute('DELETE FROM jobs WHERE id = %s' % job_id)",
            "session.scalar(f'SELECT {column}')",
            "text(f'SELECT {columns(request)}')",
            "text(f'SELECT {owners.readable_by(reader)}')",
        ],
        [
            "text('SELECT 1')",
            "text(f'SELECT {_COLUMNS} FROM jobs WHERE {owners.READABLE}')",
            "text(f'SELECT {owners.readable_by(\"wanted.reader\")}')",
            "session.execute(_PAGE, {'id': job_id})",
            "cursor.execute('SELECT %s', [job_id])",
        ],
    ),
    smells.publishing: (["answer.delay(job_id)", "answer.apply_async(kwargs={})", "app.send_task('x')"], ["f(delay)"]),
    smells.unbounded_waiting: (
        [
            "requests.get(url)",
            "requests.post(url, timeout=None)",
            "urllib.request.urlopen(url)",
            "httpx.Client()",
            "http.client.HTTPConnection(host)",
            "socket.create_connection((host, port))",
            "redis.Redis.from_url(url)",
            "redis.Redis(host=host, socket_timeout=1)",
            "redis.ConnectionPool.from_url(url, socket_timeout=1)",
            "OpenAI(api_key=key)",
        ],
        [
            "requests.get(url, timeout=3)",
            "redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)",
            "HTTPConnection(host, timeout=2)",
        ],
    ),
    smells.swallowing: (
        [
            "try: f()\nexcept Exception: pass",
            "try: f()\nexcept: pass",
            "try: f()\nexcept (ValueError, BaseException): ...",
            "for _ in x:\n  try: f()\n  except Exception: continue",
            "def g():\n  try: f()\n  except Exception: return None",
            "with contextlib.suppress(Exception): f()",
        ],
        ["try: f()\nexcept ValueError: pass", "try: f()\nexcept Exception as error:\n  log.warning('x')"],
    ),
    smells.dangerous: (
        [
            "eval(x)",
            "exec(x)",
            "import pickle",
            "from marshal import loads",
            "yaml.load(x)",
            "yaml.load(x, Loader=yaml.Loader)",
            "subprocess.run(x, shell=True)",
            "os.system(x)",
            "httpx.get(x, verify=False, timeout=1)",
            "context.check_hostname = False",
            "context.verify_mode = ssl.CERT_NONE",
            "ssl._create_unverified_context()",
            "hashlib.md5(x)",
            "Markup(x)",
        ],
        ["yaml.load(x, Loader=yaml.SafeLoader)", "hashlib.sha256(x)", "subprocess.run([x])", "import json"],
    ),
    smells.telling_comparison: (
        [
            "given == settings.admin_token",
            "password != kept",
            "request.cookies['secret'] == x",
            "body['signature'] == made",
        ],
        [
            "token == ''",
            "code == NO_TOKEN",
            "hmac.compare_digest(token, kept)",
            "kind == 'token'",
            "tokens_left == most",
        ],
    ),
    smells.telling_log: (
        [
            "log.info(f'job {job_id} created')",
            "log.info('job ' + job_id)",
            "log.info('job_created', message=message)",
            "log.warning('refused', password=x)",
            "log.info('made', access_token=x)",
            "log.error('failed', result=result)",
        ],
        ["log.info('job_created', job_id=job_id, message_length=5)", "log.warning(events[state], **facts)"],
    ),
    smells.open_cookie: (
        [
            "response.set_cookie('a', b)",
            "response.set_cookie('a', b, httponly=True, samesite='Lax', secure=True)",
            "response.set_cookie('a', b, httponly=True, samesite='Strict')",
            "response.set_cookie('a', b, httponly=True, samesite='Strict', secure=False)",
            "response.set_cookie('a', b, samesite='Strict', secure=True)",
        ],
        ["response.set_cookie('a', b, httponly=True, samesite='Strict', secure=request.is_secure)"],
    ),
}


def files() -> Iterator[pathlib.Path]:
    """All code that is not a test or a benchmark."""
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))
    yield from (ROOT / door for door in DOORS)


def in_a_function(code: str) -> str:
    """What is planted; at a module's own level there is no request whose words could get in."""
    return "def planted():\n" + "".join(f"  {line}\n" for line in code.splitlines())


def found_by(finder: Finder, code: str) -> list[int]:
    """Lines at which it finds something."""
    return [getattr(hit, "lineno", 0) for node in ast.walk(ast.parse(code)) for hit in finder(node)]


@pytest.mark.parametrize("finder", PLANTED, ids=lambda finder: finder.__name__)
def test_none_of_our_code_smells(finder: Finder) -> None:
    """An excuse that nobody needs any more is a fault, too."""
    found = {f"{file.relative_to(ROOT)}": lines for file in files() if (lines := found_by(finder, file.read_text()))}
    excused = {file for kind, file in EXCUSED if kind is finder}

    assert {file: lines for file, lines in found.items() if file not in excused} == {}
    assert excused <= found.keys()


@pytest.mark.parametrize(
    ("finder", "code"),
    [(finder, code) for finder, (bad, _) in PLANTED.items() for code in bad],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_each_look_finds_what_is_planted(finder: Finder, code: str) -> None:
    """A check that never fires is worse than none."""
    assert len(found_by(finder, in_a_function(code))) >= 1


@pytest.mark.parametrize(
    ("finder", "code"),
    [(finder, code) for finder, (_, good) in PLANTED.items() for code in good],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_no_look_finds_fault_with_what_is_right(finder: Finder, code: str) -> None:
    """Else it would soon be switched off."""
    assert found_by(finder, in_a_function(code)) == []


def test_a_view_that_does_not_say_who_may_use_it_keeps_the_application_from_starting() -> None:
    """Denied by default, before anybody could ask."""
    app = Flask("planted")
    app.add_url_rule("/said", "said", access.public(lambda: "x"))
    app.add_url_rule("/unsaid", "unsaid", lambda: "x")
    settle = access.add_to(app, Callers(from_environment(CALLERS)))

    with pytest.raises(LookupError, match=r"who may use them: .*unsaid"):
        settle()


@pytest.mark.parametrize(
    "code", ["import telnetlib\n", "import os\nos.chmod('/x', 0o777)\n", "import hashlib\nhashlib.md5(b'x')\n"]
)
def test_bandit_is_among_the_checks_and_finds_what_is_planted(tmp_path: pathlib.Path, code: str) -> None:
    """With the exceptions of pyproject.toml."""
    planted = tmp_path / "planted.py"
    planted.write_text(code)
    command = [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", str(planted)]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 1
    assert "planted.py" in checked.stdout
    assert "bandit" in (ROOT / "Makefile").read_text()
