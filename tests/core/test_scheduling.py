"""Without its measured tricks the heart still computes every loss: what `backend` and `layout` do is order, not meaning."""

import ast
import contextlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jloss._core import backend, layout, loss, reduction
from jloss.testing import cases, check
from tests.cases import case

IDENTITIES = {
    (backend, "recomputed_if_large"): lambda core, elementwise, arrays: core,
    (backend, "few_numbers"): lambda few: contextlib.nullcontext(),
    (backend, "program_of"): lambda entry, core, arrays, reduction, where: None,
    (backend, "how_to_sum"): lambda entry, program, arrays, values, where, reduction: backend.Sum(values, sorts=1, lanes=True),
    (backend, "sum_in_lanes"): lambda x, where=None: jnp.sum(x if where is None else jnp.where(where, x, 0.0)),
    (backend, "as_primitives"): lambda entry: contextlib.nullcontext(),
    (backend, "late_mean"): lambda total, mass, sorts: total / mass,
    (backend, "count_true"): lambda where: (where, jnp.sum(where, dtype=jnp.int32)),
    (backend, "cut_of"): lambda entry, batch, reduction: None,
    (layout, "in_one_row"): lambda entry, given: given,
    (layout, "arrange"): lambda entry, batch, given: batch,
    (layout, "column_inputs"): lambda entry, axes: [],
}
FACTS = {"run", "select", "size_of", "hints_of", "REORDER_FROM", "sum_all", "sum_of_blocks"}  # they move nothing; uncut is without blocks
KINDS = ["huber", "cross_entropy", "giou", "dice", "clip", "ctc"]  # elementwise, classes, boxes, masks with classes, sets, sequences
OBEYED = [
    "batch_equals_one_by_one",
    "masked_equals_absent",
    "integer_weight_is_repetition",
    "nothing_kept_is_zero",
    "axis_is_where_the_classes_are",
    "parts_add_up",
    "gradient_is_the_derivative",
]


def forget():
    """Drops the programs that were traced with other steps."""
    jax.clear_caches()
    cases._kept.clear()
    cases._compiled.cache_clear()


@pytest.fixture
def called(monkeypatch):
    """Every step is an identity, and every batch so large that it would not be; gives the steps that were called."""
    called = set()

    def counted(name, identity):
        def step(*args):
            called.add(name)
            return identity(*args)

        return step

    for (module, name), identity in IDENTITIES.items():
        monkeypatch.setattr(module, name, counted(name, identity))
    monkeypatch.setattr(backend, "REORDER_FROM", 1)
    monkeypatch.setattr(backend, "RECOMPUTE_FROM", 1)
    forget()
    yield called
    forget()


def test_the_identities_stand_for_every_step_of_the_heart():
    trees = [ast.parse(inspect.getsource(module)) for module in (loss, reduction)]
    names = [(n.value.id, n.attr) for t in trees for n in ast.walk(t) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    steps = {(module, name) for module, name in names if module in ("backend", "layout")}
    assert {name for _, name in steps} - FACTS == {name for _, name in IDENTITIES}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("called")
def test_laws_hold_without_scheduling(name):
    report = check(case(name), laws=OBEYED)
    assert report, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_values_are_those_of_the_scheduled_loss(name, called, monkeypatch):
    subject = case(name)
    inputs, where = subject.draw((8,)), np.arange(8) % 3 > 0
    plain = subject.run(inputs), subject.run(inputs, where=where)
    assert called == {name for _, name in IDENTITIES}
    monkeypatch.undo()
    forget()
    cases.close((subject.run(inputs), subject.run(inputs, where=where)), plain, "a step changed a number", inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["gaussian_nll", "js_divergence", "sigmoid_focal", "siou", "soft_dtw", "soft_dtw_divergence", "unified_focal", "vtrace"]
)
def test_laws_hold_in_blocks(name, monkeypatch):
    """Of two examples, as far as a batch has more than one."""
    blocks = []

    def counted(function, operands, axes, cut, compute=backend.sum_of_blocks):
        blocks.append(cut.blocks)
        return compute(function, operands, axes, cut)

    monkeypatch.setattr(backend, "RECOMPUTE_FROM", 1)
    monkeypatch.setattr(backend, "BLOCK", 2)
    monkeypatch.setattr(backend, "BLOCK_OF_STEPS", 1)
    monkeypatch.setattr(backend, "LANES", 1)
    monkeypatch.setattr(backend, "BLOCK_OF_PAIRS", 1)
    monkeypatch.setattr(backend, "on_one_cpu", lambda: True)
    monkeypatch.setattr(backend, "sum_of_blocks", counted)
    forget()
    report = check(case(name), laws=OBEYED)
    forget()
    assert blocks
    assert report, str(report)
