"""docs/recipes.md is true: each block runs by itself, as a reader would paste it, and what it says of optimizers is so."""

import ast
import functools
import importlib
import os
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
OURS = {"jax", "jloss", "numpy", *sys.stdlib_module_names}


def recipes():
    """The blocks, by heading."""
    found = {}
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S):
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        found |= {heading + (f" {i}" if i > 1 else ""): block for i, block in enumerate(blocks, 1)}
    return found


def libraries(block):
    names = [n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in ast.walk(ast.parse(block)) if hasattr(n, "names")]
    return sorted({name.partition(".")[0] for name in names} - OURS)


def test_every_heading_has_a_block():
    assert set(re.findall(r"^## (.*)$", PAGE.read_text(), re.M)) <= recipes().keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes())
def test_runs_by_itself(name, monkeypatch):
    block = recipes()[name]
    others = libraries(block)
    if "keras" in others:
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    for library in [*others, *(["flatbuffers"] if ".serialize()" in block else [])]:
        pytest.importorskip(library)
    if "keras" in others and importlib.import_module("keras").backend.backend() != "jax":
        pytest.skip(f"keras runs on {os.environ.get('KERAS_BACKEND')}")
    with jax.numpy_dtype_promotion("standard" if others else "strict"), jax.numpy_rank_promotion("allow" if others else "raise"):
        exec(compile(block, f"{PAGE.name}: {name}", "exec"), {"__name__": "recipe"})


# ---------------------------------------------------------------- optimizers and a gradient of zero

PARAMS, SLOPE = jnp.array([1.0, -2.0, 0.5, 3.0]), jnp.array([0.3, -0.5, 0.2, 1.0])
MAKERS = {
    "contrib.sam": lambda: optax.contrib.sam(optax.sgd(0.1), optax.chain(optax.contrib.normalize(), optax.sgd(0.1)), sync_period=2),
    "contrib.normalize": lambda: optax.chain(optax.contrib.normalize(), optax.sgd(0.1)),
    "polyak_sgd": optax.polyak_sgd,
    "contrib.prodigy": optax.contrib.prodigy,
    "contrib.dadapt_adamw": optax.contrib.dadapt_adamw,
}


def maker(name):
    part, _, last = name.rpartition(".")
    return MAKERS.get(name) or (lambda: getattr(optax.contrib if part or not hasattr(optax, last) else optax, last)(learning_rate=0.1))


def after(optimizer, slopes, searches=False):
    """The parameters after each step; some optimizers search along a line and are given the function."""
    params, state, trace = PARAMS, optimizer.init(PARAMS), []
    with jax.numpy_dtype_promotion("standard"):
        for slope in slopes:
            value_fn = functools.partial(jnp.vdot, slope)
            value = {"value": value_fn(params), "grad": slope, "value_fn": value_fn}
            updates, state = optimizer.update(slope, state, params, **(value if searches else {}))
            params = optax.apply_updates(params, updates)
            trace.append(params)
    return trace


def rows():
    table = PAGE.read_text().partition("<!-- nothing kept -->")[2].partition("<!-- /nothing kept -->")[0]
    for line in table.strip().splitlines()[2:]:
        names, first, later = (cell.strip() for cell in line.strip("|").split("|"))
        yield from ((name, first, later) for name in re.findall(r"`([\w.]+)`", names))


def said(params, before):
    if not bool(jnp.isfinite(params).all()):
        return "NaN"
    return "stays" if bool(jnp.allclose(params, before, rtol=1e-3)) else "moves on"


@pytest.mark.parametrize(("name", "first", "later"), [*rows()])
def test_what_optimizers_do_with_a_gradient_of_zero(name, first, later):
    zero = jnp.zeros_like(SLOPE)
    begins = after(maker(name)(), [zero, SLOPE], name in ("lbfgs", "polyak_sgd"))
    goes_on = after(maker(name)(), [SLOPE, SLOPE, zero], name in ("lbfgs", "polyak_sgd"))
    found = said(begins[0], PARAMS)
    found = "NaN in the next step" if found != "NaN" and said(begins[1], PARAMS) == "NaN" else found
    assert found == first.partition(",")[0]
    assert said(goes_on[2], goes_on[1]) in {"goes on": ("stays", "moves on")}.get(later, (re.sub(" by its.*", "", later),))


@pytest.mark.parametrize("name", ["contrib.prodigy", "contrib.sam"])
def test_apply_if_finite_looks_at_the_gradient_alone(name):
    guarded = optax.apply_if_finite(maker(name)(), max_consecutive_errors=5)
    assert not jnp.isfinite(after(guarded, [jnp.zeros_like(SLOPE)])[0]).all()
