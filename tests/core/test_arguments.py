"""Bad input: the exact message, by the name of the loss and of the argument."""

import inspect
from typing import Unpack, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import PartitionSpec as P

import jloss
from jloss._core.types import meaning
from jloss.transforms import chunked, deep_supervision, hardest, regularized, tilted, tolerant, trimmed, uncertainty_weighted, weighted_sum
from tests.cases import LOSSES, case

f, i = jnp.zeros, lambda *shape: jnp.zeros(shape, jnp.int32)


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_wrong_core_axis():
    assert message(ValueError, lambda: jloss.soft_cross_entropy(f((8, 5)), f((8, 4)))) == (
        "soft_cross_entropy: axis `k` of `targets` has size 4, but 5 is expected from `logits`.\n"
        "  expected  logits(..., k), targets(..., k)\n"
        "  got       logits(8, 5), targets(8, 4)"
    )


def test_wrong_fixed_axis():
    assert message(ValueError, lambda: jloss.giou(f((2, 5)), f((2, 5)))) == (
        "giou: axis `4` of `predictions` has size 5, not 4.\n"
        "  expected  predictions(..., 4), targets(..., 4)\n"
        "  got       predictions(2, 5), targets(2, 5)"
    )


def test_batch_axes_that_would_broadcast():
    assert message(ValueError, lambda: jloss.cross_entropy(f((8, 5)), i(8, 1))) == (
        "cross_entropy: `labels` has batch axes (8, 1), but `logits` has (8,); losses do not broadcast batch axes.\n"
        "  expected  logits(..., k), labels(...)\n"
        "  got       logits(8, 5), labels(8, 1)\n"
        "  If there is one value per example: labels.squeeze(-1)."
    )


def test_batch_axes_that_would_broadcast_elementwise():
    assert message(ValueError, lambda: jloss.huber(f((8, 1)), f(8))) == (
        "huber: `targets` has batch axes (8,), but `predictions` has (8, 1); losses do not broadcast batch axes.\n"
        "  expected  predictions(...), targets(...)\n"
        "  got       predictions(8, 1), targets(8)\n"
        "  If there is one value per example: predictions.squeeze(-1)."
    )


def test_wrong_rank():
    assert message(ValueError, lambda: jloss.cross_entropy(f(()), i())) == (
        "cross_entropy: `logits` has 0 axes, but needs at least 1.\n  expected  logits(..., k), labels(...)\n  got       logits(), labels()"
    )


def test_float_labels():
    assert message(TypeError, lambda: jloss.cross_entropy(f((8, 5)), f(8))) == "cross_entropy: `labels` must be integer, got float32[8]."


def test_integer_logits():
    assert message(TypeError, lambda: jloss.cross_entropy(i(8, 5), i(8))) == (
        "cross_entropy: `logits` must be floating, got int32[8, 5].\n"
        "  Predictions are floating; predictions come first, and say logits.astype(float)."
    )


def test_where_of_the_wrong_shape():
    assert message(ValueError, lambda: jloss.cross_entropy(f((8, 5)), i(8), where=jnp.ones(5, bool))) == (
        "cross_entropy: `where` has shape (5,), but there is one value per example: (8,)."
    )


def test_where_of_the_wrong_dtype():
    assert message(TypeError, lambda: jloss.huber(f(8), f(8), where=f(8))) == "huber: `where` must be boolean, got float32[8]."


def test_weights_of_the_wrong_shape():
    assert message(ValueError, lambda: jloss.huber(f((8, 2)), f((8, 2)), weights=f(8))) == (
        "huber: `weights` has shape (8,), but there is one value per example: (8, 2)."
    )


def test_where_that_is_one_boolean():
    with pytest.raises(ValueError, match=r"cross_entropy: `where` has shape \(\), but there is one value per example: \(4,\)"):
        jloss.cross_entropy(jnp.zeros((4, 3)), jnp.zeros(4, int), where=True)


@pytest.mark.parametrize("loss", [jloss.huber, chunked(jloss.huber, 2)])
def test_complex_weights(loss):
    with pytest.raises(TypeError, match=r"huber.*: `weights` must be real numbers, got complex64\[3\]"):
        loss(jnp.zeros(3), jnp.zeros(3), weights=jnp.ones(3, jnp.complex64))


