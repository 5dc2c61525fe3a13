"""Pictures of losses: curves, landscapes, comparisons under outliers and imbalance, boxes and masks. Needs matplotlib.

Every function returns the axes it drew on, with labels from the docstrings. Without ``axes=`` it opens a pyplot figure, which a
notebook shows by itself.
"""

import contextlib
import functools
import inspect
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._cli import Mistake, find, nearest, need
from jloss._display import Table, details, meaning, summary
from jloss._loss import CATALOGUE, Entry, entry
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
    function, found, fixed = _resolve(loss)
    named = [(function, found, {**fixed, **options}, found.name)]
    if sweep:
        if len(sweep) != 1:
            raise Mistake(f"`sweep` is one option and its values, got {list(sweep)}.")
        ((option, values),) = sweep.items()
        if option not in found.options:
            raise Mistake(f"{found.name} has no option `{option}`; its options: {', '.join(found.options) or 'none'}.")
        named = [(function, found, {**fixed, **options, option: value}, f"{option}={value}") for value in values]
    return _draw(named, titled(found), axes)


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
        function, found, fixed = _resolve(loss)
        named.append((function, found, fixed, " ".join([found.name, *(f"{n}={v}" for n, v in fixed.items())])))
    if under is None:
        return _draw(named, "", axes)
    if under not in ("outliers", "imbalance"):
        raise Mistake(f"`under` is 'outliers' or 'imbalance', got {under!r}.")
    axis = _axes(1, 1, axes)
    for function, found, fixed, label in named:
        learned = _under_outliers if under == "outliers" else _under_imbalance
        axis.plot(*learned(functools.partial(function, **fixed), found), label=label)
    if under == "outliers":
        axis.set(xlabel="fraction of the targets at 10, the others around 0", ylabel="best constant prediction", title="under outliers")
    else:
        axis.set(xlabel="fraction of the rare class", ylabel="recall of the rare class", title="under imbalance", xscale="log", ylim=(0, 1))
    axis.legend(fontsize="small")
    return axis


def gallery(family: str, *, points: int = 81) -> Any:
    """Draws all losses of a family, small: each with its derivative (dashed) along a path from a match to a mismatch.

    Args:
        family: ``"regression"``, ``"boxes"``, ...; as `python -m jloss list` prints them.
        points: Of each curve.

    Returns:
        The axes, one for each loss of which a curve makes sense: not of losses of whole sets or sequences, nor of those with
        parameters or a state of their own.
    """
    paths = {}
    for found in _members(family):
        with contextlib.suppress(Mistake):
            path = path_of(found)
            if "random" not in path.label:
                paths[found.name] = path
    if not paths:
        return np.array([])

    def all_of_them(where: dict[str, Array]) -> dict[str, tuple[Array, Array]]:  # one program: compiled in a fraction of the time
        def along(n: str, t: Array) -> tuple[Array, Array]:
            return jax.jvp(lambda t: find(n).public(**paths[n].inputs(t)), (t,), (jnp.ones_like(t),))

        return {n: jax.vmap(functools.partial(along, n))(t) for n, t in where.items()}

    where = {n: jnp.linspace(path.low, path.high, points) for n, path in paths.items()}
    drawn = jax.jit(all_of_them)(where)
    columns = 4
    rows = -(-len(paths) // columns)
    figure = need("matplotlib.pyplot", "plot").figure(figsize=(12, 2.6 * rows))
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"hspace": 0.7, "wspace": 0.25}).ravel()
    for axis in axes[len(paths) :]:
        axis.set_axis_off()
    for axis, name in zip(axes, paths, strict=False):
        value, slope = (np.asarray(z) for z in drawn[name])
        axis.plot(where[name], value, "C0")
        axis.plot(where[name], slope, "C1--", linewidth=1.0)
        ends = [np.percentile(z[np.isfinite(z)], q) for z, q in ((value, [1, 99]), (slope, [8, 92])) if np.isfinite(z).any()]
        axis.set_ylim(*_widened(np.min(ends), np.max(ends)))  # steep ends would hide the rest
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("\n".join(textwrap.wrap(paths[name].label.replace("   ", " "), 34)), fontsize=7)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return axes[: len(paths)]


