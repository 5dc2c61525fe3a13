"""Value and gradient of every loss against optax, rax and torch: time, memory, compile time, the cost of a bare call.

A row of the benchmark is one declaration: the peers' calls on the same inputs, and where no library has a peer the formula as one
would first write it in JAX ("plain"). Losses without one run alone. All timings are interleaved (jloss, optax, torch, torch, optax,
jloss, ...), and a ratio is the median over the rounds, so that a busy machine slows all alike. Below 1 means that jloss is faster.
"""

import csv
import inspect
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jloss._cli import Mistake, find, need
from jloss._loss import CATALOGUE, Entry, entry
from jloss._shapes import spatial, split_offset
from jloss.classification import cross_entropy
from jloss.testing import draw
from jloss.transforms import linear_head

SIZES = {"k": 100, "d": 128, "n": 64, "m": 64, "t": 64, "u": 16, "s0": 32, "s1": 32, "h": 32, "w": 32, "c": 3}


class Row(NamedTuple):
    """The peers of one loss, as scalar functions of the same inputs, and what differs from the usual.

    Args:
        optax: Called with the inputs in their order.
        torch: Called with `torch.nn.functional` and the inputs as tensors.
        rax: Called with `rax`, the learning-to-rank library, and the inputs.
        options: Of our loss.
        sizes: Of the core axes, where `SIZES` does not suit.
        inputs: ``(rng, size) -> arrays``, where the domains are not enough.
        plain: The formula as one would first write it in JAX.
        loss: What is measured, where it is no loss of the catalogue: a transformed one.
        gradients: How many of the inputs, from the first, get a gradient.
    """

    optax: Callable[..., Any] | None = None
    torch: Callable[..., Any] | None = None
    options: Mapping[str, Any] = {}
    sizes: Mapping[str, int] = {}
    inputs: Callable[[np.random.Generator, int], Sequence[np.ndarray]] | None = None
    plain: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    gradients: int = 1
    rax: Callable[..., Any] | None = None


