"""What a fault of the soak may cost, and whether it accounts for a request that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from under_load import GROUPS, THREADS


@dataclass
class Hit:
    """A fault that has been injected: when, where, and what it may cost."""

    fault: str
    began: float
    ended: float = 0.0
    group: str = ""
    allowed: str = ""  # a pattern for what may be said of requests that it concerns
    pids: set[int] = field(default_factory=set)  # requests that ran there
    ports: set[int] = field(default_factory=set)  # requests on these connections
    everybody: bool = False  # all of the group, or of all groups
    unread: bool = False  # also what was read but had not begun: one request of each thread
    lasting: bool = False  # or, while the fault lasts, one after the other
    cost: int = 0

    def __str__(self):
        who = " ".join(str(pid) for pid in sorted(self.pids))
        return f"{self.fault} {self.group} {who}".strip()

    def overlaps(self, failure):
        return failure["began"] <= self.ended and failure["ended"] >= self.began


class Wrong(AssertionError):
    """A fault that had a consequence of its own which it must not have."""

    def __init__(self, hit: Hit, text: str):
        super().__init__(text)
        self.hit = hit


def explains(hit: Hit, failure, begun: list[int]) -> bool:
    """Whether this fault accounts for this failure; the table of soak.py in other words."""
    if not hit.allowed or not hit.overlaps(failure) or not re.match(hit.allowed, failure["what"]):
        return False
    group = failure["kind"].split()[0]
    if hit.group and hit.group != group:
        return False
    if hit.everybody:
        return group in GROUPS or hit.group == group
    if hit.ports:
        return failure["port"] in hit.ports
    if hit.unread and not hit.lasting and hit.cost >= THREADS:
        return False
    return bool(hit.pids.intersection(begun)) or hit.unread and not begun
