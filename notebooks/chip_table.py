"""What a loss of each family costs on one TPU chip of four kinds, from the real TPU compiler, and how large a batch fits; no TPU is needed.

``python notebooks/chip_table.py`` (with the extras `tpu` and `examples`, a quarter of an hour) compiles all rows and writes
chip_table.csv and the table in docs/scale.md. Nothing is timed: temporaries, bytes moved and operations are what the compiler plans
and counts.
"""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

FILE = Path(__file__).with_name("chip_table.csv")
PAGE = FILE.parents[1] / "docs" / "scale.md"
FIELDS = ("family", "loss", "example", "chip", "examples", "inputs_mb", "temporary_mb", "moved_mb", "must_mb", "gflop", "largest")
SIZES = {"k": 1024, "d": 512, "n": 1024, "m": 1024, "t": 512, "u": 64, "q": 64, "s0": 256, "s1": 256, "h": 256, "w": 256, "c": 3, "e": 64}
NUMBERS = 1 << 24  # of the largest input, about
FEATURES, CLASSES = 2048, 128256  # of `linear_head`
TRIED = "v5e"  # the chip on which the largest size is compiled, too; on the others it is what grows in proportion
HEAD = "linear_head(cross_entropy)"


class Chip(NamedTuple):
    """Per device that jax sees: of a tpu7x chip that is one of two cores, with half of its memory."""

    accelerator: str
    topology: str
    memory: float  # bytes
    flops: float  # bf16, per second
    bandwidth: float  # bytes per second


CHIPS = {  # https://docs.cloud.google.com/tpu/docs/v5e, v6e, v5p and tpu7x
    "v5e": Chip("v5litepod-4", "v5e:2x2", 16e9, 197e12, 819e9),
    "v6e": Chip("v6e-4", "v6e:2x2", 32 * 2**30, 918e12, 1638e9),
    "v5p": Chip("v5p-8", "v5p:2x2x1", 95 * 2**30, 459e12, 2765e9),
    "tpu7x": Chip("tpu7x-8", "tpu7x:2x2x1", 96 * 2**30, 2307e12 / 2, 7380e9 / 2),
}


def rows(chip):
    """A line for the first loss of each family, in a process whose TPU_ACCELERATOR_TYPE is that of the chip."""
    import jax
    from jax.experimental import topologies
    from rich.console import Console
    from rich.progress import track

    import jloss

    topology = topologies.get_topology_desc(platform="tpu", topology_name=CHIPS[chip].topology)
    place = jax.sharding.SingleDeviceSharding(topology.devices[0])
    first = {}
    for name, entry in jloss.CATALOGUE.items():
        if entry.kind == "loss" and not {"tree", "key"} & {*entry.domains.values()}:
            first.setdefault((entry.domain, entry.family), name)
    losses = [*first.items(), (("transforms", "memory"), HEAD)]
    for (domain, family), name in track(losses, chip, console=Console(stderr=True)):
        with mock.patch.object(jax, "default_backend", return_value="tpu"):  # what jloss asks, so that it is traced as on such a machine
            figures = row(name, chip, place)
        yield {"family": f"{domain}.{family}", "loss": name, "chip": chip, **figures}


def row(name, chip, place):
    """The figures of one loss at about a million numbers, and the largest power of two of examples (of a set: of items) that fits."""
    import jax
    import numpy as np

    import jloss
    from jloss._core.backend import hints_of
    from jloss.tools.growth import BATCH, Costs, abstract_inputs, program, sizes_of

    entry = jloss.CATALOGUE[name] if name != HEAD else None
    is_set = entry and entry.inputs[entry.required[0]][0:1] == ("n",) and len(entry.inputs[entry.required[0]]) > 1
    letter = "n" if is_set else BATCH
    core = {**SIZES, **hints_of(entry.core).sizes, "t": max(512, hints_of(entry.core).sizes.get("t", 0))} if entry else {}

    def compiled(count):
        if entry is None:
            given = ((count, FEATURES), np.dtype("bfloat16")), ((CLASSES, FEATURES), np.dtype("bfloat16")), ((count,), np.int32)
            arguments = [jax.ShapeDtypeStruct(*a, sharding=place) for a in given]
            return jax.jit(jax.value_and_grad(jloss.linear_head(jloss.cross_entropy), (0, 1))).lower(*arguments).compile()
        inputs = abstract_inputs(entry, {**sizes_of(entry, 0, core), letter: count})
        return program(entry, {n: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place) for n, a in inputs.items()}).lower().compile()

    def taken(memory):
        return memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes

    count = 4096 if letter == "n" else 8192
    if entry and letter == BATCH:
        count = 1 << max(0, sizes_of(entry, NUMBERS, core)[BATCH].bit_length() - 1)
    figures = compiled(count)
    memory, costs = figures.memory_analysis(), Costs.of(figures)
    return {
        "example": example_of(entry, letter, core),
        "examples": count,
        "inputs_mb": f"{memory.argument_size_in_bytes / 1e6:.1f}",
        "temporary_mb": f"{costs.temporary / 1e6:.1f}",
        "moved_mb": f"{costs.moved / 1e6:.1f}",
        "must_mb": f"{(memory.argument_size_in_bytes + memory.output_size_in_bytes) / 1e6:.1f}",
        "gflop": f"{costs.flops / 1e9:.3f}",
        "largest": largest(
            count, taken(memory), lambda n: taken(compiled(n).memory_analysis()) if chip == TRIED else 0, CHIPS[chip].memory
        ),
    }


