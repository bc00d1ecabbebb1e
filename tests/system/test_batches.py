"""Batches on real processes: uploads that break off, and scripts/batch.py, interrupted at its worst moments.

PARLEY_BATCH=full python -m pytest tests/system/test_batches.py -n 0 -s      ten thousand prompts, with figures
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from scripts import batch
from tests.conftest import ROOT
from tests.fake_llm import FakeLLM
from tests.system.stack import PATIENT_SECONDS, Stack, eventually

pytestmark = pytest.mark.xdist_group("system")

FULL = os.environ.get("PARLEY_BATCH") == "full"
PROMPTS = 10_000 if FULL else 400
LATENCY_MS = 1000 if FULL else 200
HELD_UP, HELD_MS = PROMPTS * 3 // 4, 10_000
"""One prompt takes long: results come in order, so nobody has them all before it has ended."""
SETTINGS = {"WORKER_SLOTS": "200" if FULL else "20", "LLM_TOTAL_SECONDS": "20"}
ALSO = ("worker-batch",)
NDJSON = "application/x-ndjson"


@pytest.fixture
def script(stack: Stack, tmp_path: pathlib.Path) -> Script:
    """The script, in a folder of its own, on this product."""
    return Script(tmp_path, f"http://127.0.0.1:{stack.port}")


class Script:
    """scripts/batch.py, as a person runs it."""

    def __init__(self, folder: pathlib.Path, url: str) -> None:
        self.folder, self.url, self.key = folder, url, ""
        self.output = folder / "results.jsonl"

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Begin; the standard library must be enough, so no other is there."""
        command = [sys.executable, "-I", "-S", str(ROOT / "scripts/batch.py"), *arguments]
        pipe = subprocess.PIPE
        environment = {"PARLEY_URL": self.url, "PARLEY_API_KEY": self.key, "PATH": "/usr/bin:/bin"}
        options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True, "env": environment, **options}
        # A shell that runs tests in the background has them ignore SIGINT, and children inherit that.
        listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        return subprocess.Popen(command, cwd=self.folder, preexec_fn=listen, **options)  # noqa: PLW1509

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(given, timeout=PATIENT_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def lines(self) -> list[dict[str, Any]]:
        """What is in the output, whole lines only."""
        text = self.output.read_text() if self.output.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def count(self) -> int:
        """How many lines."""
        return self.output.read_bytes().count(b"\n") if self.output.exists() else 0


def interrupted(script: Script, number: signal.Signals, *arguments: str, lines: int) -> subprocess.Popen[str]:
    """Let it write so many lines, then send it a signal."""
    process = script.start(*arguments)
    eventually(lambda: script.count() >= lines, seconds=300 if FULL else PATIENT_SECONDS)
    process.send_signal(number)
    process.communicate(timeout=PATIENT_SECONDS)
    return process


@pytest.mark.timeout(900)
@pytest.mark.outage
def test_a_batch_that_is_killed_and_resumed_twice_ends_with_one_line_for_each_prompt(
    stack: Stack, llm: FakeLLM, script: Script
) -> None:
    """In order, the failed ones included; and nothing has been asked twice."""
    llm.reset()
    bad = {number for number in range(PROMPTS) if number % 50 == 49}
    latencies = [HELD_MS if number == HELD_UP else LATENCY_MS for number in range(PROMPTS)]
    (script.folder / "prompts.txt").write_text(
        "".join(
            f"[[latency-ms={latency}]] Question {number}{' [[status=400]]' if number in bad else ''}\n"
            for number, latency in enumerate(latencies)
        )
    )
    arguments = ("prompts.txt", "-o", "results.jsonl")
    begun = time.monotonic()

    first = interrupted(script, signal.SIGINT, *arguments, lines=PROMPTS // 10)
    after_first = script.count()
    second = interrupted(script, signal.SIGKILL, *arguments, lines=PROMPTS // 2)
    after_second = script.count()
    with script.output.open("a") as file:
        file.write('{"index": 7, "half a line')
    third = script.start(*arguments)
    _, said = third.communicate(timeout=600)

    rows = script.lines()
    asked = llm.stats()["per_message"]
    figures = (
        f"{PROMPTS} prompts, {time.monotonic() - begun:.1f} s; lines: {after_first}, {after_second}, {len(rows)}; "
    )
    sys.stdout.write(f"\n{figures}calls: {sum(asked.values())}, of one prompt at most {max(asked.values())}\n")
    assert (first.returncode, second.returncode, third.returncode) == (130, -signal.SIGKILL, 1), said
    assert said == f"batch.py: {len(bad)} of {PROMPTS} prompts were not answered; their lines say why\n"
    assert 0 < after_first <= after_second < PROMPTS
    assert [row["index"] for row in rows] == list(range(PROMPTS))
    assert {row["index"] for row in rows if row["status"] == "failed"} == bad
    assert all(f"Question {row['index']}" in row["result"] for row in rows if row["status"] == "completed")
    assert (len(asked), max(asked.values())) == (PROMPTS, 1)
    assert stack.sql("SELECT count(*) AS number FROM batches") == [{"number": 1}]


def test_the_output_of_a_pipeline_is_one_line_for_each_prompt(script: Script) -> None:
    """Standard input to standard output, and nothing else on it."""
    ran = script.run("-", "--type", "chat", "--priority", "9", given="One\n\nTwo\n")

    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [(row["index"], row["result"]) for row in rows] == [(0, "Echo: One"), (1, "Echo: Two")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prompts.jsonl", '"One"\n{"message": "Two, \\"quoted\\"", "customId": "b", "priority": 9}\n'),
        ("prompts.csv", '\ufeffmessage,customId,priority\r\nOne,,\r\n"Two, ""quoted""",b,9\r\n'),
    ],
)
def test_prompts_may_come_as_jsonl_or_csv(stack: Stack, script: Script, name: str, content: str) -> None:
    """With names and options of their own; what a prompt leaves out, the command line says."""
    (script.folder / name).write_text(content)

    ran = script.run(name, "-o", "results.jsonl", "--priority", "1")

    rows = script.lines()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [(row["customId"], row["result"]) for row in rows] == [(None, "Echo: One"), ("b", 'Echo: Two, "quoted"')]
    assert [stack.job(row["jobId"])["priority"] for row in rows] == [1, 9]


def test_a_batch_can_be_sent_now_and_collected_later(stack: Stack, script: Script) -> None:
    """And collected once more: then there is nothing to do."""
    (script.folder / "prompts.txt").write_text("Sent now\n")
    before = stack.sql("SELECT count(*) AS number FROM batches")[0]["number"]

    sent = script.run("prompts.txt", "-o", "results.jsonl", "--no-wait")
    collected = script.run("prompts.txt", "-o", "results.jsonl")
    again = script.run("prompts.txt", "-o", "results.jsonl")

    assert (sent.returncode, collected.returncode, again.returncode) == (0, 0, 0)
    assert json.loads(sent.stdout)["total"] == len(script.lines()) == 1
    assert stack.sql("SELECT count(*) AS number FROM batches") == [{"number": before + 1}]


def test_more_than_one_batch_holds_becomes_several_with_one_output(stack: Stack, script: Script) -> None:
    """18 MB of prompts; the index goes on from one batch to the next."""
    (script.folder / "prompts.txt").write_text("".join(f"Long {n} {'x' * 31_000}\n" for n in range(600)))
    before = stack.sql("SELECT count(*) AS number FROM batches")[0]["number"]

    ran = script.run("prompts.txt", "-o", "results.jsonl")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert [(row["index"], row["result"].split(" x")[0]) for row in script.lines()] == [
        (index, f"Echo: Long {index}") for index in range(600)
    ]
    assert stack.sql("SELECT count(*) AS number FROM batches") == [{"number": before + 2}]


def test_a_person_at_a_terminal_sees_how_far_it_is(script: Script) -> None:
    """On standard error; here without `rich`."""
    ours, theirs = pty.openpty()
    with script.start("-", stderr=theirs) as process:
        process.communicate("One\nTwo\n", timeout=PATIENT_SECONDS)
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)

    assert process.returncode == 0
    assert "[" + "#" * 30 + "] 2/2 finished, 2 written" in seen


def test_an_output_that_belongs_to_other_prompts_is_not_touched(script: Script) -> None:
    """Neither results of another file nor a file that is no result at all."""
    (script.folder / "prompts.txt").write_text("One\n")
    script.run("prompts.txt", "-o", "results.jsonl")
    kept = script.output.read_text()
    (script.folder / "prompts.txt").write_text("Another\n")
    (script.folder / "letter.txt").write_text("Dear")

    other = script.run("prompts.txt", "-o", "results.jsonl")
    foreign = script.run("prompts.txt", "-o", "letter.txt")

    assert (other.returncode, foreign.returncode) == (2, 2)
    assert script.output.read_text() == kept
    assert (script.folder / "letter.txt").read_text() == "Dear"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("prompts.txt", "\n\n", "no prompt"),
        ("prompts.txt", "x" * 32_001, "prompt 1 /message: At most 32000"),
        ("prompts.jsonl", '"ok"\n{"message": "hal', "line 2 is not JSON"),
        ("prompts.jsonl", '"ok"\n7\n', "prompt 2: Send a JSON object"),
        ("prompts.jsonl", '{"message": "x", "colour": 1}', "prompt 1 /colour"),
        ("prompts.csv", "text\nOne\n", "must name its columns"),
        ("prompts.csv", "message\nOne,Two\n", "more columns"),
        ("prompts.csv", "message,priority\nOne,high\n", "prompt 1 /priority"),
    ],
)
def test_a_wrong_input_ends_with_2_and_says_where(script: Script, name: str, content: str, said: str) -> None:
    """Whether the script finds it or the server."""
    (script.folder / name).write_text(content)

    ran = script.run(name, "-o", "results.jsonl")

    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_missing_input_and_a_wrong_address_end_with_2(script: Script) -> None:
    """Before anything is sent."""
    missing = script.run("nowhere.txt")
    script.url = "127.0.0.1:8000"
    wrong = script.run("-", given="One\n")

    assert (missing.returncode, wrong.returncode) == (2, 2)
    assert "nowhere.txt: No such file" in missing.stderr
    assert "PARLEY_URL" in wrong.stderr


