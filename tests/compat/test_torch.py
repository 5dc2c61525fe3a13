"""`jloss.compat.torch` gives torch's numbers: against a golden file always, against torch itself where it is installed."""

import inspect
import json
import re
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
import jloss.compat.torch as F
from tests.compat.torch_cases import CASES, GOLDEN, build, cotangent

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


@pytest.mark.slow
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


@pytest.mark.slow
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


WARNED = ("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss")


def refused(name, arguments):
    """Calls that jloss refuses on purpose: other numbers of axes, which torch broadcasts without a word."""
    axes = {a.ndim for a in arguments[:2] if a.ndim}  # a number is shared by all
    apart = ("cross_entropy", "nll_loss", "ctc_loss", "multi_margin_loss", "multilabel_margin_loss", "linear_cross_entropy")
    return name not in (*WARNED, *apart) and len(axes) > 1


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def drawn(*shapes):
    rng = np.random.default_rng(3)
    return [jnp.asarray(rng.uniform(0.2, 0.8, shape)) for shape in shapes]


@pytest.mark.parametrize("shapes", [((5,), (1,)), ((1,), (3,)), ((3, 1), (3,)), ((3, 2), (2,)), ((3,), ())])
@pytest.mark.parametrize(("name", "error"), list(zip(WARNED, (np.abs, np.square, None, None), strict=True)))
def test_other_shapes_broadcast_with_the_warning_of_torch(name, error, shapes):
    p, t = drawn(*shapes)
    gap = np.abs(np.asarray(p) - np.asarray(t))
    wanted = 0.5 * gap**2 if error is None else error(gap)  # both are parabolas up to 1
    with pytest.warns(UserWarning, match="Using a target size .* that is different to the input size") as caught:
        np.testing.assert_allclose(getattr(F, name)(p, t, reduction="none"), wanted, rtol=1e-5)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="Using a target size"):
        np.testing.assert_allclose(getattr(F, name)(p, t), wanted.mean(), rtol=1e-5)


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss"])
def test_the_weights_of_a_stretched_input_divide_as_they_are(name):
    p, t, w = jnp.array([1.0]), jnp.array([0.5, 0.0, 1.0]), jnp.array([4.0])
    total, count = {"l1_loss": (4 * 1.5, 4), "mse_loss": (4 * 1.25, 4), "huber_loss": (4 * 0.625, 3)}[name]
    with pytest.warns(UserWarning, match="Using a target size"):
        np.testing.assert_allclose(getattr(F, name)(p, t, weight=w), total / count, rtol=1e-6)
    with pytest.raises(ValueError, match=rf"{name}: `weight` must have the shape of `input`, \(2,\), got \(1,\)"):
        getattr(F, name)(jnp.zeros(2), jnp.zeros(2), weight=jnp.ones(1))


