"""Rules for the values of secret settings; each error is one sentence with the setting's name, never its value."""

from __future__ import annotations

from bentos.config.placeholders import is_placeholder

_SHORTEST_KEY = 16
_TOO_FEW_CHARACTERS = 3
_LOCAL_ADDRESSES = ("sqlite:", "file:")
_MAY_HOLD_SPACES = frozenset({"API_KEY", "MILVUS_TOKEN"})


class UnusableSecretError(ValueError):
    """The value of the setting cannot be used; the message is one sentence without the value."""


def usable(name: str, text: str) -> str:
    """`text` without surrounding white space. Raises `UnusableSecretError` if a header cannot contain the rest."""
    value = text.strip()
    if not (value.isascii() and value.isprintable()):
        raise UnusableSecretError(
            f"{name} holds a line break, a control character or a character that is not ASCII"
        )
    if " " in value and name not in _MAY_HOLD_SPACES:
        raise UnusableSecretError(f"{name} holds a space")
    return value


def usable_api_keys(name: str, text: str) -> str:
    """Keys separated by commas: at least one, each long enough and no placeholder. Raises `UnusableSecretError`."""
    value = usable(name, text)
    keys = split_keys(value)
    if not keys:
        raise UnusableSecretError(f"{name} is not set; make a key with `openssl rand -hex 24`")
    for key in keys:
        if is_placeholder(key) or len(set(key)) <= _TOO_FEW_CHARACTERS:
            raise UnusableSecretError(
                f"{name} is still a placeholder; make a key with `openssl rand -hex 24`"
            )
        if len(key) < _SHORTEST_KEY:
            raise UnusableSecretError(f"{name}: each key needs at least {_SHORTEST_KEY} characters")
    return value


def split_keys(value: str) -> tuple[str, ...]:
    """The keys of API_KEY."""
    return tuple(key.strip() for key in value.split(",") if key.strip())


def without_credentials(name: str, text: str, instead: str) -> str:
    """An address without surrounding white space.

    Raises `UnusableSecretError` if it contains a user, a password or a query, because addresses are printed; `instead`
    says which settings take those.
    """
    address = text.strip()
    if address.startswith(_LOCAL_ADDRESSES) or address.endswith(".db"):
        return address
    if not address.isprintable() or " " in address:
        raise UnusableSecretError(f"{name} holds a space or a control character")
    if any(mark in address for mark in "@?#"):
        raise UnusableSecretError(f"{name} may hold no user, password or query; {instead}")
    return address
