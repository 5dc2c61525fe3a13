"""The losses under test, with the samplers of their oracles."""

import jloss
from jloss.testing import Case
from tests.oracles import load

ORACLES = load()
LOSSES = sorted(name for name, entry in jloss.CATALOGUE.items() if entry.kind == "loss")


def case(name: str, options: dict | None = None) -> Case:
    """The loss of this name as the laws want it."""
    found = ORACLES.get(name)
    sample = found.sample if found else None
    return Case(jloss.CATALOGUE[name].public, options or {}, sample, bool(found and found.frozen))
