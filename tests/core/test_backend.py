"""Large arrays, which CPUs compute in another order: the same numbers, and no temporary as large as an input."""

import contextlib
import functools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jloss
from jloss._core import backend, layout
from jloss._core.backend import LATE_FROM, RECOMPUTE_FROM
from jloss.numerics import guards
from jloss.reinforcement import _steps
from jloss.testing import samples
from notebooks import scale_table
from tests.cases import inputs_of_size

# The temporaries of value and gradient, at most, in inputs (next to nothing is 0); from LATE_FROM and from RECOMPUTE_FROM bytes on.
# What compares, and what shares an exponential or a logarithm with its gradient, keeps some while it is small.
KEPT = {
    "absolute_error": (0, 0),
    "absolute_percentage_error": (1, 0),
    "asymmetric": (4, 1),
    "binary_cross_entropy": (0, 0),
    "ciou": (4, 0),  # 2 with jax 0.10
    "epsilon_insensitive": (0, 0),
    "expectile": (0, 0),
    "gaussian_nll": (0, 0),
    "geman_mcclure": (3, 0),
    "giou": (3, 0),  # 2 with jax 0.10
    "hinge": (0, 0),
    "hinge_embedding": (0, 0),
    "huber": (0, 0),
    "js_divergence": (5, 0),
    "kl_divergence": (0, 0),
    "kl_divergence_with_log_targets": (1, 0),
    "generalized_kl_divergence": (2, 0),
    "linex": (2, 0),
    "log_cosh": (1, 0),
    "logistic": (1, 0),
    "margin_ranking": (0, 0),
    "multi_margin": (1, 1),
    "perceptron": (0, 0),
    "poisson_nll": (1, 0),
    "quality_focal": (5, 0),
    "quantile": (0, 0),
    "reverse_kl_divergence": (2, 0),
    "shape_iou": (5, 0),  # 3 with jax 0.10
    "sigmoid_cross_entropy": (1, 0),
    "sigmoid_focal": (5, 0),
    "siou": (8, 0),  # 6 with jax 0.10
    "smooth_l1": (0, 0),
    "soft_cross_entropy": (2, 0),
    "squared_error": (0, 0),
    "triplet_margin": (2, 0),
    "tukey_biweight": (0, 0),
    "unified_focal": (5, 0),
    "welsch": (2, 0),
}