REFUSED = [
    ("mse_loss", [(3,), (4,)], {}, "do not broadcast"),
    ("kl_div", [(3, 1), (3,)], {}, "must have equal shapes, but for sizes of 1; got input(3, 1), target(3)"),
    ("poisson_nll_loss", [(3,), (4,)], {}, "must have equal shapes"),
    ("hinge_embedding_loss", [(3, 1), (3,)], {}, "must have equal shapes"),
    ("margin_ranking_loss", [(3, 1), (3,), (3,)], {}, "`input1`, `input2` and `target` must have equal shapes"),
    ("margin_ranking_loss", [(3,), (3,), ()], {}, "`target` must have as many axes as `input1`, (3,); got a single number"),
    ("soft_margin_loss", [(3, 1), (3, 2)], {}, "`target` of shape (3, 2) does not fit"),
    ("soft_margin_loss", [(3, 1), (3,)], {}, "must have equal shapes"),
    ("multilabel_soft_margin_loss", [(3, 1), (3, 4)], {}, "does not fit"),
    ("multilabel_soft_margin_loss", [(3, 2), (3, 2)], {"weight": (4, 3, 2)}, "`weight` must broadcast to the shape of `input`, (3, 2)"),
    ("binary_cross_entropy", [(3, 2), (3, 1)], {}, "binary_cross_entropy: `target` must have the shape of `input`, (3, 2), got (3, 1)"),
    ("binary_cross_entropy", [(3,), ()], {}, "binary_cross_entropy: `target` must have the shape of `input`, (3,), got ()"),
    ("binary_cross_entropy", [(), (3,)], {}, "binary_cross_entropy: `target` must have the shape of `input`, (), got (3,)"),
    ("binary_cross_entropy", [(3, 2), (3, 2)], {"weight": (3,)}, "`weight` must broadcast to the shape of `input`, (3, 2), got (3,)"),
    ("binary_cross_entropy_with_logits", [(3, 2), (2,)], {}, "`target` must have the shape of `input`, (3, 2), got (2,)"),
    ("binary_cross_entropy_with_logits", [(3,), ()], {}, "`target` must have the shape of `input`, (3,), got ()"),
    ("multilabel_soft_margin_loss", [(2, 0), (2, 0)], {"weight": (2, 1)}, "one class at least, got shape (2, 0)"),
    ("multilabel_soft_margin_loss", [(), ()], {}, "multilabel_soft_margin_loss: `input` must have the axes (C) or (N, C)"),
    ("cosine_embedding_loss", [(4, 3), (4, 3), ()], {}, "`target` must have one axis less than `input1`, (4, 3), got ()"),
    ("binary_cross_entropy_with_logits", [(3, 2), (3, 2)], {"weight": (4, 3, 2)}, "`weight` must broadcast"),
    ("binary_cross_entropy_with_logits", [(3, 2), (3, 2)], {"pos_weight": (3,)}, "`pos_weight` must broadcast"),
    ("gaussian_nll_loss", [(3, 4), (4,), (3, 4)], {}, "must have equal shapes"),
    ("gaussian_nll_loss", [(3, 4), (3, 4), (4,)], {}, "`var` must have the shape of `input`, (3, 4)"),
    ("gaussian_nll_loss", [(3, 4), (3, 4), (1, 1)], {}, "with one size of 1; got (1, 1)"),
    ("cosine_embedding_loss", [(4, 3), (3,), (4,)], {}, "must have equal shapes"),
    ("triplet_margin_loss", [(4, 3), (3,), (4, 3)], {}, "must have as many axes; got (4, 3), (3,), (4, 3)"),
]


