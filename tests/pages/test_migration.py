"""docs/migration.md is true: every row is evaluated on both sides, and every name of the installed packages has a row."""

import os
import pathlib
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss

os.environ.setdefault("KERAS_BACKEND", "jax")
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "migration.md"
LIBRARIES = ("PyTorch", "Keras", "optax")


def table(library):
    """The rows of one library: names, their call, ours, note."""
    section = PAGE.read_text().partition(f"\n## {library}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| ---")][1:]
    return [[cell.strip().strip("`") for cell in re.split(r" \|(?= |$)", line.removeprefix("|"))] for line in lines]


def numbers():
    """The variables of the page, NumPy float32."""
    rng = np.random.default_rng(5)

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(-1, keepdims=True)

    values = {
        "p": rng.normal(size=(4, 3)),
        "t": rng.normal(size=(4, 3)),
        "a": rng.uniform(0.3, 2.0, (4, 3)),
        "b": rng.uniform(0.3, 2.0, (4, 3)),
        "u": rng.uniform(0.1, 0.9, (4, 3)),
        "v": rng.uniform(0.1, 0.9, (4, 3)),
        "y": np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),
        "signs": np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]]),
        "logits": rng.normal(size=(4, 3)),
        "labels": np.array([2, 0, 1, 2]),
        "probs": softmax(rng.normal(size=(4, 3))),
        "probs2": softmax(rng.normal(size=(4, 3))),
        "e1": rng.normal(size=(4, 3)),
        "e2": rng.normal(size=(4, 3)),
        "e3": rng.normal(size=(4, 3)),
        "kernel": rng.normal(size=(3, 3)),
        "w": np.array([0.5, 1.0, 2.0]),
        "two": np.array(2.0),
        "groups": np.array([0, 1, 0, 1]),
        "frames": rng.normal(size=(2, 6, 5)),
        "words": np.array([[1, 2], [3, 3]]),
        "padded": np.array([[1, 2], [3, 0]]),
        "many": softmax(rng.normal(size=(2, 4, 4, 3))),
        "steps": np.array([6, 6]),
        "lengths": np.array([2, 2]),
        "no_frames_padded": np.zeros((2, 6)),
        "no_words_padded": np.zeros((2, 2)),
    }
    values["onehot"] = np.eye(3)[values["labels"]]
    values["listed"] = np.stack([values["labels"], -np.ones(4, int), np.zeros(4, int)], axis=1)
    values["hots"] = np.eye(3)[rng.integers(0, 3, (2, 4, 4))]
    values["units"] = values["e1"] / np.linalg.norm(values["e1"], axis=1, keepdims=True)
    values["log_probs"], values["log_probs2"] = np.log(values["probs"]), np.log(values["probs2"])
    frames = values["frames"]
    values["time_first"] = np.moveaxis(frames - np.log(np.exp(frames).sum(-1, keepdims=True)), 1, 0)
    return {n: x.astype(np.float32) if x.dtype.kind == "f" else x.astype(np.int32) for n, x in values.items()}


def first_variable(expression):
    """The array that the loss is differentiated in: the first one of the jloss call that is floating."""
    known = numbers()
    return next(n for n in re.findall(r"\b[a-z_0-9]+\b", expression.partition("(")[2]) if n in known and known[n].dtype.kind == "f")


def ours(expression):
    """jloss's value and gradient."""
    values = {n: jnp.asarray(x) for n, x in numbers().items()}
    name = first_variable(expression)
    import jloss.compat.torch

    scope = {"jloss": jloss, "jnp": jnp, "jax": jax, "compat": jloss.compat.torch}
    value, gradient = jax.value_and_grad(lambda x: eval(expression, scope, {**values, name: x}))(values[name])
    return name, np.asarray(value), np.asarray(gradient)


def theirs(library, expression, name):
    """The other library's value and gradient in the same variable."""
    values = numbers()
    if library == "PyTorch":
        torch = pytest.importorskip("torch")
        tensors = {n: torch.tensor(x.astype(np.int64) if x.dtype.kind == "i" else x) for n, x in values.items()}
        tensors[name] = tensors[name].requires_grad_()
        value = eval(expression, {"nn": torch.nn}, tensors)
        if value.ndim:
            return value.detach().numpy(), None
        value.backward()
        return value.detach().numpy(), tensors[name].grad.numpy()
    arrays = {n: jnp.asarray(x) for n, x in values.items()}
    scope = {"optax": optax, "jnp": jnp, "jax": jax}
    if library == "Keras":
        scope["losses"] = pytest.importorskip("keras").losses
    value, gradient = jax.value_and_grad(lambda x: eval(expression, scope, {**arrays, name: x}))(arrays[name])
    return np.asarray(value), np.asarray(gradient)