ROWS: dict[str, Row] = {
    # regression
    "absolute_error": Row(torch=lambda f, p, t: f.l1_loss(p, t)),
    "squared_error": Row(
        lambda p, t: optax.squared_error(p, t).mean(), lambda f, p, t: f.mse_loss(p, t), rax=lambda r, p, t: r.pointwise_mse_loss(p, t)
    ),
    "huber": Row(lambda p, t: optax.huber_loss(p, t).mean(), lambda f, p, t: f.huber_loss(p, t)),
    "smooth_l1": Row(torch=lambda f, p, t: f.smooth_l1_loss(p, t)),
    "log_cosh": Row(lambda p, t: optax.log_cosh(p, t).mean()),
    "poisson_nll": Row(torch=lambda f, p, t: f.poisson_nll_loss(p, t)),
    "gaussian_nll": Row(torch=lambda f, p, t, v: f.gaussian_nll_loss(p, t, v)),
    # classification
    "cross_entropy": Row(
        lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x, y).mean(),
        lambda f, x, y: f.cross_entropy(x, y.long()),
    ),
    "soft_cross_entropy": Row(
        lambda x, y: optax.softmax_cross_entropy(x, y).mean(),
        lambda f, x, y: f.cross_entropy(x, y),
        rax=lambda r, x, y: r.softmax_loss(x, y),
    ),
    "nll": Row(torch=lambda f, x, y: f.nll_loss(x, y.long())),
    "binary_cross_entropy": Row(torch=lambda f, p, t: f.binary_cross_entropy(p, t)),
    "sigmoid_cross_entropy": Row(
        lambda x, y: optax.sigmoid_binary_cross_entropy(x, y).mean(),
        lambda f, x, y: f.binary_cross_entropy_with_logits(x, y),
        rax=lambda r, x, y: r.pointwise_sigmoid_loss(x, y),
    ),
    "sigmoid_focal": Row(lambda x, y: optax.sigmoid_focal_loss(x, y).mean()),
    "poly1_cross_entropy": Row(
        lambda x, y: optax.losses.poly_loss_cross_entropy(x, jax.nn.one_hot(y, x.shape[-1]), epsilon=1.0).mean(),
        rax=lambda r, x, y: r.poly1_softmax_loss(x, jax.nn.one_hot(y, x.shape[-1])),
    ),
    "sparsemax": Row(lambda x, y: optax.losses.multiclass_sparsemax_loss(x, y).mean()),
    "linear_head(cross_entropy)": Row(
        lambda h, w, y: optax.softmax_cross_entropy_with_integer_labels(h @ w.T, y).mean(),
        lambda f, h, w, y: f.cross_entropy(h @ w.T, y.long()),
        loss=linear_head(cross_entropy),
        gradients=2,
        sizes={"d": 512},
        inputs=lambda rng, size: (_normal(rng, size, 512), _normal(rng, 32000, 512) / 16, rng.integers(0, 32000, size, np.int32)),
    ),
    # margin
    "hinge": Row(lambda x, y: optax.losses.hinge_loss(x, y).mean()),
    "perceptron": Row(lambda x, y: optax.losses.perceptron_loss(x, y).mean()),
    "logistic": Row(torch=lambda f, x, y: f.soft_margin_loss(x, y)),
    "multiclass_hinge": Row(lambda x, y: optax.losses.multiclass_hinge_loss(x, y).mean()),
    "multiclass_perceptron": Row(lambda x, y: optax.losses.multiclass_perceptron_loss(x, y).mean()),
    "multi_margin": Row(torch=lambda f, x, y: f.multi_margin_loss(x, y.long())),
    "multilabel_soft_margin": Row(torch=lambda f, x, y: f.multilabel_soft_margin_loss(x, y)),
    "margin_ranking": Row(torch=lambda f, a, b, y: f.margin_ranking_loss(a, b, y)),
    "hinge_embedding": Row(torch=lambda f, x, y: f.hinge_embedding_loss(x, y)),
    # divergence
    "kl_divergence": Row(lambda p, t: optax.losses.kl_divergence(p, t).mean(), lambda f, p, t: f.kl_div(p, t, reduction="batchmean")),
    "kl_divergence_with_log_targets": Row(
        lambda p, t: optax.losses.kl_divergence_with_log_targets(p, t).mean(),
        lambda f, p, t: f.kl_div(p, t, reduction="batchmean", log_target=True),
    ),
    # boxes
    "ciou": Row(torch=lambda f, p, t: _torch_ciou(p, t)),
    # segmentation
    "dice": Row(torch=lambda f, p, y: (1 - (2 * (p * y).sum((-2, -1)) + 1e-5) / ((p + y).sum((-2, -1)) + 1e-5)).mean()),
    "lovasz_softmax": Row(torch=lambda f, p, y: _torch_lovasz(p.flatten(1, 2), y.flatten(1)), sizes={"k": 21, "s0": 256, "s1": 256}),
    # embedding
    "cosine_distance": Row(lambda p, t: optax.cosine_distance(p, t).mean(), lambda f, p, t: (1 - f.cosine_similarity(p, t)).mean()),
    "cosine_embedding": Row(torch=lambda f, p, t, y: f.cosine_embedding_loss(p, t, y)),
    "triplet_margin": Row(
        lambda a, p, n: optax.losses.triplet_margin_loss(a, p, n).mean(), lambda f, a, p, n: f.triplet_margin_loss(a, p, n)
    ),
    "batch_hard_triplet": Row(torch=lambda f, x, y: _torch_batch_hard(f, x, y), sizes={"n": 1024}),
    # contrastive: a set is one example
    "nt_xent": Row(
        torch=lambda f, a, b: _torch_nt_xent(f, a, b),
        plain=lambda a, b: jnp.mean(jax.vmap(_plain_nt_xent)(a, b)),
        sizes={"n": 4096, "d": 256},
    ),
    "clip": Row(
        torch=lambda f, a, b: _torch_clip(f, a, b),
        plain=lambda a, b: jnp.mean(jax.vmap(_plain_clip)(a, b)),
        sizes={"n": 4096, "d": 512},
    ),
    # sequence
    "ctc": Row(
        lambda x, y: optax.ctc_loss(x, jnp.zeros(x.shape[:2]), y, jnp.zeros(y.shape)).mean(),
        lambda f, x, y: f.ctc_loss(f.log_softmax(x, -1).transpose(0, 1), y, [x.shape[1]] * len(x), [y.shape[1]] * len(y), reduction="sum"),
        sizes={"t": 200, "k": 32},
        inputs=lambda rng, size: (_normal(rng, size, 200, 32), rng.integers(1, 32, (size, 40), np.int32)),
    ),
    "rnnt": Row(
        plain=lambda x, y: jnp.mean(jax.vmap(_nested_rnnt)(x, y)),
        sizes={"t": 200, "u": 50, "k": 128},
        inputs=lambda rng, size: (_normal(rng, size, 200, 51, 128), rng.integers(1, 128, (size, 50), np.int32)),
    ),
    "soft_dtw": Row(
        plain=lambda a, b: jnp.mean(jax.vmap(_nested_soft_dtw)(a, b)),
        sizes={"t": 128, "u": 128, "d": 128},
        inputs=lambda rng, size: (_normal(rng, size, 128, 2), _normal(rng, size, 128, 2)),
    ),
}


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def _nested_rnnt(logits: Any, labels: Any) -> Any:
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