@pytest.mark.parametrize(("name", "shapes", "keywords", "said"), REFUSED)
def test_shapes_that_are_a_mistake(name, shapes, keywords, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        getattr(F, name)(*drawn(*shapes), **{k: drawn(shape)[0] for k, shape in keywords.items()})


CLASS_INDICES = [
    ("cross_entropy", (3,), (3,), "without axis 0, () of (3,), got (3,). Of one-hot rows say target.astype(float)"),
    ("cross_entropy", (3,), (2,), "without axis 0, () of (3,), got (2,)"),
    ("cross_entropy", (2, 3), (), "without axis 1, (2,) of (2, 3), got ()"),
    ("cross_entropy", (2, 3, 4), (2, 3), "without axis 1, (2, 4) of (2, 3, 4), got (2, 3)"),
    ("nll_loss", (3,), (2,), "nll_loss: `target` of class indices must have the shape of `input` without axis 0, () of (3,), got (2,)"),
    ("nll_loss", (2, 3), (2, 1), "without axis 1, (2,) of (2, 3), got (2, 1)"),
    ("multilabel_margin_loss", (3,), (2,), "multilabel_margin_loss: `target` must have the shape of `input`, (3,), got (2,)"),
    ("multilabel_margin_loss", (3,), (2, 3), "`target` must have the shape of `input`, (3,), got (2, 3)"),
    ("multilabel_margin_loss", (2, 3), (2, 1), "`target` must have the shape of `input`, (2, 3), got (2, 1)"),
    ("multi_margin_loss", (2, 3), (2, 1), "one class index per row of `input`, (2, 3), got (2, 1)"),
    ("multi_margin_loss", (2, 3), (1, 2), "one class index per row of `input`, (2, 3), got (1, 2)"),
]


@pytest.mark.parametrize(("name", "input", "target", "said"), CLASS_INDICES)
def test_class_indices_that_are_not_those_of_the_rows(name, input, target, said):
    """Torch refuses them, too; a single row would be shared by all indices, and one-hot rows be taken for classes 0 and 1."""
    with pytest.raises(ValueError, match=re.escape(said)):
        getattr(F, name)(jnp.zeros(input), jnp.zeros(target, int))


@pytest.mark.parametrize("options", [None, 2])
def test_one_hidden_state_is_not_shared_by_many_labels(options):
    with pytest.raises(ValueError, match=r"linear_cross_entropy: .* of the logits without axis 0, \(\) of \(5,\), got \(2,\)"):
        F.linear_cross_entropy(jnp.ones(4), jnp.ones((5, 4)), jnp.array([0, 1]), options=options)
    parameters = jloss.init_adaptive_log_softmax(jax.random.key(0), 4, 6, cutoffs=(2, 4))
    with pytest.raises(ValueError, match=r"adaptive_log_softmax_with_loss: .* without axis 0, \(\) of \(4,\), got \(2,\)"):
        F.adaptive_log_softmax_with_loss(jnp.ones(4), jnp.array([0, 1]), parameters, (2, 4))


@pytest.mark.parametrize(("name", "shape"), [("cross_entropy", ()), ("nll_loss", ()), ("multi_margin_loss", (1,))])
def test_a_single_row_takes_its_index_as_a_list_of_one(name, shape):
    """`multi_margin_loss` of torch then gives a list, too, the others a number."""
    row = jnp.log(jnp.array([0.5, 0.25, 0.25]))
    value = getattr(F, name)(row, jnp.array([1]), reduction="none")
    wanted = {"cross_entropy": np.log(4), "nll_loss": np.log(4), "multi_margin_loss": (1 + np.log(2) + 1) / 3}[name]
    assert value.shape == shape
    np.testing.assert_allclose(value, np.full(shape, wanted), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_vectors_without_features_have_a_cosine_of_0(shape):
    """As in torch; that of one alone was an error that named nothing."""
    for sign, wanted in ((1, 1.0), (-1, 0.5)):
        value = F.cosine_embedding_loss(jnp.zeros(shape), jnp.zeros(shape), jnp.full(shape[:-1], sign), margin=-0.5, reduction="none")
        np.testing.assert_allclose(value, np.full(shape[:-1], wanted), rtol=1e-6)


def test_a_row_of_a_matrix_takes_its_index_as_a_number():
    """Torch's value of `multi_margin_loss` has the shape of the target."""
    value = F.multi_margin_loss(jnp.array([[0.5, 0.0, 0.0]]), jnp.array(1), reduction="none")
    assert value.shape == ()
    np.testing.assert_allclose(value, (1.5 + 1) / 3, rtol=1e-6)


def test_a_negative_variance_is_refused():
    with pytest.raises(ValueError, match=r"gaussian_nll_loss: `var` must be 0 or more, got -0\.5"):
        F.gaussian_nll_loss(jnp.zeros(3), jnp.zeros(3), -0.5)
    assert F.gaussian_nll_loss(jnp.ones(3), jnp.zeros(3), 2) == np.float32(0.5 * (np.log(2) + 0.5))


def test_stirling_begins_above_one():
    counts = jnp.array([0.0, 1.0, 2.0])
    wanted = [1, 1, 1 + 2 * np.log(2) - 2 + 0.5 * np.log(4 * np.pi)]
    np.testing.assert_allclose(F.poisson_nll_loss(jnp.zeros(3), counts, full=True, reduction="none"), wanted, rtol=1e-6)


@pytest.mark.slow
def test_a_variance_below_eps_has_the_slope_of_eps():
    slope = jax.grad(lambda v: F.gaussian_nll_loss(jnp.array(2.0), jnp.array(0.0), v, eps=0.5))
    for var in (0.0, 0.1, 0.5):
        np.testing.assert_allclose(slope(var), 0.5 * (1 / 0.5 - 4 / 0.25), rtol=1e-6)
    np.testing.assert_allclose(slope(1.0), 0.5 * (1 - 4), rtol=1e-6)


def test_binary_cross_entropy_stops_at_100():
    p = jnp.array([0.0, 1.0, 0.0, 1.0, 1e-37])
    t = jnp.array([0.0, 1.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(F.binary_cross_entropy(p, t, reduction="none"), [0, 0, 100, 100, 37 * np.log(10)], rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda p: F.binary_cross_entropy(p, t))(p)).all()


@pytest.mark.slow
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_a_sharp_path_is_no_infeasible_one(zero_infinity):
    scores = jnp.zeros((3, 1, 4)).at[..., 1].set(40.0)

    def f(s, labels):
        return F.ctc_loss(s, labels, [3], [labels.shape[1]], zero_infinity=zero_infinity)

    value, slope = jax.value_and_grad(f)(scores, jnp.array([[1]]))
    assert value == -120
    np.testing.assert_allclose(slope, np.where(scores > 0, -1, 0), atol=1e-6)
    value, slope = jax.value_and_grad(f)(scores, jnp.array([[1, 1, 1]]))  # needs five steps
    assert value == (0 if zero_infinity else np.inf)
    assert (slope == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss, F.multi_margin_loss])
def test_a_label_out_of_range_is_nan_whatever_the_weights(function):
    for weight in (None, jnp.array([0.0, 1.0, 1.0]), jnp.zeros(3)):
        assert jnp.isnan(function(jnp.zeros((2, 3)), jnp.array([1, 3]), weight=weight))


@pytest.mark.slow
def test_no_weight_and_something_smoothed_is_no_number_of_a_loss():
    value = F.cross_entropy(jnp.zeros((2, 3)), jnp.array([0, 0]), weight=jnp.array([0.0, 1.0, 1.0]), label_smoothing=0.5)
    assert not jnp.isfinite(value)
    assert F.cross_entropy(jnp.zeros((2, 3)), jnp.array([0, 0]), weight=jnp.array([0.0, 1.0, 1.0])) == 0


def test_the_slope_in_a_weight_of_zero():
    p, t = jnp.array([0.5, 0.25]), jnp.array([1.0, 1.0])
    slope = jax.grad(lambda w: F.binary_cross_entropy(p, t, weight=w, reduction="sum"))(jnp.zeros(2))
    np.testing.assert_allclose(slope, [np.log(2), np.log(4)], rtol=1e-6)
    assert F.binary_cross_entropy_with_logits(jnp.array([jnp.nan, 0.0]), t, weight=jnp.array([0.0, 2.0])) == np.float32(np.log(2))


@pytest.mark.slow
def test_a_tie_of_distances_is_shared():
    anchor, positive, negative = jnp.array([[0.0, 0.0]]), jnp.array([[2.0, 0.0]]), jnp.array([[1.0, 1.0]])
    slope = jax.grad(lambda a: F.triplet_margin_loss(a, positive, negative, margin=3.0, swap=True, eps=0.0))(anchor)
    np.testing.assert_allclose(slope, [[-1 + np.sqrt(0.5) / 2, np.sqrt(0.5) / 2]], rtol=1e-5)


@pytest.mark.parametrize("p", [0, 0.5, 1.0, 3, float("inf")])
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (4,)), ((), ()), ((3, 0), (3, 0))])
def test_distances_of_any_degree(p, shapes):
    x1, x2 = (np.array(x) for x in drawn(*shapes))
    x1.reshape(-1)[:1] = x2.reshape(-1)[:1]  # one component is equal
    gap = np.abs(np.atleast_1d(x1 - x2).astype(float))
    degrees = {0: lambda: (gap != 0).sum(-1), float("inf"): lambda: gap.max(-1, initial=0)}
    wanted = degrees.get(p, lambda: (gap**p).sum(-1) ** (1 / p))()
    value, slope = jax.value_and_grad(lambda x: jnp.sum(F.pairwise_distance(x, x2, p=p, eps=0.0)))(jnp.asarray(x1))
    np.testing.assert_allclose(value, wanted.sum(), rtol=1e-5)
    assert np.isfinite(slope).all()
    assert p != 0 or (slope == 0).all()
    kept = F.pairwise_distance(x1, x2, p=p, keepdim=True)
    assert kept.shape == ((*x1.shape[:-1], 1) if x1.ndim else ())


