"""The schema cache of the PostgREST stand-in: functions, relations and role settings, read from PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import AsyncConnection

_FUNCTIONS = """
select p.proname, p.provolatile, p.prorettype::regtype::text = 'void', p.proretset,
    coalesce(p.proargnames, '{}'), array(select format_type(t, null) from unnest(p.proargtypes) t)
from pg_proc p where p.pronamespace = %s::regnamespace and p.prorettype <> 'trigger'::regtype
"""
_RELATIONS = """
select c.relname, array_agg(a.attname::text)
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'v') group by 1
"""
_ROLE_SETTINGS = """
select r.rolname, s.setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where s.setdatabase = 0
"""


@dataclass(frozen=True)
class Function:
    """A function of the exposed schema."""

    arguments: dict[str, str]
    is_void: bool
    is_read_only: bool


@dataclass(frozen=True)
class Cache:
    """The schema cache, which PostgREST keeps until it is told to reload."""

    functions: dict[str, Function]
    relations: dict[str, set[str]]
    role_settings: dict[str, dict[str, str]]


async def read_cache(connection: AsyncConnection, schema: str) -> Cache:
    """What the schema holds now."""
    functions = {}
    for name, volatility, is_void, is_set, names, types in await (
        await connection.execute(_FUNCTIONS, (schema,))
    ).fetchall():
        if not is_set:
            functions[name] = Function(dict(zip(names, types, strict=True)), is_void, volatility != "v")
    relations = {
        name: set(columns)
        for name, columns in await (await connection.execute(_RELATIONS, (schema,))).fetchall()
    }
    settings = {
        role: dict(setting.split("=", 1) for setting in config)
        for role, config in await (await connection.execute(_ROLE_SETTINGS)).fetchall()
    }
    return Cache(functions, relations, settings)
