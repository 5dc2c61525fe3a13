"""Boxes that descend from a disjoint start under each IoU loss: the table and the paths of the vision notebook."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jloss

START = (2.0, 3.0, 14.0, 9.0)  # disjoint from the target, of another shape, off its axes
TARGET = (30.0, 20.0, 40.0, 40.0)
IMAGE = (64.0, 64.0)  # height and width

LOSSES: dict[str, Callable[..., Any]] = {
    "iou": jloss.iou,
    "log_iou": jloss.log_iou,
    "giou": jloss.giou,
    "diou": jloss.diou,
    "ciou": jloss.ciou,
    "eiou": jloss.eiou,
    "focal_eiou": jloss.focal_eiou,
    "alpha_iou (ciou)": lambda p, t, **k: jloss.alpha_iou(p, t, base="ciou", **k),
    "siou": jloss.siou,
    "wiou_v1": jloss.wiou_v1,
    "mpdiou": lambda p, t, **k: jloss.mpdiou(p, t, jnp.asarray(IMAGE), **k),
    "inner_iou": jloss.inner_iou,
    "shape_iou": jloss.shape_iou,
    "nwd": jloss.nwd,
}

ROTATED_START, ROTATED_TARGET = (10.0, 10.0, 12.0, 6.0, 0.0), (30.0, 20.0, 10.0, 20.0, 0.6)  # centre, sides, radians
ROTATED: dict[str, Callable[..., Any]] = {
    "gwd": jloss.gwd,
    "rotated_kld": jloss.rotated_kld,
    "kfiou": jloss.kfiou,
    "probiou": jloss.probiou,
    "bhattacharyya": jloss.bhattacharyya,
}


class Descent(NamedTuple):
    """What became of one box."""

    steps: int | None  # until the IoU exceeds the goal; None if never
    boxes: np.ndarray  # (steps + 1, 4)
    overlaps: np.ndarray  # (steps + 1,)


def descend(
    loss: Callable[..., Any],
    start: Any = START,
    target: Any = TARGET,
    *,
    steps: int = 1000,
    goal: float = 0.9,
    learning_rate: float = 0.2,
    measure: Callable[..., Any] | None = None,
) -> Descent:
    """Lets Adam move the corners of a box from `start` down `loss` and counts the steps to an IoU above `goal`.

    The rate is cooled to nothing on a cosine, so that losses with a kink at the match come to rest.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    start, target = jnp.asarray(start, jnp.float32), jnp.asarray(target, jnp.float32)
    measure = measure or (lambda box: 1 - jloss.iou(box, target))

    def step(carry: Any, _: None) -> tuple[Any, Any]:
        box, state = carry
        updates, state = optimizer.update(jax.grad(loss)(box, target), state)
        moved = optax.apply_updates(box, updates)
        return (moved, state), (box, measure(box))

    @jax.jit
    def run(box: Any) -> Any:
        return jax.lax.scan(step, (box, optimizer.init(box)), None, length=steps + 1)[1]

    boxes, overlaps = (np.asarray(a) for a in run(start))
    reached = np.flatnonzero(overlaps > goal)
    return Descent(int(reached[0]) if reached.size else None, boxes, overlaps)


def table(**settings: Any) -> dict[str, Descent]:
    """`descend` under every loss of axis-aligned boxes."""
    return {name: descend(loss, **settings) for name, loss in LOSSES.items()}


def rotated_table(**settings: Any) -> dict[str, Descent]:
    """`descend` under every loss of rotated boxes; the overlap is one minus the Hellinger distance."""
    target = jnp.asarray(ROTATED_TARGET)

    def measure(box: Any) -> Any:
        return 1 - jloss.probiou(box, target)

    return {name: descend(loss, ROTATED_START, target, measure=measure, **settings) for name, loss in ROTATED.items()}


if __name__ == "__main__":
    for name, found in (table() | rotated_table()).items():
        print(f"{name:18}{'never' if found.steps is None else found.steps:>8}   IoU at the end {found.overlaps[-1]:.3f}")