def test_distances_of_integers_are_those_of_their_floats():
    whole = np.array([[1, 2], [3, 5]])
    np.testing.assert_allclose(F.pairwise_distance(whole, np.zeros((2, 2), int), eps=0.0), [np.sqrt(5), np.sqrt(34)], rtol=1e-6)
    np.testing.assert_allclose(F.pairwise_distance(whole, np.zeros((2, 2), int), p=0), [2, 2])  # eps makes them all differ
    far, near = np.array([[0.0, 0.0]]), np.array([[1.0, 1.0]])
    np.testing.assert_allclose(F.triplet_margin_loss(near, near, far, p=0, margin=3.0, eps=0.0), 1.0)  # of 0 and 2 components


def test_what_is_wrong_with_distances_has_their_name():
    with pytest.raises(ValueError, match=r"pairwise_distance: `p` must be 0 or more, got -1"):
        F.pairwise_distance(jnp.ones(2), jnp.ones(2), p=-1)
    with pytest.raises(ValueError, match=r"pairwise_distance: `x1` of shape \(3, 2\) and `x2` of shape \(3, 4\) do not broadcast"):
        F.pairwise_distance(jnp.ones((3, 2)), jnp.ones((3, 4)))


def test_label_smoothing_is_checked():
    for targets in (jnp.zeros(2, jnp.int32), jnp.full((2, 3), 1 / 3)):
        for weight in (None, jnp.ones(3)):
            for outside in (-0.5, 1.5):
                with pytest.raises(ValueError, match="cross_entropy: `label_smoothing` must be between 0 and 1"):
                    F.cross_entropy(jnp.zeros((2, 3)), targets, weight, label_smoothing=outside)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "multi_margin_loss"])