@pytest.mark.parametrize(("argument", "value"), [("targets", [[1.0, 2.0], [1.0]]), ("weights", [1.0, None, 2.0])])
def test_a_list_that_makes_no_array(argument, value):
    given = {"predictions": jnp.zeros(3), "targets": jnp.zeros(3), argument: value}
    with pytest.raises((TypeError, ValueError), match=f"huber: `{argument}` is a list that makes no array"):
        jloss.huber(**given)


@pytest.mark.parametrize("delta", [1j, jnp.ones(3, jnp.complex64)])
def test_complex_options(delta):
    with pytest.raises(TypeError, match="huber: `delta` must be real"):
        jloss.huber(jnp.zeros(3), jnp.zeros(3), delta=delta)


def test_an_option_of_a_shape_that_does_not_fit():
    with pytest.raises(ValueError, match=r"sigmoid_focal: does `alpha` of shape \(2,\) fit the whole batch\?"):
        jloss.sigmoid_focal(jnp.zeros(3), jnp.zeros(3), alpha=jnp.ones(2))
    with pytest.raises((TypeError, ValueError), match=r"siglip: does `scale` of shape \(2,\) fit one example\?"):
        jloss.siglip(jnp.eye(3), jnp.eye(3), scale=jnp.ones(2))


@pytest.mark.parametrize("call", [jax.jit, lambda f: f, jax.grad])
def test_an_option_that_gives_several_numbers_per_example_is_named(call):
    said = r"^cosine_embedding: does `margin` of shape \(5,\) fit one example\? one example must give one number; the core gave \(3, 5\)"
    with pytest.raises(ValueError, match=said):
        call(lambda x: jloss.cosine_embedding(x, jnp.ones((3, 2)), -jnp.ones(3), margin=jnp.ones(5)))(jnp.ones((3, 2)))


@pytest.mark.parametrize("value", [np.ones(5), jnp.ones(5), ["square"], None])
def test_a_word_that_is_none(value):
    with pytest.raises(ValueError, match=r"^generalized_dice: `weighting` must be one of \('square', 'simple', 'uniform'\), got"):
        jloss.generalized_dice(jnp.ones((2, 2, 2, 3)), jnp.ones((2, 2, 2, 3)), weighting=value)


def test_unknown_reduction():
    assert message(ValueError, lambda: jloss.huber(f(8), f(8), reduction="avg")) == (
        "huber: `reduction` must be one of ('mean', 'sum', 'none', 'parts'), got 'avg'."
    )


def test_array_for_a_static_option():
    assert message(TypeError, lambda: jloss.multi_margin(f((8, 5)), i(8), p=jnp.ones(3))) == (
        "multi_margin: `p` is static and must be a Python int, got an array."
    )


def wrong_values(annotation):
    """What an option of this kind is not."""
    words = str(annotation)
    return ["no such word", 3] if "Literal" in words else ["x", 2.5, True] if "int" in words else ["x", 1] if annotation is bool else [3]


@pytest.mark.parametrize("name", LOSSES)
def test_every_static_option_says_what_it_must_be(name):
    public = jloss.CATALOGUE[name].public
    inputs = case(name).draw()
    for option in inspect.signature(public).parameters.values():
        annotation = meaning(option.annotation)
        if option.name in inputs or {float, Array} & {annotation, *get_args(annotation)}:
            continue
        for value in wrong_values(annotation):
            text = message((TypeError, ValueError), lambda: public(**inputs, **{option.name: value}))  # noqa: B023
            assert text.startswith(f"{name}: `{option.name}` "), text
            assert text.endswith(f"got {value!r}."), text


@pytest.mark.parametrize("name", LOSSES)
def test_every_input_must_be_an_array(name):
    public = jloss.CATALOGUE[name].public
    inputs = case(name).draw()
    shown = inspect.signature(public).parameters
    for option, parameter in shown.items():
        accepts = {meaning(parameter.annotation), *get_args(meaning(parameter.annotation))}
        if {float, Array} & accepts:
            wants = "a number or an array" if float in accepts else "an array"
            for value in ["x", object()] if type(None) in accepts else [None, "x"]:
                got = repr(value) if value is None or isinstance(value, str) else "a object"
                text = message(TypeError, lambda: public(**{**inputs, option: value}))  # noqa: B023
                assert text == f"{name}: `{option}` must be {wants}, of JAX or NumPy, got {got}."


