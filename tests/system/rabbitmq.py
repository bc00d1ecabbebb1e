"""A RabbitMQ of one's own, from Debian's package: its folders, ports and name are apart from any that runs already."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from local import embedded, ports, programs
from local.programs import Program
from models.live import broker
from models.settings import Settings
from tests.system.outages import Fragile

SCRIPT = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the one in the PATH, which changes to a user and folders of its own."""
NEEDED = pytest.mark.skipif(
    not (SCRIPT.exists() and shutil.which("epmd")), reason="rabbitmq-server, which is tried here, is not installed"
)


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[Fragile]:
    """One that answers; ends with the block, and its epmd with it."""
    port, names = ports.free_port(), ports.free_port()
    url = f"amqp://guest:guest@127.0.0.1:{port}"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),  # for Erlang's cookie
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"parley{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(ports.free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
    }
    epmd = Program(
        name="epmd",
        command=(str(shutil.which("epmd")), "-address", "127.0.0.1", "-port", str(names)),
        environment=environment,
        folder=folder,
    )
    server = Program(name="rabbitmq", command=(str(SCRIPT),), environment=environment, folder=folder)
    helper = programs.spawn(epmd, log=folder / "epmd.log")
    fragile = None
    try:
        fragile = Fragile(
            embedded.run_alone(
                server,
                url=url,
                log=folder / "rabbitmq.log",
                is_ready=lambda: broker.answers(Settings(celery_broker_url=url), seconds=1),
            )
        )
        yield fragile
    finally:
        if fragile is not None:
            fragile.stop()
        programs.kill_group(helper.pid)
        helper.wait(10)
