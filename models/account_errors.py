"""Account errors: refusals about accounts, sessions, invitations and keys. (`models.errors` has the others.)"""

from __future__ import annotations

from models.errors import Refusal


class RegistrationClosed(Refusal):
    """Nobody may make an account here."""

    code = "registration_closed"

    def __init__(self) -> None:
        super().__init__("Accounts are not made here. Ask whoever runs this server.")


class InvitationRequired(Refusal):
    """An account is made by invitation only."""

    code = "invitation_required"

    def __init__(self) -> None:
        super().__init__("Accounts are made by invitation only. Send its code as invitation.")


class InvitationInvalid(Refusal):
    """No such code, or it was used, or its time is over: nobody may learn which."""

    code = "invitation_invalid"

    def __init__(self) -> None:
        super().__init__("This invitation is not valid, or no longer.")


class UsernameTaken(Refusal):
    """Somebody else has it."""

    code, pointer = "username_taken", "/username"

    def __init__(self) -> None:
        super().__init__("This username is taken.")


class WeakPassword(Refusal):
    """A guesser would soon have it."""

    code, pointer = "weak_password", "/password"


class WrongCredentials(Refusal):
    """No such user, or another password: nobody may learn which."""

    code = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("Username or password is wrong.")


class WrongPassword(Refusal):
    """Whoever is signed in has not given their present password."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("This is not your present password.")


class SessionEnded(Refusal):
    """Signed out, expired, revoked, or never there."""

    code = "session_ended"

    def __init__(self) -> None:
        super().__init__("This session has ended. Sign in again.")


class UserNotFound(Refusal):
    """No such user, or none any more."""

    code = "user_not_found"

    def __init__(self) -> None:
        super().__init__("There is no user with this id.")


class KeyNotFound(Refusal):
    """No such API key, or not the caller's, or revoked before."""

    code = "key_not_found"

    def __init__(self) -> None:
        super().__init__("You have no API key with this id.")


class TooManyKeys(Refusal):
    """Nobody can keep watch over so many."""

    code = "too_many_keys"

    def __init__(self, most: int) -> None:
        super().__init__(f"You have {most} API keys, which is the limit. Revoke one first.")


class ScopeRefused(Refusal):
    """A key would be good for more than its user."""

    code = "scope_refused"

    def __init__(self, scope: str) -> None:
        super().__init__(f"Your account may not do what {scope} allows, so no key of yours can.")
