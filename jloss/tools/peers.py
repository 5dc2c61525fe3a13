"""What the benchmark compares: a row for each loss, with the calls of its peers.

Where no library has a peer, a row has the formula as one would first write it in JAX ("plain").
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jloss.audio.spectrogram import mel_filterbank
from jloss.classification.entropy import cross_entropy
from jloss.generative.discrete_diffusion import masked_diffusion
from jloss.language.preference import dpo
from jloss.reinforcement.policy import grpo
from jloss.tools import forms
from jloss.transforms.memory import linear_head

SIZES = {"k": 100, "d": 128, "n": 64, "m": 64, "t": 64, "u": 16, "s0": 32, "s1": 32, "h": 32, "w": 32, "c": 3, "e": 3, "s2": 3}


class Peers(NamedTuple):
    """The peers of one loss, as functions of the same inputs, and what differs from the usual.

    Args:
        optax: Called with the inputs in their order; gives a value for each example.
        torch: Called with `torch.nn.functional` and the inputs as tensors; gives the mean.
        rax: Called with `rax`, the learning-to-rank library, and the inputs; gives the mean.
        torch_inputs: Our inputs as torch takes them, where they differ; not timed.
        options: Of our loss.
        sizes: Of the core axes, where `SIZES` does not suit.
        inputs: ``(rng, size) -> arrays``, where the domains are not enough.
        plain: The formula as one would first write it in JAX; gives a value for each example.
        loss: What is measured, where it is no loss of the catalogue: a transformed one.
        gradients: How many of the inputs, from the first, get a gradient.
        examples: The largest batch, whatever size is asked for; 0 for any.
    """

    optax: Callable[..., Any] | None = None
    torch: Callable[..., Any] | None = None
    options: Mapping[str, Any] = {}
    sizes: Mapping[str, int] = {}
    inputs: Callable[[np.random.Generator, int], Sequence[np.ndarray]] | None = None
    plain: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    gradients: int = 1
    examples: int = 0
    rax: Callable[..., Any] | None = None
    torch_inputs: Callable[..., Sequence[np.ndarray]] | None = None


ROWS: dict[str, Peers] = {
    # regression
    "absolute_error": Peers(torch=lambda f, p, t: f.l1_loss(p, t)),
    "squared_error": Peers(optax.squared_error, lambda f, p, t: f.mse_loss(p, t), rax=lambda r, p, t: r.pointwise_mse_loss(p, t)),
    "huber": Peers(optax.huber_loss, lambda f, p, t: f.huber_loss(p, t)),
    "smooth_l1": Peers(torch=lambda f, p, t: f.smooth_l1_loss(p, t)),
    "log_cosh": Peers(optax.log_cosh),
    "poisson_nll": Peers(torch=lambda f, p, t: f.poisson_nll_loss(p, t)),
    "gaussian_nll": Peers(torch=lambda f, p, t, v: f.gaussian_nll_loss(p, t, v)),
    # classification
    "cross_entropy": Peers(
        optax.softmax_cross_entropy_with_integer_labels,
        lambda f, x, y: f.cross_entropy(x, y.long()),
    ),
    "soft_cross_entropy": Peers(
        optax.softmax_cross_entropy,
        lambda f, x, y: f.cross_entropy(x, y),
        rax=lambda r, x, y: r.softmax_loss(x, y),
    ),
    "nll": Peers(torch=lambda f, x, y: f.nll_loss(x, y.long())),
    "binary_cross_entropy": Peers(torch=lambda f, p, t: f.binary_cross_entropy(p, t)),
    "sigmoid_cross_entropy": Peers(
        optax.sigmoid_binary_cross_entropy,
        lambda f, x, y: f.binary_cross_entropy_with_logits(x, y),
        rax=lambda r, x, y: r.pointwise_sigmoid_loss(x, y),
    ),
    "sigmoid_focal": Peers(optax.sigmoid_focal_loss, lambda f, x, y: forms.torch_focal(f, x, y)),
    "poly1_cross_entropy": Peers(
        lambda x, y: optax.losses.poly_loss_cross_entropy(x, jax.nn.one_hot(y, x.shape[-1]), epsilon=1.0),
        rax=lambda r, x, y: r.poly1_softmax_loss(x, jax.nn.one_hot(y, x.shape[-1])),
    ),
    "sparsemax": Peers(optax.losses.multiclass_sparsemax_loss),
    "linear_head(cross_entropy)": Peers(
        lambda h, w, y: optax.softmax_cross_entropy_with_integer_labels(h @ w.T, y),
        lambda f, h, w, y: f.cross_entropy(h @ w.T, y.long()),
        loss=linear_head(cross_entropy),
        gradients=2,
        sizes={"d": 512},
        inputs=lambda rng, size: (forms.normal(rng, size, 512), forms.normal(rng, 32000, 512) / 16, rng.integers(0, 32000, size, np.int32)),
    ),
    # language: 2048 tokens
    "linear_head(dpo)": Peers(
        plain=lambda *inputs: forms.plain_dpo(*inputs),
        loss=linear_head(dpo),
        gradients=3,
        sizes={"t": 64, "d": 512},
        inputs=lambda rng, size: (
            *forms.normal(rng, 2, max(1, size // 2), 64, 512),
            forms.normal(rng, 32000, 512) / 16,
            *rng.integers(0, 32000, (2, max(1, size // 2), 64), np.int32),
        ),
    ),
    "linear_head(grpo)": Peers(
        plain=lambda *inputs: forms.plain_grpo(*inputs),
        loss=linear_head(grpo),
        gradients=2,
        sizes={"t": 128, "d": 512},
        inputs=lambda rng, size: (
            forms.normal(rng, size, 128, 512),
            forms.normal(rng, 32000, 512) / 16,
            rng.integers(0, 32000, (size, 128), np.int32),
            forms.normal(rng, size, 128) - 10,
            forms.normal(rng, size, 128),
        ),
    ),
    # reinforcement: as rlax computes it, vectorised; 64 sequences of 1000 steps, 4096 distributions
    "td_lambda": Peers(plain=lambda *inputs: jax.vmap(forms.plain_td_lambda)(*inputs), sizes={"t": 1000}, examples=64),
    "vtrace": Peers(plain=lambda *inputs: jax.vmap(forms.plain_vtrace)(*inputs), sizes={"t": 1000}, examples=64),
    "retrace": Peers(plain=lambda *inputs: jax.vmap(forms.plain_retrace)(*inputs), sizes={"t": 1000, "k": 4}, examples=64),
    "categorical_td": Peers(plain=lambda *inputs: jax.vmap(forms.plain_categorical_td)(*inputs), sizes={"q": 51}, examples=4096),
    # margin
    "hinge": Peers(optax.losses.hinge_loss),
    "perceptron": Peers(optax.losses.perceptron_loss),
    "logistic": Peers(torch=lambda f, x, y: f.soft_margin_loss(x, y)),
    "multiclass_hinge": Peers(optax.losses.multiclass_hinge_loss),
    "multiclass_perceptron": Peers(optax.losses.multiclass_perceptron_loss),
    "multi_margin": Peers(torch=lambda f, x, y: f.multi_margin_loss(x, y.long())),
    "multilabel_margin": Peers(
        torch=lambda f, x, y: f.multilabel_margin_loss(x, y),
        torch_inputs=lambda x, y: (x, forms.listed(y)),
        inputs=lambda rng, size: (forms.normal(rng, size, 100), rng.uniform(size=(size, 100)) < 0.05),
    ),
    "multilabel_soft_margin": Peers(torch=lambda f, x, y: f.multilabel_soft_margin_loss(x, y)),
    "margin_ranking": Peers(torch=lambda f, a, b, y: f.margin_ranking_loss(a, b, y)),
    "hinge_embedding": Peers(torch=lambda f, x, y: f.hinge_embedding_loss(x, y)),
    # divergence
    "kl_divergence": Peers(optax.losses.kl_divergence, lambda f, p, t: f.kl_div(p, t, reduction="batchmean")),
    "kl_divergence_with_log_targets": Peers(
        optax.losses.kl_divergence_with_log_targets,
        lambda f, p, t: f.kl_div(p, t, reduction="batchmean", log_target=True),
    ),
    "generalized_kl_divergence": Peers(lambda p, t: optax.losses.generalized_kl_divergence(p, t)),  # not in optax 0.2.5
    # boxes
    "giou": Peers(torch=lambda f, p, t: forms.torch_giou(p, t)),
    "diou": Peers(torch=lambda f, p, t: forms.torch_diou(p, t)),
    "ciou": Peers(torch=lambda f, p, t: forms.torch_ciou(p, t)),
    # segmentation
    "dice": Peers(torch=lambda f, p, y: (1 - (2 * (p * y).sum((-2, -1)) + 1e-5) / ((p + y).sum((-2, -1)) + 1e-5)).mean()),
    "lovasz_softmax": Peers(torch=lambda f, p, y: forms.torch_lovasz(p.flatten(1, 2), y.flatten(1)), sizes={"k": 21, "s0": 256, "s1": 256}),
    # embedding
    "cosine_distance": Peers(optax.cosine_distance, lambda f, p, t: (1 - f.cosine_similarity(p, t)).mean()),
    "cosine_embedding": Peers(torch=lambda f, p, t, y: f.cosine_embedding_loss(p, t, y)),
    "triplet_margin": Peers(optax.losses.triplet_margin_loss, lambda f, a, p, n: f.triplet_margin_loss(a, p, n)),
    "batch_hard_triplet": Peers(torch=lambda f, x, y: forms.torch_batch_hard(f, x, y), sizes={"n": 1024}),
    # contrastive: a set is one example
    "nt_xent": Peers(
        torch=lambda f, a, b: forms.torch_nt_xent(f, a, b),
        plain=lambda *inputs: jax.vmap(forms.plain_nt_xent)(*inputs),
        sizes={"n": 4096, "d": 256},
    ),
    "clip": Peers(
        torch=lambda f, a, b: forms.torch_clip(f, a, b),
        plain=lambda *inputs: jax.vmap(forms.plain_clip)(*inputs),
        sizes={"n": 4096, "d": 512},
    ),
    "supervised_contrastive": Peers(  # optax's is the same where an item has one positive
        jax.vmap(optax.losses.ntxent),
        options={"temperature": 0.07},
        inputs=lambda rng, size: (
            forms.normal(rng, size, 256, 128),
            rng.permuted(np.tile(np.arange(256) // 2, (size, 1)), axis=1).astype(np.int32),
        ),
        sizes={"n": 256},
    ),
    # sequence
    "ctc": Peers(
        lambda x, y: optax.ctc_loss(x, jnp.zeros(x.shape[:2]), y, jnp.zeros(y.shape)),
        lambda f, x, y: f.ctc_loss(f.log_softmax(x, -1).transpose(0, 1), y, [x.shape[1]] * len(x), [y.shape[1]] * len(y), reduction="sum"),
        sizes={"t": 200, "k": 32},
        inputs=lambda rng, size: (forms.normal(rng, size, 200, 32), rng.integers(1, 32, (size, 40), np.int32)),
    ),
    "rnnt": Peers(
        plain=lambda *inputs: jax.vmap(forms.nested_rnnt)(*inputs),
        sizes={"t": 200, "u": 50, "k": 128},
        inputs=lambda rng, size: (forms.normal(rng, size, 200, 51, 128), rng.integers(1, 128, (size, 50), np.int32)),
    ),
    "soft_dtw": Peers(
        plain=lambda *inputs: jax.vmap(forms.nested_soft_dtw)(*inputs),
        sizes={"t": 128, "u": 128, "d": 128},
        inputs=lambda rng, size: (forms.normal(rng, size, 128, 2), forms.normal(rng, size, 128, 2)),
    ),
    # waveform
    "si_sdr": Peers(torch=lambda f, p, t: forms.torch_si_sdr(p, t), sizes={"t": 65536}),
    "ci_sdr": Peers(
        torch=lambda f, p, t: forms.torch_ci_sdr(f, p, t),
        sizes={"t": 65536},
        inputs=lambda rng, size: (forms.normal(rng, min(size, 4), 65536), forms.normal(rng, min(size, 4), 65536)),
    ),
    # spectrogram
    "multi_resolution_stft": Peers(
        torch=lambda f, p, t: forms.torch_multi_resolution_stft(p, t),
        sizes={"t": 65536},
        inputs=lambda rng, size: (forms.normal(rng, min(size, 4), 65536), forms.normal(rng, min(size, 4), 65536)),
    ),
    "mel": Peers(
        torch=lambda f, p, t, filters: forms.torch_mel(p, t, filters),
        sizes={"t": 65536},
        inputs=lambda rng, size: (
            forms.normal(rng, min(size, 4), 65536),
            forms.normal(rng, min(size, 4), 65536),
            np.asarray(mel_filterbank(80, 1024, 22050, high=8000.0)),
        ),
    ),
    "deep_clustering": Peers(
        torch=lambda f, v, y: (
            sum(c * ((a.mT @ b) ** 2).sum((-2, -1)) for c, a, b in ((1, v, v), (-2, v, y), (1, y, y))).mean() / v.shape[-2]
        ),
        sizes={"n": 12800, "d": 20, "k": 3},
        inputs=lambda rng, size: (
            forms.normal(rng, 2 * size, 12800, 20),
            np.eye(3, dtype=np.float32)[rng.integers(0, 3, (2 * size, 12800))],
        ),
    ),
    # generative
    "discretized_logistic_mixture": Peers(  # at most 8 images of 32 x 32
        torch=lambda f, *inputs: forms.torch_logistic_mixture(f, *inputs),
        gradients=3,
        sizes={"m": 10, "c": 3},
        inputs=lambda rng, size: (
            forms.normal(rng, min(size, 8192), 10),
            forms.normal(rng, min(size, 8192), 3, 10),
            rng.uniform(-5, 0, (min(size, 8192), 3, 10)).astype(np.float32),
            (-1 + 2 * rng.integers(0, 256, (min(size, 8192), 3)) / 255).astype(np.float32),
            forms.normal(rng, min(size, 8192), 3, 10),
        ),
    ),
    "linear_head(masked_diffusion)": Peers(  # a sequence of 256 tokens is one example; half of them are hidden
        lambda h, w, y, hidden, rate: forms.optax_masked_diffusion(h @ w.T, y, hidden, rate),
        loss=linear_head(masked_diffusion),
        gradients=2,
        sizes={"d": 512, "t": 256},
        inputs=lambda rng, size: (
            forms.normal(rng, size, 256, 512),
            forms.normal(rng, 32000, 512) / 16,
            rng.integers(0, 32000, (size, 256), np.int32),
            rng.uniform(size=(size, 256)) < 0.5,
            rng.uniform(1, 3, size).astype(np.float32),
        ),
    ),
}
