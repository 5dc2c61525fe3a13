"""Values and gradients of this library and of torch, side by side."""

import jax
import jax.numpy as jnp
import numpy as np


def agree(ours, theirs, *inputs, rtol=2e-5, atol=2e-6):
    """`ours` on JAX arrays and `theirs` on torch tensors give one number and one gradient in every floating input."""
    import torch

    floats = [i for i, x in enumerate(inputs) if np.asarray(x).dtype.kind == "f"]
    arrays = [jnp.asarray(x) for x in inputs]
    value, gradients = jax.jit(jax.value_and_grad(ours, argnums=tuple(floats)))(*arrays)
    tensors = [torch.tensor(np.asarray(x)) for x in inputs]
    for i in floats:
        tensors[i].requires_grad_()
    wanted = theirs(*tensors)
    wanted.backward()
    np.testing.assert_allclose(value, wanted.item(), rtol=rtol, atol=atol)
    for i, gradient in zip(floats, gradients, strict=True):
        np.testing.assert_allclose(gradient, tensors[i].grad.numpy(), rtol=rtol, atol=atol, err_msg=f"gradient in input {i}")


def draws(*shapes, seed=0, scale=2.0):
    """Normal numbers, one float32 array per shape."""
    rng = np.random.default_rng(seed)
    return [(scale * rng.normal(size=shape)).astype(np.float32) for shape in shapes]
