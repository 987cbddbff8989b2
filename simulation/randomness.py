"""Random numbers that depend on what they are for, not on what was drawn before them."""

import hashlib
import json

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for every combination of the seed and the names.

    So the bytes of one file do not depend on which other files are made, nor in which order.
    """
    digest = hashlib.blake2b(json.dumps([seed, *names]).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64DXSM(int.from_bytes(digest, "little")))


def deviation(seed: int, sd: dict, subject: str, day: int, name: str, part: str = "") -> float:
    """How far a quantity `name` of a subject is from its mean on a day: the sum of normal draws.

    `sd` holds the standard deviations of the `shared` draw (one a day and name: the batch acts on
    all subjects), the `own` draw (of the subject on that day) and, where it is given, the `part`
    draw (of one of the subject's cell types).
    """
    total = sd["shared"] * generator(seed, "shared", day, name).standard_normal()
    total += sd["own"] * generator(seed, "own", subject, day, name).standard_normal()
    if "part" in sd:
        total += sd["part"] * generator(seed, "part", subject, day, name, part).standard_normal()
    return float(total)