def _nested_soft_dtw(first: Any, second: Any) -> Any:
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


def _torch_ciou(p: Any, t: Any) -> Any:
    """The complete IoU of corners as torchvision evaluates it: column by column, two arctangents."""
    (x0, y0, x1, y1), (a0, b0, a1, b1) = p.unbind(-1), t.unbind(-1)
    overlap = (x1.minimum(a1) - x0.maximum(a0)).clamp(min=0) * (y1.minimum(b1) - y0.maximum(b0)).clamp(min=0)
    iou = overlap / ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - overlap + 1e-7)
    diagonal = (x1.maximum(a1) - x0.minimum(a0)) ** 2 + (y1.maximum(b1) - y0.minimum(b0)) ** 2 + 1e-7
    apart = ((x0 + x1 - a0 - a1) / 2) ** 2 + ((y0 + y1 - b0 - b1) / 2) ** 2
    aspect = (4 / math.pi**2) * (((a1 - a0) / (b1 - b0)).atan() - ((x1 - x0) / (y1 - y0)).atan()) ** 2
    weight = (aspect / (1 - iou + aspect + 1e-7)).detach()
    return (1 - iou + apart / diagonal + weight * aspect).mean()


def _torch_lovasz(p: Any, labels: Any) -> Any:
    """The Lovasz softmax of (batch, pixels, classes), vectorised; all classes are present in the samples."""
    truth = (labels[..., None] == labels.new_tensor(range(p.shape[-1]))).to(p)
    errors, order = (truth - p).abs().sort(1, descending=True)
    sorted_truth = truth.gather(1, order)
    missed = truth.sum(1, keepdim=True) - sorted_truth.cumsum(1)
    score = 1 - missed / (truth.sum(1, keepdim=True) + (1 - sorted_truth).cumsum(1))
    return (errors * score.diff(dim=1, prepend=0 * score[:, :1])).sum(1).mean()


def _unit(x: Any) -> Any:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _plain_nt_xent(first: Any, second: Any) -> Any:
    """On the full matrix of cosines."""
    views, n = _unit(jnp.concatenate([first, second])), len(first)
    logits = jnp.where(jnp.eye(2 * n, dtype=bool), -jnp.inf, views @ views.T / 0.1)
    twin = jnp.concatenate([jnp.arange(n, 2 * n), jnp.arange(n)])
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(2 * n), twin])


def _plain_clip(images: Any, texts: Any) -> Any:
    """On the full matrix of logits."""
    logits = _unit(images) @ _unit(texts).T / 0.07
    return -0.5 * jnp.mean(jnp.diag(jax.nn.log_softmax(logits, axis=0)) + jnp.diag(jax.nn.log_softmax(logits, axis=1)))


