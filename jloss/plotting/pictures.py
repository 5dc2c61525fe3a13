"""Pictures of what a loss compares: boxes, masks, and all losses of a family."""

import contextlib
import functools
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._core.display import Table, details
from jloss._core.lookup import UsageError, find_entry, import_extra
from jloss.plotting.curves import Loss, _axes, _members, _resolve, _widened, path_of, titled


def gallery(family: str, *, points: int = 81) -> Any:
    """Draws all losses of a family, small: each with its derivative (dashed) along a path from a match to a mismatch.

    Args:
        family: ``"boxes"``, ``"margin"``, ...; as `python -m jloss list` prints them.
        points: Of each curve.

    Returns:
        The axes, one for each loss of which a curve makes sense: not of losses of whole sets or sequences, nor of those with
        parameters or a state of their own.
    """
    paths = {}
    for entry in _members(family):
        with contextlib.suppress(UsageError):
            path = path_of(entry)
            if "random" not in path.label:
                paths[entry.name] = path
    if not paths:
        return np.array([])

    def all_of_them(where: dict[str, Array]) -> dict[str, tuple[Array, Array]]:  # one program: compiled in a fraction of the time
        def along(n: str, t: Array) -> tuple[Array, Array]:
            return jax.jvp(lambda t: find_entry(n).public(**paths[n].inputs(t)), (t,), (jnp.ones_like(t),))

        return {n: jax.vmap(functools.partial(along, n))(t) for n, t in where.items()}

    where = {n: jnp.linspace(path.low, path.high, points) for n, path in paths.items()}
    drawn = jax.jit(all_of_them)(where)
    columns = 4
    rows = -(-len(paths) // columns)
    figure = import_extra("matplotlib.pyplot", "plot").figure(figsize=(12, 2.6 * rows))
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
        family: ``"boxes"``, ``"margin"``, ...; as `python -m jloss list` prints them.
    """
    return details({e.name: e for e in _members(family)})


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
    function, entry, fixed = _resolve(loss)
    names = entry.required
    loss_of = functools.partial(function, **{**fixed, **options})
    kinds = [(entry.inputs[n], entry.domains[n]) for n in names]
    if kinds == [(("4",), "box")] * 2:
        return _boxes(loss_of, names, titled(entry), axes)
    if len(kinds) == 2 and kinds[0][0] == kinds[1][0] == ("*s",) and kinds[0][1] in ("unit", "real"):
        return _masks(loss_of, names, kinds[0][1] == "real", titled(entry), axes)
    raise UsageError(f"{entry.name} takes {', '.join(f'{n} ({entry.domains[n]})' for n in names)}; a picture is of two boxes or two masks.")


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
    patches = import_extra("matplotlib.patches", "plot")
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
