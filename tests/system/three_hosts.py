"""Three hosts: two that run the product, one with PostgreSQL and Valkey; nginx, the model and callers are outside.

nginx runs `deploy/nginx.conf`, and its kernel has what `deploy/compose.yaml` gives it.
"""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sys
from dataclasses import replace

import yaml  # type: ignore[import-untyped]

import local.postgres
import local.valkey
from local import embedded, processes, programs
from local.embedded import RunningServer
from local.readiness import answers
from tests.conftest import CALLERS, ROOT, Servers
from tests.fake_llm import FakeLLM
from tests.system.hosts import NETWORK, OUTSIDE, Host, Outside, found
from tests.system.stack import Stack, eventually

API_PORT, GATEWAY_PORT, FRONT_PORT = 8000, 8001, 8080
"""As in deploy/nginx.conf."""
PRODUCT = ("api", "gateway", "dispatcher", "worker")
NGINX = """
daemon off;
user root;
pid nginx.pid;
error_log nginx-error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    log_format upstreams '$request_method $uri $status $upstream_addr $upstream_status';
    access_log nginx-access.log upstreams;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {server}
}}
"""


class Elsewhere(Servers):
    """Servers of another host."""

    def __init__(self, postgres: RunningServer, valkey: RunningServer) -> None:
        self.environment = {"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url, **CALLERS}


class ThreeHosts:
    """All of it, from `start` to `close`.

    Args:
        folder: for logs and the servers' files.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.ada, self.bob, self.data = Host("ada", 1), Host("bob", 2), Host("data", 3)
        self.outside = Outside(self.ada, self.bob, self.data)
        self._open = contextlib.ExitStack()
        self._stacks: dict[str, Stack] = {}

    def start(self, **settings: str) -> None:
        """Returns when all of it is ready."""
        llm = FakeLLM(host="0.0.0.0")
        self.outside.do(self._open.enter_context, llm)
        postgres, valkey = self.data.do(self._postgres), self.data.do(self._valkey)
        for server in (postgres, valkey):
            self._open.callback(server.stop)
        servers = Elsewhere(postgres, valkey)
        settings = {
            "HOST": "0.0.0.0",
            "PORT": str(API_PORT),
            "GATEWAY_PORT": str(GATEWAY_PORT),
            "TRUSTED_PROXIES": "1",
            "GATEWAY_URL": "/ws",
            "LLM_BASE_URL": f"http://{OUTSIDE}:{llm.port}/v1",
            **settings,
        }
        for host in (self.ada, self.bob):
            folder = self.folder / host.name
            folder.mkdir()
            self._stacks[host.name] = Stack(folder, servers, settings)
        self.front = Stack(self.folder, servers, settings)
        self.front.port = FRONT_PORT
        migration = processes.migration(pathlib.Path(sys.executable), ROOT, self.front.environment)
        assert self.data.do(programs.run_to_end, migration, log=self.folder / "migration.log") == 0
        for host in (self.ada, self.bob):
            for name in PRODUCT:
                host.do(self._stacks[host.name].start, name)
        eventually(lambda: self._answers(self.ada) and self._answers(self.bob))
        self._start_nginx()
        eventually(lambda: self.outside.do(answers, "127.0.0.1", FRONT_PORT))
        eventually(lambda: self.outside.do(self.front.is_ready))

    def _answers(self, host: Host) -> bool:
        """Whether all that listens there does."""
        return all(host.do(answers, "127.0.0.1", port) for port in (API_PORT, GATEWAY_PORT))

    def _start_nginx(self) -> None:
        asked = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["nginx"]["sysctls"]
        self.outside.set_kernel({name: str(value) for name, value in asked.items()})
        server = (ROOT / "deploy/nginx.conf").read_text().replace("resolver 127.0.0.11 valid=5s;", "")
        for name, port in (("api", API_PORT), ("gateway", GATEWAY_PORT)):
            both = " ".join(f"server {host.address}:{port};" for host in (self.ada, self.bob))
            server = server.replace(f"server {name}:{port} resolve;", both)
        (self.folder / "nginx.conf").write_text(NGINX.format(server=server))
        nginx = programs.Program(
            name="nginx",
            command=(found("nginx"), "-p", str(self.folder), "-c", "nginx.conf", "-e", "nginx-error.log"),
            environment={},
            folder=self.folder,
        )
        self._open.callback(end, self.outside.do(programs.spawn, nginx, log=self.folder / "nginx.log"))

    def upstreams(self) -> list[str]:
        """What nginx has done so far: method, path, status, and which host answered how, one line each."""
        return (self.folder / "nginx-access.log").read_text().splitlines()

    def revive(self) -> None:
        """Start again what has ended by itself, as systemd would."""
        for host in (self.ada, self.bob):
            host.do(self._stacks[host.name].revive)

    def close(self) -> None:
        """End everything."""
        for stack in self._stacks.values():
            stack.close()
        self._open.close()
        for host in (self.ada, self.bob, self.data, self.outside):
            host.close()

    def _postgres(self) -> RunningServer:
        """One that listens to the other hosts, and keeps what it has said it has."""
        postgres = local.postgres.prepare(self.folder / "postgres", durable=False)
        with (postgres.home.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NETWORK} scram-sha-256\n")
        more = ("-c", "listen_addresses=*", "-c", "synchronous_commit=on")
        program = replace(postgres.program, command=(*postgres.program.command, *more))
        url = postgres.url.replace("127.0.0.1", self.data.address)
        log = self.folder / "postgres.log"
        return embedded.run_alone(
            program, url=url, log=log, is_ready=postgres.is_ready, disposable=postgres.home.disposable
        )

    def _valkey(self) -> RunningServer:
        valkey = local.valkey.prepare(self.folder / "valkey", durable=False)
        program = replace(valkey.program, command=(*valkey.program.command, "--bind", "0.0.0.0"))
        url = valkey.url.replace("127.0.0.1", self.data.address)
        return embedded.run_alone(program, url=url, log=self.folder / "valkey.log", is_ready=valkey.is_ready)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop it, with its children."""
    programs.kill_group(process.pid)
    process.wait(10)
