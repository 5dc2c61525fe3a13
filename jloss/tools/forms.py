"""What peers compute, as formulas in torch, optax and plain JAX, for `jloss.tools.peers`."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jloss._core.lookup import import_extra


def torch_si_sdr(p: Any, t: Any) -> Any:
    """As in auraloss."""
    p, t = p - p.mean(-1, keepdim=True), t - t.mean(-1, keepdim=True)
    scaled = t * ((p * t).sum(-1, keepdim=True) / ((t**2).sum(-1, keepdim=True) + 1e-8))
    return -10 * ((scaled**2).sum(-1) / (((p - scaled) ** 2).sum(-1) + 1e-8) + 1e-8).log10().mean()


def torch_ci_sdr(f: Any, p: Any, t: Any, taps: int = 512) -> Any:
    """As in torchmetrics: 512 equations in float64."""
    torch = import_extra("torch", "oracles")
    p, t = f.normalize(p.double(), dim=-1), f.normalize(t.double(), dim=-1)
    size = 1 << (2 * t.shape[-1] - 2).bit_length()
    spectrum = torch.fft.rfft(t, n=size)
    own, cross = (torch.fft.irfft(spectrum.conj() * torch.fft.rfft(x, n=size), n=size)[..., :taps] for x in (t, p))
    lags = torch.arange(taps, device=t.device)
    share = (cross * torch.linalg.solve(own[..., (lags[:, None] - lags).abs()], cross)).sum(-1)
    return -10 * (share / (1 - share)).log10().mean()


def torch_magnitudes(x: Any, size: int, hop: int, length: int) -> Any:
    window = x.new_tensor(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length))
    z = x.stft(size, hop, length, window, return_complex=True)
    return (z.real**2 + z.imag**2).clamp(min=1e-8).sqrt()


def torch_multi_resolution_stft(p: Any, t: Any) -> Any:
    """As in auraloss, but for spectral convergence, which is of each example here."""

    def distance(x: Any, y: Any) -> Any:
        convergence = (y - x).norm(dim=(-2, -1)) / y.norm(dim=(-2, -1))
        return convergence.mean() + (x.log() - y.log()).abs().mean()

    sizes = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    return sum(distance(torch_magnitudes(p, *size), torch_magnitudes(t, *size)) for size in sizes) / 3


def torch_mel(p: Any, t: Any, filters: Any) -> Any:
    """A spectrogram, filters, the floor, the logarithm, as torchaudio's transforms."""
    x, y = ((filters @ torch_magnitudes(s, 1024, 256, 1024)).clamp(min=1e-5).log() for s in (p, t))
    return (x - y).abs().mean()


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def torch_logistic_mixture(f: Any, weights: Any, means: Any, log_scales: Any, targets: Any, coefficients: Any) -> Any:
    """As PixelCNN++'s code has it: the density where a difference of sigmoids is below 1e-5."""
    shares, log_scales = coefficients.tanh(), log_scales.clamp(min=-7.0)
    first, second, _ = targets[..., None].unbind(1)
    taken = f.pad(shares[:, :1] * first[:, None], (0, 0, 1, 1)) + f.pad(shares[:, 1:2] * first[:, None], (0, 0, 2, 0))
    gaps = targets[..., None] - means - taken - f.pad(shares[:, 2:] * second[:, None], (0, 0, 2, 0))
    inverse = (-log_scales).exp()
    upper, lower, middle = inverse * (gaps + 1 / 255), inverse * (gaps - 1 / 255), inverse * gaps
    difference = upper.sigmoid() - lower.sigmoid()
    density = middle - log_scales - 2 * f.softplus(middle) - math.log(127.5)
    inside = difference.clamp(min=1e-12).log().where(difference > 1e-5, density)
    ends = (-f.softplus(lower)).where(targets[..., None] > 0.999, inside)
    logs = (upper - f.softplus(upper)).where(targets[..., None] < -0.999, ends)
    return -(logs.sum(1) + f.log_softmax(weights, -1)).logsumexp(-1).mean()


