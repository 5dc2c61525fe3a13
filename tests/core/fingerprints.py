"""Fingerprints of what jax lowers each loss to: a change that is to move code, and no number, must leave them as they are.

``python -m tests.core.fingerprints before.json`` in the tree before the change; the same in the tree behind it, with another name;
``python -m tests.core.fingerprints before.json after.json`` lists the programs that differ.

A program is the StableHLO of value and gradient, without names and places in the code. Each loss has four: plain, masked, weighted,
and of a batch so large that it is scheduled otherwise.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.progress import track

from tests.cases import LOSSES, case

LARGE = 1 << 22  # examples of one number


def programs(name: str) -> Iterator[tuple[str, str]]:
    """What each of the four programs of a loss reads."""
    subject = case(name)
    drawn = subject.draw((8,))
    for kind in ("plain", "masked", "weighted", "large"):
        size = 8 if kind != "large" else max(8, LARGE // max(int(np.prod(np.shape(drawn[n])[1:])) for n in subject.batched if n in drawn))
        shapes = {n: jax.ShapeDtypeStruct((size, *v.shape[1:]), v.dtype) if n in subject.batched else v for n, v in drawn.items()}
        floats = subject.floats(shapes)
        rest = {n: v for n, v in shapes.items() if n not in floats}
        keywords = {"masked": {"where": np.ones(8, bool)}, "weighted": {"weights": np.ones(8, np.float32)}}.get(kind, {})

        def value(floats: Any, rest: Any, keywords: Any, order: tuple[str, ...] = tuple(drawn)) -> Any:
            return subject({n: {**floats, **rest}[n] for n in order}, **keywords)

        yield kind, jax.jit(jax.value_and_grad(value)).lower(floats, rest, keywords).as_text()


def fingerprint(text: str) -> str:
    """A hash of the program, with its functions numbered in the order in which they come."""
    names: dict[str, str] = {}
    text = re.sub(r"@[\w.$-]+", lambda m: names.setdefault(m[0], f"@{len(names)}"), text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main(paths: list[str]) -> None:
    if len(paths) == 2:
        before, after = (json.loads(Path(path).read_text()) for path in paths)
        differ = [program for program in before.keys() | after.keys() if before.get(program) != after.get(program)]
        print(*sorted(differ), f"{len(differ)} of {len(before)} programs differ", sep="\n")
        sys.exit(bool(differ))
    found = {f"{name} {kind}": fingerprint(text) for name in track(LOSSES) for kind, text in programs(name)}
    Path(paths[0]).write_text(json.dumps(found, indent=0))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(sys.argv[1:])
