"""`jloss.checks`: a value outside of its input's domain is named, however a loss is called; not asked for, it costs nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jloss
from jloss.testing import checked
from jloss.transforms import hardest, linear_head
from tests.cases import LOSSES, case, mostly_slow

SCORES, SIGNS, ZEROS = np.float32([0.5, 2.0, -1.0, 3.0]), np.float32([1, -1, 1, -1]), np.float32([1, -1, 0, 1])
LOGITS = np.zeros((2, 3, 5), np.float32)
MESH = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,))


def message(call):
    with pytest.raises(ValueError, match=r"must|batch axes") as caught, jloss.checks():
        jax.block_until_ready(call())
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: jloss.hinge(SCORES, ZEROS), "hinge: `signs` must be -1 or +1, got 0.0 in example 2.\n  Of 0 and 1: 2 * signs - 1;"),
        (
            lambda: jloss.binary_cross_entropy(SCORES, SCORES),
            "0 and 1, got 2.0 in example 1.\n  If they are logits: jax.nn.sigmoid",
        ),
        (
            lambda: jloss.brier(np.float32([[0.25] * 4, [0, 1, 2, -2]]), np.int32([0, 1])),
            "brier: `probabilities` must be between 0 and 1, got 2.0 in example 1.\n  If they are logits: jax.nn.softmax(probabilities).",
        ),
        (
            lambda: jloss.brier(np.full((2, 4), 0.5, np.float32), np.int32([0, 1])),
            "sum to 1 over its last axis, got 2.0 in example 0.",
        ),
        (
            lambda: jloss.kl_divergence(np.full((2, 4), 0.25, np.float32), np.full((2, 4), 0.25, np.float32)),
            "exponentials sum to 1, got 1.0 in example 0.\n  Of probabilities: jnp.log(log_predictions);",
        ),
        (
            lambda: jloss.giou(np.float32([[0, 0, 1, 1], [9, 9, 4, 5]]), np.float32([[0, 0, 1, 1]] * 2)),
            "x0 <= x1 and y0 <= y1, got [9. 9. 4. 5.] in example 1.\n  Of (x, y, w, h): x and y, then x + w and y + h",
        ),
        (
            lambda: jloss.cross_entropy(LOGITS, np.int32([[0, 1, 2], [0, -100, 2]])),
            "cross_entropy: `labels` must be a class index from 0 to 4, got -100 in example 1, 1.\n  Classes count",
        ),
        (lambda: jloss.huber(np.float32([0, np.nan]), np.zeros(2, np.float32)), "`predictions` must not be NaN, got nan in example 1."),
        (lambda: jax.jit(lambda d: jloss.huber(SCORES, SIGNS, delta=d))(-1.0), "huber: `delta` must be greater than 0, got -1.0."),
        (
            lambda: linear_head(jloss.cross_entropy)(SCORES.reshape(2, 2), SCORES.reshape(2, 2), np.int32([0, 2])),
            "linear_head(cross_entropy): `labels` must be a class index from 0 to 1, got 2 in example 1.",
        ),
        (lambda: hardest(jloss.hinge, 0.5)(SCORES, ZEROS), "hinge: `signs` must be -1 or +1"),
        (
            lambda: jloss.seesaw().apply(np.zeros(5, np.int32), LOGITS[0], np.int32([0, 7, 2])),
            "seesaw: `labels` must be a class index from 0 to 4, got 7 in example 1.",
        ),
    ],
)
def test_a_value_outside_of_its_domain_is_named(call, said):
    assert said in message(call)


@pytest.mark.parametrize(
    "how",
    [
        lambda loss: loss(SCORES, ZEROS),
        lambda loss: jax.jit(loss)(SCORES, ZEROS),
        lambda loss: jax.grad(loss)(SCORES, ZEROS),
        lambda loss: jax.jit(jax.value_and_grad(loss))(SCORES, ZEROS),
        lambda loss: jax.hessian(loss)(SCORES, ZEROS),
        lambda loss: jax.vmap(loss)(SCORES, ZEROS),
        lambda loss: jax.jit(jax.vmap(jax.grad(loss)))(SCORES, ZEROS),
        lambda loss: jax.lax.scan(lambda total, row: (total + loss(*row), None), 0.0, (SCORES, ZEROS)),
        lambda loss: jax.jit(jax.grad(jax.checkpoint(loss)))(SCORES, ZEROS),
        lambda loss: jax.jit(loss)(*(jax.device_put(x, NamedSharding(MESH, P("i"))) for x in (SCORES, ZEROS))),
        lambda loss: jax.jit(jax.shard_map(lambda x, y: loss(x, y, axis_name="i"), mesh=MESH, in_specs=(P("i"), P("i")), out_specs=P()))(
            SCORES, ZEROS
        ),
    ],
    ids=["eager", "jit", "grad", "jit grad", "hessian", "vmap", "vmap grad", "scan", "checkpoint", "sharded", "shard_map"],
)
def test_however_it_is_called(how):
    assert message(lambda: how(jloss.hinge)).startswith("hinge: `signs` must be -1 or +1, got 0.0")
    with jloss.checks():
        how(lambda *inputs, **given: jloss.hinge(inputs[0], jnp.where(inputs[1] == 0, 1, inputs[1]), **given))


@pytest.mark.slow
def test_what_is_masked_or_beyond_a_length_is_not_checked():
    labels = np.int32([[0, 1, -100], [3, 2, -100]])
    present = labels >= 0
    with jloss.checks():
        jloss.cross_entropy(LOGITS, labels, where=present)
        jloss.cross_entropy(LOGITS, labels, weights=present.astype(np.float32))
        jloss.sequence_cross_entropy(LOGITS, labels, present)
        jloss.ctc(np.zeros((2, 7, 5), np.float32), labels + present, label_length=np.int32([2, 2]))
        jloss.crf(LOGITS, labels, np.zeros((5, 5), np.float32), length=np.int32([2, 2]))
        pixels = np.float32([[0.5, 7.0], [1.0, 0.0]])
        jloss.dice(pixels, pixels, mask=pixels < 2)
        jloss.dice(np.stack([pixels, pixels], -1), np.stack([pixels, pixels], -1), mask=pixels < 2, axis=-1)
    assert "`labels` must be a class index" in message(lambda: jloss.sequence_cross_entropy(LOGITS, labels, present | True))
    assert "`labels` must be a class index" in message(lambda: jloss.ctc(np.zeros((2, 7, 5), np.float32), labels + present))
    assert "`predictions` must be between 0 and 1, got 7.0 in example 0." in message(lambda: jloss.dice(pixels[None], pixels[None]))


@pytest.mark.slow
def test_what_is_stored_behind_the_end_of_an_episode_is_not_checked():
    """A discount of 0 cuts it off; a discount above 0 does not."""
    nan, q, zeros, even = jnp.nan, jnp.zeros((3, 2)), jnp.zeros(3), jnp.full((3, 2), 0.5)
    ends = jnp.array([0.5, 0.0, 0.5])
    behind = q.at[1].set(nan), jnp.array([1, -1, 0]), even.at[1].set(nan), jnp.array([0.5, nan, 0.5])
    with jloss.checks():
        jloss.td_learning(zeros, zeros, ends, zeros.at[1].set(nan))
        jloss.td_lambda(zeros, zeros, ends, zeros.at[1].set(nan))
        jloss.td_lambda(jnp.zeros((2, 3)), jnp.zeros((2, 3)), ends, jnp.zeros((2, 3)).at[:, 1].set(nan))
        jloss.retrace(q, jnp.zeros(3, int), zeros, ends, *behind)
        jloss.q_learning(q, jnp.zeros(3, int), zeros, ends, q.at[1].set(nan), q.at[1].set(nan))
        for ends_too_late in (jnp.array([0.0, 0.5, 0.0]), jnp.full(3, 0.5)):
            with pytest.raises(ValueError, match="td_lambda: `next_values` must not be NaN"):
                jloss.td_lambda(zeros, zeros, ends_too_late, zeros.at[1].set(nan))
        with pytest.raises(ValueError, match="td_learning: `rewards` must not be NaN"):
            jloss.td_learning(zeros, zeros.at[1].set(nan), ends, zeros)


@pytest.mark.slow
def test_classes_on_any_axis():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), (2, 4, 5)).transpose(0, 3, 1, 2).astype(np.float32)
    labels = rng.integers(0, 3, (2, 4, 5)).astype(np.int32)
    checked(jloss.lovasz_softmax)(probabilities, labels, axis=1)
    with jloss.checks():
        jloss.lovasz_softmax(probabilities, labels, axis=1)
    assert "from 0 to 2, got 3" in message(lambda: jloss.lovasz_softmax(probabilities, labels + 1, axis=1))


def test_a_compiled_function_is_compiled_anew_within_the_block_alone():
    traces = []

    @jax.jit
    def step(scores, signs):
        traces.append(None)
        return 2 * jloss.hinge(scores, signs)

    plain, text = step(SCORES, ZEROS), step.lower(SCORES, ZEROS).as_text()
    count = len(traces)
    assert "callback" not in text
    assert message(lambda: step(SCORES, ZEROS)).startswith("hinge: `signs`")
    assert len(traces) == count + 1
    with jloss.checks():
        assert "callback" in step.lower(SCORES, SIGNS).as_text()
        with jloss.checks(False):
            assert jloss.hinge(SCORES, ZEROS) == plain / 2
    assert step(SCORES, ZEROS) == plain
    assert len(traces) == count + 1
    assert step.lower(SCORES, ZEROS).as_text() == text


def test_a_wrong_shape_speaks_for_itself():
    assert message(lambda: jloss.hinge(SCORES, ZEROS[:2])).startswith("hinge: `signs` has batch axes (2,), but `scores` has (4,)")


def test_another_error_within_the_block_stays_what_it_is():
    def fail(x):
        raise KeyError("not ours")

    message(lambda: jloss.hinge(SCORES, ZEROS))
    with pytest.raises(jax.errors.JaxRuntimeError, match="not ours"), jloss.checks():
        jax.jit(lambda x: jax.debug.callback(fail, x))(1.0)


@pytest.mark.slow
def test_the_environment_switches_a_whole_program_on():
    program = """
