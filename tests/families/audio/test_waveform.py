"""Ratios of waveforms at the points that can be worked out by hand, and beside auraloss and torchmetrics."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from tests.compiled import AS_USERS
from tests.oracles.audio import waveform as oracles
from tests.peers import agree, draws

RATIOS = [jloss.si_sdr, jloss.snr, jloss.sd_sdr]
TONE = np.float32([1, 0, -1, 0, 1, 0, -1, 0])  # energy 4, mean 0
OTHER = np.float32([0, 1, 0, -1, 0, 1, 0, -1])  # as much, and orthogonal to it
SILENCE = np.zeros(8, np.float32)


def both(loss, predictions, targets):
    """The value, and the gradients in predictions and targets."""
    return jax.value_and_grad(loss, (0, 1))(jnp.asarray(predictions), jnp.asarray(targets))


@pytest.mark.parametrize("loss", [*RATIOS, *(functools.partial(r, zero_mean=False) for r in RATIOS)])
@pytest.mark.parametrize(("predictions", "silent"), [(TONE, SILENCE), (SILENCE, SILENCE), (TONE[:1], SILENCE[:1]), (TONE[:0], SILENCE[:0])])
def test_a_silent_target_costs_80_and_asks_for_nothing(loss, predictions, silent):
    value, gradients = both(loss, predictions, silent)
    np.testing.assert_allclose(value, 80, rtol=1e-6)
    np.testing.assert_array_equal(gradients, np.zeros((2, len(silent))))


@pytest.mark.slow
def test_a_silent_prediction():
    """It has nothing of the target, so there is nothing to scale; as noise it is the target itself: 0 dB."""
    for loss, wanted, pulls in ((jloss.si_sdr, 80, False), (jloss.sd_sdr, 80, False), (jloss.snr, 0, True)):
        value, (gradient, _) = both(loss, SILENCE, TONE)
        np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-6)
        # of snr: 10 / ln 10 times 2 (p - s) / ||p - s||^2, against the direction of the target
        np.testing.assert_allclose(gradient, -20 / math.log(10) * TONE / 4 if pulls else SILENCE, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", RATIOS)
def test_an_exact_match_reaches_the_energy_over_epsilon(loss):
    value, gradients = both(loss, TONE, TONE)
    np.testing.assert_allclose(value, -10 * math.log10(4 / 1e-8), rtol=1e-6)
    assert np.isfinite(gradients).all()
    np.testing.assert_allclose(loss(TONE, TONE, max_db=30.0), -30, rtol=1e-5)


def test_numbers_by_hand():
    """p = s + n/10 with n orthogonal to s and as loud: 20 dB. Twice as loud: 20 dB up to scale; the error is s + n/5, its energy 1.04."""
    near = TONE + OTHER / 10
    for loss in RATIOS:
        np.testing.assert_allclose(loss(near, TONE), -20, rtol=1e-5)
        np.testing.assert_allclose(loss(near + 3, TONE - 5), -20, rtol=1e-4)
        assert loss(near + 3, TONE - 5, zero_mean=False) > -19
    np.testing.assert_allclose(jloss.si_sdr(-2 * near, TONE), -20, rtol=1e-5)
    np.testing.assert_allclose(jloss.snr(2 * near, TONE), 10 * math.log10(1.04), rtol=1e-5)
    np.testing.assert_allclose(jloss.sd_sdr(2 * near, TONE), 10 * math.log10(1.04 / 4), rtol=1e-5)
    np.testing.assert_allclose(jloss.si_sdr(near, TONE, max_db=20.0), -10 * math.log10(1 / (0.01 + 0.01)), rtol=1e-5)
    np.testing.assert_allclose(jloss.esr(2 * near, TONE), 1.04, rtol=1e-5)
    np.testing.assert_allclose(jloss.dc_error(near + 0.5, TONE), 0.25 / 0.5, rtol=1e-5)


@pytest.mark.parametrize("loss", [jloss.esr, jloss.dc_error])
def test_errors_at_a_match_and_at_silence(loss):
    for signal in (TONE, SILENCE, TONE[:1]):
        value, gradients = both(loss, signal, signal)
        assert value == 0
        np.testing.assert_array_equal(gradients, np.zeros((2, len(signal))))
    value, gradients = both(loss, TONE + 1, SILENCE)  # the energy 12 or the squared mean 1 over epsilon
    np.testing.assert_allclose(value, 12e8 if loss is jloss.esr else 1e8, rtol=1e-5)
    assert np.isfinite(gradients).all()


@pytest.mark.slow
def test_a_filter_of_the_target_is_no_distortion():
    """Nor is a match, at more taps than samples; the ceiling is 80 for an epsilon of 1e-8."""
    (target,) = draws((600,))
    target[-20:] = 0
    echo = target + 0.5 * np.roll(target, 3) - 0.2 * np.roll(target, 20)
    np.testing.assert_allclose(jloss.ci_sdr(echo, target), -80, atol=0.5)
    assert jloss.ci_sdr(echo, target, filter_length=20) > -20  # a tap too few
    for signal in (TONE, TONE[:1], np.ones(600, np.float32)):
        value, gradients = both(jloss.ci_sdr, -3 * signal, signal)
        np.testing.assert_allclose(value, -80, atol=0.1)
        assert np.isfinite(gradients).all()


@pytest.mark.slow
@pytest.mark.parametrize("signals", [(SILENCE, TONE), (TONE, SILENCE), (SILENCE, SILENCE), (TONE[:0], TONE[:0])])
def test_of_silence_delays_explain_nothing(signals):
    value, gradients = both(jloss.ci_sdr, *signals)
    np.testing.assert_allclose(value, 80, rtol=1e-6)
    np.testing.assert_array_equal(gradients, np.zeros((2, len(signals[0]))))


@pytest.mark.slow
def test_ci_sdr_by_hand():
    """Of (1, 1) with the delays of (1, 0) by 0, or by 0 and 1, a half or all is explained; what is late or orthogonal is not."""
    np.testing.assert_allclose(jloss.ci_sdr(jnp.array([1.0, 1]), jnp.array([1.0, 0]), filter_length=1), 0, atol=1e-5)
    np.testing.assert_allclose(jloss.ci_sdr(jnp.array([1.0, 1]), jnp.array([1.0, 0]), filter_length=2), -80, atol=0.1)
    np.testing.assert_allclose(jloss.ci_sdr(TONE + OTHER / 10, TONE, filter_length=1), -20, rtol=1e-4)
    value, gradients = both(functools.partial(jloss.ci_sdr, filter_length=1), OTHER, TONE)
    np.testing.assert_allclose(value, 80, rtol=1e-6)
    np.testing.assert_allclose(gradients, np.zeros((2, 8)), atol=1e-12)
    with pytest.raises(ValueError, match="ci_sdr: `filter_length` must be 1 or more"):
        jloss.ci_sdr(TONE, TONE, filter_length=0)


@pytest.mark.slow
def test_a_match_has_no_gradient_in_ci_sdr():
    """The least error there is, at most epsilon, and so at its floor: what rounding adds to it must not lift it above."""
    signals = np.stack([*draws((30,), (30,)), np.ones(30), np.full(30, 0.75), np.eye(30)[2]]).astype(np.float32)
    step = jax.jit(jax.value_and_grad(functools.partial(jloss.ci_sdr, filter_length=4, reduction="sum"), (0, 1)))
    value, gradients = step.lower(signals, signals).compile(AS_USERS)(signals, signals)
    np.testing.assert_allclose(value, -80 * 5, rtol=1e-6)
    np.testing.assert_allclose(gradients, np.zeros((2, *signals.shape)), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1, -1, 2])
def test_ci_sdr_of_an_exact_match_is_at_its_limit(factor):
    """The error is a little less than epsilon, which float32 does not tell from it: 0.01 was the slope on the other side."""
    signal = np.random.default_rng(0).normal(size=400).astype(np.float32)
    value, gradients = both(functools.partial(jloss.ci_sdr, filter_length=16), factor * signal, signal)
    np.testing.assert_allclose(value, -80, atol=1e-4)
    np.testing.assert_allclose(gradients, np.zeros((2, 400)), atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.01, 0.2])
def test_ci_sdr_of_a_large_epsilon_is_kept_between_its_limits(epsilon):
    """Silence cost 20 for 19.956 at 0.01, and a match had the gradient of what its filter costs."""
    signal = np.float32(draws((24,))[0])
    limit = 10 * math.log10((1 - epsilon) / epsilon)
    value_and_slopes = jax.value_and_grad(lambda p, s: jloss.ci_sdr(p, s, filter_length=3, epsilon=epsilon), (0, 1))
    for p, wanted in ((signal, -limit), (0 * signal, limit)):
        value, slopes = value_and_slopes(p, signal)
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
        np.testing.assert_array_equal(slopes, 0.0)


@pytest.mark.slow
def test_the_second_derivative_of_ci_sdr():
    """By differences of gradients: the best filter moves with the signals."""
    prediction, target, along = draws((30,), (30,), (30,))
    slope = jax.grad(functools.partial(jloss.ci_sdr, filter_length=4))
    _, got = jax.jvp(lambda p: slope(p, target), (prediction,), (along,))
    wanted = (slope(prediction + along / 100, target) - slope(prediction - along / 100, target)) * 50
    np.testing.assert_allclose(got, wanted, rtol=0.02, atol=0.01)


def test_scale_invariance():
    (noise,) = draws((8,))
    prediction = TONE + noise
    wanted = jloss.si_sdr(prediction, TONE)
    for factor in (1e-2, -3.0, 1e4):
        np.testing.assert_allclose(jloss.si_sdr(factor * prediction, TONE), wanted, rtol=1e-4)
        np.testing.assert_allclose(jloss.si_sdr(prediction, factor * TONE), wanted, rtol=1e-4)
    gradient = jax.grad(jloss.si_sdr)(jnp.asarray(prediction), TONE)
    np.testing.assert_allclose(np.vdot(gradient, prediction), 0, atol=1e-5)


@pytest.mark.parametrize("loss", [jloss.sa_sdr, jloss.si_sdr, functools.partial(jloss.si_sdr, zero_mean=False)])
@pytest.mark.parametrize("factor", [3, -7])
def test_rounding_of_a_multiple_of_the_target_is_no_noise(loss, factor):
    """Of float32 the rest is 1e-7 of the signal, and its derivative, over the epsilon of 1e-8, was 400 and of no meaning.

    The ratio is that of the signal's energy over epsilon, which grows with the signal's part alone; across it the epsilon bends the loss.
    """
    signals = np.round(2**15 * np.random.default_rng(0).normal(size=(8, 1, 400))).astype(np.float32) / 2**15  # seven times it is exact
    s = np.float64(signals) - (signals.mean(-1, keepdims=True, dtype=np.float64) if loss is jloss.si_sdr else 0)
    energy = np.sum(s * s, -1, keepdims=True)
    across = np.roll(s, 1, -1)
    across = np.float32(across - s * np.sum(s * across, -1, keepdims=True) / energy)

    def measured(predictions, across):
        slope = jax.grad(lambda p: loss(p, signals, reduction="sum"))
        return loss(predictions, signals, reduction="none"), slope(predictions), jax.jvp(slope, (predictions,), (across,))[1]

    value, gradient, bend = jax.jit(measured, compiler_options=AS_USERS)(factor * signals, across)
    np.testing.assert_allclose(value.ravel(), -10 * np.log10(factor**2 * energy.ravel() / 1e-8), rtol=2e-3)
    np.testing.assert_allclose(gradient, -20 / math.log(10) * s / (factor * energy), atol=2e-3)
    np.testing.assert_allclose(bend, 20 / math.log(10) * across / 1e-8, rtol=0.01, atol=0.01 * np.abs(across).max() * 8.7e8)


@pytest.mark.parametrize("loss", [jloss.sa_sdr, jloss.si_sdr])
@pytest.mark.parametrize("below", [60, 90, 115])
def test_noise_above_rounding_counts(loss, below):
    """What is called rounding begins 126 dB below the signal; a small noise is still one, with its slope."""
    s, noise = (1e3 * x for x in draws((1, 400), (1, 400)))
    s = np.float32(s - s.mean()).astype(np.float64)
    noise = noise - noise.mean() - s * np.sum(s * noise) / np.sum(s * s)
    noise *= 10 ** (-below / 20) * np.sqrt(np.sum(s * s) / np.sum(noise * noise))
    predictions = np.float32(s + noise)
    rest = np.float64(predictions) - s * np.sum(s * predictions) / np.sum(s * s)
    value, gradient = jax.value_and_grad(loss)(predictions, np.float32(s))
    np.testing.assert_allclose(value, -below, atol=0.5)
    wanted = 20 / math.log(10) * rest / np.sum(rest * rest)
    np.testing.assert_allclose(gradient, wanted, atol=0.1 * np.abs(wanted).max())


LOUDNESS = [0.0, 1e-30, 1e-6, 1.0, 1e12, 1e18, 1e30]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["si_sdr", "snr", "sd_sdr", "esr", "dc_error", "sa_sdr", "ci_sdr"])
def test_loud_and_quiet_signals_are_those_of_float64(name):
    """Squares of 1e18 overflow in float32, those of 1e-30 underflow."""
    options = {"filter_length": 4} if name == "ci_sdr" else {}
    noise, target = draws((20,), (20,))
    pairs = [(a * (target + noise), b * target) for a in LOUDNESS for b in LOUDNESS]
    given = [np.float32([pair[i] for pair in pairs])[:, None if name == "sa_sdr" else slice(None)] for i in (0, 1)]
    wanted = np.array([getattr(oracles, name)(p, t, **options) for p, t in zip(*np.float64(given), strict=True)])
    fits = wanted < 1e30  # of a silent target the error may be 1e68 times the signal
    loss = functools.partial(getattr(jloss, name), **options)
    values = loss(*given, reduction="none")
    np.testing.assert_allclose(values[fits], wanted[fits], rtol=2e-4, atol=1e-3)
    assert np.isinf(values[wanted > 1e40]).all()
    gradients = jax.grad(lambda *signals: jnp.sum(jnp.where(fits, loss(*signals, reduction="none"), 0)), (0, 1))(*map(jnp.asarray, given))
    assert all(np.isfinite(g[fits]).all() for g in gradients)


@pytest.mark.slow
@pytest.mark.parametrize("loudness", [1.0, 1e6, 1e18, 1e30])
def test_ratios_of_loud_signals_keep_their_gradient(loudness):
    near, target = np.float32(loudness) * (TONE + OTHER / 10), np.float32(loudness) * TONE
    for loss in (*RATIOS, functools.partial(jloss.ci_sdr, filter_length=1)):
        value, (slope, _) = both(loss, near, target)
        np.testing.assert_allclose(value, -20, rtol=1e-4)
        wanted = jax.grad(loss)(jnp.asarray(TONE + OTHER / 10), jnp.asarray(TONE))
        np.testing.assert_allclose(loudness * np.float64(slope), wanted, rtol=1e-3, atol=1e-3)
        value, gradients = both(loss, target, target)
        assert np.isfinite(value)
        assert value < -79
        assert np.isfinite(gradients).all()


def test_a_loud_mean_alone_is_silence():
    value, gradients = both(jloss.si_sdr, np.full(8, 2.0**60), np.full(8, 2.0**60))
    np.testing.assert_allclose(value, 80, rtol=1e-6)
    np.testing.assert_array_equal(gradients, np.zeros((2, 8)))


@pytest.mark.slow
def test_sources_in_one_ratio():
    """Of two sources one is silent: the energy is 4, the error 0.01 of each."""
    targets = np.stack([TONE, SILENCE])
    predictions = np.stack([TONE + OTHER / 20, OTHER / 20])
    value, (gradient, _) = both(functools.partial(jloss.sa_sdr, scale_invariant=False), predictions, targets)
    np.testing.assert_allclose(value, -10 * math.log10(4 / 0.02), rtol=1e-5)
    np.testing.assert_allclose(gradient[1], 20 / math.log(10) * predictions[1] / 0.02, rtol=1e-4)
    np.testing.assert_allclose(jloss.sa_sdr(3 * predictions, targets), value, rtol=1e-5)
    np.testing.assert_allclose(jloss.sa_sdr(predictions[:1], targets[:1]), jloss.si_sdr(predictions[0], TONE, zero_mean=False), rtol=1e-6)
    value, gradients = both(jloss.sa_sdr, np.stack([TONE, OTHER]), 0 * targets)
    np.testing.assert_allclose(value, 80, rtol=1e-6)
    np.testing.assert_array_equal(gradients, np.zeros((2, 2, 8)))


def test_bfloat16_is_widened_first():
    near = (TONE + OTHER / 8).astype(jnp.bfloat16)  # all exact in bfloat16
    value, gradient = jax.value_and_grad(jloss.si_sdr)(near, TONE.astype(jnp.bfloat16))
    np.testing.assert_allclose(value, -20 * math.log10(8), rtol=1e-5)
    assert (value.dtype, gradient.dtype) == (jnp.float32, jnp.bfloat16)


def test_integers_of_a_sound_file_are_targets():
    sound = np.int16([1000, 0, -1000, 0, 1000, 0, -1000, 0])
    np.testing.assert_allclose(jloss.snr(1000 * TONE + 100 * OTHER, sound), -20, rtol=1e-5)


@pytest.mark.slow
def test_permutation_and_masked_examples():
    separated = jloss.permutation_invariant(jloss.si_sdr)
    near = np.stack([OTHER + TONE / 10, TONE + OTHER / 10])
    np.testing.assert_allclose(separated(near, np.stack([TONE, OTHER])), -20, rtol=1e-5)
    batch = np.stack([near[1], np.full(8, np.nan, np.float32)])
    value, gradient = jax.value_and_grad(jloss.si_sdr)(batch, np.stack([TONE, TONE]), where=np.array([True, False]))
    np.testing.assert_allclose(value, -20, rtol=1e-5)
    np.testing.assert_array_equal(gradient[1], SILENCE)


@pytest.mark.slow
def test_pre_emphasis():
    np.testing.assert_allclose(jloss.pre_emphasis(np.float32([2, 2, 4])), [2, 2 - 1.9, 4 - 1.9], rtol=1e-6)
    np.testing.assert_allclose(jloss.pre_emphasis([[1, 3], [0, 2]], 0.5), [[1, 2.5], [0, 2]])
    np.testing.assert_array_equal(jloss.pre_emphasis(TONE, coefficient=0.0), TONE)
    assert jloss.pre_emphasis(TONE.astype(jnp.bfloat16), jnp.float32(0.5)).dtype == jnp.bfloat16
    assert jloss.pre_emphasis(jnp.zeros((2, 0))).shape == (2, 0)


# ---------------------------------------------------------------- peers


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_auraloss(scale):
    """Energies down to 1e-5, where the two epsilons have a say."""
    auraloss = pytest.importorskip("auraloss")
    signals = draws((3, 64), (3, 64), scale=scale)
    signals[0] += signals[1]
    peers = {
        jloss.si_sdr: auraloss.time.SISDRLoss(),
        jloss.snr: auraloss.time.SNRLoss(),
        jloss.sd_sdr: auraloss.time.SDSDRLoss(),
        jloss.esr: auraloss.time.ESRLoss(),
        jloss.dc_error: auraloss.time.DCLoss(),
    }
    for ours, theirs in peers.items():
        agree(ours, lambda p, t, theirs=theirs: theirs(p[:, None], t[:, None]), *signals, rtol=1e-4, atol=1e-4)


def test_torchmetrics():
    """Their epsilon is smaller and stands elsewhere: equal for ordinary signals."""
    audio = pytest.importorskip("torchmetrics.functional.audio")
    signals = draws((3, 64), (3, 64))
    signals[0] += signals[1]
    pairs = [
        (jloss.si_sdr, audio.scale_invariant_signal_noise_ratio),
        (functools.partial(jloss.si_sdr, zero_mean=False), audio.scale_invariant_signal_distortion_ratio),
        (functools.partial(jloss.snr, zero_mean=False), audio.signal_noise_ratio),
        (jloss.snr, functools.partial(audio.signal_noise_ratio, zero_mean=True)),
        (functools.partial(jloss.ci_sdr, filter_length=8), functools.partial(audio.signal_distortion_ratio, filter_length=8)),
        (jloss.sa_sdr, audio.source_aggregated_signal_distortion_ratio),
    ]
    for ours, theirs in pairs:
        agree(ours, lambda p, t, theirs=theirs: -theirs(p, t).mean(), *signals)


def test_a_silent_target_is_where_the_peers_differ():
    auraloss, audio = pytest.importorskip("auraloss"), pytest.importorskip("torchmetrics.functional.audio")
    import torch

    p, s = torch.tensor(TONE), torch.zeros(8)
    np.testing.assert_allclose(auraloss.time.SISDRLoss()(p[None, None], s[None, None]), jloss.si_sdr(TONE, SILENCE), rtol=1e-5)
    theirs = audio.scale_invariant_signal_distortion_ratio(p, s)  # scaled by a = 1, the target is still silent
    np.testing.assert_allclose(theirs, 10 * math.log10(2.0**-23 / (4 + 2.0**-23)), rtol=1e-4)
