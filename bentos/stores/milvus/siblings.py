"""Removes faces also from the collections of other face packs under the same alias.

While a base changes to another pack, services of both versions run, each on the collection of its own pack. A face that
one of them removes must not be found by the other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from bentos.domain.errors import DependencyUnavailable
from bentos.stores.milvus.client import MilvusConnection
from bentos.stores.milvus.options import MilvusOptions

_NOT_SEARCHED = {"NotLoad", "NotExist"}


async def siblings(connection: MilvusConnection, options: MilvusOptions, own: str) -> list[str]:
    """The names of the base's collections other than `own`, as they are now. Raises `DependencyUnavailable`."""
    ours = re.compile(rf"{re.escape(options.alias)}_[0-9a-f]{{12}}_[0-9]+(_.+)?")
    names = await connection.call(lambda client: client.list_collections(timeout=options.timeout_s))
    return sorted(name for name in names if ours.fullmatch(name) and name != own)


async def remove_from_all(
    connection: MilvusConnection,
    options: MilvusOptions,
    own: str,
    remove: Callable[[str], Awaitable[None]],
) -> None:
    """Call `remove` with the name of the collection `own` and of every other that may be searched, all at once.

    A collection that is not loaded, or that is dropped meanwhile, is skipped: it cannot be searched, and
    `bentos.reembed` makes it match the metadata before it is used again. Raises `DependencyUnavailable`.
    """

    async def is_searched(name: str) -> bool:
        found = await connection.call(lambda client: client.get_load_state(name, timeout=options.timeout_s))
        return found["state"].name not in _NOT_SEARCHED

    async def remove_from_sibling(name: str) -> None:
        if not await is_searched(name):
            return
        try:
            await remove(name)
        except DependencyUnavailable:
            if await is_searched(name):
                raise

    others = [] if options.beside else await siblings(connection, options, own)
    outcomes = await asyncio.gather(remove(own), *map(remove_from_sibling, others), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
