"""Pictures of losses: the value and its derivative along a path from a match to a mismatch. Needs matplotlib."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._cli import Mistake, find, need
from jloss._loss import Entry, entry
from jloss.testing import samples

Loss = str | Callable[..., Any]


class Path(NamedTuple):
    """Inputs of one example as a function of one number, and what that number is."""

    inputs: Callable[[Array], dict[str, Any]]
    low: float
    high: float
    label: str


def curve(loss: Loss, sweep: Mapping[str, Sequence[Any]] | None = None, **options: Any) -> Any:
    """Draws a loss and its derivative, for one or several values of an option.

    Args:
        loss: A loss or its name.
        sweep: One option and its values: ``{"delta": [0.5, 1.0, 2.0]}``.
        **options: Other options of the loss.

    Returns:
        A matplotlib Figure; ``.savefig("huber.png")`` writes it.
    """
    function, found, fixed = _resolve(loss)
    named = [(function, found, {**fixed, **options}, found.name)]
    if sweep:
        if len(sweep) != 1:
            raise Mistake(f"`sweep` is one option and its values, got {list(sweep)}.")
        ((option, values),) = sweep.items()
        named = [(function, found, {**fixed, **options, option: value}, f"{option}={value}") for value in values]
    return _draw(named, found.name)


def compare(losses: Sequence[Loss]) -> Any:
    """Draws several losses over one another; ``functools.partial(loss, option=...)`` gives one its options.

    Args:
        losses: Losses or their names.

    Returns:
        A matplotlib Figure.
    """
    named = []
    for loss in losses:
        function, found, fixed = _resolve(loss)
        named.append((function, found, fixed, " ".join([found.name, *(f"{n}={v}" for n, v in fixed.items())])))
    return _draw(named, "")


def values(loss: Loss, points: int = 401, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers behind `curve`: the path's parameter, the loss, and its derivative along the path.

    Args:
        loss: A loss or its name.
        points: How many.
        **options: Options of the loss.
    """
    function, found, fixed = _resolve(loss)
    path = path_of(found)
    where = jnp.linspace(path.low, path.high, points)
    both = jax.vmap(jax.value_and_grad(lambda t: function(**path.inputs(t), **fixed, **options)))
    value, slope = jax.jit(both)(where)
    return np.asarray(where), np.asarray(value), np.asarray(slope)


def path_of(found: Entry) -> Path:
    """A path of inputs on which this loss is worth looking at."""
    if found.kind != "loss" or "tree" in found.domains.values():
        raise Mistake(f"{found.name} has parameters or a state of its own, so there is no curve of it.")
    names = _required(found)
    first, others = names[0], names[1:]
    dims, domain = found.inputs[first], found.domains[first]
    if not any(found.inputs[n] for n in names):
        return _numbers(found, first, others)
    if dims == ("k",) and domain in ("real", "prob", "log_prob", "nonnegative", "positive"):
        return _classes(found, first, others)
    if domain == "box" and dims == ("4",):
        box, right = jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([1.0, 0.0, 1.0, 0.0])
        return _against(found, first, others, box, lambda t: box + t * right, (-2.0, 2.0), "shift, in box widths")
    if dims == ("d",) and domain == "real":
        east, span = jnp.array([1.0, 0.0]), (-np.pi, np.pi)
        return _against(found, first, others, east, lambda t: jnp.stack([jnp.cos(t), jnp.sin(t)]), span, "angle between the vectors")
    if dims == ("*s",) and domain == "unit" and [(found.inputs[n], found.domains[n]) for n in others] == [(dims, domain)]:
        mask = jnp.zeros((8, 8)).at[2:6, 2:6].set(1.0)
        label = "probability of the truth at each pixel"
        return Path(lambda t: {first: t * mask + (1 - t) * (1 - mask), others[0]: mask}, 0.0, 1.0, label)
    return _line(found, first)