@pytest.mark.parametrize("name", LOSSES)
def test_axes_that_are_none(name):
    public = jloss.CATALOGUE[name].public
    inputs = case(name).draw()
    for option in [n for n in inspect.signature(public).parameters if n.endswith("axis_name")]:
        text = message(NameError, lambda: public(**inputs, **{option: "nowhere"}))  # noqa: B023
        assert text == f"{name}: `{option}` is 'nowhere', no axis here; call it inside `jax.shard_map`."


def test_transforms_name_themselves():
    two = weighted_sum({"one": (1.0, jloss.huber), "two": (2.0, jloss.log_cosh)})
    supervised = deep_supervision(jloss.huber, weights=[1.0, 0.5])
    wanted = "`reduction` must be one of ('mean', 'sum', 'none', 'parts'), got 'avg'."
    for name, call in {
        "weighted_sum(huber, log_cosh)": lambda: two(f(8), f(8), reduction="avg"),
        "hardest(huber)": lambda: hardest(jloss.huber, 0.5)(f(8), f(8), reduction="avg"),
        "chunked(huber)": lambda: chunked(jloss.huber)(f(8), f(8), reduction="avg"),
        "deep_supervision(huber)": lambda: supervised((f(8), f(8)), f(8), reduction="avg"),
        "regularized(huber)": lambda: regularized(jloss.huber, jloss.l2)(f(8), f(8), params=f(3), reduction="avg"),
        "reduce": lambda: jloss.reduce(f(8), reduction="avg"),
    }.items():
        assert message(ValueError, call) == f"{name}: {wanted}"


LOGITS, LABELS, BOXES = f((4, 3)), i(4), f((4, 4))