def optax_masked_diffusion(logits: Any, labels: Any, hidden: Any, rate: Any) -> Any:
    surprises = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return rate * jnp.mean(jnp.where(hidden, surprises, 0.0), axis=-1)


def nested_rnnt(logits: Any, labels: Any) -> Any:
    """A scan over the labels within a scan over the steps."""
    log_probs = jax.nn.log_softmax(logits)
    write = jnp.take_along_axis(log_probs[:, :-1], labels[None, :, None], axis=-1)[..., 0]

    def along(left: Any, ways: Any) -> Any:
        entered, score = ways
        here = jnp.logaddexp(entered, left + score)
        return here, here

    def row(entered: Any, scores: Any) -> Any:
        _, rest = jax.lax.scan(along, entered[0], (entered[1:], scores[0]))
        return jnp.concatenate([entered[:1], rest]) + scores[1], None

    start = jnp.full_like(write, -1e30, shape=(len(labels) + 1,)).at[0].set(0)
    return -jax.lax.scan(row, start, (write, log_probs[..., 0]))[0][-1]


def nested_soft_dtw(first: Any, second: Any) -> Any:
    """A scan over the columns within a scan over the rows."""
    costs = jnp.sum(jnp.square(first[:, None] - second[None]), axis=-1)

    def along(ways: Any, now: Any) -> Any:
        above, cost = now
        here = cost - jax.nn.logsumexp(-jnp.stack([*ways, above]))
        return (here, above), here

    def row(above: Any, costs: Any) -> Any:
        far = jnp.full_like(costs, 1e30, shape=())
        _, here = jax.lax.scan(along, (far, above[0]), (above[1:], costs))
        return jnp.concatenate([far[None], here]), None

    start = jnp.full_like(costs, 1e30, shape=(len(second) + 1,)).at[0].set(0)
    return jax.lax.scan(row, start, costs)[0][-1]


def token_log_probs(hidden: Any, kernel: Any, labels: Any) -> Any:
    """By the logits of all tokens."""
    return jnp.take_along_axis(jax.nn.log_softmax(hidden @ kernel.T), labels[..., None], axis=-1)[..., 0]


def plain_dpo(chosen: Any, rejected: Any, kernel: Any, chosen_labels: Any, rejected_labels: Any) -> Any:
    gap = jnp.sum(token_log_probs(chosen, kernel, chosen_labels) - token_log_probs(rejected, kernel, rejected_labels), axis=-1)
    return -jax.nn.log_sigmoid(0.1 * gap)


def plain_grpo(hidden: Any, kernel: Any, labels: Any, old: Any, advantages: Any) -> Any:
    ratio = jnp.exp(token_log_probs(hidden, kernel, labels) - old)
    return jnp.mean(-jnp.minimum(ratio * advantages, jnp.clip(ratio, 0.8, 1.2) * advantages), axis=-1)


def plain_td_lambda(values: Any, rewards: Any, discounts: Any, next_values: Any) -> Any:
    def step(following: Any, now: Any) -> Any:
        reward, discount, value = now
        here = reward + discount * (0.05 * value + 0.95 * following)
        return here, here

    _, returns = jax.lax.scan(step, next_values[-1], (rewards, discounts, next_values), reverse=True)
    return 0.5 * jnp.mean(jnp.square(jax.lax.stop_gradient(returns) - values))


def plain_vtrace(values: Any, rewards: Any, discounts: Any, next_values: Any, log_ratios: Any) -> Any:
    ratios = jnp.exp(log_ratios)
    gaps = jnp.minimum(1.0, ratios) * (rewards + discounts * next_values - values)

    def step(following: Any, now: Any) -> Any:
        gap, discount, trace = now
        here = gap + discount * trace * following
        return here, here

    _, errors = jax.lax.scan(step, jnp.zeros_like(gaps[0]), (gaps, discounts, jnp.minimum(1.0, ratios)), reverse=True)
    return 0.5 * jnp.mean(jnp.square(jax.lax.stop_gradient(errors + values) - values))


