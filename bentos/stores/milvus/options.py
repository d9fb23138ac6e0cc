"""The options of the vector store over Milvus, and the names that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

IndexType = Literal["HNSW", "IVF_FLAT", "FLAT", "AUTOINDEX"]
Consistency = Literal["Strong", "Bounded", "Session", "Eventually"]

_FINGERPRINT_CHARACTERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusOptions:
    """The options, with their defaults.

    `uri` is that of a server (http, https), or the path of a file that ends in `.db`: Milvus Lite, in this process.
    `token` returns the present token, or "" for none; it is called at each connection, and when Milvus refuses it.
    `dim` is the number of dimensions of an embedding; `pack_name` and `fingerprint` name the face pack that makes them.
    `hnsw_*` and `ivf_nlist` shape the index when the collection is created, and change nothing later. `search_ef` and
    `search_nprobe` trade time for recall in each search. `timeout_s` bounds every call, in seconds; `load_timeout_s`
    bounds how long the server may take to bring the collection into memory.

    `consistency` is the level of a search. At `Strong` each search waits for the server's next time ticks (0.2 to
    0.4 s), and saving returns at once. At any other level searches do not wait (2 to 5 ms), and saving returns when
    its rows can be found. A removal waits at every level. Either way a search that starts after a write has returned
    sees it. With more than one replica of the collection in Milvus' memory only `Strong` promises that.

    `beside`: the collection is filled while another one is in use. Opening does not change the alias, saving does not
    wait until its rows can be found, and a removal affects only this collection.

    `headers` is called for each search and returns gRPC metadata to add.
    """

    uri: str
    token: Callable[[], str] = str
    alias: str
    dim: int
    pack_name: str
    fingerprint: str
    index_type: IndexType = "HNSW"
    hnsw_m: int = 16
    hnsw_ef_construction: int = 200
    ivf_nlist: int = 128
    search_ef: int = 128
    search_nprobe: int = 16
    consistency: Consistency = "Strong"
    timeout_s: float = 5
    load_timeout_s: float = 60
    beside: bool = False
    headers: Callable[[], Mapping[str, str]] | None = None

    @property
    def lite(self) -> bool:
        """Whether this is Milvus Lite, which has one process, no time tick, and needs no index but FLAT."""
        return self.uri.endswith(".db")

    @property
    def collection(self) -> str:
        """The collection that is created behind a new alias: one for each face pack and dimension."""
        return f"{self.alias}_{self.fingerprint[:_FINGERPRINT_CHARACTERS]}_{self.dim}"

    @property
    def waits_after_write(self) -> bool:
        """Whether a write has to wait until its rows can be found, because searches do not wait."""
        return not (self.lite or self.beside) and self.consistency != "Strong"

    @property
    def pack(self) -> str:
        """The description of the face pack that is stored in the collection's description."""
        return f"face pack {self.pack_name!r} {self._identity}"

    def is_same_pack(self, collection: str, description: str) -> bool:
        """Whether the vectors of this collection were made by this face pack, by its description.

        Milvus Lite does not keep descriptions: without one, the name decides (`faces_<fingerprint>_512`, or the same
        with something behind it).
        """
        if description:
            return description.endswith(self._identity)
        return collection == self.collection or collection.startswith(f"{self.collection}_")

    @property
    def _identity(self) -> str:
        return f"(fingerprint {self.fingerprint}, {self.dim} dimensions)"
