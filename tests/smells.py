"""Smells: ways of writing Python that have opened doors elsewhere. One function finds one of them in a syntax tree.

They know less than a reviewer and never tire. Each looks at how a thing is written
down, so the rules are ours: SQL is put together from module-level constants only,
a client names its time-outs where it is made.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

Finder = Callable[[ast.AST], Iterator[ast.AST]]
LOUD = re.compile(r"_*[A-Z][A-Z0-9_]*")
"""How constants of a module are written."""
SECRET = re.compile(r"(?i)(^|_)(token|secret|password|passwd|passphrase|signature|hmac|credential|api_?key|cookie)s?$")
UNLOGGABLE = re.compile(r"(?i)^(message|prompt|reply|result|text|body|content)$|(password|secret|token|api_key|cookie)")
LOGS = re.compile(r"_?log(ger)?\.(debug|info|warning|error|exception|critical|msg)")
CONSTANT_MAKERS = ("readable_by", "readable_job_by", "format")
"""Functions that make a piece of SQL of constants alone."""


def named(node: ast.AST) -> str:
    """``jwt.decode`` of ``jwt.decode(…)``; of anything else its text."""
    return ast.unparse(node)


def last_name(node: ast.AST) -> str:
    """``decode`` of ``jwt.decode``."""
    if isinstance(node, ast.Subscript):
        return str(node.slice.value) if isinstance(node.slice, ast.Constant) else last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """By name; of ``**options`` nothing is known."""
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def is_constant(node: ast.AST | None, *values: object) -> bool:
    """Whether it is written as one of these."""
    return isinstance(node, ast.Constant) and node.value in values


def unpinned_jwt(node: ast.AST) -> Iterator[ast.AST]:
    """``jwt.decode`` without a list of algorithms that is written there, or without verification."""
    if not (isinstance(node, ast.Call) and re.search(r"(^|\.)(py)?jwt\.decode(_complete)?$", named(node.func))):
        return
    given = keywords(node)
    algorithms = given.get("algorithms")
    options = given.get("options")
    is_pinned = isinstance(algorithms, ast.List) and bool(algorithms.elts)
    is_none = is_pinned and any(is_constant(each, "none", "None", "NONE") for each in algorithms.elts)  # type: ignore[union-attr]
    is_off = isinstance(options, ast.Dict) and any(
        is_constant(key, "verify_signature", "verify_exp", "verify_aud", "verify_iss") and is_constant(value, False)
        for key, value in zip(options.keys, options.values, strict=True)
    )
    if not is_pinned or is_none or is_off:
        yield node


def sql_of_parts(node: ast.AST) -> Iterator[ast.AST]:
    """SQL put together in a function, from anything but constants of a module."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        yield from (call for call in ast.walk(node) if isinstance(call, ast.Call) and call.args and _builds(call))


def _builds(call: ast.Call) -> bool:
    name, first = last_name(call.func), call.args[0]
    if named(call.func) in ("text", "sa.text", "sqlalchemy.text") or name == "exec_driver_sql":
        return not _is_fixed(first)
    built = isinstance(first, ast.JoinedStr | ast.BinOp) or (
        isinstance(first, ast.Call) and last_name(first.func) in ("format", "join", "replace")
    )
    runs = name in ("execute", "executemany", "mogrify", "copy_expert", "scalar", "scalars")
    return runs and built and not _is_fixed(first)


