"""Sets: labels of any integers, no items, sizes that are symbols, what exporters read, and the branches of one formula."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from jloss.testing.samples import samples
from tests.cases import FIRST
from tests.families.representation.test_contrastive import assert_close, clip, dense, info_nce, nt_xent, siglip, supervised

ROOT = Path(__file__).parents[3]
FAMILIES = {"contrastive", "embedding", "similarity", "prototypes", "self_distillation"}
SETS = [n for n, e in jloss.CATALOGUE.items() if e.kind == "loss" and e.family in FAMILIES and ("n",) in [d[:1] for d in e.inputs.values()]]
GROUPED = [n for n, e in jloss.CATALOGUE.items() if "group" in e.domains.values()]
X = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
SWEEP = (pytest.mark.slow, pytest.mark.sweep)


def public(name):
    return jloss.CATALOGUE[name].public


# ---------------------------------------------------------------- labels of any integers

LABELS = np.array([1, 1, 0, 0, 2, 1])  # none of the names below is equal to another once it is cut to 32 bits, or has lost its sign
NAMES = {
    "uint8": np.array([0, 200, 255], np.uint8),
    "int8": np.array([-128, -1, 127], np.int8),
    "int32": np.array([-(2**31), -7, 2**31 - 1], np.int32),
    "uint32": np.array([3_000_000_000, 3_000_000_001, 2**31], np.uint32),
    "int64": np.array([2**40, -(2**40), 2**41]),
    "negative int64": np.array([-5, -7, -(2**33)]),
    "uint64": np.array([2**63, 2**63 + 1, 2**32], np.uint64),
}


def test_labels_only_compared_are_declared_so():
    assert len(GROUPED) == 14
    assert {"supervised_contrastive", "batch_hard_triplet", "fast_ap"} <= {*GROUPED}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("x64", [False, True], ids=["", "x64"])
def test_any_integers_say_what_belongs_together(kind, x64):
    """The farthest positives are at 1, 1, 2.5, 2.5, the nearest negatives at 1.5, 0.5, 0.5, 3: (0.5 + 1.5 + 3 + 0.5) / 4."""
    x, labels = np.array([[0.0], [1.0], [1.5], [4.0]], np.float32), NAMES[kind][[0, 0, 1, 1]]
    with jax.enable_x64(x64):
        for given in (labels, jnp.asarray(labels)) if x64 or labels.itemsize < 8 else (labels,):
            value, slope = (
                jax.jit(jax.value_and_grad(lambda x, g: jloss.batch_hard_triplet(x, g)))(x, given)
                if given is not labels
                else (
                    jloss.batch_hard_triplet(x, labels=given),
                    jax.grad(jloss.batch_hard_triplet)(x, given),
                )
            )
            assert value == 1.375
            np.testing.assert_array_equal(slope.ravel(), [-0.25, 1.25, -1.25, 0.25])


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPED)
def test_names_of_groups_change_nothing(name):
    """Large, negative and wide names give the value and the gradient of 0, 1 and 2, one set at a time and two at once."""
    both, labels = np.stack([X, X[::-1]]), np.stack([LABELS, LABELS[::-1]])
    step = jax.value_and_grad(public(name))
    wanted, wanted_of_two = step(X, LABELS), step(both, labels)
    for kind in ("uint32", "int64", "uint64"):
        names = NAMES[kind]
        jax.tree.map(np.testing.assert_array_equal, step(X, names[LABELS]), wanted)
        jax.tree.map(np.testing.assert_array_equal, step(both, names[labels]), wanted_of_two)


@pytest.mark.slow
def test_groups_of_a_ring_keep_their_dtype():
    mesh = jax.make_mesh((3,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:3])
    names = jnp.asarray(NAMES["uint32"][LABELS])

    def local(x, labels):
        return jloss.supervised_contrastive(x, labels, negatives_axis_name="i", ring=True, chunk_size=1)

    mapped = jax.shard_map(local, mesh=mesh, in_specs=P("i"), out_specs=P(), check_vma=True)
    assert_close(jax.jit(jax.value_and_grad(mapped))(X, names), jax.value_and_grad(jloss.supervised_contrastive)(X, LABELS))


@pytest.mark.slow
def test_an_index_of_a_class_that_32_bits_cannot_hold_is_none():
    logits = jnp.zeros((4, 3))
    found = jloss.cross_entropy(logits, np.array([1, 2**32, 2**32 + 1, -(2**32)]), reduction="none")
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True])
    assert np.isnan(jloss.arcface(X[:1], np.array([2**63], np.uint64), np.eye(3, dtype=np.float32)))
    assert jloss.cross_entropy(logits, np.array([0, 1, 2, 1], np.uint64)) == pytest.approx(np.log(3))
    np.testing.assert_array_equal(np.isnan(jloss.cross_entropy(logits, [1, 2**32, 2, 0], reduction="none")), [False, True, False, False])
    assert jloss.batch_hard_triplet(X[:4], [2**40, 2**41, 2**40, 2**41]) == jloss.batch_hard_triplet(X[:4], [0, 1, 0, jnp.asarray(1)])


@jloss.loss("(n),(n),(n)->()", "real group group")
def same_in_both(values, first, second, **reduce: Unpack[jloss.Reduce]):
    """Of two groups that are compared with each other."""
    return jnp.sum(jnp.where(first == second, values, 0.0))


def test_labels_that_are_compared_are_ranked_together():
    first, second = np.array([2**40, 5, 7]), np.array([2**40, 7, 7])
    assert same_in_both(np.array([1.0, 10.0, 100.0], np.float32), first, second) == 101
    near = np.array([2**60 + 1, 7, 7], np.uint64)  # as a float64 it would be 2**60
    assert same_in_both(np.array([1.0, 10.0, 100.0], np.float32), np.array([2**60, 5, 7]), second=near) == 100
    assert same_in_both(np.array([1.0, 10.0, 100.0], np.float32), second, second=jnp.array([3, 7, 7])) == 110


# ---------------------------------------------------------------- no items


@pytest.mark.parametrize("name", [*SETS, "detr"])
def test_a_set_of_no_items_is_0_with_gradient_0(name):
    entry = jloss.CATALOGUE[name]
    inputs = samples(entry.public, batch=(2,), optional=False)
    empty = {n: v[:, :0] if entry.inputs[n][:1] == ("n",) else v for n, v in inputs.items()}
    floats = {n: v for n, v in empty.items() if getattr(v, "dtype", None) == np.float32}
    options = {n: v for n, v in entry.options.items() if isinstance(v, float)}
    for more in [{}, {"chunk_size": 2}] if "chunk_size" in entry.options else [{}]:

        def f(floats, options, more=more):
            return entry.public(**{**empty, **floats}, **options, **more)

        value, slopes = jax.jit(jax.value_and_grad(f, (0, 1)))(floats, options)
        assert value == 0
        assert not any(np.any(slope) for slope in jax.tree.leaves(slopes))
        np.testing.assert_array_equal(entry.public(**empty, **more, reduction="none"), [0, 0])


@pytest.mark.parametrize("name", ["info_nce", "supervised_contrastive", "clip", "batch_hard_triplet", "fast_ap", "uniformity", "koleo"])
def test_a_set_of_one_item_is_0_with_gradient_0(name):
    entry = jloss.CATALOGUE[name]
    one = {n: v[:1] for n, v in samples(entry.public, batch=(), optional=False).items()}
    first = next(iter(one))
    value, slope = jax.jit(jax.value_and_grad(lambda x: entry.public(**{**one, first: x})))(one[first])
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(slope, 0, atol=1e-5)


@pytest.mark.slow
def test_whole_numbers_for_sharpness():
    pairs = jnp.asarray(X), jnp.asarray(X[::-1])
    assert jloss.clip(*pairs, scale=100) == jloss.clip(*pairs, scale=100.0)
    assert jloss.siglip(*pairs, scale=10, bias=-10) == jloss.siglip(*pairs, scale=10.0, bias=-10.0)
    assert jloss.uniformity(X, t=2) == jloss.uniformity(X, t=2.0)
    with jax.numpy_dtype_promotion("standard"):
        assert jloss.clip(*pairs, scale=np.int32(3)) == jloss.clip(*pairs, scale=jnp.asarray(3)) == jloss.clip(*pairs, scale=3.0)


# ---------------------------------------------------------------- programs


def programs(jaxpr):
    """All operations, those of inner programs too."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for program in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(program, "jaxpr", program)
                if hasattr(inner, "eqns"):
                    yield from programs(inner)


