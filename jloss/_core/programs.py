"""What there is in the program of a formula, by which `backend` decides how its values are best summed."""

from typing import Any

from jax.lax import select_n_p

DEAR = {"rem", "exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh", "pow", "sqrt", "rsqrt", "cbrt", "sin", "cos", "atan2", "erf"}


def calculates_with_selected(jaxpr: Any) -> bool:
    """Whether a program goes on with what it selected, also in what it calls: XLA's sum on CPUs takes the arithmetic, not the select."""
    selected: set[int] = set()
    for eqn in jaxpr.eqns:
        inner = [getattr(p, "jaxpr", p) for v in eqn.params.values() for p in (v if isinstance(v, list | tuple) else [v])]
        if any(any_select(j) for j in inner if hasattr(j, "eqns")):
            return True
        if eqn.primitive is select_n_p:
            selected |= {id(v) for v in eqn.outvars}
        elif any(id(v) in selected for v in eqn.invars):
            return True
    return False


def is_recomputed(jaxpr: Any) -> bool:
    """Whether a program is under `jax.checkpoint` already, as that of `recomputed_if_large` is."""
    return [eqn.primitive.name for eqn in jaxpr.eqns] in (["checkpoint"], ["remat2"])


def is_dear(jaxpr: Any) -> bool:
    """Whether a program, or what it calls, has a function or a quotient in it, which XLA on CPUs computes in a loop of its own."""
    inner = (getattr(p, "jaxpr", p) for eqn in jaxpr.eqns for v in eqn.params.values() for p in (v if isinstance(v, list | tuple) else [v]))
    dear = (e.primitive.name in DEAR or (e.primitive.name == "div" and e.invars[1].aval.shape) for e in jaxpr.eqns)
    return any(dear) or any(is_dear(j) for j in inner if hasattr(j, "eqns"))


def any_select(jaxpr: Any) -> bool:
    """Whether a program selects, or goes on with what something it calls has selected."""
    return any(eqn.primitive is select_n_p for eqn in jaxpr.eqns) or calculates_with_selected(jaxpr)
