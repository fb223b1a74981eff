"""What a claim of the lecture notes is, and how what was measured becomes a verdict.

A claim is a function that measures and returns a `Finding`; `claim` keeps it under its id with the claim's words. The
words of a finding are filled in from what was measured, so that they cannot drift from it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

# Shares by which a figure of the notes may differ from what is measured: true up to the first, rounded to the second.
TRUE, ROUNDED = 0.02, 0.10


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was measured, the verdict ('true', 'rounded', 'false') and why, in English and Korean.

    `status` is 'measured'; 'source' where a cited figure decides, because nothing here can measure it; 'study' where
    only training can tell, and then there is no verdict.
    """

    verdict: str | None
    measured: dict[str, Any]
    why: str
    why_ko: str
    status: str = 'measured'


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the notes in English and Korean, where its reference figure comes from, and its measurement."""

    id: str
    claim: str
    claim_ko: str
    source: str
    measure: Callable[[], Finding]


CLAIMS: list[Claim] = []


def claim(id: str, english: str, korean: str, source: str):
    """Registers the decorated measurement as the next claim."""

    def register(measure):
        CLAIMS.append(Claim(id, english, korean, source, measure))
        return measure

    return register


def judge(said: float, measured: float) -> str:
    """The verdict on a figure."""
    apart = abs(said - measured) / abs(measured)
    return 'true' if apart <= TRUE else 'rounded' if apart <= ROUNDED else 'false'


def verdict(holds: bool) -> str:
    """The verdict on a statement."""
    return 'true' if holds else 'false'