@pytest.mark.slow
def test_iterations_of_swav_are_a_loop_and_still_those_of_sinkhorn():
    def step(x, iterations):
        return jax.value_and_grad(lambda x: jloss.swav(x, X[::-1], temperature=0.5, epsilon=0.2, iterations=iterations))(x)

    few, many = (len([*programs(jax.make_jaxpr(functools.partial(step, iterations=n))(X).jaxpr)]) for n in (3, 20))
    assert few == many
    for iterations in (0, 1, 3, 20):
        targets = []
        for scores in (X[::-1], X):
            q = np.exp(scores.astype(float) / 0.2)
            for _ in range(iterations):
                q = q / q.sum(0, keepdims=True)
                q = q / q.sum(1, keepdims=True)
            targets.append(q / q.sum(1, keepdims=True))
        logs = [x - np.log(np.sum(np.exp(x), 1, keepdims=True)) for x in (X.astype(float) / 0.5, X[::-1].astype(float) / 0.5)]
        wanted = -0.5 * sum(np.sum(q * p, 1).mean() for q, p in zip(targets, logs, strict=True))
        slope = (np.exp(logs[0]) - targets[0]) / 0.5 / (2 * len(X))
        assert_close(step(X, iterations), (wanted, slope), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [pytest.param(n, {}, marks=() if n in FIRST else SWEEP) for n in [*SETS, "detr"]]
    + [pytest.param(n, {"chunk_size": 4}, marks=SWEEP) for n in SETS if "chunk_size" in jloss.CATALOGUE[n].options],
)
def test_exports_with_sizes_that_are_symbols(name, options):
    """The number of sets and that of their items, on every platform; what is exported has the value and the gradient."""
    entry = jloss.CATALOGUE[name]
    inputs = samples(entry.public, batch=(3,))
    sizes = dict(zip("bnm", jax.export.symbolic_shape("b, n, m"), strict=True))
    keys = {n: v for n, v in inputs.items() if entry.domains[n] == "key"}
    floats = {n: v for n, v in inputs.items() if getattr(v, "dtype", None) == np.float32}
    rest = {n: v for n, v in inputs.items() if n not in {**keys, **floats}}

    def shape(n, v):
        core = [sizes.get(dim, size) for dim, size in zip(entry.inputs[n], v.shape[1:], strict=True)]
        return jax.ShapeDtypeStruct((sizes["b"], *core), v.dtype)

    @jax.jit
    def step(floats, rest):
        return jax.value_and_grad(lambda floats: entry.public(**floats, **rest, **keys, **options))(floats)

    exported = jax.export.export(step, platforms=("cpu", "cuda", "tpu"))(
        *({n: shape(n, v) for n, v in some.items()} for some in (floats, rest))
    )
    assert_close(exported.call(floats, rest), step(floats, rest))


