"""What people have in hand: NumPy of every dtype and byte order, columns of pandas and polars, torch tensors."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

PREDICTIONS, TARGETS = np.array([0.5, 3.0, -1.0]), np.array([0.0, 0.0, 1.0])  # huber: 0.125, 2.5, 1.5
LOGITS, LABELS = np.eye(3, dtype=np.float32), np.array([0, 1, 0])
WANTED = float(jloss.cross_entropy(jnp.eye(3), jnp.array([0, 1, 0])))


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_numbers_of_every_width_and_byte_order(order, kind):
    for dtype in (kind, order + kind, kind, order + kind):  # after a call with one, jax takes the other for the same
        predictions = PREDICTIONS.astype(dtype)
        assert jloss.huber(predictions, TARGETS.astype(dtype)) == 1.375
        assert jloss.huber(predictions=predictions, targets=TARGETS.astype("f4"), delta=np.array(1.0, dtype)) == 1.375
        np.testing.assert_array_equal(jloss.huber(predictions, TARGETS, weights=np.array([0, 2, 0]).astype(dtype), reduction="sum"), 5.0)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("order", "<>")
def test_labels_of_every_width_and_byte_order(order, kind):
    for dtype in (kind, order + kind, kind, order + kind):
        np.testing.assert_allclose(jloss.cross_entropy(LOGITS, LABELS.astype(dtype)), WANTED, rtol=1e-6)
        np.testing.assert_allclose(jloss.cross_entropy(LOGITS, LABELS.astype(dtype), weights=np.ones(3, dtype)), WANTED, rtol=1e-6)
    assert jloss.poisson_nll(np.zeros(3, ">f4"), np.array([1, 2, 3], order + kind)) == 1.0


def test_views_and_memory_maps(tmp_path):
    np.save(tmp_path / "numbers.npy", PREDICTIONS.astype(">f4"))
    mapped = np.load(tmp_path / "numbers.npy", mmap_mode="r")
    assert jloss.huber(mapped, TARGETS.astype(np.float32)) == 1.375
    assert jloss.huber(np.repeat(PREDICTIONS, 2)[::-2], TARGETS[::-1]) == 1.375
    assert jloss.huber(np.float32(3.0), np.float16(0.0)) == 2.5


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ma.masked_array(PREDICTIONS, [0, 1, 0]), "is a masked array of NumPy; give its .filled(0), and where=~mask."),
        (PREDICTIONS.astype(object), "must be an array of numbers, got one of dtype object."),
        (np.array(["a", "b", "c"]), "must be an array of numbers, got one of dtype <U1."),
        (np.zeros(3, [("x", "f4")]), "must be an array of numbers, got one of dtype [('x', '<f4')]."),
        (PREDICTIONS.astype(np.complex64), "must be floating, got complex64[3]."),
        (PREDICTIONS.astype(np.int64), "must be floating, got int"),
        (PREDICTIONS > 0, "must be floating, got bool[3]."),
    ],
)
def test_what_is_no_number_is_named(value, said):
    jloss.huber(PREDICTIONS, TARGETS)  # after which jax takes a masked array for a plain one
    with pytest.raises(TypeError, match=re.escape(f"huber: `predictions` {said}")):
        jloss.huber(value, TARGETS)


@pytest.mark.parametrize("argument", ["targets", "weights", "where", "delta"])
def test_gradients_of_integers_are_no_numbers(argument):
    """jax has them in a dtype without a width, which it takes for False: as weights, nothing would be kept."""
    (slope,) = jax.vjp(lambda x: x.astype(jnp.float32), jnp.arange(3))[1](jnp.ones(3))
    assert slope.dtype == jax.dtypes.float0
    with pytest.raises(TypeError, match=f"huber: `{argument}` must be an array of numbers, got one of dtype .*float0"):
        jloss.huber(PREDICTIONS, **{"targets": TARGETS, argument: slope})


def test_numbers_of_eighty_bits_are_named():
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("they have 64 here")
    with pytest.raises(TypeError, match="huber: `predictions` must be an array of numbers, got one of dtype float"):
        jloss.huber(PREDICTIONS.astype(np.longdouble), TARGETS)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_say_how_they_become_arrays(library):
    found = pytest.importorskip(library)
    column = found.Series(PREDICTIONS)
    with pytest.raises(TypeError, match=re.escape("`predictions` must be an array, of JAX or NumPy, got a Series. Give its .to_numpy().")):
        jloss.huber(column, TARGETS)
    with pytest.raises(TypeError, match=re.escape("`weights` must be an array, of JAX or NumPy, got a Series. Give its .to_numpy().")):
        jloss.huber(PREDICTIONS, TARGETS, weights=found.Series([1.0, 2.0, 0.0]))
    assert jloss.huber(column.to_numpy(), TARGETS) == 1.375
    labels = found.Series([0, 1, 0]).to_numpy()
    np.testing.assert_allclose(jloss.cross_entropy(LOGITS, labels, where=found.Series([True] * 3).to_numpy()), WANTED, rtol=1e-6)
    frame = found.DataFrame({"a": [1.0, 0.0, 0.0], "b": [0.0, 1.0, 0.0], "c": [0.0, 0.0, 1.0]})
    with pytest.raises(TypeError, match=re.escape("got a DataFrame. Give its .to_numpy().")):
        jloss.cross_entropy(frame, labels)
    np.testing.assert_allclose(jloss.cross_entropy(frame.to_numpy(), labels), WANTED, rtol=1e-6)


@pytest.mark.slow
def test_tensors_of_torch_say_how_they_become_arrays():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(PREDICTIONS, requires_grad=True)
    said = "`predictions` must be an array, of JAX or NumPy, got a Tensor. Give its .detach().cpu().numpy()."
    with pytest.raises(TypeError, match=re.escape(said)):
        jloss.huber(tensor, torch.tensor(TARGETS))
    with pytest.raises(TypeError, match=r"`where` must be an array.*got a Tensor"):
        jloss.huber(PREDICTIONS, TARGETS, where=torch.tensor([True, False, True]))
    assert jloss.huber(tensor.detach().cpu().numpy(), TARGETS) == 1.375
    assert jloss.huber(jnp.from_dlpack(tensor.detach()), TARGETS) == 1.375
