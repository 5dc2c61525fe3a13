"""Preferences and feedback: numbers written out, half precision, probabilities of 0 and 1, ties, empty sets, the gradient's constants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

LOG2 = 0.6931471805599453
PAIRS = ("dpo", "apo", "f_dpo", "nca", "dpop")


def value_and_slopes(loss, *inputs, **options):
    value, slopes = jax.value_and_grad(loss, tuple(range(len(inputs))))(*map(jnp.float32, inputs), **options)
    return float(value), [float(s) for s in slopes]


# chosen gains 2 over its reference and rejected loses 1: c - r = 3, z = 0.3.
VARIANTS = {
    "sigmoid": (0.5543552, {}),
    "hinge": (0.7, {}),
    "ipo": (4.0, {}),  # (3 - 5)^2
    "exo": (0.3583834, {"label_smoothing": 0.1}),
    "robust": (0.5168552, {"label_smoothing": 0.1}),  # (0.9 * 0.5543552 - 0.1 * 0.8543552) / 0.8
    "discopop": (0.7408182 + 0.0024726 * (0.5543552 - 0.7408182), {}),  # m = sigmoid(6)
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variants_of_dpo_on_one_pair(variant):
    wanted, options = VARIANTS[variant]
    value, slopes = value_and_slopes(jloss.dpo, -3.0, -6.0, -5.0, -5.0, variant=variant, **options)
    np.testing.assert_allclose(value, wanted, rtol=2e-6)
    assert slopes[0] == -slopes[1] != 0
    assert slopes[2:] == [0, 0]


def test_exo_of_one_pair_is_a_divergence_of_two_numbers():
    p = 1 / (1 + np.exp(-0.3))
    wanted = p * np.log(p / 0.9) + (1 - p) * np.log((1 - p) / 0.1)
    np.testing.assert_allclose(wanted, VARIANTS["exo"][0], rtol=1e-6)
    zero, slopes = value_and_slopes(jloss.dpo, 10 * np.log(9.0), 0.0, variant="exo", label_smoothing=0.1)  # p = 0.9
    np.testing.assert_allclose([zero, *slopes], 0, atol=1e-7)
    with pytest.raises(ValueError, match=r"dpo: `label_smoothing` must be above 0 for variant=\"exo\""):
        jloss.dpo(jnp.zeros(2), jnp.zeros(2), variant="exo")


def test_exo_of_an_impossible_response_has_the_limit_of_its_loss():
    """log(1 / s) where the chosen one is, log(1 / (1 - s)) where the rejected one is."""
    for chosen, rejected, limit in ((-jnp.inf, -1.0, np.log(10)), (-1.0, -jnp.inf, -np.log(0.9))):
        value, slopes = value_and_slopes(jloss.dpo, chosen, rejected, variant="exo", label_smoothing=0.1)
        np.testing.assert_allclose(value, limit, rtol=1e-6)
        assert slopes == [0, 0]


@pytest.mark.parametrize("share", [0.5, 0.7, np.float32(0.5)])
def test_robust_dpo_of_labels_that_say_nothing_or_the_opposite(share):
    row = jnp.zeros(2)
    for loss in (jloss.dpo, jloss.chunked(jloss.dpo)):
        with pytest.raises(ValueError, match=r'dpo\)?: `label_smoothing` must be below 1/2 for variant="robust", got 0\.[57]'):
            loss(row, row, variant="robust", label_smoothing=share)
        assert np.isfinite(loss(row, row, variant="sigmoid", label_smoothing=share))


def test_a_margin_is_taken_off_the_difference():
    np.testing.assert_allclose(jloss.dpo(jnp.float32(3.0), jnp.float32(0.0), margin=jnp.float32(0.3)), LOG2, rtol=1e-6)
    np.testing.assert_allclose(jloss.bradley_terry(jnp.float32(3.0), jnp.float32(1.0), jnp.float32(2.0)), LOG2, rtol=1e-6)


@pytest.mark.parametrize("name", ["dpo", "f_dpo", "simpo", "cpo", "bradley_terry"])
def test_equal_responses_are_a_coin_toss(name):
    options = {"simpo": {"gamma": 0.0}, "cpo": {"alpha": 0.0}}.get(name, {})
    value, (up, down) = value_and_slopes(getattr(jloss, name), -7.0, -7.0, **options)
    np.testing.assert_allclose(value, LOG2, rtol=1e-6)
    assert up == -down < 0


def test_dpo_is_f_dpo_at_alpha_one_and_forward_kl_at_zero():
    pair = (jnp.float32(-1.0), jnp.float32(-1.5))
    at = [jloss.f_dpo(*pair, divergence="alpha", alpha=a) for a in (1.0, 1 - 1e-4, 0.0)]
    np.testing.assert_allclose(at[0], jloss.dpo(*pair), rtol=1e-6)
    np.testing.assert_allclose(at[1], at[0], rtol=1e-4)
    np.testing.assert_allclose(at[2], jloss.f_dpo(*pair, divergence="forward_kl"), rtol=1e-6)


def test_log_probabilities_of_hundreds_are_subtracted_in_float32():
    """In bfloat16 -500 and -501 are one number, and so are their ratios; the inputs here are bfloat16 numbers."""
    sums = [jnp.bfloat16(x) for x in (-500.0, -512.0, -508.0, -496.0)]
    value, slope = jax.value_and_grad(jloss.dpo)(*sums)
    np.testing.assert_allclose(value, np.log1p(np.exp(-0.1 * (8 + 16))), rtol=1e-6)
    assert (value.dtype, slope.dtype) == (jnp.float32, jnp.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize("far", [1e4, -1e4])
def test_log_ratios_of_ten_thousand_are_exact(far):
    lost = 0.1 * max(-far, 0.0)  # how far the chosen response is behind
    value, (slope, _) = value_and_slopes(jloss.dpo, far, 0.0)
    assert value == pytest.approx(lost, rel=1e-6)
    assert slope == pytest.approx(-0.1 if far < 0 else 0.0)
    for name in PAIRS:
        for options in {"apo": [{}, {"anchor": "down"}], "f_dpo": [{"divergence": d} for d in ("forward_kl", "js", "alpha")]}.get(
            name, [{}]
        ):
            found, slopes = value_and_slopes(getattr(jloss, name), far, -far, 0.0, 0.0, **options)
            assert np.isfinite([found, *slopes]).all(), (name, options)
    for variant in VARIANTS:
        found, slopes = value_and_slopes(jloss.dpo, far, -far, variant=variant, label_smoothing=0.1)
        assert np.isfinite([found, *slopes]).all(), variant


def test_orpo_where_a_response_is_sure():
    """A log-probability of 0 has infinite odds; here they are those of 2^-126."""
    odds = 126 * LOG2
    value, (up, down) = value_and_slopes(jloss.orpo, -LOG2, 0.0)  # odds of 1 against the largest
    np.testing.assert_allclose(value, LOG2 + 0.1 * odds, rtol=1e-6)
    np.testing.assert_allclose([up, down], [-1.2, 0.0], rtol=1e-6)  # the odds of 1/2 have the slope 2
    value, slopes = value_and_slopes(jloss.orpo, 0.0, 0.0)
    np.testing.assert_allclose([value, *slopes], [0.1 * LOG2, -1.0, 0.0], rtol=1e-6)
    near, slopes = value_and_slopes(jloss.orpo, -LOG2, -1e-10)  # log(1e10), where log(1 - exp(x)) would be -inf
    np.testing.assert_allclose(near, LOG2 + 0.1 * np.log(1e10), rtol=1e-6)
    assert np.isfinite(slopes).all()


def test_corners_of_hinges():
    for value, slopes in (
        value_and_slopes(jloss.dpo, 10.0, 0.0, variant="hinge"),
        value_and_slopes(jloss.slic, 1.0, 0.0),
    ):
        assert [value, *slopes] == [0.0, 0.0, 0.0]
    value, slopes = value_and_slopes(jloss.slic, 1.0, 0.0, -2.0, weight=0.5)
    assert [value, *slopes] == [1.0, 0.0, 0.0, -0.5]  # the supervised response has its gradient
    assert jax.grad(jloss.dpop)(jnp.float32(0.0), jnp.float32(0.0)) == pytest.approx(-0.05)  # without penalty: -beta / 2
    assert jax.grad(jloss.dpop)(jnp.float32(-1e-3), jnp.float32(0.0)) == pytest.approx(-2.55, rel=1e-2)


def test_both_sides_of_a_pair_add_up():
    """bco_pair, sppo_hard and the two terms of apo of TRL."""
    c, r = jnp.float32(1.5), jnp.float32(-0.5)
    zero = jnp.float32(0.0)
    sides = jloss.sppo(c, zero, 1.0) + jloss.sppo(r, zero, 0.0)
    np.testing.assert_allclose(sides, (1.5 - 5) ** 2 + (-0.5 + 5) ** 2, rtol=1e-6)
    sides = jloss.bco(c, zero, 1) + jloss.bco(r, zero, -1)
    np.testing.assert_allclose(sides, np.log1p(np.exp(-0.15)) + np.log1p(np.exp(-0.05)), rtol=1e-6)
    sides = jloss.kto(c, zero, 1, 0.0) + jloss.kto(r, zero, -1, 0.0)
    np.testing.assert_allclose(sides, jloss.apo(c, r), rtol=1e-6)


def test_kl_of_kto_is_one_number_for_the_batch_and_no_reward_below_zero():
    log_probs, reference, signs = jnp.array([-1.0, -3.0]), jnp.array([-2.0, -2.0]), jnp.array([True, False])
    each = jloss.kto(log_probs, reference, signs, jnp.float32(0.5), beta=1.0, reduction="none")
    np.testing.assert_allclose(each, [1 - 1 / (1 + np.exp(-0.5)), 1 - 1 / (1 + np.exp(-1.5))], rtol=1e-6)
    np.testing.assert_array_equal(
        jloss.kto(log_probs, reference, signs, jnp.float32(-3.0)), jloss.kto(log_probs, reference, signs, jnp.float32(0.0))
    )
    assert jax.grad(jloss.kto, 3)(log_probs, reference, signs, jnp.float32(0.5)) == 0


def test_npo_lets_go_of_what_is_unlearned():
    slopes = jax.vmap(jax.grad(jloss.npo), (0, None))(jnp.array([0.0, -1e3, 1e4]), jnp.float32(0.0))
    np.testing.assert_allclose(slopes, [1.0, 0.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(jax.grad(jloss.npo)(jnp.float32(-3.0), jnp.float32(0.0), beta=1e-6), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_aot_compares_quantiles_of_the_kept():
    chosen, rejected = jnp.array([5.0, 1.0, jnp.nan]), jnp.array([0.0, 2.0, jnp.inf])
    mask = jnp.array([True, True, False])
    value, slope = jax.value_and_grad(jloss.aot)(chosen, rejected, mask=mask, beta=1.0, paired=False)
    np.testing.assert_allclose(value, (np.log1p(np.exp(-1)) + np.log1p(np.exp(-3))) / 2, rtol=1e-6)  # 1 with 0, 5 with 2
    np.testing.assert_allclose(slope, [-0.5 / (1 + np.exp(3)), -0.5 / (1 + np.exp(1)), 0], rtol=1e-5)
    for none in (jnp.zeros(3, bool), jnp.zeros((3,), bool)):
        empty, slope = jax.value_and_grad(jloss.aot)(chosen, rejected, mask=none)
        assert empty == 0
        assert not slope.any()
    assert jloss.aot(jnp.zeros(0), jnp.zeros(0)) == 0
    assert np.isnan(jloss.aot(jnp.array([jnp.nan, 1.0, 2.0]), jnp.zeros(3), mask=mask))


def test_aot_of_one_pair_is_dpo():
    pair = [jnp.float32(x) for x in (-3.0, -6.0, -5.0, -5.0)]
    for paired in (True, False):
        one = jloss.aot(*(x[None] for x in pair), paired=paired)
        np.testing.assert_allclose(one, jloss.dpo(*pair), rtol=1e-6)


def test_discopop_of_an_impossible_response_has_the_slope_of_softplus():
    """At -inf, where its product with the blend is infinity times 0; the other infinity is 0 with gradient 0."""
    slope = jax.value_and_grad(lambda c, tau: jloss.dpo(c, jnp.float32(-1.0), variant="discopop", beta=0.1, tau=tau), (0, 1))
    for tau in (0.05, 2.0):
        value, (by_chosen, by_tau) = slope(jnp.float32(-jnp.inf), jnp.float32(tau))
        assert (value, by_chosen, by_tau) == (jnp.inf, -jnp.float32(0.1), 0.0)
    value, (by_chosen, by_tau) = slope(jnp.float32(-1e6), jnp.float32(0.05))
    assert (by_chosen, by_tau) == (-jnp.float32(0.1), 0.0)
    reverse = jax.value_and_grad(lambda r: jloss.dpo(jnp.float32(-1.0), r, variant="discopop"))(jnp.float32(-jnp.inf))
    assert reverse == (0.0, 0.0)


@pytest.mark.parametrize("name", [*PAIRS, "aot"])
def test_a_reference_of_one_response_alone_is_an_error(name):
    """The other would be compared with 0, and their difference say how long responses are."""
    pair = jnp.array([-3.0, -2.0]), jnp.array([-4.0, -1.0])
    for missing, given in (("reference_rejected", "reference_chosen"), ("reference_chosen", "reference_rejected")):
        with pytest.raises(ValueError, match=f"{name}: `{missing}` is missing beside `{given}`; give both, or neither"):
            getattr(jloss, name)(*pair, **{given: pair[0]})
    assert jnp.isfinite(getattr(jloss, name)(*pair))