def applied(criterion, *args, init=(), **kwargs):
    return criterion.apply(criterion.init(*init), *args, **kwargs)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: jloss.seesaw(p=-1.0), "seesaw: `p` must be 0 or more, got -1.0."),
        (lambda: jloss.seesaw(epsilon=0.0), "seesaw: `epsilon` must be greater than 0, got 0.0."),
        (lambda: jloss.seesaw(q="x"), "seesaw: `q` must be a number or an array, of JAX or NumPy, got 'x'."),
        (lambda: jloss.seesaw(r=1.0), "seesaw: got an unexpected keyword argument 'r'."),
        (lambda: jloss.seesaw().init("x"), "seesaw: `classes` is static and must be a Python int, got 'x'."),
        (lambda: applied(jloss.seesaw(), LOGITS, None, init=[3]), "seesaw: `labels` must be an array, of JAX or NumPy, got None."),
        (lambda: applied(jloss.seesaw(), LOGITS, f(4), init=[3]), "seesaw: `labels` must be integer, got float32[4]."),
        (lambda: applied(jloss.seesaw(), LOGITS, LABELS, init=[3], where=f(4)), "seesaw: `where` must be boolean, got float32[4]."),
        (
            lambda: applied(jloss.seesaw(), LOGITS, LABELS, init=[3], reduction="avg"),
            "seesaw: `reduction` must be one of ('mean', 'sum', 'none', 'parts'), got 'avg'.",
        ),
        (
            lambda: jloss.seesaw()(LOGITS, LABELS),
            "seesaw: a loss with memory is two functions; use .init and .apply: value, state = criterion.apply(state, ...).",
        ),
        (lambda: jloss.ghm(bins=2.5), "ghm: `bins` is static and must be a Python int, got 2.5."),
        (lambda: jloss.ghm(momentum=2.0), "ghm: `momentum` must be between 0 and 1, got 2.0."),
        (lambda: jloss.ghm(momentum=1), "ghm: `momentum` must be below 1, which would keep the density empty."),
        (lambda: jloss.early_learning(beta=-0.5), "early_learning: `beta` must be between 0 and 1, got -0.5."),
        (lambda: jloss.equalized_focal(gamma=0), "equalized_focal: `gamma` must be greater than 0, got 0."),
        (lambda: jloss.wiou_v2(momentum=3.0), "wiou_v2: `momentum` must be between 0 and 1, got 3.0."),
        (lambda: jloss.wiou_v3(alpha=0.5), "wiou_v3: `alpha` must be 1 or more, got 0.5."),
        (lambda: applied(jloss.wiou_v3(), None, BOXES), "wiou_v3: `predictions` must be an array, of JAX or NumPy, got None."),
        (lambda: jloss.elastic_net(f(3), l1_ratio=2.0), "elastic_net: `l1_ratio` must be between 0 and 1, got 2.0."),
        (lambda: jloss.l1(f(3), where=3), "l1: `where` must be a function, got 3."),
        (lambda: jloss.spectral(BOXES, iterations="x"), "spectral: `iterations` is static and must be a Python int, got 'x'."),
        (lambda: jloss.gradient_penalty(None, LOGITS), "gradient_penalty: `critic` must be a function, got None."),
        (lambda: jloss.gradient_penalty(jnp.sum), "gradient_penalty: missing a required argument: 'inputs'."),
        (lambda: jloss.gradient_penalty(lambda x: x, LOGITS), "gradient_penalty: `critic` must give one number for one example, got (3,)."),
        (lambda: jloss.gradient_penalty(jnp.sum, LOGITS, mean=True), "gradient_penalty: unknown keyword `mean`."),
        (lambda: jloss.jacobian_penalty(jnp.sum, LOGITS, None), "jacobian_penalty: `key` must be an array, of JAX or NumPy, got None."),
        (lambda: hardest(jloss.huber, "x"), "hardest: `fraction` must be a number or an array, of JAX or NumPy, got 'x'."),
        (lambda: trimmed(jloss.huber, None), "trimmed: `fraction` must be a number or an array, of JAX or NumPy, got None."),
        (lambda: tilted(jloss.huber, "x"), "tilted: `over` must be a number or an array, of JAX or NumPy, got 'x'."),
        (lambda: tolerant(jloss.huber, -1.0), "tolerant: `margin` must be 0 or more, got -1.0."),
        (lambda: regularized(jloss.huber, None), "regularized: `penalty` must be a function of the parameters, got None."),
        (lambda: regularized(jloss.huber, jnp.sum, "x"), "regularized: `weight` must be a number or an array, of JAX or NumPy, got 'x'."),
        (lambda: deep_supervision(jloss.huber, 3.0), "deep_supervision: `weights` needs a number for each depth."),
        (
            lambda: deep_supervision(jloss.huber, "x"),
            "deep_supervision: `weights[0]` must be a number or an array, of JAX or NumPy, got 'x'.",
        ),
        (lambda: weighted_sum([3]), "weighted_sum: `losses` must be {name: (weight, loss)}, got [3]."),
        (lambda: weighted_sum({"a": 3}), "weighted_sum: `losses` must be {name: (weight, loss)}, got {'a': 3}."),
        (
            lambda: weighted_sum({"a": ("x", jloss.huber)}),
            "weighted_sum: `losses['a'][0]` must be a number or an array, of JAX or NumPy, got 'x'.",
        ),
        (lambda: uncertainty_weighted([3]), "uncertainty_weighted: `losses` must be {name: loss}, got [3]."),
        (lambda: chunked(jloss.huber, "x"), "chunked: `chunk_size` is static and must be a Python int | None, got 'x'."),
    ],
    ids=lambda wanted: wanted.partition(",")[0] if isinstance(wanted, str) else "",
)
def test_what_is_not_a_plain_loss_names_its_arguments(call, wanted):
    assert message((TypeError, ValueError), call) == wanted


def test_masks_have_an_axis():
    assert message(ValueError, lambda: jloss.dice(f((8, 8)), f((8, 8)), spatial_ndim=0)) == (
        "dice: `spatial_ndim` must be 1 or more, got 0."
    )


def test_integers_of_numpy_are_fine():
    assert jloss.multi_margin(f((8, 5)), i(8), p=np.int64(1), axis=np.int32(-1)) == jloss.multi_margin(f((8, 5)), i(8))


def test_annotations_may_be_strings():
    @jloss.loss("(d),(d)->()", "real real")
    def own(predictions: "Array", targets: "Array", *, power: "float" = 2.0, times: "int" = 1, **reduce: "Unpack[jloss.Reduce]") -> "Array":
        return times * jnp.sum(jnp.abs(predictions - targets) ** power)

    assert own(jnp.ones((2, 3)), f((2, 3)), times=2) == 6
    assert jax.grad(lambda power: own(jnp.full((1, 1), 2.0), f((1, 1)), power=power))(2.0) == pytest.approx(4 * np.log(2))
    assert message(TypeError, lambda: own(f((2, 3)), f((2, 3)), times=2.0)).startswith("own: `times` is static and must be a Python int")
    with pytest.raises(TypeError, match="stray: an annotation names 'Nowhere', which its module does not have"):

        @jloss.loss("(d),(d)->()", "real real")
        def stray(predictions: "Nowhere", targets: "Array", **reduce: "Unpack[jloss.Reduce]") -> "Array":  # noqa: F821
            return jnp.sum(predictions)