@pytest.mark.slow
def test_a_matching_of_unknown_sizes_may_lack_predictions():
    sizes = jax.export.symbolic_shape("n, m")
    given = samples(jloss.detr, batch=(), optional=False)
    given = {n: v[:3] if jloss.CATALOGUE["detr"].inputs[n][0] == "n" else v for n, v in given.items()}  # three predictions, four targets
    shapes = {
        n: jax.ShapeDtypeStruct((sizes["nm".index(jloss.CATALOGUE["detr"].inputs[n][0])], *v.shape[1:]), v.dtype) for n, v in given.items()
    }
    step = jax.jit(lambda given: jloss.detr(**given))
    assert_close(jax.export.export(step)(shapes).call(given), step(given))


@pytest.mark.parametrize("name", [n for n, e in jloss.CATALOGUE.items() if e.kind == "loss" and e.family in FAMILIES] + ["detr"])
def test_selects_of_floats_have_float_constants(name, monkeypatch):
    """An integer 0 beside floats is an operand of another kind for exporters."""
    entry = jloss.CATALOGUE[name]
    modules = {f"{family}.py" for family in FAMILIES | {"_sets", "_contrast", "detection"}}
    where, mixed = jnp.where, []

    def watched(condition, *branches):
        caller = sys._getframe(1)
        kinds = {type(b) if isinstance(b, int | float) else getattr(b, "dtype", None) for b in branches}
        if Path(caller.f_code.co_filename).name in modules and int in kinds and any(jnp.issubdtype(k, jnp.floating) for k in kinds - {int}):
            mixed.append(f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}")
        return where(condition, *branches)

    monkeypatch.setattr(jnp, "where", watched)
    inputs = {n: v if entry.domains[n] == "key" else jnp.asarray(v) for n, v in samples(entry.public, batch=()).items()}
    options = {n: jnp.float32(v) if isinstance(v, float) else v for n, v in entry.options.items()}
    for more in [{}, {"chunk_size": 3}] if "chunk_size" in options else [{}]:
        jax.make_jaxpr(lambda inputs, more=more: entry.core(**inputs, **{**options, **more}))(inputs)
    assert not mixed


UNMASKED = [n for n in SETS if n not in GROUPED and not n.startswith("proxy")]


