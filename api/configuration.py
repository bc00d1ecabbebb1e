"""Configuration: what a page has to know before anybody has signed in."""

from __future__ import annotations

from flask import Response, current_app, request

from api import access, addresses
from api.configuration_schemas import ConfigurationSchema
from api.jobs import json_response
from api.openapi import Noun
from models.settings import Settings

bp = Noun("configuration", __name__, url_prefix="/api/config", description="What a page has to know.")


@bp.route("")
@bp.doc(security=[{}])
@bp.response(200, ConfigurationSchema)
@access.public
def show_configuration() -> Response:
    """Where the gateway is. Without one a page asks now and then instead."""
    settings: Settings = current_app.config["SETTINGS"]
    return json_response({"gatewayUrl": addresses.gateway(settings, host=request.host, is_secure=request.is_secure)})