ROWS = [(library, *row) for library in LIBRARIES for row in table(library) if row[1]]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("library", "names", "call", "expression", "note"), [r[:5] for r in ROWS], ids=[f"{r[0]}-{r[2]}" for r in ROWS])
def test_row(library, names, call, expression, note):
    if library == "PyTorch":
        pytest.importorskip("torch")
    if library == "Keras":
        keras = pytest.importorskip("keras")
        if keras.backend.backend() != "jax":
            pytest.skip("Keras runs on another backend")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name, value, gradient = ours(expression) if "reduction" not in expression else (*values_of(expression), None)
        other, slope = theirs(library, call, name)
    if note.startswith("**differs**"):
        assert not np.allclose(value, other, rtol=1e-4) or not np.allclose(gradient, slope, rtol=1e-3, atol=1e-5), (
            f"{names} agrees; the note is wrong"
        )
        return
    np.testing.assert_allclose(value, other, rtol=2e-5, atol=1e-6)
    if gradient is not None and slope is not None and not note.startswith("**value only**"):
        np.testing.assert_allclose(gradient, slope, rtol=2e-4, atol=2e-6)


def values_of(expression):
    values = {n: jnp.asarray(x) for n, x in numbers().items()}
    return first_variable(expression), np.asarray(eval(expression, {"jloss": jloss, "jnp": jnp}, values))


def named(library):
    return {name.strip() for row in table(library) for name in row[0].split(",")}


def test_every_loss_of_torch_has_a_row():
    torch = pytest.importorskip("torch")
    modules = {n for n in dir(torch.nn) if n.endswith("Loss") or n.endswith("Loss2d")}
    missing = modules - named("PyTorch")
    assert not missing, f"docs/migration.md lacks torch's {sorted(missing)}"


def test_every_loss_of_keras_has_a_row():
    keras = pytest.importorskip("keras")
    missing = {n for n in dir(keras.losses) if not n.startswith("_")} - named("Keras")
    assert not missing, f"docs/migration.md lacks Keras's {sorted(missing)}"


def test_every_loss_of_optax_has_a_row():
    public = {n for n in dir(optax.losses) if not n.startswith("_") and callable(getattr(optax.losses, n))}
    missing = public - named("optax")
    assert not missing, f"docs/migration.md lacks optax's {sorted(missing)}"


@pytest.mark.parametrize(("library", "module"), [("PyTorch", "torch.nn"), ("Keras", "keras.losses"), ("optax", "optax.losses")])
def test_every_name_of_a_peer_exists(library, module):
    """The table of all losses on the site takes its names from here."""
    peer = pytest.importorskip(module)
    assert {name for name in named(library) if not hasattr(peer, name)} == set()


def test_every_name_is_a_loss():
    for library in LIBRARIES:
        for row in table(library):
            for name in re.findall(r"jloss\.(\w+)\(", row[2]):
                assert hasattr(jloss, name), f"docs/migration.md names jloss.{name}"


@pytest.mark.slow
def test_labels_padded_with_minus_one_become_a_length():
    frames, words = (jnp.asarray(numbers()[n]) for n in ("frames", "words"))
    padded = words.at[1, 1].set(-1)
    assert jnp.isnan(jloss.ctc(frames, padded))
    apart = jloss.ctc(frames[0], words[0]), jloss.ctc(frames[1], words[1, :1])
    np.testing.assert_allclose(jloss.ctc(frames, padded, label_length=(padded >= 0).sum(-1)), np.mean(apart), rtol=1e-6)


@pytest.mark.slow
def test_a_channel_axis_of_one_needs_its_axis():
    p = jnp.linspace(0, 1, 32).reshape(2, 4, 4, 1)
    t = (jnp.arange(32).reshape(2, 4, 4, 1) % 3 == 0).astype(jnp.float32)
    one_image = jloss.dice(p[..., 0], t[..., 0])
    np.testing.assert_allclose(jloss.dice(p, t, axis=-1), one_image, rtol=1e-6)
    np.testing.assert_allclose(jloss.dice(p.transpose(0, 3, 1, 2), t.transpose(0, 3, 1, 2)), one_image, rtol=1e-6)
    assert abs(jloss.dice(p, t) - one_image) > 0.02