def plain_retrace(q: Any, actions: Any, rewards: Any, discounts: Any, next_q: Any, next_actions: Any, probs: Any, behaviour: Any) -> Any:
    def taken(table: Any, actions: Any) -> Any:
        return jnp.take_along_axis(table, actions[:, None], axis=-1)[:, 0]

    means = jnp.sum(probs * next_q, axis=-1)
    traces = jnp.minimum(1.0, taken(probs, next_actions) / (behaviour + 1e-8))
    last = rewards[-1] + discounts[-1] * means[-1]

    def step(following: Any, now: Any) -> Any:
        reward, discount, mean, trace, value = now
        here = reward + discount * (mean + trace * (following - value))
        return here, here

    before = (a[:-1] for a in (rewards, discounts, means, traces, taken(next_q, next_actions)))
    _, returns = jax.lax.scan(step, last, tuple(before), reverse=True)
    returns = jax.lax.stop_gradient(jnp.append(returns, last))
    return 0.5 * jnp.mean(jnp.square(returns - taken(q, actions)))


def plain_categorical_td(logits: Any, next_logits: Any, rewards: Any, discounts: Any, atoms: Any) -> Any:
    """With the triangular kernel between all pairs of atoms."""
    points, probs = rewards + discounts * atoms, jax.nn.softmax(next_logits)
    low, high = atoms - jnp.roll(atoms, 1), jnp.roll(atoms, -1) - atoms
    gaps = jnp.clip(points, atoms[0], atoms[-1])[None, :] - atoms[:, None]
    shares = jnp.clip(1 - jnp.where(gaps > 0, gaps / high[:, None], -gaps / low[:, None]), 0, 1)
    return -jnp.sum(jax.lax.stop_gradient(shares @ probs) * jax.nn.log_softmax(logits))


def torch_iou(p: Any, t: Any) -> tuple[Any, ...]:
    """The IoU of corners as torchvision evaluates it, column by column, and the columns."""
    corners = (*p.unbind(-1), *t.unbind(-1))
    x0, y0, x1, y1, a0, b0, a1, b1 = corners
    overlap = (x1.minimum(a1) - x0.maximum(a0)).clamp(min=0) * (y1.minimum(b1) - y0.maximum(b0)).clamp(min=0)
    union = (x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - overlap
    return overlap / (union + 1e-7), union, corners


def torch_giou(p: Any, t: Any) -> Any:
    iou, union, (x0, y0, x1, y1, a0, b0, a1, b1) = torch_iou(p, t)
    hull = (x1.maximum(a1) - x0.minimum(a0)) * (y1.maximum(b1) - y0.minimum(b0))
    return (1 - iou + (hull - union) / (hull + 1e-7)).mean()


def torch_apart(corners: Any) -> Any:
    """The squared distance of the centres over that of the hull's corners."""
    x0, y0, x1, y1, a0, b0, a1, b1 = corners
    diagonal = (x1.maximum(a1) - x0.minimum(a0)) ** 2 + (y1.maximum(b1) - y0.minimum(b0)) ** 2 + 1e-7
    return (((x0 + x1 - a0 - a1) / 2) ** 2 + ((y0 + y1 - b0 - b1) / 2) ** 2) / diagonal


def torch_diou(p: Any, t: Any) -> Any:
    iou, _, corners = torch_iou(p, t)
    return (1 - iou + torch_apart(corners)).mean()


def torch_ciou(p: Any, t: Any) -> Any:
    """With two arctangents, as in torchvision."""
    iou, _, corners = torch_iou(p, t)
    x0, y0, x1, y1, a0, b0, a1, b1 = corners
    aspect = (4 / math.pi**2) * (((a1 - a0) / (b1 - b0)).atan() - ((x1 - x0) / (y1 - y0)).atan()) ** 2
    weight = (aspect / (1 - iou + aspect + 1e-7)).detach()
    return (1 - iou + torch_apart(corners) + weight * aspect).mean()


def torch_focal(f: Any, x: Any, y: Any) -> Any:
    """As in torchvision, without its alpha, which ours leaves out by default, too."""
    p = x.sigmoid()
    surprise = f.binary_cross_entropy_with_logits(x, y, reduction="none")
    return (surprise * (1 - p * y - (1 - p) * (1 - y)) ** 2).mean()


def listed(targets: np.ndarray) -> np.ndarray:
    """The classes that hold, in front, and then -1, from multi-hot rows."""
    classes = targets.shape[-1]
    listed = np.sort(np.where(targets, np.arange(classes), classes), axis=-1)
    return np.where(listed == classes, -1, listed)


def torch_lovasz(p: Any, labels: Any) -> Any:
    """The Lovasz softmax of (batch, pixels, classes), vectorised; all classes are present in the samples."""
    truth = (labels[..., None] == labels.new_tensor(range(p.shape[-1]))).to(p)
    errors, order = (truth - p).abs().sort(1, descending=True)
    sorted_truth = truth.gather(1, order)
    missed = truth.sum(1, keepdim=True) - sorted_truth.cumsum(1)
    score = 1 - missed / (truth.sum(1, keepdim=True) + (1 - sorted_truth).cumsum(1))
    return (errors * score.diff(dim=1, prepend=0 * score[:, :1])).sum(1).mean()


def unit(x: Any) -> Any:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def plain_nt_xent(first: Any, second: Any) -> Any:
    """On the full matrix of cosines."""
    views, n = unit(jnp.concatenate([first, second])), len(first)
    logits = jnp.where(jnp.eye(2 * n, dtype=bool), -jnp.inf, views @ views.T / 0.1)
    twin = jnp.concatenate([jnp.arange(n, 2 * n), jnp.arange(n)])
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(2 * n), twin])


