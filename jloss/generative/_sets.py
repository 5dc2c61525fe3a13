"""Sets of numbers or rows, of which a mask keeps some, and that may lie on several devices."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.blocks import sum_over_blocks

AxisName = str | tuple[str, ...] | None


class Group(NamedTuple):
    """The items of one side of a set loss: harmless numbers where the mask drops one, and how many are kept on all devices."""

    items: Array  # (n,) or (n,d)
    kept: Array | None  # (n,); all if None
    number: Array
    axis_name: AxisName

    @property
    def none(self) -> Array:
        """Whether nothing is kept."""
        return self.number == 0

    def total(self, values: Array) -> Array:
        """The sum of the kept values, one for each item (or a row each), over all devices."""
        if self.kept is not None:
            values = jnp.where(_beside(self.kept, values), values, 0.0)
        total = jnp.sum(values, axis=0)
        return total if self.axis_name is None else lax.psum(total, self.axis_name)

    def mean(self, values: Array) -> Array:
        """Their mean; 0 if nothing is kept."""
        return self.total(values) / jnp.where(self.none, 1, self.number).astype(values.dtype)

    def mean_of(self, function: Callable[[Array], Array], size: int = 512) -> Array:
        """``mean(function(items))``, of a large set a block of items at a time, whose gradient computes it again."""

        def sum_of(some: tuple[Array, Array | None]) -> Array:
            return Group(*some, self.number, None).total(function(some[0]))

        total = sum_over_blocks(sum_of, (self.items, self.kept), size)
        total = total if self.axis_name is None else lax.psum(total, self.axis_name)
        return total / jnp.where(self.none, 1, self.number).astype(total.dtype)

    def absent(self, fill: float) -> Array:
        """The items, with `fill` for those that are dropped."""
        return self.items if self.kept is None else jnp.where(self.kept, self.items, fill)


def group(items: Array, mask: Array | None = None, axis_name: AxisName = None) -> Group:
    """The items that a mask keeps, all by default, over the devices of `axis_name`."""
    if mask is None:
        size = jnp.asarray(items.shape[0]).astype(jnp.int32)
        return Group(items, None, size if axis_name is None else size * lax.psum(1, axis_name), axis_name)
    count = jnp.sum(mask, dtype=jnp.int32)
    count = count if axis_name is None else lax.psum(count, axis_name)
    return Group(jnp.where(_beside(mask, items), items, 0.0), mask, count, axis_name)


def _beside(mask: Array, values: Array) -> Array:
    return mask[(...,) + (None,) * (values.ndim - 1)]
