"""Generative losses against torch.distributions, and the examples of docs/disagreements/generative.md."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "disagreements" / "generative.md").read_text()
ROWS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in PAGE.splitlines() if line.startswith("| `j")]
RNG = np.random.default_rng(8)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def factor(d):
    matrix = np.tril(normal(d, d))
    np.fill_diagonal(matrix, np.abs(np.diag(matrix)) + 0.5)
    return matrix


def divergence(make):
    """The divergence of torch, of distributions that `make` builds from the arrays of either."""

    def of(t, *arrays):
        half = len(arrays) // 2
        return t.distributions.kl_divergence(make(t, *arrays[:half]), make(t, *arrays[half:]))

    return of


PEERS = {  # our loss, the peer's, and inputs of both
    "gaussian_kl": (
        jloss.gaussian_kl,
        divergence(lambda t, m, v: t.distributions.Independent(t.distributions.Normal(m, (v / 2).exp()), 1)),
        (normal(4), normal(4), normal(4), normal(4)),
    ),
    "categorical_kl": (jloss.categorical_kl, divergence(lambda t, z: t.distributions.Categorical(logits=z)), (normal(5), normal(5))),
    "multivariate_gaussian_kl": (
        jloss.multivariate_gaussian_kl,
        divergence(lambda t, m, f: t.distributions.MultivariateNormal(m, scale_tril=f)),
        (normal(3), factor(3), normal(3), factor(3)),
    ),
    "continuous_bernoulli_nll": (
        lambda z, x: jloss.continuous_bernoulli_nll(z, x, reduction="sum"),
        lambda t, z, x: -t.distributions.ContinuousBernoulli(logits=z).log_prob(x).sum(),
        (3 * normal(6), RNG.uniform(size=6).astype(np.float32)),
    ),
    "flow_nll": (
        lambda z: jloss.flow_nll(z, jnp.zeros(())),
        lambda t, z: -t.distributions.Normal(0.0, 1.0).log_prob(z).sum(),
        (normal(5),),
    ),
    "non_saturating_generator": (
        lambda z: jloss.non_saturating_generator(z),
        lambda t, z: t.nn.functional.binary_cross_entropy_with_logits(z, t.ones_like(z)),
        (normal(6),),
    ),
    "minimax_discriminator": (
        lambda r, f: jloss.minimax_discriminator(r, f, label_smoothing=0.25),
        lambda t, r, f: (
            t.nn.functional.binary_cross_entropy_with_logits(r, t.full_like(r, 0.875))
            + t.nn.functional.binary_cross_entropy_with_logits(f, t.zeros_like(f))
        ),
        (normal(6), normal(6)),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_values_and_gradients_of_torch(name):
    torch = pytest.importorskip("torch")
    ours, theirs, arrays = PEERS[name]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    value = theirs(torch, *tensors)
    value.backward()
    got, slopes = jax.value_and_grad(ours, tuple(range(len(arrays))))(*arrays)
    np.testing.assert_allclose(got, value.item(), rtol=2e-5)
    for slope, tensor, array in zip(slopes, tensors, arrays, strict=True):
        wanted = np.tril(tensor.grad) if array.ndim == 2 else tensor.grad
        np.testing.assert_allclose(slope, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip("`")[:60] for row in ROWS])
def test_page_of_disagreements(row):
    """The example in the first column gives the number in the second."""
    example, number = row[0].strip("`"), row[1]
    value = eval(example, {"jloss": jloss, "jnp": jnp, "jax": jax, "np": np})
    numbers = np.array([float(n) for n in number.strip("`[]").split(",")]).squeeze()
    np.testing.assert_allclose(np.asarray(value, float), numbers, atol=2e-4)


def test_page_of_disagreements_has_rows():
    assert len(ROWS) >= 10
    assert all(len(row) == 5 and all(row) for row in ROWS)
