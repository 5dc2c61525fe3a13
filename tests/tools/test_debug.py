"""`checked` raises named errors, inside jit too; `diagnose` says why a loss is not finite."""

from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.experimental import checkify

import jloss
from jloss.testing import checked, diagnose
from tests.cases import LOSSES, case

BAD = {  # a value outside each domain, and what is said of it
    "unit": (1.5, "must be between 0 and 1, got 1.5"),
    "positive": (-1.0, "must be greater than 0, got -1.0"),
    "nonnegative": (-1.0, "must be 0 or more, got -1.0"),
    "nonpositive": (1.0, "must be 0 or less, got 1.0"),
    "rising": (0.0, "must be numbers that rise along the last axis"),
    "above_minus_one": (-2.0, "must be greater than -1, got -2.0"),
    "sign": (0.5, "must be -1 or +1, got 0.5"),
    "class": (99, "must be a class index from 0 to 4, got 99"),
    "prob": (7.0, "must be between 0 and 1, got 7.0"),
    "log_prob": (2.0, "must be logarithms of probabilities"),
    "real": (np.nan, "must not be NaN"),
    "box": (np.nan, "must not be NaN"),
}
DOMAINS_AT_HAND = sorted({d for n in LOSSES for d in jloss.CATALOGUE[n].domains.values()} & BAD.keys())


def subject_with(domain):
    """A loss, and the name of an input of this domain."""
    for name in LOSSES:
        entry = jloss.CATALOGUE[name]
        for argument, kind in entry.domains.items():
            classes = any("k" in dims for dims in entry.inputs.values())
            if kind == domain and (domain != "class" or classes):
                return name, argument
    raise AssertionError(domain)


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS_AT_HAND)
def test_every_domain_has_a_named_error(domain):
    name, argument = subject_with(domain)
    subject = case(name)
    inputs = subject.draw((3,))
    jax.block_until_ready(checked(subject.loss)(**inputs))  # good values pass
    value, words = BAD[domain]
    bad = inputs[argument].copy()
    bad[1] = value
    with pytest.raises(checkify.JaxRuntimeError) as caught:
        checked(subject.loss)(**{**inputs, argument: bad})
    assert str(caught.value).startswith(f"{name}: `{argument}` ")
    assert words in str(caught.value)
    hidden = checked(subject.loss)(**{**inputs, argument: bad}, where=np.array([True, False, True]))
    assert np.isfinite(hidden)


def test_inside_jit():
    step = jax.jit(lambda logits, labels: 2 * checked(jloss.cross_entropy)(logits, labels))
    error, value = checkify.checkify(step)(jnp.zeros((2, 3)), jnp.array([0, 2]))
    error.throw()
    np.testing.assert_allclose(value, 2 * np.log(3), rtol=1e-6)
    error, _ = checkify.checkify(step)(jnp.zeros((2, 3)), jnp.array([0, 3]))
    assert "`labels` must be a class index from 0 to 2, got 3" in error.get()


def test_traced_options_are_checked():
    step = jax.jit(lambda smoothing: checked(jloss.cross_entropy)(jnp.zeros((2, 3)), jnp.array([0, 2]), label_smoothing=smoothing))
    error, _ = checkify.checkify(step)(1.5)
    assert "`label_smoothing` must be between 0 and 1, got 1.5" in error.get()


def test_no_cost_when_it_is_not_used():
    plain = jax.make_jaxpr(lambda x, y: jloss.cross_entropy(x, y))(jnp.zeros((2, 3)), jnp.array([0, 3]))
    assert "check" not in str(plain)


@jloss.loss("(d),(d)->()", "real real")
def naive(predictions: Array, targets: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(predictions - targets))) + jnp.exp(predictions[0])


@pytest.mark.slow
def test_diagnose_blames_the_argument():
    text = str(diagnose(jloss.cross_entropy, jnp.zeros((3, 4)), jnp.array([0, 9, 1])))
    assert text == (
        "cross_entropy: 1 of 3 examples are not finite.\n"
        "  example 1: the value is nan\n"
        "    `labels` must be a class index from 0 to 3, got 9"
    )


@pytest.mark.slow
def test_diagnose_blames_the_operation():
    predictions = jnp.array([[0.0, 1.0], [2.0, 2.0], [100.0, 0.0]])
    found = diagnose(naive, predictions, jnp.array([[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]))
    assert [f.example for f in found.findings] == [(1,), (2,)]
    assert found.findings[0].symptom == "the gradient in `predictions` is NaN"
    assert "in the gradient is `div` at test_debug.py" in found.findings[0].reason
    assert found.findings[1].symptom == "the value is inf"
    assert "`exp` at test_debug.py" in found.findings[1].reason


def test_diagnose_of_sound_inputs():
    found = diagnose(jloss.huber, jnp.ones((2, 3)), jnp.zeros((2, 3)))
    assert found
    assert str(found) == "huber: the value and every gradient of all 6 examples are finite."


def test_diagnose_finds_masked_examples_innocent():
    assert diagnose(jloss.huber, jnp.array([jnp.nan, 1.0]), jnp.zeros(2), where=jnp.array([False, True]))


@pytest.mark.slow
def test_diagnose_looks_inside_calls():
    """Of `jax.jit`, `jax.checkpoint` and a rule of its own (the angle of `ciou`), in the value and in the gradient."""
    boxes = jnp.array([[0.0, 0.0, 1e30, 1.0], [0.0, 0.0, 1.0, 1.0]])
    text = str(diagnose(jloss.ciou, boxes, jnp.array([[0.0, 0.0, 1e30, 2.0], [0.0, 0.0, 1.0, 2.0]])))
    assert "1 of 2 examples" in text
    assert "the first operation that is not finite is `" in text
    assert "_geometry.py:" in text or "guards.py:" in text
    assert diagnose(jloss.ciou, boxes[1:], boxes[1:])