def test_with_a_key_the_batch_is_its_users(stack: Stack, script: Script) -> None:
    """From sending to the last line; without the key it is not there."""
    script.key, owner = stack.key("jobs:read", "jobs:write")
    (script.folder / "prompts.txt").write_text("One\n")

    ran = script.run("prompts.txt", "-o", "results.jsonl")
    [batch] = stack.sql("SELECT id::text AS id FROM batches WHERE owner = %s", owner)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert [row["result"] for row in script.lines()] == ["Echo: One"]
    assert stack.request("GET", f"/api/batches/{batch['id']}")[0] == 404
    assert stack.job(script.lines()[0]["jobId"])["code"] == "job_not_found"


@pytest.mark.parametrize(
    ("scopes", "tail", "said"),
    [
        (["jobs:read"], "", "403: This credential is not good for jobs:write."),
        (["jobs:read", "jobs:write"], "x", "401: The token is not valid, or no longer."),
        (["jobs:read", "jobs:write"], "\nX-Forged: yes", "PARLEY_API_KEY holds something that is in no key"),
        (["jobs:read", "jobs:write"], "ü", "PARLEY_API_KEY holds something that is in no key"),
    ],
)
def test_a_key_that_is_not_good_ends_with_2_and_is_not_shown(
    stack: Stack, script: Script, scopes: list[str], tail: str, said: str
) -> None:
    """The same command goes on with a better one."""
    key, _ = stack.key(*scopes)
    script.key = key + tail

    ran = script.run("-", given="One\n")

    assert ran.returncode == 2
    assert said in ran.stderr
    assert key not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_server_that_is_not_there_ends_with_3(script: Script) -> None:
    """After some patience."""
    script.url = "http://127.0.0.1:1"

    ran = script.run("-", "--patience", "1", given="One\n")

    assert (ran.returncode, "Traceback" in ran.stderr) == (3, False)