def _torch_nt_xent(f: Any, first: Any, second: Any) -> Any:
    """On the full matrix, in its four blocks' order: both views, one below the other."""
    a, b = f.normalize(first, dim=-1), f.normalize(second, dim=-1)
    views = f.pad(a, (0, 0, 0, b.shape[-2])) + f.pad(b, (0, 0, a.shape[-2], 0))
    logits = views @ views.mT / 0.1
    place = _places(logits)
    others = logits.masked_fill(place == place.mT, -math.inf)
    return others.logsumexp(-1).mean() - logits.diagonal(a.shape[-2], -2, -1).mean()


def _torch_clip(f: Any, images: Any, texts: Any) -> Any:
    logits = f.normalize(images, dim=-1) @ f.normalize(texts, dim=-1).mT / 0.07
    return 0.5 * (logits.logsumexp(-1).mean() + logits.logsumexp(-2).mean()) - logits.diagonal(0, -2, -1).mean()


def _torch_batch_hard(f: Any, x: Any, labels: Any) -> Any:
    """On the full matrix of distances, differentiated, as pytorch-metric-learning does with its miner."""
    squares = (x * x).sum(-1, keepdim=True)
    distances = (squares + squares.mT - 2 * x @ x.mT).clamp(min=1e-12).sqrt()
    place = _places(distances)
    same = labels[..., None] == labels[..., None, :]
    near = distances.masked_fill(~same | (place == place.mT), -math.inf).amax(-1)
    far = distances.masked_fill(same, math.inf).amin(-1)
    usable = near.isfinite() & far.isfinite()
    violation = f.relu((near - far + 1).where(usable, near.new_zeros(())))
    return (violation.sum(-1) / usable.sum(-1)).mean()


def _places(matrix: Any) -> Any:
    """The number of each row, in a column."""
    return matrix.new_tensor(range(matrix.shape[-1]))[:, None]


class Numbers(NamedTuple):
    """A row of the table; None where there is no peer."""

    loss: str
    ms: float
    optax_ms: float | None
    optax_ratio: float | None
    torch_ms: float | None
    torch_ratio: float | None
    temporary_mb: float
    optax_temporary_mb: float | None
    moved_mb: float
    optax_moved_mb: float | None
    compile_ms: float
    optax_compile_ms: float | None
    call_us: float
    optax_call_us: float | None
    plain_ms: float | None
    plain_ratio: float | None
    plain_temporary_mb: float | None
    must_mb: float  # the inputs once, and the gradients
    masked_ratio: float  # time with `where` over time without
    rax_ms: float | None
    rax_ratio: float | None

    @property
    def best_peer(self) -> float | None:
        """Our time over that of the fastest peer."""
        ratios = [r for r in (self.optax_ratio, self.torch_ratio, self.plain_ratio, self.rax_ratio) if r]
        return max(ratios, default=None)


def measure(name: str, *, size: int = 1 << 20, device: str = "cpu", repeats: int = 15) -> Numbers:
    """The numbers of one loss.

    Args:
        name: Of the loss.
        size: How many numbers the first input has, about.
        device: A JAX platform.
        repeats: Interleaved timings.
    """
    row = ROWS.get(name, Row())
    found = entry(row.loss) if row.loss else find(name)
    if not can_measure(found):
        raise Mistake(f"{name} has parameters or a state of its own, so the benchmark has no inputs for it.")
    chip = _device(device)
    arrays = [jax.device_put(a, chip) for a in inputs_of(found, row, size)]
    tiny = [jax.device_put(a, chip) for a in inputs_of(found, row, 1)]

    def call(*inputs: Any) -> Any:
        return found.public(*inputs, **row.options)

    def masked(where: Any, *inputs: Any) -> Any:
        return found.public(*inputs, **row.options, where=where)

    values = jax.eval_shape(lambda *inputs: found.public(*inputs, **row.options, reduction="none"), *arrays)
    where = jax.device_put(np.random.default_rng(1).uniform(size=values.shape) < 0.9, chip)
    ours = _compiled(call, arrays, row.gradients)
    kept = _compiled(masked, [where, *arrays], row.gradients, first=1)
    theirs = _compiled(row.optax, arrays, row.gradients) if row.optax else None
    plain = _compiled(row.plain, arrays, row.gradients) if row.plain else None
    torch = _torch(row.torch, arrays, device, row.gradients) if row.torch else None
    rax = _rax(row.rax, arrays, row.gradients) if row.rax else None
    timed = {
        "jloss": ours.run,
        "masked": kept.run,
        "optax": theirs.run if theirs else None,
        "torch": torch,
        "plain": plain.run if plain else None,
        "rax": rax,
    }
    ms, ratios = _interleaved({by: f for by, f in timed.items() if f}, repeats)
    bare = {"jloss": lambda: jax.block_until_ready(call(*tiny))}
    if row.optax:
        peer = row.optax
        bare["optax"] = lambda: jax.block_until_ready(peer(*tiny))
    call_ms, _ = _interleaved(bare, repeats)
    return Numbers(
        name,
        ms["jloss"],
        ms.get("optax"),
        ratios.get("optax"),
        ms.get("torch"),
        ratios.get("torch"),
        ours.temporary_mb,
        theirs.temporary_mb if theirs else None,
        ours.moved_mb,
        theirs.moved_mb if theirs else None,
        ours.compile_ms,
        theirs.compile_ms if theirs else None,
        1e3 * call_ms["jloss"],
        1e3 * call_ms["optax"] if row.optax else None,
        ms.get("plain"),
        ratios.get("plain"),
        plain.temporary_mb if plain else None,
        sum(a.nbytes for a in [*arrays, *arrays[: row.gradients]]) / 1e6,
        1 / ratios["masked"],
        ms.get("rax"),
        ratios.get("rax"),
    )