def plain_clip(images: Any, texts: Any) -> Any:
    """On the full matrix of logits."""
    logits = unit(images) @ unit(texts).T / 0.07
    return -0.5 * jnp.mean(jnp.diag(jax.nn.log_softmax(logits, axis=0)) + jnp.diag(jax.nn.log_softmax(logits, axis=1)))


def torch_nt_xent(f: Any, first: Any, second: Any) -> Any:
    """On the full matrix, in its four blocks' order: both views, one below the other."""
    a, b = f.normalize(first, dim=-1), f.normalize(second, dim=-1)
    views = f.pad(a, (0, 0, 0, b.shape[-2])) + f.pad(b, (0, 0, a.shape[-2], 0))
    logits = views @ views.mT / 0.1
    place = places(logits)
    others = logits.masked_fill(place == place.mT, -math.inf)
    return others.logsumexp(-1).mean() - logits.diagonal(a.shape[-2], -2, -1).mean()


def torch_clip(f: Any, images: Any, texts: Any) -> Any:
    logits = f.normalize(images, dim=-1) @ f.normalize(texts, dim=-1).mT / 0.07
    return 0.5 * (logits.logsumexp(-1).mean() + logits.logsumexp(-2).mean()) - logits.diagonal(0, -2, -1).mean()


def torch_batch_hard(f: Any, x: Any, labels: Any) -> Any:
    """On the full matrix of distances, differentiated, as pytorch-metric-learning does with its miner."""
    squares = (x * x).sum(-1, keepdim=True)
    distances = (squares + squares.mT - 2 * x @ x.mT).clamp(min=1e-12).sqrt()
    place = places(distances)
    same = labels[..., None] == labels[..., None, :]
    near = distances.masked_fill(~same | (place == place.mT), -math.inf).amax(-1)
    far = distances.masked_fill(same, math.inf).amin(-1)
    usable = near.isfinite() & far.isfinite()
    violation = f.relu((near - far + 1).where(usable, near.new_zeros(())))
    return (violation.sum(-1) / usable.sum(-1)).mean()


def places(matrix: Any) -> Any:
    """The number of each row, in a column."""
    return matrix.new_tensor(range(matrix.shape[-1]))[:, None]
