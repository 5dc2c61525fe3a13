"""Functions beside the losses, such as targets and decoders: compiled, and plain functions all the same."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from jloss._core.arguments import check_argument, unbound
from jloss._core.axes import batch_shape, parse
from jloss._core.domains import typed_inputs

P = ParamSpec("P")
R = TypeVar("R")


def compiled(*static: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compiles a function for each value of its static arguments.

    What `jax.jit` makes does not pickle by its name, and where a call is wrong it does not always say of which function or argument.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        jitted, shown, name = jax.jit(function, static_argnames=static), inspect.signature(function), function.__name__.lstrip("_")

        @functools.wraps(function)
        def public(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return jitted(*args, **kwargs)
            except Exception:
                try:
                    given = shown.bind(*args, **kwargs).arguments
                except TypeError as error:
                    raise unbound(name, shown, kwargs, error) from None
                for argument, value in given.items():
                    check_argument(name, argument, value, shown.parameters[argument].annotation)
                raise

        return public

    return wrap


def over_batch(signature: str, domains: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """What `loss` is for losses, for a function of one example that gives anything else: any batch axes, checked and compiled.

    Inputs come first; options are keywords, traced where they are annotated `float`, else static.
    """
    dims, words = parse(f"{signature}->()"), domains.split()

    def wrap(core: Callable[P, R]) -> Callable[P, R]:
        shown, name = inspect.signature(core), core.__name__
        inputs = dict(zip(shown.parameters, dims, strict=False))
        kinds = dict(zip(inputs, words, strict=True))
        static = [n for n, p in shown.parameters.items() if n not in inputs and p.annotation is not float]

        @functools.wraps(core)
        def batched(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = shown.bind(*args, **kwargs)
            bound.apply_defaults()
            given = {n: a for n, a in bound.arguments.items() if n not in inputs}
            typed, dtype = typed_inputs(name, kinds, bound.arguments)
            arrays = {n: a for n, a in typed.items() if a is not None}
            arrays = {n: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a for n, a in arrays.items()}
            given = {n: a if n in static else jnp.asarray(a).astype(dtype) for n, a in given.items()}
            batch, places = batch_shape(name, inputs, {n: arrays.get(n) for n in inputs})

            example: Callable[..., R] = core

            def one(*cores: Array) -> R:
                return example(**dict(zip(arrays, cores, strict=True)), **given)

            for level in range(len(batch)):
                one = jax.vmap(one, in_axes=[None if places[n].batch[level] is None else 0 for n in arrays])
            return one(*arrays.values())

        return compiled(*static)(batched)

    return wrap
