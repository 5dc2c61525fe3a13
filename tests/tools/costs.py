"""What value and gradient of each loss cost, from XLA for CPUs: operations, bytes moved, bytes of temporaries; nothing is timed.

``python -m tests.tools.costs`` says what differs from the committed table by more than 5 %, and ``--write`` writes it anew; names of losses
behind either leave the others alone. The table is tests/core/costs/VERSION.csv, VERSION being that of jax; without one nothing is compared.

A program has about a million numbers in its largest input, and sets of a thousand items: what is quadratic shows. The figures are of the
program as XLA optimises it: to the byte the same with one core and with two, with SSE4 and with AVX512, and however well it is then turned
into machine code, which is cut short here. Of a loop they count one round.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

import jloss
from jloss._core.backend import hints_of
from jloss._core.catalogue import Entry
from jloss.tools.growth import SIZES, Costs, abstract_inputs, program, sizes_of
from tests.cases import case

TABLE = Path(__file__).parents[1] / "core" / "costs" / f"{jax.__version__}.csv"
FIELDS = ("domain", "family", "loss", *Costs._fields)
COMMAND = "python -m tests.tools.costs --write"
FLAGS = (
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"  # of machine code; the program is optimised all the same
)
NUMBERS = 1 << 20
ALLOWED, NOTHING = 0.05, 4096  # a share of the figure; bytes or operations, of a million
EXAMPLES, CLASSES = 8192, 128


def shape(*sizes: int, dtype: Any = np.float32) -> Any:
    return jax.ShapeDtypeStruct(sizes, dtype)


LABELS, LOGITS = shape(EXAMPLES, dtype=np.int32), shape(EXAMPLES, CLASSES)
BOXES, PARAMS = shape(EXAMPLES, 4), {"kernel": shape(1024, 1024), "bias": shape(1024)}
HIDDEN, KERNEL, KEY = shape(2048, 512), shape(32000, 512), jax.eval_shape(lambda: jax.random.key(0))
TOKENS, SEQUENCES, RESPONSES = shape(2048, dtype=np.int32), shape(4, 512, 512), shape(4, 512, dtype=np.int32)

# Where the signature is not enough: the sizes that `init` takes and the inputs of losses with a state, the inputs of penalties.
STATES = {
    "early_learning": ((EXAMPLES, CLASSES), (LOGITS, LABELS, LABELS)),
    "equalized_focal": ((CLASSES,), (LOGITS, LOGITS)),
    "ghm": ((), (LOGITS, LOGITS)),
    "seesaw": ((CLASSES,), (LOGITS, LABELS)),
    "wiou_v2": ((), (BOXES, BOXES)),
    "wiou_v3": ((), (BOXES, BOXES)),
}
PENALTIES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    **{name: (getattr(jloss, name), (PARAMS,)) for name in ("l1", "l2", "elastic_net", "group_lasso", "orthogonal", "spectral")},
    "feature_matching": (jloss.feature_matching, ([LOGITS, LOGITS], [LOGITS, LOGITS])),
    "path_length_penalty": (lambda z, key: jloss.path_length_penalty(jnp.tanh, z, key, 1.0), (LOGITS, KEY)),
    "jacobian_penalty": (lambda x, key: jloss.jacobian_penalty(jnp.tanh, x, key), (LOGITS, KEY)),
    "gradient_penalty": (lambda x: jloss.gradient_penalty(lambda x: jnp.sum(jnp.tanh(x)), x), (LOGITS,)),
}
HEADS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]] = {  # the last: which have a gradient
    "chunked(giou)": (jloss.chunked(jloss.giou), (BOXES, BOXES), (0, 1)),
    "linear_head(cross_entropy)": (jloss.linear_head(jloss.cross_entropy), (HIDDEN, KERNEL, TOKENS), (0, 1)),
    "linear_head(distillation)": (jloss.linear_head(jloss.distillation, teacher=True), (HIDDEN, KERNEL, HIDDEN, KERNEL), (0, 1)),
    "linear_head(dpo)": (jloss.linear_head(jloss.dpo), (SEQUENCES, SEQUENCES, KERNEL, RESPONSES, RESPONSES), (0, 1, 2)),
    "linear_head(grpo)": (jloss.linear_head(jloss.grpo), (SEQUENCES, KERNEL, RESPONSES, shape(4, 512), shape(4, 512)), (0, 1)),
}
FAMILIES = {name: (entry.domain, entry.family) for name, entry in jloss.CATALOGUE.items()} | dict.fromkeys(HEADS, ("transforms", "memory"))
NAMES = sorted(FAMILIES, key=lambda name: (*FAMILIES[name], name))


def measure(name: str) -> Costs:
    """The figures of one loss."""
    return Costs.of(_traced(name).lower().compile())


def _traced(name: str) -> Any:
    if name in HEADS or name in PENALTIES:
        function, arguments, wanted = HEADS[name] if name in HEADS else (*PENALTIES[name], 0)
        return jax.jit(jax.value_and_grad(function, wanted)).trace(*arguments)
    entry = jloss.CATALOGUE[name]
    if name in STATES:
        sizes, given = STATES[name]
        criterion = entry.public()
        state = jax.eval_shape(lambda: criterion.init(*sizes))
        step = jax.value_and_grad(lambda first, state, *rest: criterion.apply(state, first, *rest), has_aux=True)
        return jax.jit(step).trace(given[0], state, *given[1:])
    return program(entry, _inputs(entry))


def _inputs(entry: Entry) -> dict[str, Any]:
    if "tree" in entry.domains.values():
        return case(entry.name).draw((EXAMPLES,))
    return abstract_inputs(entry, sizes_of(entry, NUMBERS, {**SIZES, **hints_of(entry.core).sizes}))


def read() -> dict[str, Costs]:
    """The committed table of this version of jax."""
    with open(TABLE, newline="") as file:
        return {row["loss"]: Costs(*(float(row[field]) for field in Costs._fields)) for row in csv.DictReader(file)}


def write(table: dict[str, Costs]) -> None:
    """Commits a table, sorted by domain, family and name."""
    TABLE.parent.mkdir(exist_ok=True)
    with open(TABLE, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for name in NAMES:
            if name in table:
                writer.writerow([*FAMILIES[name], name, *map(round, table[name])])


def differences(old: dict[str, Costs], new: dict[str, Costs]) -> list[str]:
    """What has changed by more than 5 %, a line each; a figure that fell, too, or the next rise to where it was would not be seen."""
    found = []
    for name, costs in new.items():
        if name not in old:
            found.append(f"{name} is not in the table")
            continue
        for field, before, after in zip(Costs._fields, old[name], costs, strict=True):
            if abs(after - before) > ALLOWED * before + NOTHING:
                share = f", {100 * (after / before - 1):+.0f} %" if before > NOTHING else ""
                found.append(f"{name}: {field} {'rose' if after > before else 'fell'} from {before:,.0f} to {after:,.0f}{share}")
    return found


def advice(found: Iterable[str]) -> str:
    """What a failing test says."""
    lines = "\n".join(f"  {line}" for line in found)
    names = " ".join(dict.fromkeys(line.split(": ")[0].split(" is not")[0] for line in found))
    return f"Costs differ from {TABLE.relative_to(TABLE.parents[3])}:\n{lines}\nIf that is meant: {COMMAND} {names}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.costs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("loss", nargs="*", help="all if left out")
    parser.add_argument("--write", action="store_true", help="write the table instead of comparing with it")
    parser.add_argument("--part", help="I/N: every N-th loss from the I-th, as JSON")
    given = parser.parse_args(arguments)
    names = given.loss or NAMES
    if given.part:
        first, parts = map(int, given.part.split("/"))
        names = names[first::parts]
    console = Console(stderr=True)
    new = {name: measure(name) for name in track(names, "costs", console=console, disable=not console.is_terminal)}
    if given.part:
        print(json.dumps(new))
        return 0
    old = read() if TABLE.exists() else {}
    if given.write:
        write({**old, **new})
    found = differences(old, new)
    print(*found, f"{len(found)} of {len(Costs._fields) * len(new)} figures differ by more than 5 %", sep="\n")
    return 0 if given.write else bool(found)


def environment() -> dict[str, str]:
    """That in which the figures are those of the table."""
    return {**os.environ, "XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"}


if __name__ == "__main__":
    if os.environ.get("XLA_FLAGS") != FLAGS:  # flags are read when jax starts
        os.execve(sys.executable, [sys.executable, "-m", "tests.tools.costs", *sys.argv[1:]], environment())
    sys.exit(main(sys.argv[1:]))
