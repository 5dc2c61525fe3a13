"""What counts as large, for tests that compile and run it quickly."""

import pytest

from jloss._core import backend


@pytest.fixture
def soon(monkeypatch):
    """Counts as large what is quick to compile and run: sizes that no other test has."""
    monkeypatch.setattr(backend, "REORDER_FROM", 1 << 10)
    monkeypatch.setattr(backend, "LATE_FROM", 1 << 11)
    monkeypatch.setattr(backend, "RECOMPUTE_FROM", 1 << 12)
    return 40_001


@pytest.fixture
def cut(soon, monkeypatch):
    """Cuts what is large into blocks of about a thousand numbers and a smaller one, as on one CPU."""
    monkeypatch.setattr(backend, "BLOCK", 1 << 10)
    monkeypatch.setattr(backend, "BLOCK_OF_STEPS", 1 << 10)
    monkeypatch.setattr(backend, "on_one_cpu", lambda: True)
    return soon
