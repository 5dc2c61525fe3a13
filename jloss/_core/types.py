"""What a caller may give, how losses made from losses look to a type checker, and how signatures look to people."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, overload

import jax.typing
from jax import Array


class HasArray(Protocol):
    """What stands for an array, such as a parameter of a Flax module."""

    def __jax_array__(self) -> Any: ...


ArrayLike: TypeAlias = jax.typing.ArrayLike | HasArray | list[Any] | tuple[Any, ...]
Number: TypeAlias = float | jax.typing.ArrayLike
Weight: TypeAlias = Number | Callable[..., Any]  # a schedule, as in optax, is asked at a step
Option: TypeAlias = ArrayLike | str | tuple[str, ...] | None
AxisName: TypeAlias = str | tuple[str, ...] | None
Whole: TypeAlias = Literal["mean", "sum", "none"]  # the reductions that give one array
Parts: TypeAlias = Literal["parts"]  # and the one that gives two

AnyLoss: TypeAlias = Callable[..., Any]
L = TypeVar("L", bound=AnyLoss)
F = TypeVar("F", bound=Callable[..., Any])


class ArrayLoss(Protocol):
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


class TreeLoss(Protocol):
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


class HeadLoss(Protocol):
    """A loss of what comes before the logits, and of the kernel that makes them; its inputs are named as the loss has them."""

    @overload
    def __call__(
        self,
        *inputs: ArrayLike,
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
        *inputs: ArrayLike,
        bias: ArrayLike | None = None,
        soft_cap: float | ArrayLike | None = None,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: Parts,
        axis_name: AxisName = None,
        **options: Option,
    ) -> tuple[Array, Array]: ...


class LossWithParts(Protocol):
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


class Written(str):
    """An annotation as its source has it; `help` prints it without quotes."""

    meaning: Any

    def __repr__(self) -> str:
        return str(self)


@functools.cache
def written(annotation: Any, exact: bool = False) -> Written:
    """An annotation in few words: ``Array``, not ``jax.jaxlib._jax.Array``; where a float is taken, so is an array, if not `exact`."""
    text = _plain(annotation)
    for kind, name in NAMES.items():
        text = text.replace(_plain(kind), name)
    again = Written(text if exact else re.sub(r"^float\b(?! \| Array)", "float | Array", text))
    again.meaning = annotation
    return again


@functools.cache
def _plain(annotation: Any) -> str:
    """An annotation without the modules of its names."""
    text = inspect.formatannotation(annotation).replace(inspect.formatannotation(Array), "Array")
    return re.sub(r"\b(?:typing|collections\.abc|jloss(?:\.\w+)*)\.(?=\w)", "", text)


NAMES = {
    Weight: "float | Array | Callable[..., Any]",
    ArrayLike | None: "ArrayLike | None",
    ArrayLike: "ArrayLike",
    Number: "float | Array",
    L: "Callable[..., Any]",
}


def readable(function: F) -> F:
    """The function, whose signature `help` prints as people read it."""
    function.__signature__ = as_written(inspect.signature(function))  # type: ignore[attr-defined]
    return function


def all_readable(names: Mapping[str, Any], exact: bool = False) -> None:
    """`readable` of the public functions of a module."""
    for name, value in names.items():
        if inspect.isfunction(value) and not name.startswith("_") and value.__module__.startswith("jloss."):
            value.__signature__ = as_written(inspect.signature(value), exact)  # type: ignore[attr-defined]


def as_written(signature: inspect.Signature, exact: bool = False) -> inspect.Signature:
    """The signature as people read it."""

    def again(annotation: Any) -> Any:
        return annotation if annotation is inspect.Parameter.empty else written(meaning(annotation), exact)

    parameters = [p.replace(annotation=again(p.annotation)) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=again(signature.return_annotation))


def meaning(annotation: Any) -> Any:
    """What an annotation stands for."""
    return annotation.meaning if isinstance(annotation, Written) else annotation
