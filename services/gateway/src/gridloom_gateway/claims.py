"""What is kept of a request with an `Idempotency-Key`: which job it makes, and its answer once there is one.

Never the key, the body or the prompt: only keyed hashes of them. The answer is sealed under a secret of which the
client's key is a part: the database alone tells nobody what was answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it was sent, its body sealed."""

    status: int
    headers: dict[str, str]
    sealed_body: str


@dataclass(frozen=True)
class Claim:
    """An account's key in use. `id` stands for both, `fingerprint` for the request that used the key first.

    `new_id` is the id of whatever that request makes. `holder` carries it out, alone until `held_until`; without an
    answer by then, another may. `ends_at` is when all of it is forgotten.
    """

    id: str
    fingerprint: str
    new_id: str
    holder: str
    held_until: datetime
    ends_at: datetime
    answer: KeptAnswer | None = None