@pytest.mark.parametrize("name", UNMASKED)
def test_no_mask_is_no_sum_and_no_branch_of_a_platform(name):
    """Without a mask nothing integer is summed, and no branch depends on the platform."""
    entry = jloss.CATALOGUE[name]
    inputs = samples(entry.public, batch=(2,), optional=False)
    floats = {n: v for n, v in inputs.items() if getattr(v, "dtype", None) == np.float32}
    for more in [{}, {"chunk_size": 3}] if "chunk_size" in entry.options else [{}]:
        program = jax.make_jaxpr(jax.value_and_grad(lambda floats, more=more: entry.public(**{**inputs, **floats}, **more)))(floats)
        for equation in programs(program.jaxpr):
            kinds = {v.aval.dtype for v in equation.invars if hasattr(v.aval, "dtype")}
            if name != "decoupled_contrastive":  # counts the views that have negatives
                assert equation.primitive.name != "reduce_sum" or not any(jnp.issubdtype(k, jnp.integer) for k in kinds)
            assert equation.primitive.name != "platform_index"


# ---------------------------------------------------------------- keys


@pytest.mark.slow
def test_sigreg_takes_keys_of_both_kinds_shared_and_batched():
    x = jnp.asarray(np.stack([X, X[::-1], X + 1]))
    raw, typed = jax.random.PRNGKey(4), jax.random.key(4)
    jax.tree.map(np.testing.assert_array_equal, *(jax.value_and_grad(jloss.sigreg)(x[0], key, slices=4) for key in (raw, typed)))
    for several in (lambda key: key, lambda key: jax.random.split(key, 3)):
        found = [jloss.sigreg(x, several(key), slices=4, reduction="none") for key in (raw, typed)]
        np.testing.assert_array_equal(*found)
        alone = [jloss.sigreg(one, key, slices=4) for one, key in zip(x, jnp.broadcast_to(several(raw), (3, 2)), strict=True)]
        np.testing.assert_allclose(found[0], jnp.stack(alone), rtol=1e-6)


# ---------------------------------------------------------------- rings


