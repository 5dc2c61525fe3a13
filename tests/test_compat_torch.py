"""`jloss.compat.torch` gives torch's numbers: against a golden file always, against torch itself where it is installed."""

import inspect
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss.compat.torch as F
from tests.torch_cases import CASES, GOLDEN, build, cotangent

SAMPLES = 16  # of torch's own sample inputs, per function


def run(name, arguments, keywords):
    """Value and gradient in the first argument, float64."""
    arrays = {k: jnp.asarray(v) for k, v in keywords.items() if isinstance(v, np.ndarray)}
    static = {k: v for k, v in keywords.items() if k not in arrays}
    first, rest = jnp.asarray(arguments[0]), [a if isinstance(a, tuple | list) else jnp.asarray(a) for a in arguments[1:]]

    def f(x):
        value = getattr(F, name)(x, *rest, **arrays, **static)
        return jnp.sum(value * cotangent(value.shape)), value

    (_, value), gradient = jax.value_and_grad(f, has_aux=True)(first)
    if name == "ctc_loss":  # torch gives the gradient in front of a log_softmax, jloss that of the argument
        gradient = jax.vjp(jax.nn.log_softmax, first)[1](gradient)[0]
    return np.asarray(value), np.asarray(gradient)


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", dict.fromkeys(n for n, _ in CASES))
def test_golden(name, golden):
    with jax.enable_x64(True):
        for index in [i for n, i in CASES if n == name]:
            arguments, keywords = build(name, index)
            value, gradient = run(name, [np.asarray(arguments[0], np.float64), *arguments[1:]], keywords)
            wanted, slope = (np.array(x) for x in golden[f"{name}/{index}"])
            said = f"{name}, case {index}: {keywords}"
            np.testing.assert_allclose(np.ravel(value), wanted, rtol=1e-9, atol=1e-10, err_msg=said)
            np.testing.assert_allclose(np.ravel(gradient), slope, rtol=1e-7, atol=1e-9, err_msg=f"gradient of {said}")


TORCH = [n for n, f in vars(F).items() if inspect.isfunction(f) and f.__module__ == F.__name__ and not n.startswith("_")]
BEYOND = {"pairwise_distance", "adaptive_log_softmax_with_loss"}


def test_every_loss_of_torch_has_its_name_and_keywords():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional
    names = {n for n in dir(theirs) if not n.startswith("_") and callable(getattr(theirs, n)) and is_loss(n)}
    assert names == set(TORCH) - BEYOND
    for name in names:
        want, got = inspect.signature(getattr(theirs, name)).parameters, inspect.signature(getattr(F, name)).parameters
        assert list(want) == list(got), name
        assert [p.default for p in want.values()] == [p.default for p in got.values()], name
        assert [p.kind for p in want.values()] == [p.kind for p in got.values()], name


def is_loss(name):
    return name.endswith("_loss") or "cross_entropy" in name or name == "kl_div"


def numpy_of(value):
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def ours(keywords):
    """Torch's keywords for jloss: arrays, and `pairwise_distance` for the module that torch's samples pass."""
    import torch

    return {k: F.pairwise_distance if isinstance(v, torch.nn.PairwiseDistance) else numpy_of(v) for k, v in keywords.items()}


def compare(theirs, name, arguments, keywords, label):
    import torch

    if name == "kl_div":  # torch draws the logarithm of normal numbers
        arguments = [torch.nan_to_num(a.detach(), nan=0.5).abs() for a in arguments]
    tensors = [a.detach().clone() if torch.is_tensor(a) else a for a in arguments]
    tensors[0].requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = theirs(*tensors, **keywords)
    (wanted * torch.tensor(cotangent(tuple(wanted.shape)))).sum().backward()
    value, gradient = run(name, [numpy_of(a) for a in arguments], ours(keywords))
    wanted, slope = numpy_of(wanted), numpy_of(tensors[0].grad)
    np.testing.assert_allclose(value, np.where(np.isnan(wanted), 0, wanted), rtol=1e-9, atol=1e-9, err_msg=label)  # torch's mean of nothing
    np.testing.assert_allclose(gradient, np.where(np.isnan(slope), 0, slope), rtol=1e-6, atol=1e-9, err_msg=f"gradient of {label}")


def samples(inputs):
    chosen = np.unique(np.linspace(0, len(inputs) - 1, SAMPLES).astype(int))
    return [inputs[i] for i in chosen]


def refused(name, arguments):
    """Calls that jloss refuses on purpose: broadcasting shapes."""
    shapes = [tuple(a.shape) for a in arguments[:2] if a.ndim]  # a number is shared by all
    pairs = (
        "l1_loss",
        "mse_loss",
        "smooth_l1_loss",
        "huber_loss",
        "soft_margin_loss",
        "hinge_embedding_loss",
        "poisson_nll_loss",
        "kl_div",
    )
    more = ("margin_ranking_loss", "gaussian_nll_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss", "cosine_embedding_loss")
    return name in (*pairs, *more) and len(set(shapes)) > 1