def _is_fixed(node: ast.AST) -> bool:
    """A constant, or made of constants of modules."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name | ast.Attribute):
        return bool(LOUD.fullmatch(last_name(node)))
    if isinstance(node, ast.JoinedStr):
        return all(_is_fixed(each.value if isinstance(each, ast.FormattedValue) else each) for each in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_fixed(node.left) and _is_fixed(node.right)
    if isinstance(node, ast.Call) and last_name(node.func) in CONSTANT_MAKERS:
        given = [*node.args, *(each.value for each in node.keywords)]
        is_ours = last_name(node.func) != "format" or _is_fixed(getattr(node.func, "value", node.func))
        return is_ours and all(_is_fixed(each) for each in given)
    return False


def publishing(node: ast.AST) -> Iterator[ast.AST]:
    """A message to Celery."""
    if isinstance(node, ast.Call) and last_name(node.func) in ("delay", "apply_async", "send_task"):
        yield node


NETWORK = {
    r"(^|\.)(requests|httpx2?)\.(get|post|put|patch|delete|head|options|request|stream|Client|AsyncClient)$": {
        "timeout"
    },
    r"(^|\.)urlopen$": {"timeout"},
    r"(^|\.)HTTPS?Connection$": {"timeout"},
    r"(^|\.)(socket\.)?create_connection$": {"timeout"},
    r"(^|\.)(SMTP|SMTP_SSL|FTP|IMAP4)$": {"timeout"},
    r"(^|\.)redis\.(asyncio\.)?(Redis|StrictRedis)(\.from_url)?$": {"socket_timeout", "socket_connect_timeout"},
    r"(^|\.)(Blocking)?ConnectionPool(\.from_url)?$": {"socket_timeout", "socket_connect_timeout"},
    r"(^|\.)OpenAI$": {"timeout"},
}


def unbounded_waiting(node: ast.AST) -> Iterator[ast.AST]:
    """A client of a network that may wait for ever."""
    if not isinstance(node, ast.Call):
        return
    for pattern, demanded in NETWORK.items():
        if re.search(pattern, named(node.func)):
            given = keywords(node)
            in_order = last_name(node.func) == "create_connection" and len(node.args) > 1
            if not in_order and (
                demanded - given.keys() or any(is_constant(given[each], None, 0) for each in demanded)
            ):
                yield node


def swallowing(node: ast.AST) -> Iterator[ast.AST]:
    """Whatever went wrong, nobody learns of it."""
    if isinstance(node, ast.ExceptHandler) and _catches_all(node.type):
        silent = (ast.Pass, ast.Continue, ast.Break)
        if all(
            isinstance(each, silent)
            or (isinstance(each, ast.Return) and (each.value is None or isinstance(each.value, ast.Constant)))
            or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            for each in node.body
        ):
            yield node
    if isinstance(node, ast.Call) and last_name(node.func) == "suppress" and any(map(_catches_all, node.args)):
        yield node


def _catches_all(kind: ast.AST | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(each is None or last_name(each) in ("Exception", "BaseException") for each in kinds)


DANGEROUS_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "telnetlib", "xml"}
DANGEROUS_CALLS = {
    *("eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "hashlib.md5", "hashlib.sha1"),
    *("Markup", "markupsafe.Markup", "render_template_string", "flask.render_template_string", "__import__"),
    *("ssl._create_unverified_context", "ssl._create_default_https_context", "yaml.unsafe_load", "yaml.full_load"),
}


def dangerous(node: ast.AST) -> Iterator[ast.AST]:
    """What runs, or trusts, whatever it is given."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        if any(module.partition(".")[0] in DANGEROUS_MODULES for module in modules):
            yield node
    if isinstance(node, ast.Call):
        given = keywords(node)
        safe_loaders = given.get("Loader"), *node.args[1:2]
        careless_yaml = named(node.func) == "yaml.load" and not any(
            each is not None and last_name(each) in ("SafeLoader", "CSafeLoader") for each in safe_loaders
        )
        loose = is_constant(given.get("shell"), True) or is_constant(given.get("verify"), False)
        if named(node.func) in DANGEROUS_CALLS or careless_yaml or loose:
            yield node
    if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
        yield node
    if isinstance(node, ast.Assign) and is_constant(node.value, False):
        yield from (each for each in node.targets if last_name(each) in ("check_hostname", "verify"))


def telling_comparison(node: ast.AST) -> Iterator[ast.AST]:
    """A secret compared letter by letter, so that the time says how many were right."""
    if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
        sides = [node.left, *node.comparators]
        harmless = any(isinstance(each, ast.Constant) for each in sides)
        if not harmless and any(
            SECRET.search(last_name(each)) and not LOUD.fullmatch(last_name(each)) for each in sides
        ):
            yield node


def telling_log(node: ast.AST) -> Iterator[ast.AST]:
    """A log line that is put together, or that carries what somebody wrote or a secret."""
    if not (isinstance(node, ast.Call) and LOGS.fullmatch(named(node.func)) and node.args):
        return
    is_whole = isinstance(node.args[0], ast.Constant | ast.Name | ast.Subscript | ast.Attribute)
    if not is_whole or any(UNLOGGABLE.search(name) and not name.endswith("_length") for name in keywords(node)):
        yield node


def open_cookie(node: ast.AST) -> Iterator[ast.AST]:
    """A cookie that scripts or other sites can use, or that says nothing of encryption."""
    if isinstance(node, ast.Call) and last_name(node.func) == "set_cookie":
        given = keywords(node)
        if not (
            is_constant(given.get("httponly"), True)
            and is_constant(given.get("samesite"), "Strict")
            and "secure" in given
            and not is_constant(given["secure"], False, None)
        ):
            yield node