@contextlib.contextmanager
def as_small():
    """Counts nothing as large: what the others are compared with must not take their path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "REORDER_FROM", math.inf)
        patch.setattr(backend, "LATE_FROM", math.inf)
        patch.setattr(backend, "RECOMPUTE_FROM", math.inf)
        yield


def excess():
    """The losses with larger temporaries than the table says."""
    found = []
    for name, kept in KEPT.items():
        for size, allowed in zip((LATE_FROM // 4, RECOMPUTE_FROM // 4), kept, strict=True):
            given = inputs_of_size(name, size)
            loss = getattr(jloss, name)
            step = jax.jit(jax.value_and_grad(lambda first, rest, loss=loss: loss(first, **rest)))
            first, *_ = given.values()
            rest = {n: a for i, (n, a) in enumerate(given.items()) if i}
            temporary = step.lower(first, rest).compile().memory_analysis().temp_size_in_bytes / first.nbytes
            if temporary > allowed + 0.3:
                found.append(f"{name} of {first.nbytes >> 20} MiB has temporaries of {temporary:.2f} inputs, not {allowed}")
    return found


@pytest.mark.slow
def test_no_temporary_as_large_as_an_input():
    """In optimised code, which the other tests do not compile."""
    environment = {n: v for n, v in os.environ.items() if n != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    code = "from tests.core.test_backend import excess; print(*excess(), sep='\\n')"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "name", ["asymmetric", "eiou", "hinge", "js_divergence", "kl_divergence", "poisson_nll", "quantile", "squared_error"]
)
def test_large_is_many_small(name, masked, soon):
    """Value and gradient of a batch that is computed in another order, against those of a block of it, one NaN included."""
    loss, given = getattr(jloss, name), inputs_of_size(name, soon)
    first = next(iter(given))
    given[first] = np.array(given[first])
    given[first][(3,) * given[first].ndim if given[first].ndim == 1 else (3, 0)] = np.nan
    where = np.arange(len(given[first])) % 3 != 0 if masked else np.full(len(given[first]), True)
    keywords = {"where": where} if masked else {}

    def step(reduction):
        def of_first(given, keywords):
            rest = {n: a for n, a in given.items() if n != first}
            return jax.value_and_grad(lambda a: loss(a, **rest, reduction=reduction, **keywords))(given[first])

        return jax.jit(of_first)

    block = 1009 * 3  # where inputs and mask begin again
    value, gradient = step("mean")(given, keywords)
    total, mass = loss(**given, reduction="parts", **keywords)
    with as_small():
        _, expected = step("sum")(*({n: a[:block] for n, a in of.items()} for of in (given, keywords)))
    assert float(mass) == where.sum()
    assert np.isnan(value) == np.isnan(total) == (not masked)
    expected = np.asarray(expected / mass)
    np.testing.assert_allclose(gradient[:block], expected, rtol=1e-6, atol=1e-6 * np.nanmax(np.abs(expected)))
    rest, kept = {n: a[block:] for n, a in given.items()}, where[block:]  # without the NaN
    exact = np.asarray(loss(**rest, reduction="none"), np.float64)[kept].mean()
    again = loss(**rest, **({"where": kept} if masked else {}))
    np.testing.assert_allclose(again, exact, rtol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["huber", "log_cosh", "logistic", "sigmoid_focal", "generalized_kl_divergence"])
def test_every_transformation_of_a_large_batch(name, soon):
    """Forward mode, second derivatives, vmap and options with a gradient."""
    loss, given = getattr(jloss, name), inputs_of_size(name, soon)
    first, *rest = map(jnp.asarray, given.values())
    small = [a[:1009] for a in (first, *rest)]
    along = jnp.cos(jnp.arange(first.size, dtype=first.dtype)).reshape(first.shape)

    def total(first, *rest):
        return loss(first, *rest, reduction="sum")

    def curvature(first, along, *rest):
        return jax.jvp(jax.grad(total), (first, *rest), (along, *map(jnp.zeros_like, rest)))[1]

    forward = jax.jit(jax.linearize(total, first, *rest)[1])(along, *map(jnp.zeros_like, rest))
    assert abs(forward - jnp.vdot(jax.grad(total)(first, *rest), along)) <= 1e-4 * abs(forward) + 1
    both = jax.jit(curvature)(first, along, *rest)
    with as_small():
        expected = curvature(small[0], along[:1009], *small[1:])
    np.testing.assert_allclose(both[:1009], expected, rtol=1e-5, atol=1e-6)
    twice = jax.jit(jax.vmap(loss))(jnp.stack([first, first]), *(jnp.stack([a, a]) for a in rest))
    np.testing.assert_allclose(twice, loss(first, *rest), rtol=1e-6)
    if name == "huber":
        slope = jax.jit(jax.grad(lambda delta: loss(first, *rest, delta=delta)))(jnp.float32(0.5))
        size = np.abs(np.asarray(first, np.float64) - np.asarray(rest[0]))
        np.testing.assert_allclose(slope, np.where(size > 0.5, size - 0.5, 0).mean(), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("alone", [False, True], ids=["devices", "one cpu"])
@pytest.mark.parametrize("shape", [(40_960,), (20, 4096), (512, 80)], ids=str)
def test_cheap_values_are_added_by_fours(shape, alone, soon, monkeypatch):
    """With a mask and without, along the last axis, or over all of them where no devices share any; second derivatives, too."""
    monkeypatch.setattr(backend, "on_one_cpu", lambda: alone)
    jax.clear_caches()  # the same shapes are traced in both ways
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(2, *shape)).astype(np.float32)
    where = rng.uniform(size=shape) < 0.9
    for place, dropped in (((0,) * p.ndim, np.nan), ((-1,) * p.ndim, -np.inf)):
        p[place], where[place] = dropped, False
    step = jax.jit(jax.value_and_grad(lambda p, t: jloss.huber(p, t, where=where)))
    assert (", 4, " in str(jax.make_jaxpr(step)(p, t)).replace(",", ", ")) == (alone or shape[-1] >= 2048)
    value, gradient = step(p, t)
    error = np.where(where, p - t, 0).astype(np.float64)
    expected = np.where(np.abs(error) <= 1, error**2 / 2, np.abs(error) - 0.5).sum() / where.sum()
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.clip(error, -1, 1) / where.sum(), rtol=1e-5)
    change = jax.jit(lambda p: jax.jvp(lambda p: jloss.squared_error(p, t, where=where), (p,), (jnp.ones_like(p),))[1])(p)
    np.testing.assert_allclose(change, 2 * error.sum() / where.sum(), rtol=1e-4, atol=1e-6)  # times 0 what is dropped would be NaN
    bent = jax.jit(lambda p: jax.jvp(jax.grad(lambda p: jloss.huber(p, t, where=where)), (p,), (jnp.ones_like(p),))[1])(p)
    np.testing.assert_allclose(bent, (where & (np.abs(error) <= 1)) / where.sum(), rtol=1e-5)
    jax.clear_caches()


@pytest.mark.parametrize("name", ["cross_entropy", "soft_cross_entropy", "softmax_focal", "generalized_cross_entropy", "logit_adjusted"])
def test_infinite_logits_of_a_large_batch(name, soon):
    """Below a peak a large batch has a derivative of its own: value, slope and bend of a row are those of the row alone."""
    inf, nan = np.inf, np.nan
    kinds = [
        [inf, 1, 0],
        [inf, inf, 2],
        [inf, -inf, 0],
        [-inf, -inf, 3],
        [-inf] * 3,
        [inf] * 3,
        [nan, inf, 0],
        [nan, 1, 2],
        [1e4, 0, -1e4],
        [0] * 3,
    ]
    rows, labels = np.repeat(np.array(kinds, np.float32), 4, axis=0), np.tile(np.array([0, 1, 2, 7], np.int32), len(kinds))
    second = np.eye(4, 3, dtype=np.float32)[labels % 4] if name == "soft_cross_entropy" else labels
    options = {"log_prior": jnp.log(jnp.array([0.5, 0.3, 0.2]))} if name == "logit_adjusted" else {}
    times = 1 + soon // rows.size

    def each(x, y):
        return getattr(jloss, name)(x, y, reduction="none", **options)

    def found(x, y):
        slope = jax.grad(lambda x: jnp.sum(each(x, y)))
        return each(x, y), slope(x), jax.jvp(slope, (x,), (jnp.ones_like(x) * jnp.array([[1.0, 2.0, 3.0]]),))[1]

    large = jax.jit(found)(np.tile(rows, (times, 1)), np.tile(second, (times,) + (1,) * (second.ndim - 1)))
    with as_small():
        small = jax.jit(found)(rows, second)
    known = ~np.isnan(small[0])
    assert known.sum() >= 20
    for got, want in zip(large, small, strict=True):
        got = got[: len(rows)]
        np.testing.assert_allclose(*((got, want) if want.ndim == 1 else (got[known], want[known])), rtol=1e-6, atol=1e-7)
    if name == "cross_entropy":
        value, slope, _ = large
        np.testing.assert_array_equal(value[:4], [0, inf, inf, nan])
        np.testing.assert_array_equal(slope[:3], np.zeros((3, 3)))


@pytest.mark.parametrize("keywords", ["", "where", "weights", "where weights"])
def test_a_short_last_axis_is_one_with_the_others(keywords, soon, monkeypatch):
    """On one CPU no array of the program has an axis of ten labels but the inputs and what goes to them; the numbers are the same."""
    rng, shape = np.random.default_rng(0), (41, 103, 10)
    logits, targets = rng.normal(size=shape).astype(np.float32), rng.uniform(size=shape).astype(np.float32)
    logits[0, 0, 0] = np.nan if keywords else 1.0
    given = {"where": rng.uniform(size=shape) < 0.8, "weights": rng.integers(0, 3, shape).astype(np.float32)}
    given["where"][0, 0, 0], given["weights"][0, 0, 0] = False, 0
    given = {n: jnp.asarray(given[n]) for n in keywords.split()}
    mass = np.prod([np.asarray(a, np.float64) for a in given.values()] or [np.ones(shape)], axis=0)
    z, t = np.where(mass, logits, 0).astype(np.float64), targets.astype(np.float64)
    values, slopes = np.logaddexp(0, z) - t * z, 1 / (1 + np.exp(-z)) - t
    for alone, reduction in ((True, "mean"), (True, "sum"), (False, "mean")):
        monkeypatch.setattr(backend, "on_one_cpu", lambda alone=alone: alone)
        jax.clear_caches()  # the same shapes are traced in both ways
        loss = functools.partial(jloss.sigmoid_cross_entropy, targets=targets, reduction=reduction, **given)
        whole = mass.sum() if reduction == "mean" else 1
        value, gradient = jax.jit(jax.value_and_grad(loss))(logits)
        np.testing.assert_allclose(value, (mass * values).sum() / whole, rtol=1e-6)
        np.testing.assert_allclose(gradient * whole, mass * slopes, rtol=1e-6, atol=2e-7)  # of a sigmoid less a target
        shapes = re.findall(r"f32\[([\d,]*)\] = exp", str(jax.make_jaxpr(loss)(logits)))
        assert set(shapes) == {str(logits.size) if alone else "41,103,10"}
    jax.clear_caches()


def test_a_short_last_axis_stays_where_something_lies_along_it(soon, monkeypatch):
    """An option of a number for each label, an axis that is named, values of their own, and inputs that do not fit, with their errors."""
    monkeypatch.setattr(backend, "on_one_cpu", lambda: True)
    rng, shape = np.random.default_rng(0), (43, 103, 10)
    p, t = jnp.asarray(rng.normal(size=shape).astype(np.float32)), jnp.asarray(rng.normal(size=shape).astype(np.float32))
    delta = jnp.linspace(0.1, 1.0, 10)[None, None, :]
    size = np.abs(np.asarray(p, np.float64) - np.asarray(t))
    wanted = np.where(size <= delta, size**2 / 2, delta * (size - np.asarray(delta, np.float64) / 2)).mean()
    np.testing.assert_allclose(jloss.huber(p, t, delta=delta), wanted, rtol=1e-6)
    assert jloss.huber(p, t, reduction="none").shape == shape
    with pytest.raises(ValueError, match="losses do not broadcast batch axes"):
        jloss.huber(p, t[:, :, :9])
    with pytest.raises(ValueError, match="`where` has shape"):
        jloss.huber(p, t, where=jnp.ones(p.size, bool))
    with pytest.raises(TypeError, match=r"`predictions` must be floating, got complex64\[43, 103, 10\]"):
        jloss.huber(p.astype(complex), t)
    jax.clear_caches()


def test_values_with_a_function_in_them_are_added_by_xla(soon):
    p, t = np.random.default_rng(0).normal(size=(2, 40_960)).astype(np.float32)
    for loss, cheap in ((jloss.smooth_l1, True), (jloss.hinge, True), (jloss.welsch, False), (jloss.log_cosh, False)):
        assert (", 4, " in str(jax.make_jaxpr(loss)(p, t)).replace(",", ", ")) == cheap, loss.__name__


INPUTS_OUT_OF_THE_ALPHABET = [n for n, e in jloss.CATALOGUE.items() if e.elementwise and [*e.inputs] != sorted(e.inputs)]


@pytest.mark.parametrize("name", INPUTS_OUT_OF_THE_ALPHABET)
def test_inputs_of_a_large_batch_keep_their_order(name, soon):
    """Where a program is traced first and run afterwards: a dict of inputs is sorted by name where it becomes leaves."""
    loss, given = getattr(jloss, name), [jnp.asarray(a) for a in inputs_of_size(name, soon).values()]
    values = np.asarray(loss(*given, reduction="none"), np.float64)
    np.testing.assert_allclose(loss(*given), values.mean(), rtol=1e-5, atol=1e-6)
    where = jnp.arange(len(values)) % 3 > 0
    np.testing.assert_allclose(loss(*given, where=where), values[np.asarray(where)].mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["hinge", "poisson_nll", "kl_divergence"])
def test_large_batch_on_several_devices(name, soon):
    """The order costs no exchange: devices send one number, and the mean is that of one device."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    loss, given = getattr(jloss, name), [jnp.asarray(a[: len(a) // 4 * 4]) for a in inputs_of_size(name, soon).values()]
    placed = [jax.device_put(a, jax.NamedSharding(mesh, P("data"))) for a in given]
    alone = jax.jit(jax.value_and_grad(loss))(*given)
    inside = jax.shard_map(lambda *a: loss(*a, axis_name="data"), mesh=mesh, in_specs=P("data"), out_specs=P())
    for step in (loss, inside):
        compiled = jax.jit(jax.value_and_grad(step)).lower(*placed).compile()
        value, gradient = compiled(*placed)
        np.testing.assert_allclose(value, alone[0], rtol=1e-6)
        np.testing.assert_allclose(gradient, alone[1], rtol=1e-6, atol=0)
        sent = [shape for _, arrays, _ in scale_table.collectives(compiled.as_text()) for _, shape in arrays]
        assert {math.prod(shape) for shape in sent} == {1}, sent