@pytest.mark.parametrize("shape", [(), (1,), (2,), (4,), (1, 3)])
def test_a_weight_of_each_class_has_one_value_per_class(name, shape):
    with pytest.raises(ValueError, match=rf"{name}: `weight` must have one value per class, shape \(3,\), got {re.escape(str(shape))}"):
        getattr(F, name)(jnp.zeros((2, 3)), jnp.array([0, 2]), weight=np.ones(shape))
    with pytest.raises(ValueError, match=r"cross_entropy: `weight` must have one value per class, shape \(3,\)"):
        F.cross_entropy(jnp.zeros((2, 3)), jnp.full((2, 3), 1 / 3), weight=np.ones(shape))


@pytest.mark.parametrize(("name", "wanted"), [("cross_entropy", np.log(3)), ("nll_loss", 0.0), ("multi_margin_loss", (1 + 4) * 2 / 3 / 2)])
def test_constants_of_numpy_inside_of_jit(name, wanted):
    labels, weight = np.array([0, 2]), np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(jax.jit(lambda x: getattr(F, name)(x, labels, weight=weight))(np.zeros((2, 3))), wanted, rtol=1e-6)


@pytest.mark.slow
def test_joined_targets_of_numpy_inside_of_jit():
    joined, rows = np.array([1, 2, 3, 1]), np.array([[1, 2], [3, 1]])
    scores = jax.nn.log_softmax(jnp.arange(40.0).reshape(4, 2, 5) % 7)
    values = jax.jit(lambda s: F.ctc_loss(s, joined, [4, 4], [2, 2]))(scores)
    np.testing.assert_allclose(values, F.ctc_loss(scores, rows, [4, 4], [2, 2]), rtol=1e-6)


