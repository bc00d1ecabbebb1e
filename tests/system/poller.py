"""Somebody who looks at something all the while: ``python -m tests.system.poller PORT PATH SECONDS``, a process.

In a thread of the process that offers the load, it would mostly wait for that process's interpreter. One line of
JSON a look: status and seconds. It ends when nobody reads them any more, or by SIGTERM.
"""

from __future__ import annotations

import http.client
import json
import sys
import time


def look(port: int, path: str) -> tuple[int, float]:
    """One look on a connection of its own; status 0: no answer at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    begun = time.monotonic()
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, time.monotonic() - begun
    except (OSError, http.client.HTTPException):
        return 0, time.monotonic() - begun
    finally:
        connection.close()


if __name__ == "__main__":
    port, path, pause = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    while True:
        sys.stdout.write(json.dumps(look(port, path)) + "\n")
        sys.stdout.flush()
        time.sleep(pause)
