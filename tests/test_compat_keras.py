"""A Keras 3 model on the JAX backend trains with jloss losses, under the conventions of `jloss.compat.keras`."""

import os

import jax.numpy as jnp
import numpy as np
import pytest

import jloss

os.environ.setdefault("KERAS_BACKEND", "jax")
pytestmark = pytest.mark.filterwarnings("ignore")  # Keras is not written for strict promotion and silent warnings


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend")
    import jax

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield keras


def test_needs_two_inputs(keras):
    from jloss.compat.keras import loss

    with pytest.raises(ValueError, match="a Keras loss has two"):
        loss(jloss.router_z)
    with pytest.raises(ValueError, match="takes the inputs anchors, positives, negatives; a Keras loss has two"):
        loss(jloss.triplet_margin)


def test_labels_keep_their_integers(keras):
    from jloss.compat.keras import loss

    logits = jnp.zeros((1, 300), jnp.bfloat16).at[0, 257].set(5)
    value = loss(jloss.cross_entropy)(np.array([[257]]), logits)
    np.testing.assert_allclose(value, np.log(np.exp(5) + 299) - 5, rtol=1e-5)


def test_weights_divide_by_their_sum_and_zero_removes(keras):
    from jloss.compat.keras import loss

    value = loss(jloss.squared_error)(
        np.zeros((3, 1), np.float32), jnp.array([[1.0], [2.0], [jnp.nan]]), sample_weight=np.array([1.0, 3.0, 0.0])
    )
    np.testing.assert_allclose(value, (1 + 3 * 4) / 4)


def test_a_model_trains(keras):
    from jloss.compat.keras import loss

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int32) + (x[:, 2] > 1)
    model = keras.Sequential([keras.layers.Dense(32, activation="relu"), keras.layers.Dense(3)])
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss(jloss.softmax_focal, gamma=1.0))
    history = model.fit(x, y, sample_weight=np.ones(256, np.float32), epochs=20, batch_size=64, verbose=0)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]
    assert (np.argmax(model.predict(x, verbose=0), -1) == y).mean() > 0.9