MASKS = ["dice", "focal_tversky", "mcc", "unified_focal", "generalized_dice"]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(5, 64), (3, 40, 48), (2, 6, 8, 16)], ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_classes_behind_the_pixels_are_classes_in_front(name, shape, soon, monkeypatch):
    """Pixels are added up in rows, and then without. One is NaN and masked; second derivatives agree, too."""
    rng, loss = np.random.default_rng(0), getattr(jloss, name)
    p, y = rng.uniform(size=(2, *shape, 3)).astype(np.float32)
    mask = rng.uniform(size=shape) < 0.9
    p[(0,) * p.ndim], mask[(0,) * mask.ndim] = np.nan, False
    where = None if name == "generalized_dice" else rng.uniform(size=(shape[0], 3)) < 0.8

    def step(axis, front):
        def value(p):
            return loss(p, front(y), mask=mask, where=where, axis=axis, spatial_ndim=len(shape) - 1)

        slope = jax.jit(jax.value_and_grad(value))(front(p))
        bent = jax.jvp(jax.grad(value), (front(p),), (front(np.cos(np.arange(p.size, dtype=np.float32)).reshape(p.shape)),))[1]
        return *slope, bent

    value, gradient, bent = step(-1, lambda a: a)
    monkeypatch.setattr(layout, "ROW", 1)
    expected = step(1, lambda a: np.moveaxis(a, -1, 1))
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    for got, want, floor in ((gradient, expected[1], 2e-6), (bent, expected[2], 1e-5)):  # what curves mcc nearly cancels
        want = np.moveaxis(want, 1, -1)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=floor * np.abs(want).max())


