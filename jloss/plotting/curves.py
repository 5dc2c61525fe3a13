"""Curves: a loss and its gradient along one number, several losses beside each other, and over two numbers."""

import functools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._core.catalogue import CATALOGUE, Entry
from jloss._core.catalogue import entry as entry_of
from jloss._core.display import meaning, summary
from jloss._core.lookup import UsageError, find_entry, import_extra, nearest
from jloss.plotting.learning import _under_imbalance, _under_outliers
from jloss.testing import samples

Loss = str | Callable[..., Any]


class Path(NamedTuple):
    """Inputs of one example as a function of one number, and what that number is."""

    inputs: Callable[[Array], dict[str, Any]]
    low: float
    high: float
    label: str


class Plane(NamedTuple):
    """Inputs and options of one example as a function of two numbers, and what these are."""

    inputs: Callable[[Array, Array], dict[str, Any]]
    spans: tuple[tuple[float, float], tuple[float, float]]
    labels: tuple[str, str]


def curve(loss: Loss, sweep: Mapping[str, Sequence[Any]] | None = None, *, axes: Any = None, **options: Any) -> Any:
    """Draws a loss and its derivative, for one or several values of an option.

    Args:
        loss: A loss or its name.
        sweep: One option and its values: ``{"delta": [0.5, 1.0, 2.0]}``.
        axes: Two axes to draw on, for the loss and the derivative; new ones if left out.
        **options: Other options of the loss.

    Returns:
        The two axes; ``axes[0].figure.savefig("huber.png")`` writes them.
    """
    function, entry, fixed = _resolve(loss)
    named = [(function, entry, {**fixed, **options}, entry.name)]
    if sweep:
        if len(sweep) != 1:
            raise UsageError(f"`sweep` is one option and its values, got {list(sweep)}.")
        ((option, values),) = sweep.items()
        if option not in entry.options:
            raise UsageError(f"{entry.name} has no option `{option}`; its options: {', '.join(entry.options) or 'none'}.")
        named = [(function, entry, {**fixed, **options, option: value}, f"{option}={value}") for value in values]
    return _draw(named, titled(entry), axes)


def compare(losses: Sequence[Loss], under: Literal["outliers", "imbalance"] | None = None, *, axes: Any = None) -> Any:
    """Draws several losses over one another, or what each of them learns from bad data.

    ``under="outliers"``: the number that minimises the mean loss to a normal sample around 0, of which more and more are replaced by
    10. ``under="imbalance"``: two normal classes at -1 and +1, of which the second gets rarer and rarer; how much of it a logistic
    regression that minimises the loss recognises.

    Args:
        losses: Losses or their names; ``functools.partial(loss, option=...)`` gives one its options.
        under: What is wrong with the data; the losses themselves and their derivatives, if left out.
        axes: Axes to draw on, two, or one with `under`; new ones if left out.

    Returns:
        The axes, two of them, or one with `under`.
    """
    named = []
    for loss in losses:
        function, entry, fixed = _resolve(loss)
        named.append((function, entry, fixed, " ".join([entry.name, *(f"{n}={v}" for n, v in fixed.items())])))
    if under is None:
        return _draw(named, "", axes)
    if under not in ("outliers", "imbalance"):
        raise UsageError(f"`under` is 'outliers' or 'imbalance', got {under!r}.")
    axis = _axes(1, 1, axes)
    for function, entry, fixed, label in named:
        learned = _under_outliers if under == "outliers" else _under_imbalance
        axis.plot(*learned(functools.partial(function, **fixed), entry), label=label)
    if under == "outliers":
        axis.set(xlabel="fraction of the targets at 10, the others around 0", ylabel="best constant prediction", title="under outliers")
    else:
        axis.set(xlabel="fraction of the rare class", ylabel="recall of the rare class", title="under imbalance", xscale="log", ylim=(0, 1))
    axis.legend(fontsize="small")
    return axis


