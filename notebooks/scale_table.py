"""What losses of large batches cost on TPU v5e slices, from the real TPU compiler; no TPU is needed, only its compiler.

``python notebooks/scale_table.py`` (with the extra `tpu`) compiles all rows and writes scale_table.csv and the table in docs/scale.md;
`notebooks/scale.ipynb` shows it.
"""

import csv
import math
import os
import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).with_name("scale_table.csv")
PAGE = FILE.parents[1] / "docs" / "scale.md"
COMPILER = "0.0.52"  # the libtpu that the committed table is of: another plans up to half more or less
FIELDS = ("loss", "slice", "how", "size", "temporary_mb", "once", "each_chunk", "product_ms", "network_ms")
TYPES = {"1x1": "v5litepod-4", "2x2": "v5litepod-4", "16x16": "v5litepod-256"}
FLOPS, NETWORK = 197e12, 90e9  # of a v5e chip: bf16 operations, bytes both ways around one ring, per second
PASSES = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1, "all-to-all": 1, "collective-permute": 2}
KINDS = tuple(PASSES)
BYTES = {"pred": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "f64": 8}

ROWS = [
    ("linear_head(cross_entropy)", "1x1", "jit", "8192 x 2048 x 128256"),
    ("linear_head(cross_entropy)", "2x2", "jit", "8192 x 4096 x 128256"),
    ("linear_head(cross_entropy)", "2x2", "shard_map", "8192 x 4096 x 128256"),
    ("linear_head(cross_entropy)", "16x16", "jit", "1048576 x 4096 x 128256"),
    ("linear_head(cross_entropy)", "16x16", "shard_map", "1048576 x 4096 x 128256"),
    ("linear_head(dpo)", "1x1", "jit", "8 x 4096 x 4096 x 128256"),
    ("linear_head(dpo, 512)", "1x1", "jit", "8 x 4096 x 4096 x 128256"),
    ("linear_head(grpo)", "1x1", "jit", "8 x 4096 x 4096 x 128256"),
    ("linear_head(grpo, 512)", "1x1", "jit", "8 x 4096 x 4096 x 128256"),
    ("clip", "16x16", "gather", "32768 x 512"),
    ("clip", "16x16", "ring", "32768 x 512"),
    ("siglip", "16x16", "gather", "32768 x 512"),
    ("siglip", "16x16", "ring", "32768 x 512"),
]


# ---------------------------------------------------------------- what a compiled program sends


def collectives(text):
    """Of a compiled program's text: (kind, arrays it gives as (dtype, shape), how often it runs) of each collective."""
    bodies, found, inside = _loops(text), [], ""
    for line in text.splitlines():
        header = re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$", line)
        inside = header[1] if header else inside
        sent = re.search(rf" = (.*?) ({'|'.join(KINDS)})(?:-start)?\(", line)
        if sent:
            arrays = re.findall(r"([a-z]+\d*)\[([\d,]*)\]", re.sub(r"\{[^}]*\}", "", sent[1]))
            shapes = [(t, tuple(int(n) for n in shape.split(",") if n)) for t, shape in arrays]
            found.append((sent[2], shapes, _times(inside, bodies)))
    return found


def _loops(text):
    """Of each computation that another one calls: that one, and how often. A loop counts to the constant of its condition."""
    callers, limits, inside = {}, {}, ""
    for line in text.splitlines():
        header = re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$", line)
        inside = header[1] if header else inside
        constant = re.search(r"= s32\[\]\S* constant\((\d+)\)", line)
        if constant:
            limits.setdefault(inside, int(constant[1]))
        loop = re.search(r"condition=%?([\w.\-]+), body=%?([\w.\-]+)", line)
        if loop:
            count = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
            callers[loop[2]] = inside, int(count[1]) if count else limits.get(loop[1], math.nan)
        names = re.findall(r"(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)", line)
        for some in re.findall(r"branch_computations=\{([^}]*)\}", line):
            names += re.findall(r"[\w.\-]+", some)
        for name in names:
            callers.setdefault(name, (inside, 1))
    return callers


def _times(name, callers):
    times = 1
    while name in callers:
        name, count = callers[name]
        times *= count
    return times


def described(found, loop):
    """The collectives in loops, or those that are not, by kind: how many and the megabytes of all."""
    parts = []
    for kind in KINDS:
        chosen = [(shapes, times) for k, shapes, times in found if k == kind and (times != 1) == loop]
        if chosen:
            size = sum(_bytes(shapes) * times for shapes, times in chosen)
            parts.append(f"{len(chosen)} {kind} {size / 1e6:.1f} MB")
    return ", ".join(parts) or "none"


def _bytes(shapes):
    return sum(BYTES[dtype] * math.prod(shape) for dtype, shape in shapes)


# ---------------------------------------------------------------- rows


