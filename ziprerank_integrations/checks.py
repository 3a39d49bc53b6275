"""Checks of option values: each raises a ValueError that names the option, its value and what is allowed."""

from __future__ import annotations

import math
import operator
import os
from numbers import Real
from typing import Any


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise a ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")


def integer(name: str, value: Any, least: int | None = None) -> int:
    """Return an integer, numpy's included, as an int.

    Args:
        name: The option's name.
        value: The option's value; True and False are not integers.
        least: The smallest value allowed; None allows all.

    Raises:
        ValueError: If the value is not an integer, or less than ``least``.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        found = operator.index(value)
    except TypeError as error:
        raise ValueError(f"{name}={value!r} is not an integer") from error
    if least is not None and found < least:
        raise ValueError(f"{name}={value!r} is outside [{least}, ∞)")
    return found


def number(name: str, value: Any) -> float:
    """Return a number, numpy's included, as a float.

    Raises:
        ValueError: If the value is not a number, or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise ValueError(f"{name}={value!r} is not a number")
    return float(value)


def seconds(name: str, value: Any) -> float:
    """Return a duration in seconds as a float.

    Raises:
        ValueError: If the value is not a positive, finite number.
    """
    if not 0 < number(name, value) < math.inf:
        raise ValueError(f"{name}={value!r} is outside (0, ∞)")
    return float(value)


def flag(name: str, value: Any) -> None:
    """Raise a ValueError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r} is neither True nor False")


def key_from_env(name: str) -> str:
    """Return the API key that an environment variable holds, without white space around it.

    Raises:
        ValueError: If the variable is not set, or blank.
    """
    key = os.environ.get(name)
    if key is None:
        raise ValueError(f"the environment variable {name} is not set")
    if not key.strip():
        raise ValueError(f"the environment variable {name} is blank")
    return key.strip()
