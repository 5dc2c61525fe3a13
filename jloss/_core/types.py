"""What a caller may give, and how losses made from losses look to a type checker."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, overload

import jax.typing
from jax import Array


class HasArray(Protocol):
    """What stands for an array, such as a parameter of a Flax module."""

    def __jax_array__(self) -> Any: ...


ArrayLike: TypeAlias = jax.typing.ArrayLike | HasArray | list[Any] | tuple[Any, ...]
Number: TypeAlias = float | jax.typing.ArrayLike
Schedule: TypeAlias = Callable[..., Any]  # of the step, as in optax
Option: TypeAlias = ArrayLike | str | tuple[str, ...] | None
AxisName: TypeAlias = str | tuple[str, ...] | None
Whole: TypeAlias = Literal["mean", "sum", "none"]  # the reductions that give one array
Parts: TypeAlias = Literal["parts"]  # and the one that gives two

AnyLoss: TypeAlias = Callable[..., Any]
L = TypeVar("L", bound=AnyLoss)


class OfArrays(Protocol):
    """A loss with the inputs of the loss inside, and perhaps more options."""

    @overload
    def __call__(
        self,
        *inputs: ArrayLike,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Whole = "mean",
        axis_name: AxisName = None,
        **options: Option,
    ) -> Array: ...
    @overload
    def __call__(
        self,
        *inputs: ArrayLike,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Parts,
        axis_name: AxisName = None,
        **options: Option,
    ) -> tuple[Array, Array]: ...


class OfTrees(Protocol):
    """A loss whose inputs may be pytrees, such as all parameters of a network."""

    @overload
    def __call__(
        self,
        *inputs: object,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Whole = "mean",
        axis_name: AxisName = None,
        **inputs_and_options: object,
    ) -> Array: ...
    @overload
    def __call__(
        self,
        *inputs: object,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Parts,
        axis_name: AxisName = None,
        **inputs_and_options: object,
    ) -> tuple[Array, Array]: ...


class OfHidden(Protocol):
    """A loss of what comes before the logits, and of the kernel that makes them."""

    @overload
    def __call__(
        self,
        hidden: ArrayLike,
        kernel: ArrayLike,
        *targets: ArrayLike,
        bias: ArrayLike | None = None,
        soft_cap: float | ArrayLike | None = None,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Whole = "mean",
        axis_name: AxisName = None,
        **options: Option,
    ) -> Array: ...
    @overload
    def __call__(
        self,
        hidden: ArrayLike,
        kernel: ArrayLike,
        *targets: ArrayLike,
        bias: ArrayLike | None = None,
        soft_cap: float | ArrayLike | None = None,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Parts,
        axis_name: AxisName = None,
        **options: Option,
    ) -> tuple[Array, Array]: ...


class OfSeveral(Protocol):
    """Several losses: the total, and each by its name."""

    @overload
    def __call__(
        self,
        *inputs: object,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Whole = "mean",
        axis_name: AxisName = None,
        **inputs_and_options: object,
    ) -> tuple[Array, dict[str, Array]]: ...
    @overload
    def __call__(
        self,
        *inputs: object,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Parts,
        axis_name: AxisName = None,
        **inputs_and_options: object,
    ) -> tuple[tuple[Array, Array], dict[str, tuple[Array, Array]]]: ...
