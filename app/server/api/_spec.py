"""spectree, told to speak our way: msgspec on the raw body, our errors, no second look at our own answers.

Every route is declared with :func:`route`, which gives it its place in the OpenAPI document, its parsed and checked
request, and its answer's encoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
from flask import Blueprint, Flask, Response, request
from spectree import Response as Answers
from spectree import SpecTree
from spectree.model_adapter.msgspec_adapter import MsgspecModelAdapter
from spectree.plugins.flask_plugin import FlaskPlugin

from app import __version__
from app.errors import Invalid, Malformed
from app.model import AGENT_ID_PATTERN, Problem, camel_names, decoder_of
from app.server.api.door import ROUTE

_encode = msgspec.json.Encoder().encode
_BODY = "relay.body"


class RelayPlugin(FlaskPlugin):
    """Validation and encoding, in spectree's place for them."""

    def validate(  # type: ignore[no-untyped-def, override]
        self, func, query, json, form, headers, cookies, resp, before, after, status, skip, force, *args, **kwargs
    ) -> Response:
        """Parse what the route declares, call it, and encode what it returns."""
        if request.url_rule is not None:
            request.environ[ROUTE] = request.url_rule.rule
        if query is not None:
            kwargs["query"] = parse_query(query)
        if json is not None:
            kwargs["body"] = parse_body(json)
        result = func(*args, **kwargs)
        if isinstance(result, Response):
            return result
        answer, code = result if isinstance(result, tuple) else (result, 200)
        data = b"" if answer is None else _encode(answer)
        answered = Response(data, status=code, content_type="application/json")
        if not data:
            del answered.headers["Content-Type"]  # or Flask would say text/html
        return answered

    def register_route(self, app: Any) -> None:
        """The document and the explorer are routes of our own (:mod:`app.server.api.system`)."""


def parse_body(model: Any) -> Any:
    """The request's body as ``model``; an empty body is an empty object.

    :raises Malformed: it is not JSON.
    :raises Invalid: it is JSON of another shape.
    """
    decoder = decoder_of(model)
    data = _body()
    if not data.isascii():
        guarded(data.decode, model)  # msgspec does not look into the values of keys that it passes over
    return guarded(lambda: decoder.decode(data), model)


def _body() -> bytes:
    """What the request carries. The server has received it whole and bounded: Werkzeug's care for streams is spared."""
    environ = request.environ
    if _BODY not in environ:
        environ[_BODY] = environ["wsgi.input"].read() or b"{}"
    return cast("bytes", environ[_BODY])


def parse_query(model: Any) -> Any:
    """The request's query parameters as ``model``.

    :raises Invalid: one is unknown, or has no sense.
    """
    decoder_of(model)  # so that the type is ready to be converted to
    return guarded(lambda: msgspec.convert(request.args.to_dict(), type=model, strict=False), model)


def guarded(parse: Callable[[], Any], model: Any) -> Any:
    """Parse, and say in our words what is wrong.

    :raises Malformed: it is not JSON.
    :raises Invalid: it is JSON of another shape than ``model``.
    """
    try:
        return parse()
    except msgspec.ValidationError as exc:
        raise invalid(exc, model) from exc
    except msgspec.DecodeError as exc:
        raise Malformed(f"The body is not valid JSON: {exc}.") from exc
    except UnicodeDecodeError as exc:
        raise Malformed(f"The body is not valid UTF-8 (byte {exc.start}): send JSON as UTF-8.") from exc
    except RecursionError as exc:
        raise Malformed("The body is nested too deeply.") from exc


_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?`?\$\.?(?P<path>.*?)`)?$", re.DOTALL)
_NAMED = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)


def invalid(exc: msgspec.ValidationError, model: Any) -> Invalid:
    """What msgspec found, as a named field, the problem and the mend."""
    match = _AT.match(str(exc))
    problem = match["problem"] if match else str(exc)
    path = (match["path"] if match else None) or ""
    named = _NAMED.match(problem)
    if named:
        path = f"{path}.{named[2]}".lstrip(".")
        if named[1] == "missing required":
            problem = "is required"
        else:
            problem = f"is unknown; known here: {', '.join(_known(model))}"
    elif problem.startswith("Invalid"):
        allowed = _allowed(model, path.rpartition(".")[2])
        problem += f": use one of {', '.join(allowed)}" if allowed else ""
    return Invalid.field(path or "body", _say(problem))


_LENGTH = re.compile(r"^Expected `(str|array)` of length (<=|>=) (\d+)$")
_RANGE = re.compile(r"^Expected `(?:int|float)(?: \| null)?` (<=|>=) (\S+)$")


def _say(problem: str) -> str:
    """msgspec's words for what is wrong, as what to do."""
    if AGENT_ID_PATTERN in problem:
        return "must be 1-128 of A-Z a-z 0-9 . _ @ -"
    if "matching regex" in problem:
        return "must not contain U+0000"
    if (length := _LENGTH.match(problem)) is not None:
        what, bound, count = length[1].replace("str", "characters").replace("array", "items"), length[2], length[3]
        if bound == ">=" and count == "1":
            return "must not be empty"
        return f"must have at {'most' if bound == '<=' else 'least'} {count} {what}"
    if (range_ := _RANGE.match(problem)) is not None:
        return f"must be at {'most' if range_[1] == '<=' else 'least'} {range_[2]}"
    return problem.replace("`", "")