def example_of(entry, letter, core):
    """The first input without its batch, or of a set without its items."""
    if entry is None:
        return f"{FEATURES} features, {CLASSES} classes"
    from jloss._core.axes import spatial, split_offset

    dims = [split_offset(d) for d in spatial(entry.inputs[entry.required[0]], entry.spatial_ndim) if d != letter]
    return " x ".join(d if d.isdigit() else str(core.get(d, 4) + offset) for d, offset in dims) or "a number"


def largest(count, taken, bytes_of, memory):
    """The largest power of two that fits: as if all grew in proportion, and then the half until the compiler agrees."""
    from jax.errors import JaxRuntimeError

    count *= 2.0 ** math.floor(math.log2(memory / taken))
    while count > 1:
        try:
            if bytes_of(int(count)) <= memory:
                break
        except JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
        count /= 2
    return int(count)


def build():
    """All rows, those of each chip in a process of their own."""
    results = []
    for chip, facts in CHIPS.items():
        environment = {**os.environ, "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "JAX_PLATFORMS": "cpu"}
        environment |= {"TPU_ACCELERATOR_TYPE": facts.accelerator, "PYTHONPATH": str(FILE.parents[1])}
        done = subprocess.run([sys.executable, __file__, chip], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        results += csv.DictReader(done.stdout.splitlines(), FIELDS)
    return results


def read():
    """The committed table."""
    with open(FILE, newline="") as file:
        return list(csv.DictReader(file))


def markdown(rows):
    """The table as docs/scale.md has it: a line for each loss, with the figures of the v5e and what differs on the others."""
    of = {(row["loss"], row["chip"]): row for row in rows}
    chips = list(dict.fromkeys(row["chip"] for row in rows))
    titles = ("family", "loss", "example", "examples", "temporaries / inputs", "x the limit", *(f"largest on {chip}" for chip in chips))
    lines = [titles, ["---"] * len(titles)]
    for loss in dict.fromkeys(row["loss"] for row in rows):
        here = [of[loss, chip] for chip in chips if (loss, chip) in of]
        temporaries = [float(row["temporary_mb"]) / float(row["inputs_mb"]) for row in here]
        moved = [float(row["moved_mb"]) / float(row["must_mb"]) for row in here]
        first, counts = here[0], (of.get((loss, chip)) for chip in chips)
        numbers = (span(temporaries), span(moved), *(short(int(row["largest"])) if row else "" for row in counts))
        lines.append((first["family"], f"`{loss}`", first["example"], short(int(first["examples"])), *numbers))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def span(values):
    """The least and the largest, or one number where they are the same."""
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def short(count):
    """A power of two as people say it: 64K, 2M."""
    for unit, size in (("G", 30), ("M", 20), ("K", 10)):
        if count >= 1 << size:
            return f"{count >> size}{unit}"
    return str(count)


def write(rows):
    """Writes the committed table, and the one of the page."""
    with open(FILE, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    start, end = "<!-- chips -->\n", "<!-- /chips -->"
    page = PAGE.read_text()
    PAGE.write_text(page[: page.index(start) + len(start)] + markdown(rows) + "\n" + page[page.index(end) :])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        for line in rows(sys.argv[1]):
            csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n").writerow(line)
            sys.stdout.flush()
    else:
        write(build())
