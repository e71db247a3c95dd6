"""Seeds of named random streams, which do not depend on earlier draws."""

import hashlib


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from the given parts (compared by their repr), the same on every machine and in every run.

    Example: `derive_seed(cfg.SEED, "context")` and `derive_seed(cfg.SEED, "noise")` are two unrelated streams.
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
