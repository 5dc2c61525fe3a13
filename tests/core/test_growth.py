"""How time and memory grow with every size of every loss: no faster than the loss declares."""

from typing import Unpack

import jax
import jax.numpy as jnp
import pytest
from jax import Array, lax

import jloss
from jloss import Reduce, loss
from jloss._core.backend import hint
from jloss._core.catalogue import entry
from jloss.tools import growth
from jloss.tools.growth import Exponents, declared, exponents, letters_of
from tests.cases import FIRST, LOSSES

COUNTED = [name for name in LOSSES if "tree" not in jloss.CATALOGUE[name].domains.values()]


def faster(of, letter):
    """What grows faster with this size than is declared, in words."""
    allowed = declared(of, letter)
    found = exponents(of, letter, allowed=Exponents(*(power + growth.TOLERANCE for power in allowed)))
    for what, power, limit in zip(Exponents._fields, found, allowed, strict=True):
        if power > limit + growth.TOLERANCE:
            size = "the batch" if letter == growth.BATCH else f"`{letter}`"
            hinted = f'; if that is meant, below @loss: @hint({what}="{letter}^{round(power)}")' if letter != growth.BATCH else ""
            yield f"{of.name}: {what} grows with {size} to the power of {power:.2f}, and {limit} is declared{hinted}"


@pytest.mark.slow
@pytest.mark.sweep  # one jax is enough
@pytest.mark.parametrize("name", COUNTED)
def test_no_loss_grows_faster_than_it_declares(name):
    of = jloss.CATALOGUE[name]
    letters = dict.fromkeys([*letters_of(of), *([growth.BATCH] if name in FIRST else [])])
    found = [line for letter in letters for line in faster(of, letter)]
    assert not found, "\n".join(found)


@loss("(n),(n)->()", "real real")
def all_pairs(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    """A broadcast that was not meant."""
    return jnp.mean(jnp.square(predictions[:, None] - targets[None, :]))


@loss("(n),(n)->()", "real real")
def ranks_in_a_loop(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    """Of a loop XLA counts one round."""
    above = lax.map(lambda x: jnp.sum(x < targets, dtype=targets.dtype), lax.stop_gradient(predictions))
    return jnp.mean(jnp.square(predictions - targets) * above)


@loss("(t,d),(t,d)->()", "real real")
def covariance(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.sum(jnp.square(predictions.T @ targets))


@loss("(n),(n)->()", "real real")
@hint(time="n^2")
def meant(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return ranks_in_a_loop.__jloss__.core(predictions, targets)


@loss("(n,m),(m)->()", "real real")
def product(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.sum(jnp.square(predictions @ targets))


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (all_pairs, {"n": "time memory"}),
        (ranks_in_a_loop, {"n": "time"}),
        (covariance, {"d": "time memory"}),
        (meant, {}),
        (product, {}),
    ],
)
def test_what_grows_too_fast_is_found(planted, found):
    of = entry(planted)
    for letter in letters_of(of):
        said, words = list(faster(of, letter)), found.get(letter, "").split()
        assert len(said) == len(words), said
        for line, what in zip(said, words, strict=True):
            assert line.startswith(f"{of.name}: {what} grows with `{letter}` to the power of ")
            assert line.endswith(f', and 1 is declared; if that is meant, below @loss: @hint({what}="{letter}^2")')


def test_what_is_declared():
    """As often as a size stands in one input, or what a hint says."""
    catalogue = jloss.CATALOGUE
    assert declared(catalogue["huber"], "batch") == (1, 1)
    assert declared(catalogue["crf"], "k") == (2, 2)
    assert declared(catalogue["clip"], "n") == (2, 1)
    assert declared(catalogue["angular"], "n") == (3, 2)
    assert growth.powers("n^2 d") == {"n": 2, "d": 1}
    for name in COUNTED:
        hints = growth.hints_of(catalogue[name].core)
        words = growth.powers(hints.time) | growth.powers(hints.memory)
        assert words.keys() <= {*letters_of(catalogue[name])}, f"{name} declares {words}, its sizes are {letters_of(catalogue[name])}"


def test_operations_of_loops_branches_and_products():
    x = jnp.zeros((8, 16))

    def counted(f, *given):
        return growth.operations(jax.make_jaxpr(f)(*given).jaxpr)

    assert counted(lambda x: x @ x.T, x) == 8 * 16 + 2 * 8 * 16 * 8
    assert counted(lambda x: lax.scan(lambda c, row: (c + row, None), jnp.zeros(16), x)[0], x) == pytest.approx(8 * 16, abs=32)
    assert counted(lambda x: lax.cond(x[0, 0] > 0, jnp.sort, lambda x: x, x), x) == pytest.approx(128 * 4, abs=8)
    assert counted(jnp.sum, x) == 128
    assert counted(lambda x: x.at[2, 3].add(1.0), x) < 64
    assert growth.held(jax.make_jaxpr(lambda x: jnp.exp(x) + 1)(x).jaxpr) == 3 * 128
