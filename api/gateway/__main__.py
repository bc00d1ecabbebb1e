"""The gateway's process: ``python -m api.gateway``."""

from __future__ import annotations

import asyncio
import resource
import signal

from api.app import create_app
from api.gateway.metrics import GatewayFigures
from api.gateway.server import Gateway
from models import logs, metrics_port, reports, settings, traces, waiting
from models.settings import Settings

log = logs.logger()


async def run(ours: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    gateway = Gateway(ours, create_app(ours, name="gateway"))
    metrics_port.serve(ours, GatewayFigures(gateway.hub, gateway.bus))
    reports.Reporter(ours, kind="gateway", gauges=lambda: {"sockets": len(gateway.hub.sockets)}).start()
    async with gateway.running(ours.host, ours.own_gateway_port) as port:
        log.info("gateway_ready", port=port)
        await stopping.wait()


def main() -> None:
    """Read the settings, and run."""
    ours = settings.current_or_exit("token_key")
    logs.configure(process="gateway", level=ours.log_level)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65_536, hard))
    waiting.bound_every_wait(connect_seconds=ours.db_connect_seconds, statement_seconds=ours.db_statement_seconds)
    traces.begin(ours, process="gateway")
    asyncio.run(run(ours))
    traces.end()


if __name__ == "__main__":
    main()
