"""The floor: the least that any view can cost on this gunicorn, this Flask and this machine.

Served by the product's own ``gunicorn.conf.py``, so that workers, keep-alive and logging are the same.
"""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

app = Flask("floor")


@app.route("/floor", methods=["GET", "POST"])
def floor() -> Response:
    """Read the body, if there is one, and answer next to nothing."""
    request.get_data(cache=False)
    return jsonify(status="ok")
