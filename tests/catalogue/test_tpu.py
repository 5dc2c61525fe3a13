"""Value and gradient of every loss, compiled by the real TPU compiler for a v5e chip; needs the extra `tpu`, no TPU."""

import importlib.metadata
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("libtpu", reason="the TPU compiler is in the extra `tpu`: pip install 'jloss[tpu]'")

import jloss
from notebooks import scale_table
from tests.cases import FIRST, LOSSES, case

ENVIRONMENT = {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "v5litepod-4"}


@pytest.fixture(scope="module")
def chip():
    """One device of a described v5e 2x2 slice."""
    missing = [n for n, v in ENVIRONMENT.items() if os.environ.get(n) != v]
    if missing:
        pytest.skip(f"set {' '.join(f'{n}={ENVIRONMENT[n]}' for n in missing)} before Python starts")
    from jax.experimental import topologies

    topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    return jax.sharding.SingleDeviceSharding(topology.devices[0])


def compiled(name, chip, wide=False):
    """Value and gradient of eight examples, in float64 where `wide`."""
    subject = case(name)
    inputs = subject.draw((8,))

    def abstract(value):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return value
        is_float = jnp.issubdtype(value.dtype, jnp.floating)
        return jax.ShapeDtypeStruct(value.shape, jnp.float64 if wide and is_float else value.dtype, sharding=chip)

    floats = jax.tree.map(abstract, subject.floats(inputs))
    rest = {n: jax.tree.map(abstract, v) for n, v in inputs.items() if n not in floats}
    where = jax.ShapeDtypeStruct((8,), np.bool_, sharding=chip)

    def f(floats, rest, where):
        return jloss.CATALOGUE[name].public(**{n: {**floats, **rest}[n] for n in inputs}, where=where)

    return jax.jit(jax.value_and_grad(f)).lower(floats, rest, where).compile()


@pytest.mark.parametrize("name", LOSSES)
def test_compiles_for_tpu(name, chip):
    assert compiled(name, chip).memory_analysis() is not None


@pytest.mark.parametrize("name", sorted({*FIRST, "ctc"}))
def test_compiles_for_tpu_in_float64(name, chip):
    """Which a TPU rewrites into pairs of float32, and has not for all operations."""
    with jax.enable_x64(True):
        assert compiled(name, chip, wide=True).memory_analysis() is not None


@pytest.mark.parametrize("index", [0, 1])
def test_the_committed_table_is_what_the_compiler_says(index, chip):
    """One chip, and four with tokens and classes sharded under plain jit."""
    if importlib.metadata.version("libtpu") != scale_table.COMPILER:
        pytest.skip(f"the table is of libtpu {scale_table.COMPILER}, here is {importlib.metadata.version('libtpu')}")
    wanted = scale_table.read()[index]
    got = scale_table.row(*(wanted[n] for n in scale_table.FIELDS[:4]))
    assert float(got["temporary_mb"]) == pytest.approx(float(wanted["temporary_mb"]), rel=0.1)
    assert (got["once"], got["each_chunk"]) == (wanted["once"], wanted["each_chunk"])