def test_an_array_of_a_strange_kind():
    class Tensor:
        shape = (8,)

    assert message(TypeError, lambda: jloss.huber(Tensor(), f(8))) == (
        "huber: `predictions` must be an array, of JAX or NumPy, got a Tensor."
    )


def test_missing_input():
    assert message(TypeError, lambda: jloss.cross_entropy(f((8, 5)))) == (
        "cross_entropy: missing input `labels`.\n  expected  cross_entropy(logits, labels, ...)"
    )


def test_too_many_inputs():
    assert message(TypeError, lambda: jloss.huber(f(8), f(8), 2.0)) == (
        "huber: takes 2 inputs, got 3; options are given by keyword.\n  expected  huber(predictions, targets, ...)"
    )


def test_unknown_keyword():
    assert message(TypeError, lambda: jloss.huber(f(8), f(8), delat=2.0)) == "huber: unknown keyword `delat`; did you mean `delta`?"


@pytest.mark.parametrize(("theirs", "ours"), [("mask", "where"), ("sample_weight", "weights"), ("dim", "axis")])
def test_the_keyword_of_another_library(theirs, ours):
    assert message(TypeError, lambda: jloss.cross_entropy(f((8, 5)), i(8), **{theirs: 0})) == (
        f"cross_entropy: unknown keyword `{theirs}`; did you mean `{ours}`?"
    )


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, 2])
def test_label_smoothing_out_of_range(smoothing):
    assert message(ValueError, lambda: jloss.cross_entropy(f((8, 5)), i(8), label_smoothing=smoothing)) == (
        f"cross_entropy: `label_smoothing` must be between 0 and 1, got {smoothing}."
    )


def test_beta_zero_where_it_divides():
    assert message(ValueError, lambda: jloss.smooth_l1(f(8), f(8), beta=0)) == "smooth_l1: `beta` must be greater than 0, got 0."


def test_axis_out_of_range():
    assert message(ValueError, lambda: jloss.nll(f((8, 5)), i(8), axis=2)) == "nll: `axis` is 2, but `log_probs` has 2 axes."


def test_errors_are_the_same_under_jit():
    call = jax.jit(lambda: jloss.huber(f(8), f((8, 1))))
    assert message(ValueError, call).startswith("huber: `targets` has batch axes (8, 1), but `predictions` has (8,)")


def test_disable_asserts_keeps_its_meaning():
    chex.disable_asserts()
    try:
        assert jloss.huber(f(13), f(13), where=jnp.ones(13, jnp.int32)) == 0  # the check of the dtype is off
    finally:
        chex.enable_asserts()


def test_label_out_of_range_is_nan_for_that_example_only():
    values = jloss.cross_entropy(f((4, 5)), jnp.array([0, 5, -1, 4]), reduction="none")
    np.testing.assert_array_equal(jnp.isnan(values), [False, True, True, False])


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int16, jnp.uint16, jnp.int32, jnp.uint32])
def test_labels_at_the_ends_of_their_dtype(dtype):
    ends = jnp.array([jnp.iinfo(dtype).min, jnp.iinfo(dtype).max, 1], dtype)
    values = np.asarray(jloss.cross_entropy(f((3, 300)), ends, reduction="none"))
    inside = [0 <= int(e) < 300 for e in ends]
    np.testing.assert_array_equal(np.isfinite(values), inside)


def test_labels_of_64_bits():
    with jax.enable_x64(True):
        labels = jnp.array([2**32, 2**31, -(2**32), 3], jnp.int64)
        values = np.asarray(jloss.cross_entropy(jnp.zeros((4, 5)), labels, reduction="none"))
        np.testing.assert_array_equal(np.isfinite(values), [False, False, False, True])


def test_python_lists_are_fine():
    np.testing.assert_allclose(jloss.smooth_l1([0.8, 0.1], [1, 1]), 0.2125, rtol=1e-6)
    np.testing.assert_allclose(jloss.cross_entropy(logits=[[0.8, 0.1, 0.4]], labels=[0], where=[True]), 0.7733, rtol=1e-5)