def _structs(model: Any) -> list[type[msgspec.Struct]]:
    """The Structs that a request may be."""
    members = (model, *get_args(model), *(inner for arg in get_args(model) for inner in get_args(arg)))
    return [m for m in members if isinstance(m, type) and issubclass(m, msgspec.Struct)]


def _allowed(model: Any, key: str) -> list[str]:
    """The words that a key of a request takes, where they are few."""
    for struct in _structs(model):
        if struct.__struct_config__.tag_field == key:
            return [str(member.__struct_config__.tag) for member in _structs(model)]
        for field in msgspec.structs.fields(struct):
            kinds = (field.type, *get_args(field.type))
            enum = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, StrEnum)), None)
            if field.encode_name == key and enum is not None:
                return [member.value for member in enum]
    return []


def _known(model: Any) -> list[str]:
    return sorted(camel_names(_structs(model)[0]))


def ignored_keys(model: type[msgspec.Struct]) -> list[str]:
    """Keys of the request's body that ``model`` does not have."""
    given = msgspec.json.decode(_body(), type=dict[str, msgspec.Raw])
    return sorted(given.keys() - camel_names(model))


class _LazySpec(SpecTree):
    """Describes models when the document is asked for: doing it for each route at import costs a start 80 ms."""

    def __init__(self, **options: Any) -> None:
        self._waiting: dict[str, tuple[Any, Any]] = {}
        super().__init__(**options)

    def _add_model(self, model: Any, mode: Any = "validation") -> str:
        key: str = self.naming_strategy(model)
        self._waiting[key] = (model, mode)
        return key

    def describe_models(self) -> None:
        """Before :attr:`spec` is read."""
        for model, mode in self._waiting.values():
            super()._add_model(model, mode)


spec = _LazySpec(
    backend=RelayPlugin,
    model_adapter=cast("Any", MsgspecModelAdapter()),
    title="Agent Relay",
    version=__version__,
    description="A message bus for coding agents. Errors are RFC 9457 problem documents with a stable `code`.",
    annotations=False,
    mode="strict",
    validation_error_model=Problem,
    naming_strategy=lambda model: _name(model),
    nested_naming_strategy=lambda _parent, child: child,
)


def _name(model: Any) -> str:
    """A component's name: a Struct's own; a union's from its members; an annotated type's title."""
    if get_origin(model) is Annotated:
        return next(str(meta.title) for meta in get_args(model)[1:] if isinstance(meta, msgspec.Meta) and meta.title)
    if get_origin(model) in {Union, UnionType}:
        return "Or".join(_name(arg) for arg in get_args(model))
    return str(model.__name__)


def one_of(title: str, *structs: type[msgspec.Struct]) -> Any:
    """One of several answers under one status: msgspec describes no union of Structs, so it is said by hand."""
    _alternatives.extend(structs)
    refs = [{"$ref": f"#/components/schemas/{struct.__name__}"} for struct in structs]
    return Annotated[Any, msgspec.Meta(title=title, extra_json_schema={"oneOf": refs})]


_alternatives: list[type[msgspec.Struct]] = []


def route(
    blueprint: Blueprint,
    method: str,
    path: str,
    *,
    answer: Any = None,
    status: int = 200,
    also: dict[int, Any] | None = None,
    problems: tuple[int, ...] = (),
    query: Any = None,
    json: Any = None,
    media: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a route: its place, its request, its answers.

    :param answer: type of the answer with ``status``; ``also``: further successful ones.
    :param problems: statuses of the problems that are particular to it; the general ones go without saying.
    :param media: the type of an answer that is a file.
    """
    answers = {status: answer} | (also or {}) | dict.fromkeys((*problems, 401, 403, 422), Problem)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        if media is not None:
            _files[view.__name__] = media
        declared = spec.validate(
            query=query,
            json=json,
            resp=Answers(**{f"HTTP_{code}": model for code, model in answers.items()}),
            tags=(blueprint.name,),
            operation_id=view.__name__,
        )(view)
        return cast("Callable[..., Any]", blueprint.route(path, methods=[method])(declared))

    return decorate


#: the media type of each operation that answers with a file
_files: dict[str, str] = {}


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI 3.1 document. Not in a request's way: made once, when it is first asked for."""
    spec.app = app
    spec.describe_models()
    made = cast("dict[str, Any]", spec.spec)
    for operations in made["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["schema"].get("format") == "int32":
                    parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
            if (media := _files.get(operation["operationId"])) is not None:
                operation["responses"]["200"]["content"] = {media: {"schema": {"type": "string", "format": "binary"}}}
            for code, answer in operation["responses"].items():
                if int(code) >= 400 and "content" in answer:
                    answer["content"] = {"application/problem+json": answer["content"]["application/json"]}
    template = "#/components/schemas/{name}"
    made["components"]["schemas"] |= msgspec.json.schema_components(_alternatives, ref_template=template)[1]
    made["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-Agent-Relay-Token"},
    }
    made["security"] = [{}, {"bearer": []}, {"header": []}]
    return made