def describe(family: str) -> Table:
    """A table of a family for notebooks: the formula of each loss, what its gradient does, and when to use it.

    Args:
        family: ``"regression"``, ``"boxes"``, ...; as `python -m jloss list` prints them.
    """
    return details({e.name: e for e in _members(family)})


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
    function, found, fixed = _resolve(loss)
    plane = plane_of(found, over)
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
    axis.set_title(titled(found), loc="left", fontsize="medium")
    axis.grid(visible=False)
    return axis


def picture(loss: Loss, *, axes: Any = None, **options: Any) -> Any:
    """Draws a loss of boxes or masks on examples: what is predicted, the loss of it, and where the gradient pushes.

    Boxes: the target is filled, arrows show where descent moves the predicted corners. Masks: predictions above, below them the
    change that descent asks of each pixel, red for up; the contour is the target.

    Args:
        loss: A loss of boxes ``(4), (4)`` or of masks ``(*s), (*s)``, or its name.
        axes: As many axes as examples (boxes: 6; masks: 2 rows of 4); new ones if left out.
        **options: Options of the loss.

    Returns:
        The axes.
    """
    function, found, fixed = _resolve(loss)
    names = _required(found)
    loss_of = functools.partial(function, **{**fixed, **options})
    kinds = [(found.inputs[n], found.domains[n]) for n in names]
    if kinds == [(("4",), "box")] * 2:
        return _boxes(loss_of, names, titled(found), axes)
    if len(kinds) == 2 and kinds[0][0] == kinds[1][0] == ("*s",) and kinds[0][1] in ("unit", "real"):
        return _masks(loss_of, names, kinds[0][1] == "real", titled(found), axes)
    raise Mistake(f"{found.name} takes {', '.join(f'{n} ({found.domains[n]})' for n in names)}; a picture is of two boxes or two masks.")


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


def plane_of(found: Entry, over: tuple[str, str] | None = None) -> Plane:
    """Two numbers over which this loss is worth looking at."""
    path = path_of(found)
    names = _required(found)
    first = names[0]
    dims, domain = found.inputs[first], found.domains[first]
    scalars = [n for n in names if not found.inputs[n] and found.domains[n] in _RANGES]
    if over is None and len(scalars) >= 2 and not dims:
        over = (scalars[0], scalars[1])
    if over is None and not dims:
        option = next((n for n, v in found.options.items() if isinstance(v, float)), None)
        over = (first, option) if option else None
    if over is not None:
        traced = [n for n, v in found.options.items() if isinstance(v, float)]
        if wrong := [n for n in over if n not in scalars + traced]:
            raise Mistake(f"{found.name}: `{wrong[0]}` is not one number; there are {', '.join(scalars + traced) or 'none'}.")
        spans = tuple(_RANGES.get(found.domains.get(n, "")) or _around(found, n) for n in over)
        middle = jnp.asarray((path.low + path.high) / 2)
        labels = tuple(_named(found, n) for n in over)
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
    raise Mistake(f"{found.name} has no plane of its own to look at; name two numbers by `over`.")


def titled(found: Entry) -> str:
    """The name, and the line by which to choose."""
    return "\n".join([found.name, *textwrap.wrap(summary(found).replace("`", ""), 56)])


def new_figure(rows: int, columns: int, shown: bool = False) -> tuple[Any, Any]:
    """A figure and its axes, in the style of all pictures here; on no particular screen, unless it is to be `shown`."""
    size: dict[str, Any] = {"figsize": (5.2 * columns, 3.8 * rows), "layout": "constrained"}
    figure = need("matplotlib.pyplot", "plot").figure(**size) if shown else need("matplotlib.figure", "plot").Figure(**size)
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
        raise Mistake(f"no family is called `{family}`{nearest(family, known)}; families: {', '.join(known)}.")
    return found


def _axes(rows: int, columns: int, given: Any) -> Any:
    """New axes, or the given ones, if they are as many."""
    if given is None:
        return new_figure(rows, columns, shown=True)[1]
    if np.size(given) != rows * columns:
        raise Mistake(f"`axes`: {rows * columns} wanted, got {np.size(given)}.")
    return np.ravel(given)[0] if rows * columns == 1 else np.reshape(given, (rows, columns) if rows > 1 else (columns,))


