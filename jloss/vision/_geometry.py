"""What losses ask about two axis-aligned boxes, measured once.

A box whose corners are exchanged counts as empty where areas are measured; where sides or centres are compared its raw sides
are, so that it is pulled back into shape. An empty box overlaps nothing, not even itself. Divisions are guarded where the
divisor is next to 0 (2e-18 in float32, whose square is the smallest that its derivative may be divided by) and nowhere else, so boxes
of size 1e-4 are compared as accurately as boxes of size 1e4. An area, a squared diagonal or a side of less than that counts as none.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from jloss.numerics import absolute, positive_part
from jloss.numerics._special import arctan2, raise_to

DEGENERATE_AREA = 2e-19  # a width times a width that counts as none; its square does not underflow


class Pair(NamedTuple):
    """Measures of two boxes; what a loss does not use is not computed under jit."""

    sides: tuple[Array, Array]  # width and height of the prediction, negative where corners are exchanged
    target_sides: tuple[Array, Array]
    offset: tuple[Array, Array]  # from the target's centre to the prediction's
    enclosing: tuple[Array, Array]  # width and height of the smallest box around all corners
    overlap: Array
    union: Array

    @property
    def iou(self) -> Array:
        return share(self.overlap, self.union)

    @property
    def empty_share(self) -> Array:
        """The share of the enclosing box that neither fills."""
        area = self.enclosing[0] * self.enclosing[1]
        none = is_none(area)
        filled = self.union / jnp.where(none, 1.0, area)  # in the gradient of what is empty the area's own cancels where little is filled
        return jnp.where(none, 0.0, 1 - filled)

    @property
    def diagonal(self) -> Array:
        """Of the enclosing box, squared."""
        return squared_length(self.enclosing)

    @property
    def distance(self) -> Array:
        """Of the centres, relative to the diagonal of the enclosing box, both squared; at most 1."""
        return share(squared_length(self.offset), self.diagonal)

    @property
    def aspect(self) -> Array:
        """The angle between the diagonals of the two boxes over a right angle, squared; 0 for a box that is a point."""
        (width, height), (target_width, target_height) = self.sides, self.target_sides
        sine, cosine = width * target_height - target_width * height, width * target_width + height * target_height
        point = (jnp.abs(sine) <= DEGENERATE_AREA) & (jnp.abs(cosine) <= DEGENERATE_AREA)
        return jnp.square(arctan2(sine, jnp.where(point, 1.0, cosine)) * (2 / math.pi))

    @property
    def aspect_weight(self) -> Array:
        """What multiplies `aspect` in the complete IoU, a constant for the gradient; 0 at a match, where rounding is all that aspect is."""
        aspect = jnp.where(self.iou < 1, self.aspect, 0.0)
        return lax.stop_gradient(share(aspect, 1 - self.iou + aspect))

    @property
    def differences(self) -> tuple[Array, Array]:
        """Of the widths and of the heights, relative to the longer: 0 to 1, more where corners are exchanged."""
        return _difference(self.sides[0], self.target_sides[0]), _difference(self.sides[1], self.target_sides[1])


def compare(first: Array, second: Array) -> Pair:
    """Measures two boxes, or two arrays of boxes of equal rank."""
    x0, y0, x1, y1 = columns(first)
    a0, b0, a1, b1 = columns(second)
    (width, overlap_x, enclosing_x), (height, overlap_y, enclosing_y) = _side(x0, x1, a0, a1), _side(y0, y1, b0, b1)
    overlap = overlap_x * overlap_y
    union = positive_part(width) * positive_part(height) + positive_part(a1 - a0) * positive_part(b1 - b0) - overlap
    offset = ((x0 - a0) + (x1 - a1)) / 2, ((y0 - b0) + (y1 - b1)) / 2  # exactly 0 at a match
    # The target's sides are written another way than above: XLA on CPUs would keep an array for both uses, and that of `ciou` 43
    # instead of 29 MB for a million boxes, which is more than an allocator hands out again.
    return Pair((width, height), (-(a0 - a1), -(b0 - b1)), offset, (enclosing_x, enclosing_y), overlap, union)


def columns(boxes: Array) -> list[Array]:
    """The numbers of a box; their gradients are put side by side, not each into zeros that are then added."""
    return [jnp.squeeze(column, -1) for column in lax.split(boxes, (1,) * boxes.shape[-1], axis=boxes.ndim - 1)]


def squared_length(vector: tuple[Array, Array]) -> Array:
    """Of a vector in the plane."""
    return jnp.square(vector[0]) + jnp.square(vector[1])


def is_none(whole: Array) -> Array:
    """Whether there is too little of it to divide by."""
    return whole < 16 * float(jnp.finfo(whole.dtype).tiny) ** 0.5


def share(part: Array, whole: Array) -> Array:
    """Their quotient; 0 with gradient 0 where `whole` counts as none."""
    none = is_none(whole)
    return jnp.where(none, jnp.zeros_like(part), part / jnp.where(none, jnp.ones_like(whole), whole))


def power(x: Array, exponent: Array | float) -> Array:
    """``x ** exponent`` of a share; at 0 and next to it 0 with gradient 0 for every positive exponent. The exponent 0 gives 1."""
    zero = x <= float(jnp.finfo(x.dtype).eps) ** 2
    return jnp.where(zero, jnp.where(exponent == 0, jnp.ones_like(x), 0.0), raise_to(jnp.where(zero, 1.0, x), exponent))


def _side(low: Array, high: Array, target_low: Array, target_high: Array) -> tuple[Array, Array, Array]:
    """Along one axis: the length of the prediction, of the overlap, and of what encloses all four corners in whatever order."""
    overlap = positive_part(jnp.minimum(high, target_high) - jnp.maximum(low, target_low))
    top = jnp.maximum(jnp.maximum(low, high), jnp.maximum(target_low, target_high))
    bottom = jnp.minimum(jnp.minimum(low, high), jnp.minimum(target_low, target_high))
    return high - low, overlap, top - bottom


def _difference(side: Array, target_side: Array) -> Array:
    return share(absolute(side - target_side), jnp.maximum(absolute(side), absolute(target_side)))