def row(loss, slice_, how, size):
    """A line of the table; in a process whose TPU_ACCELERATOR_TYPE is that of the slice."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import AxisType, Mesh, NamedSharding, SingleDeviceSharding
    from jax.sharding import PartitionSpec as P

    import jloss

    topology = topologies.get_topology_desc(platform="tpu", topology_name=f"v5e:{'2x2' if slice_ == '1x1' else slice_}")
    numbers = [int(n) for n in size.split(" x ")]
    side, wanted = int(slice_.split("x")[0]), (0, 1)
    mesh = Mesh(np.array(topology.devices)[: side * side].reshape(side, side), ("data", "model"), axis_types=(AxisType.Auto,) * 2)

    def argument(shape, dtype, spec):
        sharding = SingleDeviceSharding(topology.devices[0]) if slice_ == "1x1" else NamedSharding(mesh, spec)
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    responses = re.match(r"linear_head\((dpo|grpo)(?:, (\d+))?\)$", loss)
    if responses:
        function, shapes, wanted = of_responses(responses[1], responses[2] and int(responses[2]), *numbers)
        specs, flops = [P()] * len(shapes), 6 * math.prod(numbers)
    elif loss.startswith("linear_head"):
        n, d, k = numbers
        head = jloss.linear_head(jloss.cross_entropy)
        specs = P("data"), P("model"), P("data")
        shapes = ((n, d), jnp.bfloat16), ((k, d), jnp.bfloat16), ((n,), jnp.int32)
        function, flops = head, 6 * n * d * k
        if how == "shard_map":

            def local(hidden, kernel, labels):
                return head(hidden, kernel, labels, axis_name="data", class_axis_name="model")

            function = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P())
    else:
        n, d = numbers
        mesh = Mesh(np.array(topology.devices), ("data",), axis_types=(AxisType.Auto,))
        specs, shapes, flops = (P("data"), P("data")), (((n, d), jnp.bfloat16),) * 2, 6 * n * n * d
        public = jloss.CATALOGUE[loss].public

        def shards(images, texts):
            return public(images, texts, negatives_axis_name="data", ring=how == "ring")

        function = jax.shard_map(shards, mesh=mesh, in_specs=specs, out_specs=P())
    arguments = [argument(*s, spec) for s, spec in zip(shapes, specs, strict=True)]
    program = jax.jit(jax.value_and_grad(function, wanted)).lower(*arguments).compile()
    found = collectives(program.as_text())
    sent = sum(PASSES[kind] * _bytes(shapes) * times for kind, shapes, times in found)
    return {
        "loss": loss,
        "slice": slice_,
        "how": how,
        "size": size,
        "temporary_mb": f"{program.memory_analysis().temp_size_in_bytes / 1e6:.0f}",
        "once": described(found, False),
        "each_chunk": described(found, True),
        "product_ms": f"{1e3 * flops / side**2 / FLOPS:.2f}",
        "network_ms": f"{1e3 * sent / NETWORK:.2f}",
    }


def of_responses(name, chunk_size, responses, tokens, features, classes):
    """A loss of responses (of pairs half are rejected) from hidden states, its inputs' shapes, and which inputs have a gradient."""
    import jax.numpy as jnp

    import jloss

    def hidden(count):
        return (count, tokens, features), jnp.bfloat16

    kernel, head = ((classes, features), jnp.bfloat16), jloss.linear_head(getattr(jloss, name), chunk_size)
    if name == "dpo":
        labels = (responses // 2, tokens), jnp.int32
        return head, (hidden(responses // 2), hidden(responses // 2), kernel, labels, labels), (0, 1, 2)
    per_token = responses, tokens
    return head, (hidden(responses), kernel, (per_token, jnp.int32), *[(per_token, jnp.float32)] * 2), (0, 1)


def build(rows=ROWS):
    """All rows, each in a process of its own: one process has one slice."""
    results = []
    for given in rows:
        environment = {**os.environ, "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "JAX_PLATFORMS": "cpu"}
        environment |= {"TPU_ACCELERATOR_TYPE": TYPES[given[1]], "PYTHONPATH": str(FILE.parents[1])}
        done = subprocess.run([sys.executable, __file__, *given], env=environment, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise RuntimeError(f"{given}: {done.stderr[-2000:]}")
        results.append(dict(zip(FIELDS, next(csv.reader([done.stdout.strip().splitlines()[-1]])), strict=True)))
    return results


def read():
    """The committed table."""
    with open(FILE, newline="") as file:
        return list(csv.DictReader(file))


def markdown(rows):
    """The table as docs/scale.md has it."""
    titles = ("loss", "chips", "how", "size", "temporaries / MB", "sent once", "sent in all chunks", "products / ms", "network / ms")
    lines = [titles, ["---"] * len(titles), *([*(f"`{r[n]}`" if n in ("loss", "how") else r[n] for n in FIELDS)] for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(rows):
    """Writes the committed table, and the one of the page."""
    with open(FILE, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    start, end = "<!-- v5e -->\n", "<!-- /v5e -->"
    page = PAGE.read_text()
    PAGE.write_text(page[: page.index(start) + len(start)] + markdown(rows) + "\n" + page[page.index(end) :])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        csv.DictWriter(sys.stdout, FIELDS).writerow(row(*sys.argv[1:]))
    else:
        write(build())