import json, jax, jax.numpy as jnp, jloss
said = []
for call in (jloss.hinge, jax.jit(jloss.hinge)):
    try:
        jax.block_until_ready(call(jnp.ones(2), jnp.array([1, 0])))
    except Exception as error:
        said.append([type(error).__name__, str(error)])
print(json.dumps(said))
"""
    root = Path(jloss.__file__).parents[1]
    for switch, kinds in (("1", ["ValueError", "JaxRuntimeError"]), ("0", [])):
        environment = os.environ | {"JLOSS_CHECKS": switch, "JAX_PLATFORMS": "cpu"}
        done = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert [kind for kind, _ in said] == kinds
        assert all("hinge: `signs` must be -1 or +1, got 0.0 in example 1.\n  Of 0 and 1" in text for _, text in said)


@pytest.mark.parametrize("name", mostly_slow(LOSSES))
def test_no_false_alarm(name):
    subject = case(name)
    with jloss.checks():
        subject.loss(**subject.draw((3,)), **subject.options)


@jloss.loss("(d),(d)->()", "real sign")
def composed(scores: Array, signs: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
    return jloss.hinge(scores, signs) + jloss.squared_hinge(scores, signs)


def test_what_a_loss_calls_itself_is_not_checked_again():
    with jloss.checks():
        text = jax.jit(composed).lower(SCORES, SIGNS).as_text()
    assert text.count("stablehlo.custom_call") == 1
    assert message(lambda: composed(SCORES, ZEROS)).startswith("composed: `signs` must be -1 or +1")


def test_labels_to_ignore_are_left_out_where_the_loss_has_a_place_for_them():
    labels = jnp.array([[0, -100]])
    with jloss.checks(), pytest.raises(ValueError, match="labels to ignore are masked, as in mask=labels != -100"):
        jloss.sequence_cross_entropy(jnp.zeros((1, 2, 3)), labels)
    with jloss.checks(), pytest.raises(ValueError, match="labels to ignore are masked, as in where=labels != -100"):
        jloss.cross_entropy(jnp.zeros((1, 2, 3)), labels)


BROKEN = {"dense": {"kernel": np.float32([[1, np.nan], [2, 3]]), "bias": np.float32([1, 2])}}
POINTS = np.float32([[1, 2], [3, np.nan], [5, 6]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: jloss.l2(BROKEN), "l2: `params` must not be NaN in dense/kernel, got nan."),
        (lambda: jax.jit(jloss.l1)(BROKEN), "l1: `params` must not be NaN in dense/kernel, got nan."),
        (lambda: jax.grad(jloss.group_lasso)(BROKEN), "group_lasso: `params` must not be NaN in dense/kernel, got nan."),
        (lambda: jloss.elastic_net(np.ones(2), l1_ratio=jnp.float32(2)), "elastic_net: `l1_ratio` must be between 0 and 1, got 2.0."),
        (lambda: jloss.gradient_penalty(jnp.sum, POINTS), "gradient_penalty: `inputs` must not be NaN, got nan in example 1."),
        (
            lambda: jloss.jacobian_penalty(jnp.sin, POINTS, jax.random.key(0)),
            "jacobian_penalty: `inputs` must not be NaN, got nan in example 1.",
        ),
    ],
)
def test_penalties_are_checked_like_losses(call, said):
    assert message(call) == said


@pytest.mark.slow
def test_of_penalties_only_what_counts_is_checked():
    kept = np.array([True, False, True])
    with jloss.checks():
        assert jloss.l2(BROKEN, where=lambda path: "bias" in path) == 5
        assert np.isfinite(jloss.gradient_penalty(jnp.sum, POINTS, where=kept))
        assert np.isfinite(jloss.gradient_penalty(jnp.sum, POINTS, weights=kept.astype(np.float32)))
        assert jloss.gradient_penalty(jnp.sum, np.zeros((0, 2), np.float32)) == 0  # no examples
        assert jloss.l2({"kernel": np.float32([3]), "count": 7, "none": None}) == 9
    assert np.isnan(jloss.l2(BROKEN))
