#!/usr/bin/env python3
"""Send a file of prompts as batches, and write one line of JSON for each of them, in the order of the file.

  scripts/batch.py prompts.txt -o results.jsonl
  generate | scripts/batch.py - --type summarize | jq -r .result

Input (by the file's name, or by --format; "-" is standard input, lines of text unless told otherwise):
  .txt    one prompt a line; empty lines are passed over
  .jsonl  one JSON value a line: a string, or an object with "message" and, if you like, "customId", "type",
          "priority", "deadlineSeconds", "ttlSeconds", "runAt"
  .csv    columns with these names; "message" must be among them

Output: {"index", "customId", "jobId", "status", "result", "error", ...} for each prompt, the failed ones included.

An interrupted run, be it by Ctrl-C or kill -9, goes on where it stopped when the same command is given again:
no prompt is sent twice, no line is written twice. The server goes on meanwhile. What has been sent stands in
OUTPUT.state; remove it and the output to begin anew.

Exit codes:
  0    every prompt was answered (with --no-wait: every prompt is on the server)
  1    every line is written, but some prompts failed or were cancelled
  2    wrong use, or a prompt that the server refuses
  3    the server could not be reached, or was too busy for too long; the same command goes on
  130  interrupted; the same command goes on

Environment: PARLEY_URL, the server's address (http://127.0.0.1:8000);
PARLEY_API_KEY, a key of yours with the scopes jobs:read and jobs:write (none: you are a guest).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import http.client
import importlib
import io
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
MOST_PROMPTS, MOST_BYTES = 10_000, 16 * 1024 * 1024
"""Of one batch; more become several."""
FIELDS = ("message", "customId", "type", "priority", "deadlineSeconds", "ttlSeconds", "runAt")
NUMBERS = ("priority", "deadlineSeconds", "ttlSeconds")
TIMEOUT_SECONDS, LIVE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 5, 15.0
TOLD_AFTER_SECONDS = 5.0
"""That nobody answers; a restart is nothing to speak of."""
COMPLETED, SOME_FAILED, WRONG_USE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
PROOF_ROUNDS = 5
"""So often nothing of a batch that is over: then there is nothing."""
TRY_AGAIN = (408, 429, 500, 502, 503, 504)


class Stop(Exception):
    """The run ends, with this exit code and this sentence."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


# What comes in