@pytest.mark.parametrize("name", sorted(set(TORCH) - BEYOND))
def test_torch_sample_inputs(name):
    torch = pytest.importorskip("torch")
    pytest.importorskip("expecttest", reason="torch's sample inputs need it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

        torch.manual_seed(0)
        ops = [op for op in op_db if op.name == f"nn.functional.{name}" and not op.variant_test_name]
        drawn = [s for op in ops for s in op.sample_inputs("cpu", torch.float64, requires_grad=True)]
    assert drawn, f"torch has no samples of {name}"
    compared = 0
    with jax.enable_x64(True):
        for sample in samples(drawn):
            arguments = [sample.input, *sample.args]
            if name == "hinge_embedding_loss" and not (arguments[1].abs() == 1).all():
                continue  # torch adds both branches for a label that is no sign
            if refused(name, arguments):
                with pytest.raises((ValueError, TypeError)):
                    run(name, [numpy_of(a) for a in arguments], ours(sample.kwargs))
                continue
            compare(
                getattr(torch.nn.functional, name),
                name,
                arguments,
                sample.kwargs,
                f"{name} {[getattr(a, 'shape', a) for a in arguments]} {sample.kwargs}",
            )
            compared += 1
    assert compared


FUNCTION_OF = {
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "KLDivLoss": "kl_div",
    "CrossEntropyLoss": "cross_entropy",
    "LinearCrossEntropyLoss": "linear_cross_entropy",
    "NLLLoss": "nll_loss",
    "CTCLoss": "ctc_loss",
    "CosineEmbeddingLoss": "cosine_embedding_loss",
    "L1Loss": "l1_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "MSELoss": "mse_loss",
    "MarginRankingLoss": "margin_ranking_loss",
    "MultiLabelMarginLoss": "multilabel_margin_loss",
    "MultiMarginLoss": "multi_margin_loss",
    "SoftMarginLoss": "soft_margin_loss",
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "GaussianNLLLoss": "gaussian_nll_loss",
    "PoissonNLLLoss": "poisson_nll_loss",
    "HingeEmbeddingLoss": "hinge_embedding_loss",
    "HuberLoss": "huber_loss",
}


@pytest.mark.parametrize("module", FUNCTION_OF)
def test_torch_module_inputs(module):
    torch = pytest.importorskip("torch")
    pytest.importorskip("expecttest", reason="torch's sample inputs need it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db

        torch.manual_seed(0)
        found = next(m for m in module_db if m.name == f"nn.{module}")
        drawn = found.module_inputs_func(found, device="cpu", dtype=torch.float64, requires_grad=True, training=True)
    name = FUNCTION_OF[module]
    compared = 0
    with jax.enable_x64(True):
        for sample in samples(drawn):
            keywords = dict(sample.constructor_input.kwargs)
            positional = sample.constructor_input.args
            arguments = list(sample.forward_input.args)
            if positional or module == "LinearCrossEntropyLoss" or refused(name, arguments):
                continue
            compare(getattr(torch.nn.functional, name), name, arguments, keywords, f"{module}({keywords})")
            compared += 1
    if module != "LinearCrossEntropyLoss":  # it holds its weights; the function is compared above
        assert compared


# ---------------------------------------------------------------- where torch is wrong


def test_soft_margin_does_not_overflow():
    value, slope = jax.value_and_grad(lambda x: F.soft_margin_loss(x, -jnp.ones(1)))(jnp.array([100.0]))
    assert value == 100
    assert slope == 1


def test_ctc_gradient_is_that_of_its_argument():
    with jax.enable_x64(True):
        arguments, _ = build("ctc_loss", 0)
        log_probs, *rest = (jnp.asarray(a) for a in arguments)

        def f(x):
            return F.ctc_loss(x, *rest, blank=3, reduction="sum")

        gradient = jax.grad(f)(log_probs)
        for at in ((0, 0, 1), (4, 1, 3), (5, 2, 0)):
            step = jnp.zeros_like(log_probs).at[at].set(1e-6)
            np.testing.assert_allclose(gradient[at], (f(log_probs + step) - f(log_probs - step)) / 2e-6, rtol=1e-6, atol=1e-8)


def test_nothing_kept_is_zero_with_gradient_zero():
    value, slope = jax.value_and_grad(lambda x: F.cross_entropy(x, jnp.full(3, -100)))(jnp.full((3, 4), jnp.nan))
    assert value == 0
    assert (slope == 0).all()


def test_ignored_rows_may_hold_nan():
    logits = jnp.zeros((2, 3)).at[1].set(jnp.nan)
    slope = jax.grad(lambda x: F.cross_entropy(x, jnp.array([0, -100])))(logits)
    assert jnp.isfinite(slope).all()


def test_a_mismatched_batch_is_an_error():
    with pytest.raises(ValueError, match="batch axes"):
        F.mse_loss(jnp.zeros((3, 1)), jnp.zeros(3))


def test_label_smoothing_is_checked():
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32), label_smoothing=-0.5)


@pytest.mark.parametrize("name", sorted(set(TORCH) - BEYOND))
def test_works_under_jit_in_float32(name):
    arguments, keywords = build(name, 0)
    cast = [a.astype(np.float32) if a.dtype.kind == "f" else a.astype(np.int32) for a in arguments]
    static = {k: v for k, v in keywords.items() if not isinstance(v, np.ndarray)}
    assert jnp.isfinite(jax.jit(lambda *a: getattr(F, name)(*a, **static))(*cast))
