"""Bounded numbers and texts: the field types of everything that is stored as JSON."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

MAX_INT = 2**63 - 1
MAX_TEXT = 100_000  # characters of one text, as a message or a command

#: how many of something: 0, 1, 2, ...
Count = Annotated[int, Field(ge=0, le=MAX_INT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_INT)]
AnyInt = Annotated[int, Field(ge=-MAX_INT, le=MAX_INT)]
#: a measured amount: milliseconds, joules, ...
Amount = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
PositiveAmount = Annotated[float, Field(gt=0, le=1e18, allow_inf_nan=False)]
AnyFloat = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
#: a seed as a key of JSON
SeedText = Annotated[str, Field(pattern=r"^(0|-?[1-9][0-9]{0,18})$")]


def is_id(text: object) -> bool:
    """Return whether this is the id of a trial or a row: 12 hex digits, and so never a path."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{12}", text) is not None
