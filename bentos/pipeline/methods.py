"""The names of the pipeline's methods (see `extraction.Extraction`)."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal[
    "detect",
    "detect_and_embed",
    "embed_only_face",
    "embed_largest_face",
    "embed",
    "embed_at",
    "embed_only_at",
]
"""Those that the runner has too, for other processes."""

METHODS: tuple[Method, ...] = get_args(Method)

AnyMethod = Literal[Method, "detect_in_region"]
"""All of them."""
