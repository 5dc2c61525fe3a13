"""What tests of the commands share."""

import itertools
import signal

import jax
import pytest

from jloss.__main__ import main


@pytest.fixture
def say(capsys, monkeypatch):
    """Runs a command and gives its exit status, what it printed and what it complained of."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*argv):
        status = main(argv)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def at_ease():
    """Without the strict switches, which the code of other packages does not stand."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def interrupted(function, at):
    """A function during whose call number `at` Ctrl-C is pressed."""
    calls = itertools.count(1)

    def call(*args, **kwargs):
        if next(calls) == at:
            signal.raise_signal(signal.SIGINT)
        return function(*args, **kwargs)

    return call