def test_who_waits_for_a_server_is_told_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five minutes of silence look like a program that hangs."""
    monkeypatch.setattr(batch, "TOLD_AFTER_SECONDS", 0.0)

    with pytest.raises(batch.Stop) as stopped:
        batch.Server("http://127.0.0.1:1", 2.0).batch("any")

    assert stopped.value.code == 3
    [line] = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"batch\.py: 127\.0\.0\.1:1: .*refused.*; asked again for 2 s more", line)


@pytest.mark.outage
def test_a_server_that_comes_back_is_asked_again(stack: Stack, script: Script) -> None:
    """A restart in the middle costs nothing."""
    (script.folder / "prompts.txt").write_text("".join(f"[[latency-ms=300]] Again {n}\n" for n in range(100)))

    process = script.start("prompts.txt", "-o", "results.jsonl")
    eventually(lambda: script.count() >= 1)
    stack.kill("api")
    stack.start("api")
    _, said = process.communicate(timeout=PATIENT_SECONDS)

    assert (process.returncode, "Traceback" in said) == (0, False)
    assert [row["index"] for row in script.lines()] == list(range(100))


def test_a_reader_who_leaves_ends_the_script_without_a_trace(script: Script) -> None:
    """As ``| head`` does."""
    process = script.start("-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write("One\n")
    process.stdin.close()
    process.stdin = process.stdout = None

    _, said = process.communicate(timeout=PATIENT_SECONDS)

    assert (process.returncode, said) == (130, "")


def upload(stack: Stack, pieces: Iterator[bytes], **headers: str) -> tuple[int, dict[str, Any]]:
    """A chunked POST."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    try:
        connection.request("POST", "/api/batches", pieces, {"Content-Type": NDJSON, **headers}, encode_chunked=True)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_lines_may_be_sent_as_they_are_made(stack: Stack) -> None:
    """Chunked, with a length that nobody knows; chunks end where they like."""
    pieces = (b'"Chunk', b' one"\n{"message', b'": "Chunk two"}\n"Chunk three"')

    status, body = upload(stack, iter(pieces))

    assert (status, body["total"]) == (201, 3)


def test_a_40_megabyte_line_is_refused_with_its_number(stack: Stack) -> None:
    """Its sender hears so, although it had much more to send than anybody wants."""
    status, body = upload(stack, iter([b'"ok"\n"', *[b"x" * (1 << 20)] * 40, b'"\n7\n']))

    assert status == 422
    assert [(error["line"], error["code"]) for error in body["errors"]] == [(2, "line_too_long"), (3, "wrong_type")]


@pytest.mark.parametrize(
    "head", ["Content-Length: 1000", "Transfer-Encoding: chunked"], ids=lambda head: head.partition(":")[0]
)
def test_an_upload_that_breaks_off_stores_nothing(stack: Stack, head: str) -> None:
    """Whole lines that came before are no batch: their sender does not know that they came."""
    before = stack.sql("SELECT count(*) AS number FROM batches")
    line = b'"A whole line"\n'
    body = line if "Length" in head else b"%x\r\n%b\r\n" % (len(line), line)

    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        connection.sendall(
            f"POST /api/batches HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\n{head}\r\n\r\n".encode()
        )
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)

    assert answer.split(b" ")[1] == b"400"
    assert stack.sql("SELECT count(*) AS number FROM batches") == before
