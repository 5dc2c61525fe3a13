"""Inputs that fit a loss: ordinary ones for the laws, hard ones for the edges; NumPy arrays from fixed seeds."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from jloss._core.axes import spatial, split_offset
from jloss._core.backend import hints_of
from jloss._core.catalogue import Entry
from jloss._core.catalogue import entry as entry_of
from jloss._core.domains import DOMAINS

SIZES = {"k": 5, "n": 6, "m": 4, "d": 3, "t": 6, "u": 2, "e": 3, "h": 8, "w": 8, "c": 3, "s0": 4, "s1": 5, "s2": 3}
MAX_EXAMPLES = 160  # hard examples of one loss
Inputs = dict[str, Any]
_NONE: Mapping[str, Any] = MappingProxyType({})


def samples(
    loss: Callable[..., Any],
    *,
    batch: tuple[int, ...] = (4,),
    seed: int = 0,
    dtype: Any = np.float32,
    optional: bool = True,
    options: Mapping[str, Any] = _NONE,
) -> Inputs:
    """Inputs that fit the loss's signature and domains, as NumPy arrays. Of a loss with an option `blank`, no label is the blank.

    Args:
        loss: A loss of jloss or your own, written with `jloss.loss`.
        batch: The batch axes.
        seed: Of the random numbers.
        dtype: Of the floating inputs.
        optional: Whether to draw the inputs that may be None (masks, lengths), too.
        options: Those with which the loss is called, where they are not the default ones.
    """
    entry = entry_of(loss)
    rng = np.random.default_rng(seed)
    classes, blank = _classes(entry), blank_of(entry, options)
    lengths = _length_letters(entry)
    drawn = {}
    for name, domain in entry.domains.items():
        steps = _steps(entry, name, lengths)
        if optional or name not in entry.optional:
            value = draw(domain, tuple(sizes(entry, name)), batch, rng, classes=classes, steps=steps, blank=blank)
            drawn[name] = value.astype(dtype) if getattr(value, "dtype", None) == np.float64 else value
    return drawn


def sizes(entry: Entry, name: str) -> Iterator[int]:
    """The size of each core axis of an input in the samples; a core hints at those that the usual ones do not suit."""
    known = {**SIZES, **hints_of(entry.core).sizes}
    for dim in spatial(entry.inputs[name], entry.spatial_ndim):
        letter, offset = split_offset(dim)
        yield int(dim) if dim.isdigit() else known.get(letter, 4) + offset


def blank_of(entry: Entry, options: Mapping[str, Any] = _NONE) -> int | None:
    """The class that is no label: what a loss calls `blank`."""
    blank = {**entry.options, **options}.get("blank")
    return blank if isinstance(blank, int) else None


def draw(
    domain: str,
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    rng: np.random.Generator,
    classes: int = 5,
    steps: int = 6,
    blank: int | None = None,
) -> Any:
    """Random values of a domain, away from its singular points; lengths with an axis are counts that begin at 0 and never fall."""
    full = batch + shape
    normal = rng.normal(size=full)
    if domain in ("prob", "log_prob"):
        logs = normal - np.log(np.sum(np.exp(normal), axis=-1, keepdims=True))
        return logs if domain == "log_prob" else np.exp(logs)
    if domain in ("box", "rotated_box"):
        corner, size = rng.uniform(0.0, 1.0, (*full[:-1], 2)), rng.uniform(0.4, 1.5, (*full[:-1], 2))
        if domain == "box":
            return np.concatenate([corner, corner + size], axis=-1)
        return np.concatenate([corner, size, rng.uniform(-1.5, 1.5, (*full[:-1], 1))], axis=-1)
    if domain == "mask":
        mask = rng.uniform(size=full) < 0.75
        if shape:
            mask[..., :2] = True
        return mask
    if domain == "key":
        return jax.random.key(int(rng.integers(1 << 30)))
    if domain == "tree":
        return {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}
    if domain == "class" and blank is not None:
        return _past(blank, rng.integers(0, classes - 1, full), classes).astype(np.int32)
    if domain == "length" and shape:
        return np.sort(np.where(np.arange(shape[-1]) == 0, 0, rng.integers(0, 2, full)), axis=-1).astype(np.int32)
    return {
        "real": lambda: normal,
        "unit": lambda: rng.uniform(0.05, 0.95, full),
        "positive": lambda: np.exp(0.5 * normal),
        "nonnegative": lambda: np.exp(0.5 * normal),
        "nonpositive": lambda: -np.exp(0.5 * normal),
        "above_minus_one": lambda: rng.uniform(-0.5, 2.0, full),
        "rising": lambda: np.cumsum(rng.uniform(0.4, 1.6, full), axis=-1) - full[-1] / 2,
        "sign": lambda: np.where(rng.uniform(size=full) < 0.5, -1.0, 1.0),
        "multi_hot": lambda: rng.uniform(size=full) < 0.5,
        "class": lambda: rng.integers(0, classes, full).astype(np.int32),
        "group": lambda: rng.integers(-1, classes - 1, full).astype(np.int32),
        "length": lambda: rng.integers(max(1, steps - 2), steps + 1, full).astype(np.int32),
    }[domain]()


def _letter(dim: str) -> str:
    return dim if dim == "*s" else split_offset(dim)[0]


def _classes(entry: Entry) -> int:
    return SIZES["k"] if any("k" in map(_letter, dims) for dims in entry.inputs.values()) else 3


def _past(blank: int, labels: np.ndarray, classes: int) -> np.ndarray:
    """The labels, of one class less than there are, with those from the blank on moved by one."""
    return labels + (labels >= blank % classes)


def hard_samples(loss: Callable[..., Any], *, seed: int = 0, options: Mapping[str, Any] = _NONE) -> tuple[Inputs, int] | None:
    """A batch of hard examples, the product of those of each input or a part of it, and their number; None for a pytree input."""
    entry = entry_of(loss)
    if "tree" in entry.domains.values():
        return None
    classes, blank = _classes(entry), blank_of(entry, options)
    lengths = _length_letters(entry)
    columns = []
    for name, domain in entry.domains.items():
        steps = _steps(entry, name, lengths)
        columns.append(hard(domain, tuple(sizes(entry, name)), classes, steps, blank))
    product = list(itertools.product(*columns))
    if len(product) > MAX_EXAMPLES:
        chosen = np.random.default_rng(seed).choice(len(product), MAX_EXAMPLES, replace=False)
        product = [product[i] for i in sorted(chosen)]
    narrow = {"f": np.float32, "i": np.int32}
    batch: Inputs = {}
    for i, (name, domain) in enumerate(entry.domains.items()):
        column = [row[i] for row in product]
        if DOMAINS[domain].kind == "any":
            batch[name] = column[0]
        else:
            array = np.stack(column)
            batch[name] = array.astype(narrow.get(array.dtype.kind, array.dtype))
    return batch, len(product)


def hard(domain: str, shape: tuple[int, ...], classes: int = 5, steps: int = 6, blank: int | None = None) -> list[Any]:
    """The hard examples of a domain: zeros, ties, spikes, the ends of its range, empty and huge boxes."""
    if domain == "class" and blank is not None:
        return [_past(blank, labels, classes) for labels in hard(domain, shape, classes - 1)]
    zeros, ones = np.zeros(shape), np.ones(shape)
    count = int(np.prod(shape, dtype=int))
    ramp = np.arange(count).reshape(shape)
    spike = zeros.copy()
    if shape:
        spike[(0,) * len(shape)] = 1.0
    last = shape[-1] if shape else 1
    table: dict[str, list[Any]] = {
        "real": [zeros, ones, -ones, spike, 1e4 * spike, -1e4 * spike, 1e-30 * ones, 1e-4 * ramp, 30.0 * np.sin(ramp), 1e4 * ones],
        "unit": [zeros, ones, 0.5 * ones, 1e-30 * ones, spike, ramp % 2, np.full(shape, 1 - 2.0**-24)],
        "positive": [ones, 1e-6 * ones, 1e4 * ones, 1.0 + ramp],
        "nonnegative": [zeros, ones, 1e-6 * ones, 1e4 * ones, 1.0 * ramp],
        "nonpositive": [zeros, -ones, -1e-6 * ones, -1e-30 * ones, -1e4 * ones, -1.0 - ramp],
        "above_minus_one": [zeros, ones, -0.999 * ones, 1e4 * ones],
        "rising": [1.0 * ramp, -1e4 + 1e4 * ramp, 1e-4 * ramp, ramp**2 - 2.0],
        "sign": [ones, -ones, np.where(ramp % 2 == 0, 1.0, -1.0)],
        "class": [zeros.astype(int), np.full(shape, classes - 1), (ramp % classes).astype(int)],
        "group": [zeros.astype(int), ramp, (ramp % classes).astype(int), np.where(ramp % 2 == 0, -(2**31), 2**31 - 1)],
        "multi_hot": [zeros, ones, spike, ramp % 2 == 0],
        "mask": [np.ones(shape, bool), np.zeros(shape, bool), spike > 0, ramp % 2 == 0],
        "length": [np.full(shape, steps), np.zeros(shape, int), np.ones(shape, int)],
        "key": [jax.random.key(0)],
    }
    if domain in ("prob", "log_prob"):
        uniform, sure, two = ones / last, zeros.copy(), zeros.copy()
        sure[..., 0] = 1.0
        two[..., :2] = 0.5
        other = zeros.copy()
        other[..., -1] = 1.0
        skew = np.exp(-3.0 * np.arange(last)) * ones
        rows: list[Any] = [uniform, sure, two, other, skew / skew.sum(-1, keepdims=True)]
        if domain == "prob":
            return rows
        with np.errstate(divide="ignore"):
            return [np.log(row) for row in rows]
    if domain == "box":
        boxes = [(0, 0, 1, 1), (0, 0, 2, 2), (0.5, 0.5, 1.5, 1.5), (1, 0, 2, 1), (3, 3, 4, 5), (0, 0, 0, 0), (0, 0, 2, 0), (0, 0, 0, 2)]
        boxes += [(2, 2, 0, 0), (-1e4, -1e4, 1e4, 1e4), (0, 0, 1e-4, 1e-4), (0.25, 0.25, 0.75, 0.75), (1e4, 1e4, 1e4 + 10, 1e4 + 20)]
        return [np.broadcast_to(np.asarray(b, float), shape) for b in boxes]
    if domain == "rotated_box":
        turned: list[Any] = [
            (0, 0, 1, 1, 0),
            (0, 0, 2, 1, 0.5),
            (5, 5, 2, 1, -3.0),
            (0, 0, 0, 1, 0),
            (0, 0, 0, 0, 0),
            (0, 0, 1e4, 1e3, 1),
            (0, 0, 1e-4, 1e-4, 0),
        ]
        return [np.broadcast_to(np.asarray(b, float), shape) for b in turned]
    return table[domain]


def start_and_end(entry: Entry, drawn: Callable[[int], Inputs]) -> tuple[Inputs, list[str]]:
    """A batch of the points where networks start and end, and their names: zeros, constants, whole numbers, ties, exact matches.

    `drawn` gives as many ordinary examples as it is asked for; what is not a floating number stays as drawn.
    """
    plan = list(SCENES)
    batch = drawn(len(plan))
    floats = [n for n, d in entry.domains.items() if d in _PLAIN and np.asarray(batch[n]).dtype.kind == "f"]
    moved = {n: np.array(batch[n]) for n in floats}
    for i, scene in enumerate(plan):
        for n in floats:
            first = n == next(iter(entry.inputs))
            moved[n][i] = _PLAIN[entry.domains[n]](SCENES[scene](batch[n][i], first))
        for n in floats[1:] if scene.startswith(("match", "opposite")) else ():
            like = [m for m in floats[: floats.index(n)] if entry.inputs[m] == entry.inputs[n]]
            if like:
                match = -moved[like[0]][i] if scene == "opposite" else moved[like[0]][i]
                moved[n][i] = _PLAIN[entry.domains[n]](match)
    return {**batch, **moved}, plan


def _tied(x: np.ndarray, first: bool) -> np.ndarray:
    """Items in equal pairs, or equal numbers."""
    return np.repeat(x[::2], 2, axis=0)[: len(x)] if x.ndim else x


SCENES: dict[str, Callable[[np.ndarray, bool], np.ndarray]] = {
    "zeros": lambda x, first: np.zeros_like(x),
    "ones": lambda x, first: np.ones_like(x),
    "a constant": lambda x, first: np.full_like(x, 0.75),
    "whole numbers": lambda x, first: np.round(x),
    "half zeros": lambda x, first: x * (np.arange(x.size).reshape(x.shape) % 2),
    "ties": _tied,
    "ties of whole numbers": lambda x, first: np.round(_tied(x, first)),
    "match": lambda x, first: x,
    "match of whole numbers": lambda x, first: np.round(2 * x),
    "opposite": lambda x, first: x,
    "zeros against any": lambda x, first: np.zeros_like(x) if first else x,
    "any against zeros": lambda x, first: x if first else np.zeros_like(x),
}


def _sums_to_one(x: np.ndarray) -> np.ndarray:
    size = np.abs(x) + (np.sum(np.abs(x), axis=-1, keepdims=True) == 0)
    return size / np.sum(size, axis=-1, keepdims=True)


def _box(x: np.ndarray) -> np.ndarray:
    """A box of these corners, with sides of 1 where they would be empty."""
    low = np.minimum(x[..., :2], x[..., 2:])
    side = np.abs(x[..., 2:] - x[..., :2])
    return np.concatenate([low, low + np.where(side == 0, 1, side)], axis=-1)


def _rotated_box(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x[..., :2], np.where(x[..., 2:4] == 0, 1, np.abs(x[..., 2:4])), x[..., 4:]], axis=-1)


def _between(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.clip(x, low, high)


_PLAIN: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # what makes any numbers ones of the domain
    "real": lambda x: x,
    "positive": lambda x: np.where(x == 0, 1, np.abs(x)),
    "nonnegative": np.abs,
    "nonpositive": lambda x: -np.abs(x),
    "one_or_more": lambda x: 1 + np.abs(x),
    "rising": lambda x: np.sort(x, axis=-1) + np.arange(x.shape[-1]),
    "unit": _between(0, 1),
    "above_minus_one": lambda x: np.where(x <= -1, 1, x),
    "prob": _sums_to_one,
    "log_prob": lambda x: np.log(_sums_to_one(np.exp(x))),
    "box": _box,
    "rotated_box": _rotated_box,
}


def _steps(entry: Entry, name: str, lengths: Iterator[str]) -> int:
    """What a length counts at most; 0 for other inputs, and for a count at each step."""
    return SIZES[next(lengths, "t")] if entry.domains[name] == "length" and not entry.inputs[name] else 0


def _length_letters(entry: Entry) -> Iterator[str]:
    """The letters that length inputs count, in their order."""
    return iter([letter for letter in ("t", "u", "n") if any(letter in map(_letter, dims) for dims in entry.inputs.values())])