@pytest.mark.slow
def test_lists_are_arrays():
    np.testing.assert_allclose(F.cross_entropy([[0.0, 0.0], [0.0, 0.0]], [0, 1], weight=[1, 3]), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(F.kl_div([[0.0, 1.0]], [[1.0, 1.0]]), -0.5)
    np.testing.assert_allclose(F.multilabel_margin_loss([0.0, 0.0, 0.0], [1, -1, 0]), 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(F.cosine_embedding_loss([[1.0, 0.0]], [[1.0, 0.0]], [-1]), 1)
    np.testing.assert_allclose(F.gaussian_nll_loss([2.0], [0.0], [4.0]), 0.5 * (np.log(4) + 1), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(TORCH))
def test_what_is_no_array_is_named_as_in_torch(name):
    class Tensor:
        def detach(self):
            return self

    arguments, keywords = build(name, 0) if name not in BEYOND else ([np.ones((2, 3))] * 2, {})
    shown = list(inspect.signature(getattr(F, name)).parameters)
    for at in range(1 if name == "adaptive_log_softmax_with_loss" else len(arguments)):
        for wrong, got in ((Tensor(), r"a Tensor\. Give its \.detach\(\)\.cpu\(\)\.numpy\(\)"), ("x", "'x'"), (None, "None")):
            given = [wrong if i == at else a for i, a in enumerate(arguments)]
            given += [()] * (4 - len(given)) if name == "adaptive_log_softmax_with_loss" else []
            with pytest.raises(TypeError, match=rf"{name}: `{shown[at]}` must be an? .*, of JAX or NumPy, got {got}"):
                getattr(F, name)(*given, **keywords)


def test_wrong_calls_say_what_to_do():
    x = jnp.zeros((3, 3))
    with pytest.raises(TypeError, match="mse_loss: unknown keyword `reducton`; did you mean `reduction`"):
        F.mse_loss(x, x, reducton="sum")
    with pytest.raises(ValueError, match="mse_loss: `reduction` must be one of mean, sum, none, got 'batchmean'"):
        F.mse_loss(x, x, reduction="batchmean")
    with pytest.raises(
        ValueError, match=r"`target` of float32 holds .* of `input`, \(3, 3\), got \(3,\). Of class indices say target.astype"
    ):
        F.cross_entropy(x, jnp.zeros(3))
    with pytest.raises(ValueError, match=r"multi_margin_loss: `target` must have one class index per row of `input`, \(3, 3\), got \(2,\)"):
        F.multi_margin_loss(x, jnp.zeros(2, int))
    with pytest.raises(ValueError, match=r"ctc_loss: `log_probs` must have the axes \(T, N, C\) or \(T, C\), got shape \(3,\)"):
        F.ctc_loss(jnp.zeros(3), jnp.zeros((3, 2), int), 3, 2)
    with pytest.raises(ValueError, match=r"nll_loss: `input` must have the axes \(C\), .* got a number"):
        F.nll_loss(jnp.zeros(()), jnp.zeros((), int))


@pytest.mark.parametrize(
    ("legacy", "same"),
    [
        ({"size_average": 0}, "sum"),
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"size_average": False, "reduce": True}, "sum"),
        ({"reduce": 0}, "none"),
        ({"reduce": False, "size_average": True}, "none"),
    ],
)
def test_the_legacy_keywords_win(legacy, same):
    p, t = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]])), jnp.array([[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(F.mse_loss(p, t, reduction="mean", **legacy), F.mse_loss(p, t, reduction=same))
    np.testing.assert_array_equal(F.kl_div(p, t, **legacy), F.kl_div(p, t, reduction=same))
    np.testing.assert_array_equal(F.kl_div(p, t, reduction="batchmean", **legacy), F.kl_div(p, t, reduction=same) / 2)  # as torch 2.13 does


@pytest.mark.slow
def test_integers_of_64_bits_are_not_cut():
    far = 2**32 + 1  # in 32 bits: 1
    np.testing.assert_allclose(F.l1_loss(jnp.zeros(1), np.array([far])), far, rtol=1e-6)
    assert jnp.isnan(F.cross_entropy(jnp.zeros((1, 3)), np.array([far]), weight=np.ones(3)))
    assert jnp.isnan(F.ctc_loss(jax.nn.log_softmax(jnp.zeros((4, 1, 3))), np.array([far, 2]), [4], [2]))


@pytest.mark.parametrize("name", sorted(set(TORCH) - BEYOND))
def test_works_under_jit_in_float32(name):
    arguments, keywords = build(name, 0)
    cast = [a.astype(np.float32) if a.dtype.kind == "f" else a.astype(np.int32) for a in arguments]
    static = {k: v for k, v in keywords.items() if not isinstance(v, np.ndarray)}
    assert jnp.isfinite(jax.jit(lambda *a: getattr(F, name)(*a, **static))(*cast))


@pytest.mark.slow
def test_it_is_found_from_jloss_itself():
    """In a fresh interpreter: nothing else has imported it."""
    code = "import jloss, sys; assert 'jloss.compat' not in sys.modules; print(jloss.compat.torch.__name__, jloss.compat.keras.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["jloss.compat.torch", "jloss.compat.keras"]
    with pytest.raises(AttributeError, match=r"module 'jloss\.compat' has no attribute 'tensorflow'"):
        _ = jloss.compat.tensorflow