def prompts_of(source: str, kind: str, *, defaults: dict[str, Any]) -> list[bytes]:
    """Each prompt as a line of JSON."""
    try:
        raw = sys.stdin.buffer.read() if source == "-" else pathlib.Path(source).read_bytes()
        values = list({"jsonl": _values, "csv": _rows}.get(kind, _texts)(raw.decode("utf-8-sig")))
    except OSError as error:
        raise Stop(WRONG_USE, f"{source}: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise Stop(WRONG_USE, f"{source}: {error}") from None
    if not values:
        raise Stop(WRONG_USE, f"{source}: no prompt in it")
    prompts = [{"message": value} if isinstance(value, str) else value for value in values]
    whole = [{**defaults, **prompt} if isinstance(prompt, dict) else prompt for prompt in prompts]
    return [json.dumps(prompt).encode() + b"\n" for prompt in whole]


def _texts(text: str) -> Iterator[Any]:
    return (line for line in text.splitlines() if line.strip())


def _values(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON: {error}") from None


def _rows(text: str) -> Iterator[Any]:
    csv.field_size_limit(MOST_BYTES)
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = rows.fieldnames or ()
    if "message" not in columns or not set(columns) <= set(FIELDS):
        raise ValueError(f"the first line must name its columns: message, and others of {', '.join(FIELDS[1:])}")
    for row in rows:
        if None in row:
            raise ValueError(f"line {rows.line_num} has more columns than the first")
        given = {name: value or "" for name, value in row.items() if value or name == "message"}
        yield {name: _number(value) if name in NUMBERS else value for name, value in given.items()}


def _number(value: str) -> float | str:
    with contextlib.suppress(ValueError):
        return float(value)
    return value  # the server says what is wrong with it


def portions(prompts: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """The prompts of each batch, and the index of its first."""
    first, size = 0, 0
    for index, prompt in enumerate(prompts):
        if index - first == MOST_PROMPTS or (size and size + len(prompt) > MOST_BYTES):
            yield first, prompts[first:index]
            first, size = index, 0
        size += len(prompt)
    yield first, prompts[first:]


# What is kept


class State:
    """What has been sent: the batch that begins with a prompt, by that prompt's index. Beside the output."""

    def __init__(self, output: str, content: str) -> None:
        self._path = None if output == "-" else pathlib.Path(output + ".state")
        self._body: dict[str, Any] = {"content": content, "run": os.urandom(16).hex(), "batches": {}}
        if self._path is None:
            return
        there = os.path.exists(output) and os.path.getsize(output) > 0  # noqa: PTH110, PTH202
        if self._path.exists():
            self._body = json.loads(self._path.read_bytes())
        if self._body["content"] != content or (there and not self._path.exists()):
            raise Stop(WRONG_USE, f"{output} holds something else already; remove it and {self._path}, or name another")
        self._save()  # before anything is sent: the keys derive from it

    @property
    def batches(self) -> list[str]:
        """Their ids, as far as they have been sent."""
        return list(self._body["batches"].values())

    def key(self, first: int) -> str:
        """What makes sending the same batch again harmless."""
        return f"batch.py-{self._body['run']}-{first}"

    def sent(self, first: int, send: Callable[[], str]) -> str:
        """The id of the batch that begins with this prompt; sent now, unless it has been."""
        batches: dict[str, str] = self._body["batches"]
        if str(first) not in batches:
            batches[str(first)] = send()
            self._save()
        return batches[str(first)]

    def _save(self) -> None:
        if self._path is not None:
            draft = self._path.with_name(self._path.name + ".new")
            with draft.open("w") as file:
                json.dump(self._body, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)


class Output:
    """Lines that are written for good; knows which prompt is next, and how many lines tell of no answer."""

    def __init__(self, path: str) -> None:
        self.next = self.bad = 0
        self._file: IO[bytes] = sys.stdout.buffer if path == "-" else self._opened(pathlib.Path(path))

    def _opened(self, path: pathlib.Path) -> IO[bytes]:
        file, end = path.open("a+b"), 0
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break  # cut by a kill; the server is asked for it again
            self._count(json.loads(line))
            end += len(line)
        file.truncate(end)
        return file

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append them; they survive what happens after this."""
        self._file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        self._file.flush()
        with contextlib.suppress(OSError):  # a pipe has no disk
            os.fsync(self._file.fileno())
        for row in rows:
            self._count(row)

    def _count(self, row: dict[str, Any]) -> None:
        self.next = row["index"] + 1
        self.bad += row["status"] != "completed"


# The server


class Busy(Exception):
    """Not now; perhaps after so many seconds."""

    def __init__(self, status: int, retry_after: str) -> None:
        super().__init__(f"it answered {status}")
        self.seconds = min(60.0, float(retry_after)) if retry_after.isdigit() else 0.0


FAULTS = (OSError, http.client.HTTPException, Busy)


class Server:
    """Asks, and asks again when the connection breaks or the server is busy; for ``patience`` seconds in vain.

    Args:
        key: an API key; empty: none is sent.
    """

    def __init__(self, url: str, patience: float, *, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Stop(WRONG_USE, f"PARLEY_URL: {url!r} is no address like http://127.0.0.1:8000")
        if not (key.isascii() and key.isprintable()):
            raise Stop(WRONG_USE, "PARLEY_API_KEY holds something that is in no key; was it copied whole?")
        self._headers = {"Connection": "close", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._base, self._patience = parts.netloc, parts.path.rstrip("/"), patience

    def send(self, prompts: list[bytes], key: str, *, insist: bool = True) -> str:
        """The id of the batch they make, or made when they were sent with this key before."""
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}

        def once() -> str:
            answer = self._ask("POST", "", body=b"".join(prompts), headers=headers)
            return str(json.loads(answer.read())["batchId"])

        return self._patiently(once) if insist else once()

    def batch(self, batch_id: str) -> dict[str, Any]:
        """How far it is."""
        batch: dict[str, Any] = self._patiently(lambda: json.loads(self._ask("GET", f"/{batch_id}").read()))
        return batch

    def results(self, batch_id: str, *, after: int) -> Iterator[list[dict[str, Any]]]:
        """Results behind this position, in order, as they come for some seconds."""
        path = f"/{batch_id}/results?order=position&wait={LIVE_SECONDS}&after={after}"
        response, rest = self._patiently(lambda: self._ask("GET", path)), b""
        # If it breaks off, whole lines count, and the next call goes on behind them.
        with contextlib.suppress(OSError, http.client.HTTPException):
            while chunk := response.read1(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                yield [json.loads(line) for line in lines]
        response.close()

    def _patiently(self, once: Callable[[], T]) -> T:
        begun, pause, told = time.monotonic(), 0.5, False
        while True:
            try:
                return once()
            except FAULTS as error:
                wait = max(pause, error.seconds if isinstance(error, Busy) else 0.0)
                tried, why = time.monotonic() - begun, f"{self._host}: {str(error) or type(error).__name__}"
                if tried + wait > self._patience:
                    raise Stop(UNREACHABLE, why) from None
                if tried >= TOLD_AFTER_SECONDS and not told:
                    print(f"batch.py: {why}; asked again for {self._patience - tried:.0f} s more", file=sys.stderr)
                    told = True
                time.sleep(wait)
                pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)

    def _ask(self, method: str, path: str, **content: Any) -> http.client.HTTPResponse:
        connection = self._kind(self._host, timeout=TIMEOUT_SECONDS)
        content["headers"] = {**content.get("headers", {}), **self._headers}
        connection.request(method, f"{self._base}/api/batches{path}", **content)
        response = connection.getresponse()
        if response.status in TRY_AGAIN:
            raise Busy(response.status, response.getheader("Retry-After", ""))
        if response.status not in (200, 201):
            raise Stop(WRONG_USE, _said(response))
        return response


def _said(response: http.client.HTTPResponse) -> str:
    try:
        problem = json.loads(response.read())
    except ValueError:
        problem = {}
    where = [(f"prompt {row['line']} {row['pointer']}".strip(), row["message"]) for row in problem.get("errors", [])]
    said = f"the server answered {response.status}: {problem.get('detail') or problem.get('title')}"
    return "\n".join([said, *(f"  {place}: {message}" for place, message in where)])


# What a person sees


class Progress:
    """A bar on standard error, if that is a terminal; a nicer one where `rich` is installed."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total, self._begun = total, time.monotonic()
        self._shows, self._rich = not quiet and sys.stderr.isatty(), None
        if self._shows:
            with contextlib.suppress(ImportError):
                console = importlib.import_module("rich.console").Console(stderr=True)
                self._rich = importlib.import_module("rich.progress").Progress(console=console)
                self._task = self._rich.add_task("", total=total)
                self._rich.start()

    def show(self, finished: int, written: int) -> None:
        """So many prompts are finished, so many lines written."""
        if self._rich is not None:
            self._rich.update(self._task, completed=finished, description=f"{finished} finished, {written} written")
        elif self._shows:
            bar = ("#" * (30 * finished // self._total)).ljust(30, "-")
            seconds = time.monotonic() - self._begun
            said = f"\r[{bar}] {finished}/{self._total} finished, {written} written, {seconds:.0f} s "
            print(said, end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave it as it is."""
        if self._rich is not None:
            self._rich.stop()
        elif self._shows:
            print(file=sys.stderr)


# The run


def run(flags: argparse.Namespace) -> int:
    """Send, collect, and say by the exit code how it went."""
    said = {"type": flags.type, "priority": flags.priority}
    defaults = {name: value for name, value in said.items() if value is not None}
    kind = flags.format or pathlib.Path(flags.input).suffix.removeprefix(".")
    prompts = prompts_of(flags.input, kind, defaults=defaults)
    url, key = os.environ.get("PARLEY_URL") or "http://127.0.0.1:8000", os.environ.get("PARLEY_API_KEY", "").strip()
    server = Server(url, flags.patience, key=key)
    state = State(flags.output, hashlib.sha256(b"".join(prompts)).hexdigest())
    whole = list(portions(prompts))

    def sent(number: int, *, insist: bool = True) -> str:
        first, lines = whole[number]
        return state.sent(first, lambda: server.send(lines, state.key(first), insist=insist))

    if not flags.wait:
        for number, (_, lines) in enumerate(whole):
            print(json.dumps({"batchId": sent(number), "total": len(lines)}), flush=True)
        return COMPLETED
    output, progress = Output(flags.output), Progress(len(prompts), quiet=flags.quiet)
    try:
        for number, (first, lines) in enumerate(whole):
            batch_id = sent(number)
            if number + 1 < len(whole):
                with contextlib.suppress(*FAULTS):  # the workers need not run dry, but there may be no room yet
                    sent(number + 1, insist=False)
            collect(server, batch_id, first=first, end=first + len(lines), output=output, progress=progress)
    except KeyboardInterrupt:
        raise Stop(INTERRUPTED, f"interrupted; on the server: batch {', '.join(state.batches) or 'none'}") from None
    finally:
        progress.close()
    if output.bad:
        raise Stop(SOME_FAILED, f"{output.bad} of {output.next} prompts were not answered; their lines say why")
    return COMPLETED


def collect(server: Server, batch_id: str, *, first: int, end: int, output: Output, progress: Progress) -> None:  # noqa: PLR0913
    """Write what is missing of one batch."""
    in_vain = 0
    while output.next < end:
        batch, before = server.batch(batch_id), output.next
        finished = first + round(batch["progress"] * batch["total"])
        for rows in server.results(batch_id, after=output.next - first - 1):
            output.write([{"index": first + row.pop("position"), **row} for row in rows])
            progress.show(max(finished, output.next), output.next)
        progress.show(max(finished, output.next), output.next)
        in_vain = in_vain + 1 if batch["progress"] == 1 and output.next == before else 0
        if in_vain == PROOF_ROUNDS:
            raise Stop(SOME_FAILED, f"results of batch {batch_id} are not on the server any more")


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    title, _, manual = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=title, epilog=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", help='a .txt, .jsonl or .csv file, or "-"')
    parser.add_argument("-o", "--output", default="-", help='a file of its own for the results, or "-" (default)')
    parser.add_argument("--format", choices=["txt", "jsonl", "csv"], help="of the input, whatever its name says")
    parser.add_argument("--type", help="of prompts that name none: chat (default) or summarize")
    parser.add_argument("--priority", type=int, help="of prompts that name none: 0 to 9, most urgent (default 5)")
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True, help="--no-wait: only send")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds to ask a silent or busy server (300)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """The exit code."""
    try:
        return run(parsed(arguments))
    except Stop as stop:
        print(f"batch.py: {stop}", file=sys.stderr)
        return stop.code
    except BrokenPipeError:  # nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"batch.py: {error}", file=sys.stderr)
        return WRONG_USE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
