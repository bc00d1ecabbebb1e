"""One fake model server for all tests of a process; each test finds it forgetful."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from models.settings import Settings
from tasks.llm import provider_from
from tasks.llm.base import Call, Kind, Prompt, Provider, ProviderError, Reply
from tests.fake_llm import FakeLLM

OpenProvider = Callable[..., Provider]
"""Opens a provider for the server at a base URL; keywords are settings."""
KEY = "sk-never-to-be-shown"
LIVENESS_SECONDS = 10


@pytest.fixture(scope="session")
def fake() -> Iterator[FakeLLM]:
    """The server's process."""
    with FakeLLM() as server:
        yield server


@pytest.fixture
def llm(fake: FakeLLM) -> FakeLLM:
    """The server, as if just started."""
    fake.reset()
    return fake


@pytest.fixture
def provider_at() -> Iterator[OpenProvider]:
    """Opens providers for servers by their base URL, impatient ones unless told otherwise by keyword."""
    with contextlib.ExitStack() as stack:

        def open_provider(base_url: str, **knobs: object) -> Provider:
            known: dict[str, Any] = {"llm_api_key": KEY, "llm_model": "fake", "llm_read_seconds": 5.0, **knobs}
            opened = provider_from(Settings(llm_base_url=base_url, **known))
            stack.callback(opened.close)
            return opened

        yield open_provider


@pytest.fixture
def provider(llm: FakeLLM, provider_at: OpenProvider) -> Provider:
    """A provider that asks the server."""
    return provider_at(llm.base_url)


def ask(provider: Provider, message: str = "Hello", *, type: str = "chat", call: Call | None = None) -> Reply:  # noqa: A002
    """What the provider replies."""
    return provider.reply(Prompt(type=type, message=message), call or Call(seconds=30))


def failure_of(provider: Provider, message: str = "Hello", *, call: Call | None = None) -> ProviderError:
    """What the provider raises."""
    with pytest.raises(ProviderError) as raised:
        ask(provider, message, call=call)
    return raised.value


def verdict(error: ProviderError) -> tuple[Kind, str]:
    """What others decide by."""
    return error.kind, error.code


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds, within bounds that only a hang exceeds."""
    until = time.monotonic() + LIVENESS_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=fake -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *command.split(), "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path