def _draw(named: Sequence[tuple[Any, Entry, dict[str, Any], str]], title: str, axes: Any) -> Any:
    axes = _axes(1, 2, axes)
    left, right = axes
    labels = []
    for function, found, options, label in named:
        where, value, slope = values(function, **options)
        left.plot(where, value, label=label)
        right.plot(where, slope, label=label)
        labels.append(path_of(found).label)
    xlabel = labels[0] if len(set(labels)) == 1 else "; ".join(dict.fromkeys(labels))
    left.set(xlabel=xlabel, ylabel="loss")
    right.set(xlabel=xlabel, ylabel="derivative of the loss")
    if len(named) > 1:
        left.legend(fontsize="small")
    left.set_title(title, loc="left", fontsize="medium")
    return axes


def _named(found: Entry, name: str) -> str:
    """An input or option with what the docstring says of it, if that is short."""
    words = meaning(found, name)
    return f"{name}: {words[0].lower()}{words[1:]}" if words and len(words) < 30 and not words[:2].isupper() else name


def _around(found: Entry, option: str) -> tuple[float, float]:
    """A span of an option: its limits, or a tenth to three times its default."""
    limit = found.limits.get(option, "real")
    default = float(found.options[option])
    if limit == "unit":
        return 0.01, 0.99
    if limit == "real":
        return default - 2.0, default + 2.0
    return (0.1 * default, 3 * default) if default > 0 else (0.05, 2.0)


# ---------------------------------------------------------------- what is learned from bad data


_NORMAL = np.array([statistics.NormalDist().inv_cdf((i + 0.5) / 100) for i in range(100)])  # a sample without chance


