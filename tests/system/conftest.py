"""One running product for each module of these tests, with a fake model behind it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2 import extensions

from models.base import Autocommit, Session
from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system.outages import FULL
from tests.system.stack import Stack

# They mount file systems, as root, need a library that not every machine has, or wait for many leases.
collect_ignore = [] if FULL else ["test_outages_disk.py", "test_clocks_apart.py", "test_poison.py"]


@pytest.fixture(autouse=True)
def _same_database() -> Iterator[None]:
    """What a script called from here bound to a database of its own is this process's again for the next test."""
    callback: Any = extensions.get_wait_callback()
    bound = [(maker, maker.kw["bind"]) for maker in (Session, Autocommit)]
    yield
    for maker, bind in bound:
        maker.configure(bind=bind)
    extensions.set_wait_callback(callback)


@pytest.fixture(scope="module")
def llm() -> Iterator[FakeLLM]:
    """The model, which misbehaves on request."""
    with FakeLLM() as server:
        yield server


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM
) -> Iterator[Stack]:
    """Real processes. A module's ``SETTINGS`` are theirs too, and its ``ALSO`` are more of them."""
    servers = Servers(worker_id, purpose="_system")
    servers.erase_redis()
    folder: pathlib.Path = tmp_path_factory.mktemp("stack")
    settings = {"LLM_BASE_URL": llm.base_url, **getattr(request.module, "SETTINGS", {})}
    with Stack(folder, servers, settings).running(*getattr(request.module, "ALSO", ())) as mine:
        yield mine
    servers.drop()
