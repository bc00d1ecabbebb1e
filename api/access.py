"""Access: who may use which route. Declared at each view, enforced in one place, denied by default.

An application with a route that declares nothing is not built. What a caller may
do with a *thing* behind a route is a matter of the query that finds it: see
`models.owners.READABLE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from werkzeug.exceptions import Forbidden, Unauthorized

from api import oversight
from api.callers import Caller, Callers, caller, no_token
from models.api_keys import Scope
from models.users import Role

View = TypeVar("View", bound=Callable[..., Any])
_RANK = {None: 0, Role.USER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}
_DECLARED = "__access__"
_PUBLIC = ("static", "api-docs.openapi_json")
"""Views of the libraries'."""


@dataclass(frozen=True)
class Rule:
    """What a route demands of whoever calls it."""

    least: Role | None = None
    """Null: guests may."""
    scope: Scope | None = None
    """Of a credential that is limited to some; null: such a credential will not do."""
    is_for_scrapers: bool = False
    """Whoever shows ``METRICS_TOKEN`` is let in, whoever that is."""

    def check(self, caller: Caller) -> None:
        """Let it pass, or raise.

        Raises:
            Unauthorized: an account is needed.
            Forbidden: it may not.
        """
        if self.least is not None and caller.role is None:
            raise no_token()
        if caller.scopes is not None and self.scope not in caller.scopes:
            raise _forbidden("scope_missing", f"This credential is not good for {self.scope or 'this'}.")
        if _RANK[caller.role] < _RANK[self.least]:
            raise _forbidden("forbidden", "Your account may not do this.")


def public(view: View) -> View:
    """Anybody, and nobody asks who."""
    setattr(view, _DECLARED, None)
    return view


def anybody(scope: Scope) -> Callable[[View], View]:
    """Guests too, where there are any."""
    return _declare(Rule(scope=scope))


def user(scope: Scope | None = None) -> Callable[[View], View]:
    """Whoever has an account. Without a scope: not with an API key."""
    return _declare(Rule(least=Role.USER, scope=scope))


def operator(view: View) -> View:
    """Operators and admins."""
    return _declare(Rule(least=Role.OPERATOR, scope=Scope.ADMIN))(view)


def scraper(view: View) -> View:
    """Whoever has ``METRICS_TOKEN``; operators and admins, too."""
    return _declare(Rule(least=Role.OPERATOR, scope=Scope.ADMIN, is_for_scrapers=True))(view)


def admin(view: View) -> View:
    """Admins."""
    return _declare(Rule(least=Role.ADMIN, scope=Scope.ADMIN))(view)


def _declare(rule: Rule) -> Callable[[View], View]:
    def declared(view: View) -> View:
        setattr(view, _DECLARED, rule)
        return view

    return declared


def rules_of(app: Flask) -> dict[str, Rule | None]:
    """What each endpoint demands; None: nothing.

    Raises:
        LookupError: a route declares nothing.
    """
    views = {name: view for name, view in app.view_functions.items() if name not in _PUBLIC}
    undeclared = sorted(name for name, view in views.items() if not hasattr(view, _DECLARED))
    if undeclared:
        raise LookupError(f"these routes do not say who may use them: {', '.join(undeclared)}")
    return {name: getattr(view, _DECLARED) for name, view in views.items()}


def add_to(app: Flask, callers: Callers) -> Callable[[], None]:
    """Ask of each request who sends it, and whether that one may.

    Answers what is to be called once all routes stand.
    """
    rules: dict[str, Rule | None] = {}

    @app.before_request
    def admit() -> None:
        rule = rules.get(request.endpoint or "")  # no endpoint: nothing is there to be protected
        if rule is not None and not (rule.is_for_scrapers and callers.is_scraper(request)):
            try:
                _admit(rule, callers)
            except (Unauthorized, Forbidden) as refusal:
                if (code := _code_of(refusal)) != "no_token":  # who says nothing has tried nothing
                    oversight.refused(code)
                raise

    return lambda: rules.update(rules_of(app))


def still() -> Caller:
    """Who sends this request, asked again: an answer that takes long must not outlive the right to it.

    Raises:
        Unauthorized, Forbidden: it may not any more.
        SQLAlchemyError: nobody knows.
    """
    rule: Rule = getattr(current_app.view_functions[str(request.endpoint)], _DECLARED)
    return _admit(rule, current_app.extensions["parley"]["callers"])


def _admit(rule: Rule, callers: Callers) -> Caller:
    g.caller = callers.sender(request)
    rule.check(g.caller)
    return caller()


def _code_of(refusal: Unauthorized | Forbidden) -> str:
    code: str = refusal.data["code"]  # type: ignore[union-attr]
    return code


def _forbidden(code: str, detail: str) -> Forbidden:
    refusal = Forbidden(detail)
    refusal.data = {"code": code}  # type: ignore[attr-defined]
    return refusal