def new_figure(rows: int, columns: int) -> tuple[Any, Any]:
    """A figure and its axes, in the style of all pictures here, on no particular screen."""
    figure = need("matplotlib.figure", "plot").Figure(figsize=(5.2 * columns, 3.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns)
    for axis in np.ravel(axes):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw(named: Sequence[tuple[Any, Entry, dict[str, Any], str]], title: str) -> Any:
    figure, (left, right) = new_figure(1, 2)
    labels = []
    for function, found, options, label in named:
        where, value, slope = values(function, **options)
        left.plot(where, value, label=label)
        right.plot(where, slope, label=label)
        labels.append(path_of(found).label)
    xlabel = labels[0] if len(set(labels)) == 1 else "; ".join(dict.fromkeys(labels))
    left.set(xlabel=xlabel, ylabel="loss", title="loss")
    right.set(xlabel=xlabel, ylabel="derivative", title="derivative")
    if len(named) > 1:
        left.legend(fontsize="small")
    figure.suptitle(title)
    return figure


def _resolve(loss: Loss) -> tuple[Callable[..., Any], Entry, dict[str, Any]]:
    if isinstance(loss, str):
        found = find(loss)
        return found.public, found, {}
    if isinstance(loss, functools.partial):
        return loss.func, entry(loss.func), dict(loss.keywords)
    return loss, entry(loss), {}


def _required(found: Entry) -> list[str]:
    parameters = inspect.signature(found.public).parameters
    return [n for n in found.inputs if parameters[n].default is inspect.Parameter.empty]


_RANGES = {"real": (-4.0, 4.0), "unit": (0.01, 0.99), "positive": (0.05, 4.0), "nonnegative": (0.05, 4.0), "above_minus_one": (-0.9, 4.0)}
_MATCHES = {"real": 0.0, "unit": 1.0, "sign": 1.0, "positive": 1.0, "nonnegative": 1.0, "above_minus_one": 1.0, "mask": True}


def _numbers(found: Entry, first: str, others: list[str]) -> Path:
    low, high = _RANGES.get(found.domains[first], (-4.0, 4.0))
    rest = {n: jnp.asarray(_MATCHES.get(found.domains[n], 0.0)) for n in others}
    fixed = ", ".join(f"{n}={float(v):g}" for n, v in rest.items())
    return Path(lambda t: {first: t, **rest}, low, high, f"{first}   ({fixed})" if fixed else first)


def _classes(found: Entry, first: str, others: list[str]) -> Path:
    """Three classes, the first is the true one: its logit runs, or its probability."""
    hit = jnp.array([1.0, 0.0, 0.0])
    if found.domains[first] == "real":
        low, high, label = -6.0, 6.0, f"{first} of the true class   (others 0)"
    else:
        low, high, label = 0.01, 0.99, "probability of the true class"

    def moving(t: Array) -> Array:
        if found.domains[first] == "real":
            return t * hit
        probabilities = t * hit + (1 - t) / 2 * (1 - hit)
        return jnp.log(probabilities) if found.domains[first] == "log_prob" else probabilities

    known: dict[str, Any] = {}
    for n in others:
        domain, dims = found.domains[n], found.inputs[n]
        if domain == "class" and not dims:
            known[n] = jnp.asarray(0, jnp.int32)
        elif dims == ("k",):
            known[n] = {
                "log_prob": jnp.log(jnp.array([0.998, 0.001, 0.001])),
                "positive": jnp.array([0.998, 0.001, 0.001]),
                "multi_hot": hit > 0,
                "sign": 2 * hit - 1,
                "real": jnp.zeros(3),
            }.get(domain, hit)
        else:
            return _line(found, first)
    return Path(lambda t: {first: moving(t), **known}, low, high, label)


def _against(found: Entry, first: str, others: list[str], target: Array, moving: Any, span: tuple[float, float], label: str) -> Path:
    """The first input moves, the second stands; a third of the same kind (a triplet's negative) stands across."""
    rest: dict[str, Any] = {}
    for n in others:
        if found.inputs[n] == found.inputs[first]:
            rest[n] = target if not rest else jnp.roll(target, 1)
        elif found.inputs[n] == () and found.domains[n] in _MATCHES:
            rest[n] = jnp.asarray(_MATCHES[found.domains[n]])
        else:
            return _line(found, first)
    return Path(lambda t: {first: moving(t), **rest}, *span, label)


def _line(found: Entry, first: str) -> Path:
    """Any loss: a straight line through random inputs, along which the first input moves."""
    drawn = samples(found.public, batch=(), optional=False)
    drawn |= {n: np.maximum(v, 1) for n, v in drawn.items() if found.inputs[n] == ("u",)}  # class 0 is the blank
    start = jnp.asarray(drawn[first])
    if found.domains[first] == "unit":
        other = jnp.asarray(next((drawn[n] for n in drawn if n != first and np.shape(drawn[n]) == start.shape), 1 - start), start.dtype)
        return Path(lambda t: {**drawn, first: (1 - t) * start + t * other}, 0.0, 1.0, f"{first}, from random to the second input")
    direction = np.random.default_rng(1).normal(size=start.shape).astype(start.dtype)
    direction /= max(np.linalg.norm(direction), 1e-6)
    return Path(lambda t: {**drawn, first: start + t * direction}, -3.0, 3.0, f"{first}, along a random line")