def on_a_ring(count):
    """Value and gradients of a set of twelve over so many devices, and those of the formula on the whole matrix."""
    rng = np.random.default_rng(3)
    first, second = (jnp.asarray(rng.normal(size=(12, 4)), jnp.float32) for _ in range(2))
    mesh = jax.make_mesh((count,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
    for loss in (info_nce, nt_xent, clip, siglip):

        def local(a, b, loss=loss):
            return loss(a, b, None, 5.0, negatives_axis_name="i", ring=True, chunk_size=2 if loss is nt_xent else None)

        mapped = jax.shard_map(local, mesh=mesh, in_specs=P("i"), out_specs=P(), check_vma=True)
        found = jax.jit(jax.value_and_grad(mapped, (0, 1)))(first, second)
        assert_close(found, jax.jit(jax.value_and_grad(functools.partial(dense, loss), (0, 1)))(first, second, 5.0), rtol=1e-4)


@pytest.mark.slow
def test_a_ring_of_three():
    on_a_ring(3)


@pytest.mark.slow
def test_a_ring_of_six_whose_last_leg_is_shorter():
    """Five steps in legs of two."""
    code = "import jax; jax.config.update('jax_platforms', 'cpu'); jax.config.update('jax_num_cpu_devices', 6)\n"
    code += "from tests.families.representation.test_sets import on_a_ring; on_a_ring(6)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- both branches of one formula


@pytest.mark.slow
@pytest.mark.parametrize("loss", [info_nce, nt_xent, supervised, clip, siglip])
def test_second_derivatives_on_both_sides_of_the_quick_branch(loss):
    """Logits up to 39.9 are exponentiated as they are. Cosines near 1 and -1, sharpness below it, above it, and far above."""
    rng = np.random.default_rng(9)
    first = rng.normal(size=(6, 3))
    other = np.tile(np.array([[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]]), (1, 3))
    second = other if loss is supervised else first * np.array([[1.0], [-1.0]] * 3) + 0.1 * rng.normal(size=(6, 3))
    along = rng.normal(size=(6, 3))

    def curved(function, a, b, v, s):
        def moved(t, s):
            return function(a + t * v, b, s)

        return jax.hessian(moved, (0, 1))(jnp.zeros_like(s), s)

    here = jax.jit(functools.partial(curved, lambda a, b, s: loss(a, b, None, s)))
    with jax.enable_x64(True):
        there = jax.jit(functools.partial(curved, lambda a, b, s: dense(loss, a, b, s)))
        wanted = {s: jax.tree.map(np.asarray, there(first, second, along, jnp.asarray(s, float))) for s in (20.0, 39.0, 41.0, 75.0)}
    for s, curves in wanted.items():
        found = here(*(jnp.asarray(x, jnp.float32) for x in (first, second, along)), jnp.float32(s))
        for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(curves), strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3 * max(map(np.max, map(np.abs, jax.tree.leaves(curves)))))


@pytest.mark.slow
def test_uniformity_has_its_second_derivative_on_both_sides_of_the_quick_branch():
    """Two opposite vectors on a circle, one turned by an angle: the loss is -2 t (1 + cos angle)."""
    first = jnp.array([1.0, 0.0])

    def turned(angle, t):
        return jloss.uniformity(jnp.stack([first, -jnp.stack([jnp.cos(angle), jnp.sin(angle)])]), t=t)

    for t in (2.0, 9.9, 10.1, 20.0):
        value, slope, curve = (f(jnp.float32(0.3), t) for f in (turned, jax.grad(turned), jax.grad(jax.grad(turned))))
        wanted = -2 * t * (1 + np.cos(0.3)), 2 * t * np.sin(0.3), 2 * t * np.cos(0.3)
        np.testing.assert_allclose((value, slope, curve), wanted, rtol=1e-4)


# ---------------------------------------------------------------- what has no gradient, and what has half of two


@pytest.mark.slow
def test_options_without_a_gradient():
    """Those of which the docstring says so, moved or not: each changes the value."""
    x, y, z = (jnp.asarray(X[i]) for i in range(3))
    triplet = functools.partial(jloss.triplet_margin, x, y, z, margin=4.0)
    for p in (1.5, 3.0):
        assert abs(triplet(p=p + 0.1) - triplet(p=p)) > 1e-3
        assert jax.grad(lambda p: triplet(p=p))(p) == 0
    pairs = jnp.asarray(X), jnp.asarray(X[::-1])
    weighted = functools.partial(jloss.decoupled_contrastive, *pairs)
    assert abs(weighted(sigma=0.6) - weighted(sigma=0.5)) > 1e-3
    assert jax.grad(lambda sigma: weighted(sigma=sigma))(0.5) == 0
    balanced = functools.partial(jloss.swav, *pairs, temperature=1.0)
    assert abs(balanced(epsilon=0.6) - balanced(epsilon=0.5)) > 1e-4
    assert jax.grad(lambda epsilon: balanced(epsilon=epsilon))(0.5) == 0
    ranked = functools.partial(jloss.ranked_list, X, LABELS)
    assert abs(ranked(temperature=3.0) - ranked(temperature=2.0)) > 1e-4
    assert jax.grad(lambda temperature: ranked(temperature=temperature))(2.0) == 0


@pytest.mark.slow
def test_the_weights_of_circle_are_constants_in_its_margin_too():
    """One positive at a cosine of 0.6, negatives at 0 and 0.8: slopes of the formula with the weights held."""
    x, labels = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), jnp.array([0, 0, 1])
    gamma, m = 2.0, 0.4

    def formula(margin):
        total = 0.0
        for negative in (0.0, 0.8):
            total += np.log1p(np.exp(gamma * max(0, negative + m) * (negative - margin) - gamma * max(0, 1 + m - 0.6) * (0.6 - 1 + margin)))
        return total / 2

    wanted = (formula(m + 1e-6) - formula(m - 1e-6)) / 2e-6
    assert jax.grad(lambda m: jloss.circle(x, labels, margin=m, gamma=gamma))(m) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fast_ap", "histogram"])
def test_on_the_centre_of_a_bin_the_slope_is_the_mean_of_both_sides(name):
    """Right angles, whose cosines of 0 are the centre of a bin: a turn of each item, by differences in float64."""
    loss, angles = public(name), 0.5 * np.pi * np.array([0, 1, 2, 3, 0, 1])
    with jax.enable_x64(True):

        @jax.jit
        def turned(angles):
            return loss(jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1), jnp.asarray(LABELS))

        slopes = jax.grad(turned)(jnp.asarray(angles))
        for i, slope in enumerate(slopes):
            step = 1e-6 * np.eye(6)[i]
            assert slope == pytest.approx(float(turned(angles + step) - turned(angles - step)) / 2e-6, abs=2e-4)
        assert np.any(np.abs(slopes) > 1e-3)


@pytest.mark.slow
def test_items_that_only_rounding_tells_apart_have_no_gradient_in_koleo():
    x = jnp.array([[0.1, 0.2, 0.3], [0.3, 0.6, 0.9], [0.7, 1.4, 2.1]])
    value, slope = jax.value_and_grad(jloss.koleo)(x)
    assert value == pytest.approx(-np.log(1e-8), rel=1e-6)
    np.testing.assert_array_equal(slope, 0)