def can_measure(found: Entry) -> bool:
    """Whether arrays that fit its domains are all that the loss needs."""
    return found.kind == "loss" and (found.name in ROWS or not {"tree", "key"} & {*found.domains.values()})


def inputs_of(found: Entry, row: Row, size: int) -> list[np.ndarray]:
    """The required inputs of a batch whose first input has about `size` numbers."""
    rng = np.random.default_rng(0)
    sizes = {**SIZES, **row.sizes}

    def core(name: str) -> tuple[int, ...]:
        dims = (split_offset(dim) for dim in spatial(found.inputs[name], 2))
        return tuple(int(letter) if letter.isdigit() else sizes.get(letter, 4) + offset for letter, offset in dims)

    names = _required(found)
    examples = max(1, size // math.prod(core(names[0])))
    if row.inputs:
        return list(row.inputs(rng, examples))
    drawn = (draw(found.domains[n], core(n), (examples,), rng, classes=sizes["k"], steps=sizes["t"]) for n in names)
    return [a.astype(np.float32) if getattr(a, "dtype", None) == np.float64 else a for a in drawn]


class _Compiled(NamedTuple):
    run: Callable[[], Any]
    compile_ms: float
    temporary_mb: float
    moved_mb: float


def _compiled(function: Callable[..., Any], arrays: Sequence[Any], gradients: int = 1, first: int = 0) -> _Compiled:
    """Value and gradients for so many inputs from the first, compiled, with what XLA says of it."""
    start = time.perf_counter()
    program = jax.jit(jax.value_and_grad(function, tuple(range(first, first + gradients)))).lower(*arrays).compile()
    milliseconds = 1e3 * (time.perf_counter() - start)
    memory, cost = program.memory_analysis(), program.cost_analysis() or {}
    temporary = getattr(memory, "temp_size_in_bytes", math.nan)
    return _Compiled(
        lambda: jax.block_until_ready(program(*arrays)), milliseconds, temporary / 1e6, cost.get("bytes accessed", math.nan) / 1e6
    )


def _rax(function: Callable[..., Any], arrays: Sequence[Any], gradients: int = 1) -> Callable[[], Any] | None:
    """Value and gradients by rax, or None where it is missing."""
    try:
        rax = need("rax", "oracles")
    except ImportError:
        return None
    return _compiled(lambda *inputs: function(rax, *inputs), arrays, gradients).run


def _torch(function: Callable[..., Any], arrays: Sequence[Any], device: str, gradients: int = 1) -> Callable[[], Any] | None:
    """Torch's value and gradients on the same numbers, or None where torch or its device is missing."""
    try:
        torch = need("torch", "oracles")
    except ImportError:
        return None
    on_gpu = device in ("gpu", "cuda")
    if device != "cpu" and not (on_gpu and torch.cuda.is_available()):
        return None
    inputs = [torch.tensor(np.asarray(a), device="cuda" if on_gpu else "cpu") for a in arrays]
    wanted = [a.requires_grad_() for a in inputs[:gradients]]

    def run() -> Any:
        for a in wanted:
            a.grad = None
        function(torch.nn.functional, *inputs).backward()
        if on_gpu:
            torch.cuda.synchronize()
        return [a.grad for a in wanted]

    return run


def _interleaved(functions: Mapping[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of each, and the median of jloss over each peer. A timing is long enough for the clock."""
    slowest = max(_seconds(function, 1) for function in functions.values())
    calls = max(1, min(100, int(2e-3 / max(slowest, 1e-9))))
    times = {by: np.empty(repeats) for by in functions}
    for i in range(repeats):
        for by in list(functions)[:: 1 if i % 2 else -1]:  # whoever comes second meets warm caches, or busy threads
            times[by][i] = _seconds(functions[by], calls)
    ratios = {by: float(np.median(times["jloss"] / t)) for by, t in times.items() if by != "jloss"}
    return {by: 1e3 * float(np.median(t)) for by, t in times.items()}, ratios


def _seconds(function: Callable[[], Any], calls: int) -> float:
    function()  # the threads of whoever ran before may still be spinning
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def _device(name: str) -> Any:
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        raise Mistake(f"JAX finds no device `{name}` here; it finds {', '.join(sorted({d.platform for d in jax.devices()}))}.") from None


def _required(found: Entry) -> list[str]:
    parameters = inspect.signature(found.public).parameters
    return [n for n in found.inputs if parameters[n].default is inspect.Parameter.empty]


# ---------------------------------------------------------------- what a person sees


def run(names: Sequence[str] | None = None, *, size: int, device: str, repeats: int, out: Path) -> list[Numbers]:
    """Measures with a progress bar, prints the table, and writes it as CSV and as a figure.

    Args:
        names: The losses; those that a peer has if None, and all if it is ``["all"]``.
        size: How many numbers the first input has, about.
        device: A JAX platform.
        repeats: Interleaved timings.
        out: The folder of bench.csv, bench.md and bench.png.
    """
    if size < 1 or repeats < 1:
        raise Mistake(f"--size and --repeats are 1 or more, got {size} and {repeats}.")
    bars, tables = need("rich.progress", "examples"), need("rich.table", "examples")
    console = need("rich.console", "examples").Console()
    need("matplotlib.figure", "plot")
    if names == ["all"]:
        names = [*(n for n, e in CATALOGUE.items() if can_measure(e)), *(n for n, row in ROWS.items() if row.loss)]
    names = names or list(ROWS)
    _compiled(jnp.sum, [jax.device_put(jnp.ones(2), _device(device))])  # the first compile of a process starts the compiler
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeRemainingColumn())
    results = []
    with bars.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=len(names))
        for name in names:
            shown.update(task, description=name)
            results.append(measure(name, size=size, device=device, repeats=repeats))
            shown.advance(task)
    table = tables.Table(caption=f"{device}, {size} numbers, value and gradient. {LEGEND}")
    for title in TITLES:
        table.add_column(title, justify="left" if title in ("loss", "by") else "right", no_wrap=title == "loss")
    for r in results:
        for row in _rows(r):
            table.add_row(*row)
    console.print(table)
    console.print(verdict(results), highlight=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "bench.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Numbers._fields)
        writer.writerows([r.loss, *("" if v is None else f"{v:.6g}" for v in r[1:])] for r in results)
    (out / "bench.md").write_text(markdown(results, size, device))
    figure(results).savefig(out / "bench.png", dpi=120)
    console.print(f"Wrote bench.csv, bench.md and bench.png in {out}", highlight=False, soft_wrap=True)
    return results


TITLES = ("loss", "by", "ms", "ratio", "masked", "temp MB", "moved MB", "must MB", "compile ms", "call us")
LEGEND = (
    "Ratio: the time of jloss over the peer's, below 1 is faster; masked: over the time without a mask. Temp: temporaries that XLA plans; "
    "moved: bytes that it counts; must: inputs and gradients, once. Call: a tiny array, not jitted by the caller."
)


def verdict(results: Sequence[Numbers]) -> str:
    """The geometric mean over the rows that have a peer, and the rows that lose."""
    ratios = {r.loss: r.best_peer for r in results if r.best_peer}
    if not ratios:
        return "No peer to compare with."
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    slower = [f"{n} ({ratio:.2f})" for n, ratio in sorted(ratios.items(), key=lambda item: -item[1]) if ratio > 1]
    said = f"Over {len(ratios)} rows jloss takes {mean:.2f} of the time of the fastest peer (geometric mean)."
    return f"{said} Slower: {', '.join(slower)}." if slower else f"{said} No row is slower."


def markdown(results: Sequence[Numbers], size: int, device: str) -> str:
    """The table for a page, with the machine."""
    chip = _device(device)
    versions = [f"jax {jax.__version__}", f"optax {optax.__version__}", f"Python {platform.python_version()}"]
    if any(r.torch_ms for r in results):
        versions.insert(2, f"torch {need('torch', 'oracles').__version__}")
    if any(r.rax_ms for r in results):
        versions.insert(2, f"rax {need('rax', 'oracles').__version__}")
    machine = f"{chip.device_kind if device != 'cpu' else platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    lines = [f"{machine}; {', '.join(versions)}; about {size} numbers a row; value and gradient.", "", LEGEND, "", verdict(results), ""]
    lines += [f"| {' | '.join(TITLES)} |", f"|{' --- |' * 2}{' ---: |' * (len(TITLES) - 2)}"]
    lines += [f"| {' | '.join(row)} |" for r in results for row in _rows(r)]
    return "\n".join(lines) + "\n"


def figure(results: Sequence[Numbers]) -> Any:
    """Our time over each peer's, a bar per loss; left of the line jloss is faster."""
    from jloss.plotting import new_figure

    drawn, axis = new_figure(1, 1)
    shown = [r for r in results if r.best_peer]
    drawn.set_size_inches(7.0, 1.4 + 0.34 * max(1, len(shown)))
    places = np.arange(len(shown))
    for offset, peer in ((-0.3, "optax"), (-0.1, "torch"), (0.1, "plain"), (0.3, "rax")):
        ratios = [getattr(r, f"{peer}_ratio") for r in shown]
        bars = [(at + offset, ratio) for at, ratio in zip(places, ratios, strict=True) if ratio]
        if bars:
            axis.barh([at for at, _ in bars], [ratio - 1 for _, ratio in bars], left=1.0, height=0.19, label=f"jloss / {peer}")
    axis.axvline(1.0, color="black", linewidth=1)
    axis.set_yticks(places, [r.loss for r in shown])
    axis.invert_yaxis()
    axis.set(xlabel="time of value and gradient / the peer's", title="jloss against its peers: left of the line it is faster")
    if shown:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
        axis.legend(fontsize="small")
    return drawn


def _rows(r: Numbers) -> list[list[str]]:
    """A line for jloss, and one for each peer."""
    ours = (r.ms, None, r.masked_ratio, r.temporary_mb, r.moved_mb, r.must_mb, r.compile_ms, r.call_us)
    theirs = (r.optax_ms, r.optax_ratio, None, r.optax_temporary_mb, r.optax_moved_mb, None, r.optax_compile_ms, r.optax_call_us)
    rows = [[r.loss, "jloss", *map(_text, ours)]]
    if r.optax_ms is not None:
        rows.append(["", "optax", *map(_text, theirs)])
    if r.torch_ms is not None:
        rows.append(["", "torch", *map(_text, (r.torch_ms, r.torch_ratio, *[None] * 6))])
    if r.rax_ms is not None:
        rows.append(["", "rax", *map(_text, (r.rax_ms, r.rax_ratio, *[None] * 6))])
    if r.plain_ms is not None:
        rows.append(["", "plain", *map(_text, (r.plain_ms, r.plain_ratio, None, r.plain_temporary_mb, *[None] * 4))])
    return rows


def _text(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
