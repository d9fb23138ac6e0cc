"""PostgREST's protocol as an ASGI application: each request becomes one transaction of the real PostgreSQL.

It replaces PostgREST's binary where that is not available: functions, constraints, rights and transactions are those of
PostgreSQL. It covers the part of the documentation of versions 12 to 14 that this project uses, and refuses the rest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.demo.servers.postgrest_cache import Cache, Function
from bentos.demo.servers.postgrest_connection import Config, Database
from bentos.demo.servers.postgrest_requests import Read, Refused, preferences, read_of
from bentos.demo.servers.postgrest_tokens import claims_of

_STATUS = (
    ("08", 503), ("09", 500), ("0L", 403), ("0P", 403), ("23503", 409), ("23505", 409), ("25006", 405), ("25", 500),
    ("28", 403), ("2D", 500), ("38", 500), ("39", 500), ("3B", 500), ("40", 500), ("53400", 500), ("53", 503),
    ("54", 500), ("55", 500), ("57", 500), ("58", 500), ("F0", 500), ("HV", 500), ("P0001", 400), ("P0", 500),
    ("XX", 500), ("42883", 404), ("42P01", 404), ("42P17", 500), ("42501", 403),
)  # fmt: skip
"""HTTP status by SQLSTATE, as documented: the first prefix that matches, else 400."""
_VERSION_12 = 12


def application(config: Config) -> Starlette:
    """The ASGI application. It opens its connection pool and reads the schema when it starts."""
    server = _Server(config)
    return Starlette(
        routes=[
            Route("/", server.root, methods=["GET"]),
            Route("/rpc/{function}", server.answer, methods=["POST"]),
            Route("/{relation}", server.answer, methods=["GET"]),
        ],
        lifespan=server.lifespan,
    )


class _Server:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._database = Database(config)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._database.opened():
            yield

    async def root(self, request: Request) -> Response:
        try:
            claims_of(request.headers.get("authorization"), self._config.jwt_secret, self._config.major)
            _ = self._database.schema
        except Refused as refused:
            return _json(refused.body, refused.status)
        return _json({"info": {"title": "a stand-in for PostgREST"}}, 200)

    async def answer(self, request: Request) -> Response:
        try:
            return await self._transaction(request)
        except Refused as refused:
            return _json(refused.body, refused.status)
        except psycopg.Error as error:
            said = error.diag
            body = {
                "code": error.sqlstate,
                "message": said.message_primary,
                "details": said.message_detail,
                "hint": said.message_hint,
            }
            return _json(body, self._status_of(str(error.sqlstate)))

    def _status_of(self, code: str) -> int:
        if code == "22023" and self._config.major != _VERSION_12:
            return 401  # seen with PostgREST: a role that does not exist
        return next((status for prefix, status in _STATUS if code.startswith(prefix)), 400)

    async def _transaction(self, request: Request) -> Response:
        claims = claims_of(request.headers.get("authorization"), self._config.jwt_secret, self._config.major)
        _check_headers(request, self._config.schema)
        body = await request.body()
        cache = self._database.schema
        async with self._database.connection() as connection:
            if request.method == "POST":
                name = request.path_params["function"]
                arguments = _arguments(request, body)
                function = _function(cache, self._config.schema, name, arguments)
                async with self._as_role(connection, cache, claims, request, function.is_read_only):
                    return await _call(connection, self._config.schema, name, function, arguments)
            relation = request.path_params["relation"]
            if relation not in cache.relations:
                if self._config.major == _VERSION_12:
                    missing = f'relation "{self._config.schema}.{relation}" does not exist'
                    raise Refused(404, "42P01", missing)
                raise Refused(
                    404,
                    "PGRST205",
                    f"Could not find the table '{self._config.schema}.{relation}' in the schema cache",
                )
            wanted = preferences(request.headers.get("prefer", ""))
            read = read_of(
                request.query_params.multi_items(), cache.relations[relation], counted="count=exact" in wanted
            )
            async with self._as_role(connection, cache, claims, request, read_only=True):
                return await _select(connection, sql.Identifier(self._config.schema, relation), read)

    @contextlib.asynccontextmanager
    async def _as_role(
        self,
        connection: AsyncConnection,
        cache: Cache,
        claims: dict[str, Any],
        request: Request,
        read_only: bool,
    ) -> AsyncIterator[None]:
        settings = {
            **cache.role_settings.get(claims["role"], {}),
            "search_path": f'"{self._config.schema}", "public"',
            "role": claims["role"],
            "request.jwt.claims": json.dumps(claims),
            "request.method": request.method,
            "request.path": request.url.path,
            "request.headers": json.dumps(dict(request.headers)),
        }
        calls = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
            for name, value in settings.items()
        )
        mode = sql.SQL("read only" if read_only else "read write")
        await connection.execute(sql.SQL("begin {}; select {}").format(mode, calls))
        try:
            yield
        except BaseException:
            await connection.rollback()
            raise
        await connection.commit()


def _check_headers(request: Request, schema: str) -> None:
    profile = "accept-profile" if request.method == "GET" else "content-profile"
    asked = request.headers.get(profile, schema)
    if asked != schema:
        raise Refused(
            406,
            "PGRST106",
            f"Invalid schema: {asked}",
            hint=f"Only the following schemas are exposed: {schema}",
        )
    if request.headers.get("accept", "*/*") not in ("*/*", "application/json"):
        raise Refused(406, "PGRST107", "None of these media types are available")
    if request.method == "GET" and "range" in request.headers:
        raise Refused(400, "PGRST100", "the stand-in knows limit and offset, not Range")


def _arguments(request: Request, body: bytes) -> dict[str, Any]:
    if request.headers.get("content-type") != "application/json":
        raise Refused(415, "PGRST102", "Content-Type has to be application/json")
    if request.url.query or preferences(request.headers.get("prefer", "")):
        raise Refused(400, "PGRST100", "a function takes its arguments in the body")
    try:
        arguments = json.loads(body)
    except ValueError as error:
        raise Refused(400, "PGRST102", "Empty or invalid json") from error
    if not isinstance(arguments, dict):
        raise Refused(400, "PGRST102", "All object keys must match")
    return arguments


def _function(cache: Cache, schema: str, name: str, arguments: dict[str, Any]) -> Function:
    function = cache.functions.get(name)
    if function is None or set(function.arguments) != set(arguments):
        named = ", ".join(sorted(arguments))
        raise Refused(
            404, "PGRST202", f"Could not find the function {schema}.{name}({named}) in the schema cache"
        )
    return function


async def _call(
    connection: AsyncConnection, schema: str, name: str, function: Function, arguments: dict[str, Any]
) -> Response:
    call = sql.SQL("select {}({}) as answer").format(
        sql.Identifier(schema, name),
        sql.SQL(", ").join(
            sql.SQL("{} := given.{}").format(sql.Identifier(argument), sql.Identifier(argument))
            for argument in function.arguments
        ),
    )
    values: tuple[str, ...] = ()
    if function.arguments:
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(argument), sql.SQL(kind))
            for argument, kind in function.arguments.items()
        )
        call += sql.SQL(" from json_to_record(%s::json) as given ({})").format(columns)
        values = (json.dumps(arguments),)
    query = sql.SQL("select coalesce(to_json(answer)::text, 'null') from ({}) called").format(call)
    row = await (await connection.execute(query, values)).fetchone()
    assert row is not None
    return Response(status_code=204) if function.is_void else _text(row[0])


async def _select(connection: AsyncConnection, relation: sql.Identifier, read: Read) -> Response:
    total: int | None = None
    if read.counted:
        count = sql.SQL("select count(*) from {} where {}").format(relation, read.where)
        row = await (await connection.execute(count, read.values)).fetchone()
        assert row is not None
        total = int(row[0])
        if read.offset > total:
            raise Refused(416, "PGRST103", "Requested range not satisfiable")
    page = sql.SQL("select {} from {} where {} {} limit %s offset %s").format(
        read.columns, relation, read.where, read.order
    )
    query = sql.SQL("select coalesce(json_agg(page), '[]')::text, count(*) from ({}) page").format(page)
    row = await (await connection.execute(query, (*read.values, read.limit, read.offset))).fetchone()
    assert row is not None
    rows, returned = row
    span = f"{read.offset}-{read.offset + returned - 1}" if returned else "*"
    headers = {"Content-Range": f"{span}/{'*' if total is None else total}"}
    return _text(rows, 206 if total is not None and returned < total else 200, headers)


def _text(body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json; charset=utf-8")


def _json(body: dict[str, Any], status: int) -> Response:
    return _text(json.dumps(body), status)