def landscape(loss: Loss, over: tuple[str, str] | None = None, *, axes: Any = None, points: int = 61, **options: Any) -> Any:
    """Draws a loss over two numbers, as levels, with arrows downhill.

    Args:
        loss: A loss or its name.
        over: Two inputs of one number, or one and a traced option, as ``("predictions", "delta")``. If left out: predictions and
            targets; the logit of the true class and another one; the shift of a box; two coordinates of a vector.
        axes: The axes to draw on; new ones if left out.
        points: Along each side.
        **options: Options of the loss.

    Returns:
        The axes.
    """
    function, entry, fixed = _resolve(loss)
    plane = plane_of(entry, over)
    sides = [jnp.linspace(*span, points) for span in plane.spans]

    def value(a: Array, b: Array) -> Array:
        return function(**{**fixed, **options, **plane.inputs(a, b)})

    grid = jnp.meshgrid(*sides)
    both = jax.jit(jax.vmap(jax.value_and_grad(value, (0, 1))))
    levels, slopes = both(*(g.ravel() for g in grid))
    x, y = (np.asarray(g) for g in grid)
    z = np.ma.masked_invalid(np.asarray(levels).reshape(x.shape))
    downhill = [-np.asarray(s).reshape(x.shape) for s in slopes]
    axis = _axes(1, 1, axes)
    drawn = axis.contourf(x, y, z, levels=24, cmap="viridis")
    axis.figure.colorbar(drawn, ax=axis, label="loss")
    step = slice(points // 12, None, max(points // 8, 1))
    longest = max(np.nanmax(np.hypot(*(d[step, step] for d in downhill))), 1e-12)
    u, v = (d[step, step] / longest for d in downhill)
    axis.quiver(x[step, step], y[step, step], u, v, color="white", alpha=0.8, scale=18, width=0.005)
    axis.set(xlabel=plane.labels[0], ylabel=plane.labels[1])
    axis.set_title(titled(entry), loc="left", fontsize="medium")
    axis.grid(visible=False)
    return axis


def values(loss: Loss, points: int = 401, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers behind `curve`: the path's parameter, the loss, and its derivative along the path.

    Args:
        loss: A loss or its name.
        points: How many.
        **options: Options of the loss.
    """
    function, entry, fixed = _resolve(loss)
    path = path_of(entry)
    where = jnp.linspace(path.low, path.high, points)
    both = jax.vmap(jax.value_and_grad(lambda t: function(**path.inputs(t), **fixed, **options)))
    value, slope = jax.jit(both)(where)
    return np.asarray(where), np.asarray(value), np.asarray(slope)


def path_of(entry: Entry) -> Path:
    """A path of inputs on which this loss is worth looking at."""
    if entry.kind != "loss" or "tree" in entry.domains.values():
        raise UsageError(f"{entry.name} has parameters or a state of its own, so there is no curve of it.")
    names = entry.required
    first, others = names[0], names[1:]
    dims, domain = entry.inputs[first], entry.domains[first]
    if not any(entry.inputs[n] for n in names):
        return _numbers(entry, first, others)
    if dims == ("k",) and domain in ("real", "prob", "log_prob", "nonnegative", "positive"):
        return _classes(entry, first, others)
    if domain == "box" and dims == ("4",):
        box, right = jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([1.0, 0.0, 1.0, 0.0])
        return _against(entry, first, others, box, lambda t: box + t * right, (-2.0, 2.0), "shift, in box widths")
    if dims == ("d",) and domain == "real":
        east, span = jnp.array([1.0, 0.0]), (-np.pi, np.pi)
        return _against(entry, first, others, east, lambda t: jnp.stack([jnp.cos(t), jnp.sin(t)]), span, "angle between the vectors")
    if dims == ("t",) and [(entry.inputs[n], entry.domains[n]) for n in names[:2]] == [(dims, "real")] * 2:
        tone, other = _tones(samples(entry.public, batch=(), optional=False)[first].size)
        label = "angle of two tones, the second with an offset"
        return _against(entry, first, others, tone, lambda t: jnp.cos(t) * tone + jnp.sin(t) * other, (-np.pi, np.pi), label)
    if dims == ("*s",) and domain == "unit" and [(entry.inputs[n], entry.domains[n]) for n in others] == [(dims, domain)]:
        mask = jnp.zeros((8, 8)).at[2:6, 2:6].set(1.0)
        label = "probability of the truth at each pixel"
        return Path(lambda t: {first: t * mask + (1 - t) * (1 - mask), others[0]: mask}, 0.0, 1.0, label)
    return _line(entry, first)


def plane_of(entry: Entry, over: tuple[str, str] | None = None) -> Plane:
    """Two numbers over which this loss is worth looking at."""
    path = path_of(entry)
    names = entry.required
    first = names[0]
    dims, domain = entry.inputs[first], entry.domains[first]
    scalars = [n for n in names if not entry.inputs[n] and entry.domains[n] in _RANGES]
    if over is None and len(scalars) >= 2 and not dims:
        over = (scalars[0], scalars[1])
    if over is None and not dims:
        option = next((n for n, v in entry.options.items() if isinstance(v, float)), None)
        over = (first, option) if option else None
    if over is not None:
        traced = [n for n, v in entry.options.items() if isinstance(v, float)]
        if wrong := [n for n in over if n not in scalars + traced]:
            raise UsageError(f"{entry.name}: `{wrong[0]}` is not one number; there are {', '.join(scalars + traced) or 'none'}.")
        spans = tuple(_RANGES.get(entry.domains.get(n, "")) or _around(entry, n) for n in over)
        middle = jnp.asarray((path.low + path.high) / 2)
        labels = tuple(_named(entry, n) for n in over)
        return Plane(lambda a, b: {**path.inputs(middle), over[0]: a, over[1]: b}, spans, labels)  # type: ignore[arg-type]
    if domain == "box" and dims == ("4",):
        box = jnp.array([0.0, 0.0, 1.0, 1.0])

        def shifted(a: Array, b: Array) -> dict[str, Any]:
            return {**path.inputs(jnp.zeros(())), first: box + jnp.stack([a, b, a, b])}

        return Plane(shifted, ((-2.0, 2.0), (-2.0, 2.0)), ("shift to the right, in box widths", "shift down, in box heights"))
    if len(dims) == 1 and domain == "real" and dims[0] in ("k", "d"):
        start = path.inputs(jnp.zeros(()))
        base = jnp.zeros_like(start[first])
        parts = ("of the true class", "of another class") if dims == ("k",) else ("first coordinate", "second coordinate")

        def moved(a: Array, b: Array) -> dict[str, Any]:
            return {**start, first: base.at[0].set(a).at[1].set(b)}

        return Plane(moved, ((-4.0, 4.0), (-4.0, 4.0)), (f"{first}, {parts[0]}", f"{first}, {parts[1]}"))
    raise UsageError(f"{entry.name} has no plane of its own to look at; name two numbers by `over`.")


def titled(entry: Entry) -> str:
    """The name, and the line by which to choose."""
    return "\n".join([entry.name, *textwrap.wrap(summary(entry).replace("`", ""), 56)])


def new_figure(rows: int, columns: int, shown: bool = False) -> tuple[Any, Any]:
    """A figure and its axes, in the style of all pictures here; on no particular screen, unless it is to be `shown`."""
    size: dict[str, Any] = {"figsize": (5.2 * columns, 3.8 * rows), "layout": "constrained"}
    figure = import_extra("matplotlib.pyplot", "plot").figure(**size) if shown else import_extra("matplotlib.figure", "plot").Figure(**size)
    axes = figure.subplots(rows, columns)
    for axis in np.ravel(axes):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = 0.08 * max(high - low, 1e-3)
    return low - margin, high + margin


def _members(family: str) -> list[Entry]:
    found = [e for e in CATALOGUE.values() if e.family == family]
    if not found:
        known = dict.fromkeys(e.family for e in CATALOGUE.values())
        raise UsageError(f"no family is called `{family}`{nearest(family, known)}; families: {', '.join(known)}.")
    return found


def _axes(rows: int, columns: int, given: Any) -> Any:
    """New axes, or the given ones, if they are as many."""
    if given is None:
        return new_figure(rows, columns, shown=True)[1]
    if np.size(given) != rows * columns:
        raise UsageError(f"`axes`: {rows * columns} wanted, got {np.size(given)}.")
    return np.ravel(given)[0] if rows * columns == 1 else np.reshape(given, (rows, columns) if rows > 1 else (columns,))


def _draw(named: Sequence[tuple[Any, Entry, dict[str, Any], str]], title: str, axes: Any) -> Any:
    axes = _axes(1, 2, axes)
    left, right = axes
    labels = []
    for function, entry, options, label in named:
        where, value, slope = values(function, **options)
        left.plot(where, value, label=label)
        right.plot(where, slope, label=label)
        labels.append(path_of(entry).label)
    xlabel = labels[0] if len(set(labels)) == 1 else "; ".join(dict.fromkeys(labels))
    left.set(xlabel=xlabel, ylabel="loss")
    right.set(xlabel=xlabel, ylabel="derivative of the loss")
    if len(named) > 1:
        left.legend(fontsize="small")
    left.set_title(title, loc="left", fontsize="medium")
    return axes


def _named(entry: Entry, name: str) -> str:
    """An input or option with what the docstring says of it, if that is short."""
    words = meaning(entry, name)
    return f"{name}: {words[0].lower()}{words[1:]}" if words and len(words) < 30 and not words[:2].isupper() else name


def _around(entry: Entry, option: str) -> tuple[float, float]:
    """A span of an option: its limits, or a tenth to three times its default."""
    limit = entry.limits.get(option, "real")
    default = float(entry.options[option])
    if limit == "unit":
        return 0.01, 0.99
    if limit == "real":
        return default - 2.0, default + 2.0
    return (0.1 * default, 3 * default) if default > 0 else (0.05, 2.0)


# ---------------------------------------------------------------- what is learned from bad data


# ---------------------------------------------------------------- boxes and masks


def _resolve(loss: Loss) -> tuple[Callable[..., Any], Entry, dict[str, Any]]:
    if isinstance(loss, str):
        entry = find_entry(loss)
        return entry.public, entry, {}
    if isinstance(loss, functools.partial):
        return loss.func, entry_of(loss.func), dict(loss.keywords)
    return loss, entry_of(loss), {}


def _tones(count: int) -> tuple[Array, Array]:
    """A tone, and a higher one with an offset."""
    angle = 2 * np.pi * np.arange(count) / max(count, 1)
    return jnp.asarray(np.sin((count // 20 + 1) * angle), jnp.float32), jnp.asarray(0.25 + np.sin((count // 7 + 2) * angle), jnp.float32)


_RANGES = {"real": (-4.0, 4.0), "unit": (0.01, 0.99), "positive": (0.05, 4.0), "nonnegative": (0.05, 4.0), "above_minus_one": (-0.9, 4.0)}
_RANGES |= {"nonpositive": (-4.0, -0.05)}
_MATCHES = {"real": 0.0, "unit": 1.0, "sign": 1.0, "positive": 1.0, "nonnegative": 1.0, "above_minus_one": 1.0, "mask": True}
_MATCHES |= {"nonpositive": -1.0}


def _numbers(entry: Entry, first: str, others: list[str]) -> Path:
    low, high = _RANGES.get(entry.domains[first], (-4.0, 4.0))
    rest = {n: jnp.asarray(_MATCHES.get(entry.domains[n], 0.0)) for n in others}
    fixed = ", ".join(f"{n}={float(v):g}" for n, v in rest.items())
    return Path(lambda t: {first: t, **rest}, low, high, f"{_named(entry, first)}   ({fixed})" if fixed else _named(entry, first))


def _classes(entry: Entry, first: str, others: list[str]) -> Path:
    """Three classes, the first is the true one: its logit runs, or its probability."""
    hit = jnp.array([1.0, 0.0, 0.0])
    if entry.domains[first] == "real":
        low, high, label = -6.0, 6.0, f"{first} of the true class   (others 0)"
    else:
        low, high, label = 0.01, 0.99, "probability of the true class"

    def moving(t: Array) -> Array:
        if entry.domains[first] == "real":
            return t * hit
        probabilities = t * hit + (1 - t) / 2 * (1 - hit)
        return jnp.log(probabilities) if entry.domains[first] == "log_prob" else probabilities

    known: dict[str, Any] = {}
    for n in others:
        domain, dims = entry.domains[n], entry.inputs[n]
        if domain == "class" and not dims:
            known[n] = jnp.asarray(0, jnp.int32)
        elif dims == ("k",):
            known[n] = {
                "log_prob": jnp.log(jnp.array([0.998, 0.001, 0.001])),
                "positive": jnp.array([0.998, 0.001, 0.001]),
                "prob": jnp.array([0.9, 0.05, 0.05]),
                "multi_hot": hit > 0,
                "sign": 2 * hit - 1,
                "real": jnp.zeros(3),
            }.get(domain, hit)
        else:
            return _line(entry, first)
    return Path(lambda t: {first: moving(t), **known}, low, high, label)


def _against(entry: Entry, first: str, others: list[str], target: Array, moving: Any, span: tuple[float, float], label: str) -> Path:
    """The first input moves, the second stands; a third of the same kind (a triplet's negative) stands across."""
    rest: dict[str, Any] = {}
    for n in others:
        if entry.inputs[n] == entry.inputs[first]:
            rest[n] = target if not rest else jnp.roll(target, 1)
        elif entry.inputs[n] == () and entry.domains[n] in _MATCHES:
            rest[n] = jnp.asarray(_MATCHES[entry.domains[n]])
        else:
            return _line(entry, first)
    return Path(lambda t: {first: moving(t), **rest}, *span, label)


def _line(entry: Entry, first: str) -> Path:
    """Any loss: a straight line through random inputs, along which the first input moves."""
    drawn = samples(entry.public, batch=(), optional=False)
    start = jnp.asarray(drawn[first])
    if entry.domains[first] == "unit":
        other = jnp.asarray(next((drawn[n] for n in drawn if n != first and np.shape(drawn[n]) == start.shape), 1 - start), start.dtype)
        return Path(lambda t: {**drawn, first: (1 - t) * start + t * other}, 0.0, 1.0, f"{first}, from random to the second input")
    direction = np.random.default_rng(1).normal(size=start.shape).astype(start.dtype)
    direction /= max(np.linalg.norm(direction), 1e-6)
    return Path(lambda t: {**drawn, first: start + t * direction}, -3.0, 3.0, f"{first}, along a random line")