@pytest.mark.slow
def test_rows_of_pixels_are_not_gathered(soon):
    """Whichever axis the devices share, also that which is cut: they send sums."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    p, y = np.random.default_rng(0).uniform(size=(2, 4, 16, 128, 3)).astype(np.float32)
    step = jax.jit(jax.value_and_grad(lambda p, y: jloss.dice(p, y, axis=-1)))
    alone = step(p, y)
    for spec in (P("data"), P(None, "data"), P(None, None, "data")):
        placed = [jax.device_put(a, jax.NamedSharding(mesh, spec)) for a in (p, y)]
        compiled = step.lower(*placed).compile()
        value, gradient = compiled(*placed)
        np.testing.assert_allclose(value, alone[0], rtol=1e-6)
        np.testing.assert_allclose(gradient, alone[1], rtol=1e-5, atol=0)
        sent = [shape for _, arrays, _ in scale_table.collectives(compiled.as_text()) for _, shape in arrays]
        assert max(map(math.prod, sent)) <= 4 * 128 * 3, sent


@pytest.mark.parametrize(
    ("pixels", "classes", "row"), [(512, 2, 512), (256, 21, 32), (48, 3, 16), (255, 21, 1), (12, 3, 1), (256, 2000, 1), (0, 3, 1)]
)
def test_rows_are_about_a_thousand_numbers_or_none(pixels, classes, row):
    assert layout.row_length(jnp.zeros((3, pixels, classes)), 1) == row


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dice", "generalized_dice"])
def test_rows_of_pixels_under_explicit_sharding(name, soon):
    """Every axis that devices share, by type."""
    loss = getattr(jloss, name)
    p, y = np.random.default_rng(0).uniform(size=(2, 4, 16, 64, 3)).astype(np.float32)
    step = jax.value_and_grad(lambda p, y: loss(p, y, axis=-1))
    alone = step(p, y)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,), devices=jax.devices()[:4])
    with jax.set_mesh(mesh):
        for spec in (P("data"), P(None, "data"), P(None, None, "data")):
            placed = [jax.device_put(a, jax.NamedSharding(mesh, spec)) for a in (p, y)]
            value, gradient = jax.jit(step)(*placed)
            np.testing.assert_allclose(value, alone[0], rtol=1e-6)
            np.testing.assert_allclose(gradient, alone[1], rtol=1e-6, atol=1e-6 * np.abs(alone[1]).max())


STRAIGHT = [name for name, entry in jloss.CATALOGUE.items() if backend.hints_of(entry.core).straight]


@pytest.mark.parametrize("name", STRAIGHT)
def test_what_is_traced_as_primitives_has_no_loop(name, monkeypatch):
    """It would be unrolled."""
    monkeypatch.setattr(backend, "as_primitives", lambda core: contextlib.nullcontext())
    entry = jloss.CATALOGUE[name]
    jax.clear_caches()
    program = str(jax.make_jaxpr(entry.public)(**samples(entry.public, optional=False)))
    assert " scan[" not in program
    assert " while[" not in program


def test_a_derivative_is_taken_where_one_is_asked_for():
    """Next to an input that stays, whose own derivative is infinite: 0 * inf would be NaN."""
    root = backend.with_derivative_of(lambda x, y: x + jnp.sqrt(y), lambda x, y: x + y)
    assert jax.jvp(lambda x: root(x, 0.0), (1.0,), (1.0,))[1] == 1
    assert jax.grad(root, argnums=1)(1.0, 4.0) == 0.25
    assert jax.jit(jax.hessian(lambda x: root(jnp.square(x), 4.0)))(1.0) == 2


def recomputes(call, *inputs):
    """Whether the gradient of a call computes something again."""
    return "checkpoint" in str(jax.make_jaxpr(call)(*inputs)) or "remat" in str(jax.make_jaxpr(call)(*inputs))


def test_functions_are_computed_again_beside_a_mask():
    few, many = (np.linspace(-1, 1, n, dtype=np.float32) for n in (64, 1 << 17))
    for loss, again in ((jloss.log_cosh, True), (jloss.huber, False)):
        assert not recomputes(loss, many, many)
        assert recomputes(lambda x, where, loss=loss: loss(x, x, where=where), many, many > 0) == again
        assert not recomputes(lambda x, where, loss=loss: loss(x, x, where=where), few, few > 0)


def test_differences_of_large_batches_are_computed_again():
    few, many = np.ones((4, 8), np.float32), np.ones((1 << 14, 8), np.float32)
    assert recomputes(jloss.triplet_margin, many, many, many)
    assert not recomputes(jloss.triplet_margin, few, few, few)


def test_the_short_logarithm_keeps_its_digits():
    share = np.linspace(0, 1, 1 << 17, dtype=np.float32)
    expected = np.log1p(share.astype(np.float64))
    np.testing.assert_allclose(jax.jit(guards.log1p_of_share)(share), expected, rtol=2.5e-7)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(guards.log1p_of_share(x))))(share)
    np.testing.assert_allclose(slope, 1 / (1 + share.astype(np.float64)), rtol=2.5e-7)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_column_is_summed_and_not_subtracted(count, monkeypatch):
    """Of few numbers, which XLA adds one after the other: in several rounds a minus would take a minus away."""
    monkeypatch.setattr(_steps, "in_block", lambda: True)
    columns = jnp.arange(1.0, 3.0 * count + 1).reshape(3, count)
    values, slopes = jax.vmap(jax.value_and_grad(_steps.sum_of_column))(columns)
    np.testing.assert_array_equal(values, np.sum(columns, axis=1))
    np.testing.assert_array_equal(slopes, np.ones_like(columns))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_a_gram_matrix_has_the_derivatives_of_its_product(dtype):
    """Of the first and second order, forward and backward, by one product less."""
    numbers = np.random.default_rng(0)
    x, change = (numbers.normal(size=(5, 3)) + (1j * numbers.normal(size=(5, 3)) if dtype == np.complex64 else 0) for _ in range(2))
    x, change, weights = jnp.asarray(x, dtype), jnp.asarray(change, dtype), jnp.asarray(numbers.normal(size=(3, 3)), jnp.float32)

    def product(x, y):
        return jnp.matmul(x.conj().T, y, precision="highest")

    def energy(products):
        return jnp.sum(weights * jnp.square(jnp.abs(products)))  # weights that are not symmetric

    ours, plain = (lambda x: energy(backend.gram(product, x))), (lambda x: energy(product(x, x)))
    for derivative in (
        lambda f: f(x),
        lambda f: jax.grad(f)(x),
        lambda f: jax.jvp(f, (x,), (change,))[1],
        lambda f: jax.jvp(jax.grad(f), (x,), (change,))[1],
    ):
        np.testing.assert_allclose(derivative(ours), derivative(plain), rtol=2e-5, atol=2e-5)
    counts = [jax.jit(jax.grad(f)).lower(x).compile().as_text().count(" dot(") for f in (ours, plain)]
    assert counts == [2, 3]
