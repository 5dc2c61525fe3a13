"""What a small call is traced to: nothing that exporters and interpreters of jax's programs are likely not to know."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.jet import jet

import jloss
from tests.cases import LOSSES, case, mostly_slow

REMATERIALISED = {"ctc"}  # jax itself rounds what `jax.checkpoint` with a policy keeps

NO_SERIES = {  # for which jet has no rule, in the value itself
    "argmax": {"arcface", "batch_all_triplet", "batch_hard_triplet", "batch_semi_hard_triplet", "fast_ap", "koleo", "lifted_structure"}
    | {"pair_margin", "ranked_list", "subcenter_arcface", "uniformity"},
    "cond": {
        "clip",
        "decoupled_contrastive",
        "info_nce",
        "nt_xent",
        "renyi_divergence",
        "siglip",
        "supervised_contrastive",
        "triplet_margin",
    },
    "scan": {
        "ci_sdr",
        "cldice",
        "crf",
        "hausdorff_er",
        "rnnt_lattice",
        "rnnt_simple",
        "smith_waterman",
        "soft_dtw",
        "soft_dtw_divergence",
        "swav",
    }
    | {"retrace", "td_lambda", "vtrace"},
    "checkpoint": {"ctc", "rnnt", "rnnt_pruned"},
    "integers beside floats": {"alignment", "boundary", "combo", "detr", "hausdorff_dt", "histogram", "mcc", "unified_focal"},
    "random bits": {"sigreg"},
}
SERIES = sorted(set(LOSSES) - set().union(*NO_SERIES.values()))


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            for inner in parameter if isinstance(parameter, list | tuple) else [parameter]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def mixes(equation):
    """Whether it selects between floats and an integer that is converted first."""
    named = equation.params.get("name") == "_where" and [jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.outvars] == [True]
    return named and any(jnp.issubdtype(v.aval.dtype, jnp.integer) for v in equation.invars[1:])


def drawn(name):
    subject = case(name)
    inputs = {n: a for n, a in subject.draw((8,)).items() if a is not None}
    floats = subject.floats(inputs)
    return floats, lambda floats: jloss.CATALOGUE[name].public(**{**inputs, **floats})


@functools.lru_cache(maxsize=2)
def traced(name):
    """The operations of value and gradient."""
    floats, loss = drawn(name)
    return [*equations(jax.make_jaxpr(jax.value_and_grad(loss))(floats).jaxpr)]


@pytest.mark.parametrize("name", mostly_slow(LOSSES))
def test_small_calls_depend_on_no_platform(name):
    found = traced(name)
    primitives = {equation.primitive.name for equation in found}
    assert "platform_index" not in primitives
    assert name in REMATERIALISED or "reduce_precision" not in primitives
    assert not primitives & {"custom_jvp_call", "custom_vjp_call"}
    assert not [equation for equation in found if mixes(equation)]


def test_large_calls_do():
    """So that the test above can fail."""
    logits = jax.ShapeDtypeStruct((256, 1000), jnp.float32)
    found = equations(jax.make_jaxpr(lambda z: jloss.cross_entropy(z, jnp.zeros(256, int)))(logits).jaxpr)
    assert {"platform_index", "custom_jvp_call"} <= {equation.primitive.name for equation in found}


@pytest.mark.parametrize("name", mostly_slow(SERIES))
def test_taylor_series(name):
    """Two terms from `jax.experimental.jet`, against jvp of jvp."""
    floats, loss = drawn(name)
    first = next(iter(floats), None)
    if not hasattr(floats.get(first), "shape"):
        pytest.skip("its first input is no array")
    at = floats[first]
    along = jnp.asarray(np.random.default_rng(0).normal(size=at.shape), at.dtype) / 10

    def of(x):
        return loss({**floats, first: x})

    def slope(t):
        return jax.jvp(lambda t: of(at + t * along), (t,), (1.0,))[1]

    @jax.jit
    def both(at, along):
        value, (one, two) = jet(of, (at,), ((along, jnp.zeros_like(along)),))
        return (value, one, two), (of(at), *jax.jvp(slope, (0.0,), (1.0,)))

    for got, wanted, rtol, atol in zip(*both(at, along), (1e-5, 1e-3, 1e-2), (1e-6, 1e-5, 1e-4), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)
