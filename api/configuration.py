"""Configuration: what a page has to know, also before anybody has signed in."""

from __future__ import annotations

from flask import Response, current_app, request

from api import access, addresses
from api.callers import Callers
from api.configuration_schemas import ConfigurationSchema
from api.jobs import json_response
from api.openapi import Noun
from models import flags
from models.flags import Flag
from models.settings import Settings

bp = Noun("configuration", __name__, url_prefix="/api/config", description="What a page has to know.")


@bp.route("")
@bp.doc(security=[{}])
@bp.response(200, ConfigurationSchema)
@access.public
def show_configuration() -> Response:
    """Where the gateway is, for whoever sends this. Without one a page asks now and then instead."""
    settings: Settings = current_app.config["SETTINGS"]
    url = addresses.gateway(settings, host=request.host, is_secure=request.is_secure)
    return json_response({"gatewayUrl": url if _has_gateway(settings) else None})


def _has_gateway(settings: Settings) -> bool:
    """Who it is is asked only where not all have it: without a database a page still learns where the gateway is."""
    if flags.is_for_all(settings.flags, Flag.GATEWAY):
        return True
    callers: Callers = current_app.extensions["parley"]["callers"]
    known = callers.known(request)
    return known is not None and flags.is_for(settings.flags, Flag.GATEWAY, known.owner)
