"""What counting a request costs: ``python -m benchmarks.metrics``.

The same trivial application with and without the hook of `api.metrics`, called as a WSGI server does, in turns, because
the machine is never equally fast for long. Processor time, the best of many rounds. Under gunicorn each worker counts
in files, so that is how it is measured here.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable

ROUNDS, REQUESTS = 60, 200


def main() -> None:
    """Print microseconds for one request of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _measure()


def _measure() -> None:
    # Only now: the library looks for its folder when it is imported.
    from flask import Flask  # noqa: PLC0415
    from prometheus_client import generate_latest  # noqa: PLC0415
    from werkzeug.test import EnvironBuilder  # noqa: PLC0415

    from api import metrics as hook  # noqa: PLC0415
    from models import database_metrics, metrics  # noqa: PLC0415

    def application(*, is_counted: bool) -> Flask:
        app = Flask("floor")
        if is_counted:
            hook.add_to(app)
        app.add_url_rule("/api/jobs", "post", lambda: ({}, 201), methods=["POST"])
        app.add_url_rule("/api/jobs/<string:job_id>", "get", lambda job_id: {"jobId": job_id})
        return app

    plain, counted = application(is_counted=False), application(is_counted=True)
    for method, path in (("POST", "/api/jobs"), ("GET", "/api/jobs/1")):
        environ = EnvironBuilder(method=method, path=path).get_environ()

        def taken(app: Flask, environ: dict[str, object] = environ) -> float:
            begun = time.process_time()
            for _ in range(REQUESTS):
                b"".join(app.wsgi_app(dict(environ), lambda *_: lambda _: None))
            return (time.process_time() - begun) / REQUESTS * 1e6

        rounds = [(taken(plain), taken(counted)) for _ in range(ROUNDS)]
        before, after = (min(each) for each in zip(*rounds, strict=True))
        print(f"{method:4} {before:6.1f} us without, {after:6.1f} us with: {after - before:.1f} us")
    in_use = database_metrics.IN_USE.labels("transactions")

    def borrow() -> None:
        in_use.inc()
        in_use.dec()

    timed = min(_microseconds(lambda: database_metrics.SECONDS.observe(0.0007)) for _ in range(ROUNDS))
    borrowed = min(_microseconds(borrow) for _ in range(ROUNDS))
    print(f"a statement: {timed:.1f} us; a connection borrowed and given back: {borrowed:.1f} us")
    begun = time.process_time()
    size = len(generate_latest(metrics.page()))
    print(f"a scrape of {size} bytes: {(time.process_time() - begun) * 1e3:.1f} ms")


def _microseconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    for _ in range(REQUESTS):
        work()
    return (time.process_time() - begun) / REQUESTS * 1e6


if __name__ == "__main__":
    main()