def test_numpy_arrays_are_fine():
    assert jloss.huber(np.ones(3, np.float32), np.zeros(3, np.float32)) == 0.5


def test_a_loss_must_give_one_number():
    @jloss.loss("(d),(d)->()", "real real")
    def wrong(predictions: Array, targets: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
        return predictions - targets

    assert message(ValueError, lambda: wrong(f((2, 3)), f((2, 3)))) == (
        "wrong: one example must give one number; the core gave (2, 3) for batch axes (2,)."
    )


def test_a_signature_that_does_not_fit():
    with pytest.raises(TypeError, match="do not fit"):

        @jloss.loss("(d),(d)->()", "real")
        def wrong(predictions: Array, targets: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
            return jnp.sum(predictions - targets)


@pytest.mark.parametrize("axis", ["nope", ("i", "nope")])
def test_an_axis_that_no_mesh_has(axis):
    mesh = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    over_devices = jax.shard_map(lambda x: jloss.huber(x, x, axis_name=axis), mesh=mesh, in_specs=P("i"), out_specs=P())
    with pytest.raises(NameError, match="huber: `axis_name` is 'nope', no axis here; the axes are 'i'"):
        over_devices(jnp.ones(4))


# ---------------------------------------------------------------- what to do


@pytest.mark.parametrize(
    ("signature", "domains", "said"),
    [
        ("(k),()->()", "real klass", "wrong: 'klass' is not a domain; nearest: class; domains: real, unit, positive"),
        ("(k)->()", "real class", "has 1 inputs, the domains 'real class' are 2"),
        ("(k),()->()", "", "has 2 inputs, the domains '' are 0"),
    ],
)
def test_mistakes_of_authors(signature, domains, said):
    with pytest.raises(TypeError) as error:

        @jloss.loss(signature, domains)
        def wrong(logits: Array, labels: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
            return logits[0]

    assert said in str(error.value)
    line = inspect.currentframe().f_lineno - 5
    assert str(error.value).endswith(f"\n  at {__file__}:{line}"), "the line of the author, not one of jloss"


def bare(predictions, targets):
    return predictions - targets


def plain(predictions: Array, targets: Array, **reduce: jloss.Reduce) -> Array:
    return predictions - targets


def untold(predictions: Array, targets: Array, *, delta=1.0, **reduce: Unpack[jloss.Reduce]) -> Array:
    return predictions - targets


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: jloss.loss(bare), 'bare: say what the inputs are, as in @jloss.loss("(k),()->()", "real class").'),
        (lambda: jloss.loss("(),()->()", "real real")(bare), "bare: the last parameter of a loss is `**reduce: Unpack[jloss.Reduce]`"),
        (lambda: jloss.loss("(),()->()", "real real")(plain), "plain: the last parameter of a loss is `**reduce: Unpack[jloss.Reduce]`"),
        (lambda: jloss.loss("(),()->()", "real real")(untold), "untold: say what the option `delta` is: `delta: float`"),
    ],
)
def test_a_decorator_says_what_to_write(call, said):
    assert message(TypeError, call).startswith(said)


def test_a_decorator_names_the_line_of_its_author():
    line = f"\n  at {__file__}:{bare.__code__.co_firstlineno}"
    assert message(TypeError, lambda: jloss.loss(bare)).endswith(line)
    assert message(ValueError, lambda: jloss.loss("(),()", "real real")(bare)) == (
        f"bare: a signature reads like '(k),()->()', one example and one number; got '(),()'.{line}"
    )


def test_the_catalogue_prints_its_families_and_an_entry_its_call():
    text = repr(jloss.CATALOGUE)
    assert len(text) < 6000
    assert "regression.robust: general_robust, cauchy, geman_mcclure, welsch, tukey_biweight\n" in text
    assert repr(jloss.CATALOGUE["huber"]) == "<loss huber(predictions, targets, delta=1.0) of jloss.regression.errors>"
    assert repr(jloss.CATALOGUE["router_z"]) == "<loss router_z(logits, mask=None) of jloss.language.experts>"
    assert repr(jloss.CATALOGUE["seesaw"]) == "<stateful seesaw(p=0.8, q=2.0, epsilon=0.01) of jloss.classification.long_tail>"
