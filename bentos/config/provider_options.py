"""Reads the options of ONNX Runtime's execution providers from JSON."""

from __future__ import annotations

import json


def parsed_options(text: str) -> dict[str, dict[str, str]]:
    """The options by the provider's name. ONNX Runtime takes strings: numbers and booleans become strings.

    Raises `ValueError` with a sentence when `text` is not a JSON object of objects of such values.
    """
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(given, dict) or not all(isinstance(each, dict) for each in given.values()):
        raise ValueError("it has to be a JSON object with one object of options for each provider")
    return {
        provider: {option: _text(provider, option, value) for option, value in options.items()}
        for provider, options in given.items()
    }


def _text(provider: str, option: str, value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"the option {option} of {provider} has to be a string, a number, true or false")