def _under_outliers(loss: Callable[..., Any], found: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of outliers, and the constant prediction of the least mean loss."""
    names = _required(found)
    if len(names) != 2 or any(found.inputs[n] or found.domains[n] != "real" for n in names):
        raise Mistake(f"{found.name}: outliers are among real targets; needs an elementwise loss of real predictions and targets.")
    fractions, guesses = np.linspace(0.0, 0.48, 25), jnp.linspace(-2.0, 11.0, 651)
    order = np.arange(100) * 37 % 100  # so that outliers replace all parts of the sample alike
    targets = jnp.asarray(np.stack([np.where(order < 100 * f, 10.0, _NORMAL) for f in fractions]), jnp.float32)

    def best(targets: Array) -> Array:
        risks = jax.vmap(lambda guess: loss(**{names[0]: jnp.broadcast_to(guess, targets.shape), names[1]: targets}))(guesses)
        return guesses[jnp.argmin(risks)]

    return fractions, np.asarray(jax.jit(jax.vmap(best))(targets))


def _under_imbalance(loss: Callable[..., Any], found: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of the rare class, and how much of it a logistic regression recognises that minimises the loss."""
    names = _required(found)
    first, second, *others = names
    kinds = [(found.inputs[n], found.domains[n]) for n in names[:2]]
    several = kinds == [(("k",), "real"), ((), "class")]
    priors = [n for n in others if (found.inputs[n], found.domains[n]) == (("k",), "log_prob")]
    if not (several or kinds in ([((), "real"), ((), "unit")], [((), "real"), ((), "sign")])) or others != priors:
        raise Mistake(f"{found.name}: imbalance is of classes; needs a loss of logits and labels.")
    fractions = np.geomspace(0.005, 0.5, 13)
    features = jnp.asarray(np.concatenate([_NORMAL - 1, _NORMAL + 1]), jnp.float32)
    labels = jnp.asarray(np.arange(200) // 100)
    targets = labels if several else jnp.where(labels == 1, 1.0, -1.0 if kinds[1][1] == "sign" else 0.0)

    def logit(parameters: Array) -> Array:
        return parameters[0] * features + parameters[1]

    def risk(parameters: Array, fraction: Array) -> Array:
        z = logit(parameters)
        given = {first: jnp.stack([-0.5 * z, 0.5 * z], -1) if several else z, second: targets}
        given |= {n: jnp.log(jnp.stack([1 - fraction, fraction])) for n in priors}
        return loss(**given, weights=jnp.where(labels == 1, fraction, 1 - fraction)) + 1e-4 * jnp.sum(parameters**2)

    def recall(fraction: Array) -> Array:
        import optax

        descent = optax.adam(optax.cosine_decay_schedule(0.2, 300))

        def step(carry: Any, _: Any) -> tuple[Any, None]:
            parameters, state = carry
            updates, state = descent.update(jax.grad(risk)(parameters, fraction), state)
            return (parameters + updates, state), None

        start = jnp.array([1.0, 0.0])
        (parameters, _), _ = jax.lax.scan(step, (start, descent.init(start)), length=300)
        return jnp.mean(jax.nn.sigmoid(20 * logit(parameters)), where=labels == 1)

    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        return fractions, np.asarray(jax.jit(jax.vmap(recall))(jnp.asarray(fractions, jnp.float32)))


# ---------------------------------------------------------------- boxes and masks

_PREDICTED = {
    "apart": (2.6, 0.4, 3.6, 1.4),
    "overlapping": (1.0, 0.6, 2.6, 2.2),
    "too small": (0.6, 0.6, 1.4, 1.4),
    "too large": (-0.5, -0.5, 2.7, 2.5),
    "wrong shape": (-0.4, 0.6, 2.4, 1.4),
    "equal": (0.0, 0.0, 2.0, 2.0),
}


def _boxes(loss: Callable[..., Any], names: Sequence[str], title: str, axes: Any) -> Any:
    target = np.array([0.0, 0.0, 2.0, 2.0], np.float32)
    predicted = np.array(list(_PREDICTED.values()), np.float32)
    both = jax.vmap(jax.value_and_grad(lambda box: loss(**{names[0]: box, names[1]: jnp.asarray(target)})))
    value, slope = (np.asarray(x) for x in jax.jit(both)(predicted))
    axes = _axes(2, 3, axes)
    patches = need("matplotlib.patches", "plot")
    for axis, label, box, v, g in zip(axes.ravel(), _PREDICTED, predicted, value, slope, strict=True):
        for (x0, y0, x1, y1), look in ((target, {"color": "C0", "alpha": 0.3}), (box, {"fill": False, "edgecolor": "C1", "linewidth": 2})):
            axis.add_patch(patches.Rectangle((x0, y0), x1 - x0, y1 - y0, **look))
        scale = 0.8 / max(np.abs(g).max(), 1e-6) if np.abs(g).max() > 1e-5 else 0.0
        for corner in (0, 2):
            dx, dy = -scale * g[corner : corner + 2]
            if np.hypot(dx, dy) > 0.02:
                start = box[corner : corner + 2]
                axis.annotate("", (start[0] + dx, start[1] + dy), start, arrowprops={"arrowstyle": "->", "color": "C3", "linewidth": 1.8})
        axis.set(xlim=(-1.4, 4.2), ylim=(3.4, -1.4), aspect="equal", xticks=[], yticks=[], title=f"{label}: {v:.2f}")
        axis.grid(visible=False)
    axes.ravel()[0].figure.suptitle(title, fontsize="medium")
    return axes


def _masks(loss: Callable[..., Any], names: Sequence[str], are_logits: bool, title: str, axes: Any) -> Any:
    y, x = np.mgrid[:32, :32]
    sides = [np.hypot(x - cx, y - 16) / r for cx, r in ((16, 8), (21, 8), (16, 5))]
    target = (sides[0] < 1).astype(np.float32)

    def soft(distance: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(6 * (distance - 1)))

    speckled = np.where((7 * x + 11 * y + x * y) % 13 == 0, 0.6, soft(sides[0]))
    examples = {"shifted": soft(sides[1]), "too small": soft(sides[2]), "unsure": 0.3 + 0.4 * target, "speckled": speckled}
    shown = np.clip(np.stack(list(examples.values())), 0.02, 0.98).astype(np.float32)
    given = np.log(shown / (1 - shown)) if are_logits else shown
    both = jax.vmap(jax.value_and_grad(lambda mask: loss(**{names[0]: mask, names[1]: jnp.asarray(target)})))
    value, slope = (np.asarray(z) for z in jax.jit(both)(given))
    axes = _axes(2, 4, axes)
    for i, label in enumerate(examples):
        above, below = axes[:, i]
        above.imshow(shown[i], cmap="gray", vmin=0, vmax=1)
        size = max(np.abs(slope[i]).max(), 1e-12)
        below.imshow(-slope[i], cmap="RdBu_r", vmin=-size, vmax=size)
        for axis in (above, below):
            axis.contour(target, [0.5], colors="C1", linewidths=1.0)
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
        above.set_title(f"{label}: {value[i]:.2f}")
    axes[0, 0].set_ylabel("prediction")
    axes[1, 0].set_ylabel("asked change")
    axes[0, 0].figure.suptitle(title, fontsize="medium")
    return axes


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
    return Path(lambda t: {first: t, **rest}, low, high, f"{_named(found, first)}   ({fixed})" if fixed else _named(found, first))


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
                "prob": jnp.array([0.9, 0.05, 0.05]),
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
