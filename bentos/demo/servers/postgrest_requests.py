"""Parses requests to PostgREST strictly: everything that is not known here is refused.

The rules are those of the documentation of versions 12 to 14 (URL grammar, horizontal filtering, pagination
and count, preferences). Values never become SQL text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from psycopg import sql

_COMPARISONS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_IS = {"null": "null", "true": "true", "false": "false", "unknown": "unknown"}
_LIST = re.compile(r"\((.*)\)", re.DOTALL)
_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,.:*()"\\]+))\s*(,|$)', re.DOTALL)
_ORDER = re.compile(r"(\w+)(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?")


class Refused(Exception):
    """An error response of PostgREST: an HTTP status and the four fields of its errors."""

    def __init__(
        self, status: int, code: str, message: str, details: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, "details": details, "hint": hint}


@dataclass(frozen=True)
class Read:
    """A GET on a view, as SQL."""

    columns: sql.Composable
    where: sql.Composable
    order: sql.Composable
    values: tuple[object, ...]
    limit: int | None
    offset: int
    counted: bool


@dataclass
class _Parts:
    where: list[sql.Composable] = field(default_factory=list)
    values: list[object] = field(default_factory=list)


def preferences(header: str) -> set[str]:
    """The preferences of a read, always handled as with `handling=strict` of the documentation."""
    given = {part.strip() for part in header.split(",") if part.strip()}
    if unknown := given - {"count=exact", "handling=strict", "handling=lenient"}:
        raise Refused(
            400,
            "PGRST122",
            "Invalid preferences given with handling=strict",
            "Invalid preferences: " + ", ".join(sorted(unknown)),
        )
    return given


def read_of(query: Iterable[tuple[str, str]], known_columns: set[str], *, counted: bool) -> Read:
    """The parts of the SELECT that the query string asks for."""
    parts = _Parts()
    special: dict[str, str] = {}
    for name, value in query:
        if name in ("select", "order", "limit", "offset"):
            if name in special:
                raise _unparsable(f"{name} is given twice")
            special[name] = value
        elif name in known_columns:
            _add_filter(parts, name, value)
        else:
            raise Refused(400, "42703", f"column {name} does not exist")
    return Read(
        columns=_columns(special.get("select", "*"), known_columns),
        where=sql.SQL(" and ").join([sql.SQL("true"), *parts.where]),
        order=_order(special.get("order"), known_columns),
        values=tuple(_as_sent(value) for value in parts.values),
        limit=_count(special["limit"]) if "limit" in special else None,
        offset=_count(special.get("offset", "0")),
        counted=counted,
    )


def _as_sent(value: object) -> object:
    """A text ends at its first NUL, because PostgREST hands texts to libpq, which reads them up to there."""
    return value.partition("\0")[0] if isinstance(value, str) else value


def _add_filter(parts: _Parts, column: str, expression: str) -> None:
    operator, dot, value = expression.partition(".")
    if not dot:
        raise _unparsable(f"failed to parse filter ({expression})")
    name = sql.Identifier(column)
    if operator in _COMPARISONS:
        if value.startswith('"'):
            # Valid, but certainly a mistake: PostgREST treats the quotes as a part of the value.
            raise _unparsable(f"{operator} does not strip quotes: {value}")
        parts.where.append(sql.SQL("{} {} %s").format(name, sql.SQL(_COMPARISONS[operator])))
        parts.values.append(value)
    elif operator == "is" and value in _IS:
        parts.where.append(sql.SQL("{} is {}").format(name, sql.SQL(_IS[value])))
    elif operator == "in":
        elements = _elements(value)
        marks = sql.SQL(", ").join([sql.SQL("%s")] * len(elements))
        parts.where.append(sql.SQL("{} in ({})").format(name, marks))
        parts.values.extend(elements)
    else:
        raise _unparsable(f"failed to parse filter ({expression})")


def _elements(value: str) -> list[str]:
    inside = _LIST.fullmatch(value)
    if not inside:
        raise _unparsable(f"failed to parse list {value}")
    text, found, at = inside[1], [], 0
    while True:
        element = _ELEMENT.match(text, at)
        if not element:
            raise _unparsable(f"reserved characters need double quotes: {text[at:]}")
        found.append(element[2] if element[1] is None else re.sub(r"\\(.)", r"\1", element[1]))
        at = element.end()
        if not element[3]:
            return found


def _columns(select: str, known: set[str]) -> sql.Composable:
    if select == "*":
        return sql.SQL("*")
    names = select.split(",")
    if unknown := set(names) - known:
        raise Refused(400, "42703", f"column {min(unknown)} does not exist")
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _order(order: str | None, known: set[str]) -> sql.Composable:
    if order is None:
        return sql.SQL("")
    terms: list[sql.Composable] = []
    for part in order.split(","):
        term = _ORDER.fullmatch(part)
        if not term or term[1] not in known:
            raise _unparsable(f"failed to parse order ({order})")
        direction = sql.SQL(f"{term[2] or 'asc'}{_nulls(term[3])}")
        terms.append(sql.SQL("{} {}").format(sql.Identifier(term[1]), direction))
    return sql.SQL("order by ") + sql.SQL(", ").join(terms)


def _nulls(word: str | None) -> str:
    return {"nullsfirst": " nulls first", "nullslast": " nulls last", None: ""}[word]


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise _unparsable(f"failed to parse limit or offset ({text})")
    return int(text)


def _unparsable(message: str) -> Refused:
    return Refused(400, "PGRST100", message)
