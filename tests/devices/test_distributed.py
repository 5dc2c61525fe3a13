"""Two processes on this machine, each with its own shard of the data, get one device's numbers.

``python tests/test_distributed.py PROCESS PORT FILE`` is one of the two.
"""

import functools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jloss

ROOT = Path(__file__).parents[2]
SECONDS = 300  # a process that waits for the other one waits for ever
N, D, K = 12, 5, 6
ROWS, WHOLE = P("p"), P()


def data():
    """The whole batch, and a mask that leaves one example to the first process and five to the second."""
    rng = np.random.default_rng(5)
    hidden, other = (rng.normal(size=(N, D)).astype(np.float32) for _ in range(2))
    kernel = rng.normal(size=(K, D)).astype(np.float32)
    labels = rng.integers(0, K, N).astype(np.int32)
    keep = np.isin(np.arange(N), [2, 6, 7, 9, 10, 11])
    return {"hidden": hidden, "other": other, "kernel": kernel, "labels": labels, "keep": keep, "logits": hidden @ kernel.T}


HEAD = jloss.linear_head(jloss.cross_entropy, chunk_size=4)

# name: (the loss as one device has it, the inputs with a gradient, the others, where each of them lies, what shard_map adds)
CASES = {
    "cross_entropy": (
        lambda x, y, w, **o: jloss.cross_entropy(x, y, where=w, **o),
        ("logits",),
        ("labels", "keep"),
        (ROWS, ROWS, ROWS),
        {"axis_name": "p"},
    ),
    "cross_entropy under plain jit": (
        lambda x, y, w: jloss.cross_entropy(x, y, where=w),
        ("logits",),
        ("labels", "keep"),
        (ROWS, ROWS, ROWS),
        None,
    ),
    "linear_head": (
        lambda h, k, y, w, **o: HEAD(h, k, y, where=w, **o),
        ("hidden", "kernel"),
        ("labels", "keep"),
        (ROWS, WHOLE, ROWS, ROWS),
        {"axis_name": "p"},
    ),
    "linear_head with sharded classes": (
        lambda h, k, y, w, **o: HEAD(h, k, y, where=w, **o),
        ("hidden", "kernel"),
        ("labels", "keep"),
        (WHOLE, ROWS, WHOLE, WHOLE),
        {"class_axis_name": "p"},
    ),
    "linear_head under plain jit": (
        lambda h, k, y, w: HEAD(h, k, y, where=w),
        ("hidden", "kernel"),
        ("labels", "keep"),
        (ROWS, WHOLE, ROWS, ROWS),
        None,
    ),
    "clip": (
        lambda a, b, w, **o: jloss.clip(a, b, w, scale=3.0, chunk_size=4, **o),
        ("hidden", "other"),
        ("keep",),
        (ROWS, ROWS, ROWS),
        {"negatives_axis_name": "p", "ring": True},
    ),
    "nt_xent": (
        lambda a, b, w, **o: jloss.nt_xent(a, b, w, temperature=0.3, **o),
        ("hidden", "other"),
        ("keep",),
        (ROWS, ROWS, ROWS),
        {"negatives_axis_name": "p"},
    ),
}


def step(name, mesh=None):
    """Value and gradients, with an outer factor that is not 1."""
    loss, floats, _, specs, names = CASES[name]
    if mesh is not None and names is not None:
        loss = jax.shard_map(lambda *a: CASES[name][0](*a, **names), mesh=mesh, in_specs=specs, out_specs=WHOLE)
    return jax.jit(jax.value_and_grad(lambda *a: 3.0 * loss(*a), tuple(range(len(floats)))))


def process(index, port, file):
    """One of the two processes: what it computes from its own half is written to `file`."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=index, initialization_timeout=60)
    assert (jax.process_count(), jax.device_count(), jax.local_device_count()) == (2, 2, 1)
    mesh = jax.make_mesh((2,), ("p",), axis_types=(AxisType.Auto,))
    arrays, found = data(), {}
    for name, (_, floats, others, specs, _) in CASES.items():
        print(f"{time.process_time():.1f} s of work: {name}", flush=True)  # where it was, if it does not end
        given = []
        for n, spec in zip((*floats, *others), specs, strict=True):
            half = arrays[n] if spec == WHOLE else np.split(arrays[n], 2)[index]
            given.append(jax.make_array_from_process_local_data(NamedSharding(mesh, spec), half))
        value, slopes = step(name, mesh)(*given)
        found[f"{name}: value"] = np.asarray(value.addressable_data(0))
        for n, slope in zip(floats, slopes, strict=True):
            (shard,) = slope.addressable_shards
            found[f"{name}: {n}"], found[f"{name}: {n} at"] = np.asarray(shard.data), np.asarray(shard.index[0].indices(slope.shape[0])[:2])
    np.savez(file, **found)
    jax.distributed.shutdown()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What both processes found; on a failure, what they said."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu"}
    files, logs, children = [], [], []
    for index in range(2):
        files.append(folder / f"{index}.npz")
        logs.append(folder / f"{index}.log")
        command = [sys.executable, __file__, str(index), str(port), str(files[-1])]
        with open(logs[-1], "wb") as log:
            children.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=ROOT))
    end = time.monotonic() + SECONDS
    try:
        while any(c.poll() is None for c in children) and not any(c.poll() for c in children) and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        codes = [c.poll() for c in children]
        for child in children:
            child.kill()
            child.wait()
    if codes != [0, 0]:
        why = f"no end after {SECONDS} s" if set(codes) <= {0, None} else f"exit codes {codes}"
        said = "\n".join(f"--- process {i}\n{log.read_text(errors='replace')[-4000:]}" for i, log in enumerate(logs))
        pytest.fail(f"two processes: {why}\n{said}", pytrace=False)
    return [dict(np.load(file)) for file in files]


@functools.cache
def whole(kind):
    """One device's value and gradients."""
    arrays, (_, floats, others, _, _) = data(), CASES[kind]
    return step(kind)(*(jnp.asarray(arrays[n]) for n in (*floats, *others)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_get_one_devices_numbers(name, results):
    _, floats, _, specs, names = CASES[name]
    value, slopes = whole(name.split()[0])
    for found in results:
        np.testing.assert_allclose(found[f"{name}: value"], value, rtol=1e-5)
        for n, slope in zip(floats, slopes, strict=True):
            start, stop = found[f"{name}: {n} at"]
            np.testing.assert_allclose(found[f"{name}: {n}"], slope[start:stop], rtol=1e-5, atol=1e-6)
    for n, spec in zip(floats, specs, strict=False):
        rows = [found[f"{name}: {n}"].shape[0] for found in results]
        assert names is None or rows == [len(data()[n]) // (1 if spec == WHOLE else 2)] * 2, "each holds its own shard and no more"


if __name__ == "__main__":
    process(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
