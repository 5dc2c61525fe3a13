"""Spectrograms that can be worked out by hand, silence, short signals; beside auraloss, torch and librosa."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.audio import _distances, _fourier
from jloss.audio._fourier import by_matrices, columns_in_parts, frames, spectrum_in_parts
from jloss.testing import check
from tests.compiled import AS_USERS
from tests.oracles.audio import spectrogram as oracles
from tests.peers import agree, draws

TINY = {"fft_size": 4, "hop_size": 2}
LOSSES = {
    "stft": functools.partial(jloss.stft, **TINY),
    "multi_resolution_stft": functools.partial(jloss.multi_resolution_stft, fft_sizes=(4,), hop_sizes=(2,), window_lengths=(4,)),
    "mel": lambda p, t: jloss.mel(p, t, np.eye(3, dtype=np.float32), **TINY),
    "complex_stft": functools.partial(jloss.complex_stft, **TINY),
    "compressed_spectral": functools.partial(jloss.compressed_spectral, **TINY),
}


def spectrum(a, b, c):
    """Of three samples, in frames of 4 every 2: c b (a b c) b a under 0 1/2 1 1/2. All its numbers are real."""
    return np.array([[a + b, -a, a - b], [c + b, -c, c - b]])


def both(loss, predictions, targets):
    """The value, and the gradients in predictions and targets."""
    return jax.value_and_grad(loss, (0, 1))(jnp.asarray(predictions, jnp.float32), jnp.asarray(targets, jnp.float32))


@pytest.mark.slow
def test_numbers_by_hand():
    p, t = [2.0, 0.5, -3.0], [1.0, -0.25, 2.0]
    x, y = np.abs(spectrum(*p)), np.abs(spectrum(*t))
    gap = x - y
    convergence, logs = np.sqrt(np.sum(gap**2) / np.sum(y**2)), np.mean(np.abs(np.log(x / y)))
    np.testing.assert_allclose(LOSSES["stft"](p, t), convergence + logs, rtol=1e-5)
    weights = {"convergence": 2.0, "log_magnitude": 3.0, "magnitude": 5.0}
    np.testing.assert_allclose(jloss.stft(p, t, **TINY, **weights), 2 * convergence + 3 * logs + 5 * np.mean(np.abs(gap)), rtol=1e-5)
    np.testing.assert_allclose(LOSSES["mel"](p, t), logs, rtol=1e-5)
    parts = spectrum(*p) - spectrum(*t)
    np.testing.assert_allclose(LOSSES["complex_stft"](p, t), np.mean(np.abs(parts)) + np.mean(np.abs(gap)), rtol=1e-5)
    small = [np.sign(z) * np.abs(z) ** 0.3 for z in (spectrum(*p), spectrum(*t))]
    wanted = 0.7 * np.mean((x**0.3 - y**0.3) ** 2) + 0.3 * np.mean((small[0] - small[1]) ** 2)
    np.testing.assert_allclose(LOSSES["compressed_spectral"](p, t), wanted, rtol=1e-5)


def test_twice_as_loud():
    """Convergence 1, log 2, and the mean magnitude of 1.5 1 0.5 2.5 2 1.5."""
    p, t = [2.0, 1.0, 4.0], [1.0, 0.5, 2.0]
    np.testing.assert_allclose(LOSSES["stft"](p, t), 1 + math.log(2), rtol=1e-6)
    np.testing.assert_allclose(jloss.stft(p, t, **TINY, convergence=0.0, log_magnitude=0.0, magnitude=1.0), 1.5, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("signal", [np.zeros(8), np.ones(8), np.sin(np.arange(8.0)), np.eye(8)[3]])
def test_a_match_is_0_with_gradient_0(name, signal):
    value, gradients = both(LOSSES[name], signal, signal)
    assert value == 0
    np.testing.assert_array_equal(gradients, np.zeros((2, 8)))


@pytest.mark.slow
@pytest.mark.parametrize("fft_size", [4, 512])
def test_a_match_of_compressed_spectra_is_0_in_optimised_code(fft_size):
    """Of two equal products CPUs subtract one before it is rounded."""
    signals = np.float32(np.random.default_rng(0).normal(size=(9, 1200)))
    step = jax.jit(jax.value_and_grad(lambda x, y: jloss.compressed_spectral(x, y, fft_size=fft_size, hop_size=fft_size // 2), (0, 1)))
    compiled = step.lower(signals, signals).compile(AS_USERS)
    for given in (signals, np.broadcast_to(np.sin(np.arange(1200, dtype=np.float32)), signals.shape)):
        value, gradients = compiled(given, given)
        assert value == 0
        np.testing.assert_array_equal(gradients, np.zeros((2, *signals.shape)))


@pytest.mark.parametrize("name", LOSSES)
def test_silence_has_a_finite_loss_and_gradient(name):
    tone = np.sin(np.arange(8.0))
    for p, t in ((tone, 0 * tone), (0 * tone, tone)):
        value, gradients = both(LOSSES[name], p, t)
        assert np.isfinite(value)
        assert value > 0
        assert np.isfinite(gradients).all()


def test_what_silence_costs():
    """Predicted: all is missing, and the logarithms are 4 decades below 1; no gradient, as all magnitudes are at the floor."""
    t = [1.0, 0.0, 1.0]  # all magnitudes are 1
    value, (gradient, _) = both(LOSSES["stft"], np.zeros(3), t)
    np.testing.assert_allclose(value, (1 - 1e-4) + math.log(1e4), rtol=1e-6)
    np.testing.assert_array_equal(gradient, np.zeros(3))
    value, _ = both(LOSSES["stft"], t, np.zeros(3))
    np.testing.assert_allclose(value, (1 - 1e-4) / 1e-4 + math.log(1e4), rtol=1e-6)


@pytest.mark.slow
def test_exactly_at_the_floor_there_is_no_gradient():
    """All magnitudes of 1 0 1 are 1, and those of 2 0 2 above it."""
    for loss in (jloss.stft, functools.partial(jloss.compressed_spectral, complex_weight=0.0)):
        signals = jnp.array([1.0, 0.0, 1.0]), jnp.array([2.0, 0.0, 2.0])
        np.testing.assert_array_equal(jax.grad(functools.partial(loss, **TINY, epsilon=1.0))(*signals), np.zeros(3))
        assert np.abs(jax.grad(functools.partial(loss, **TINY, epsilon=0.99))(*signals)).max() > 0.02


@pytest.mark.slow
def test_filters_of_zeros_leave_nothing():
    value, gradients = both(lambda p, t: jloss.stft(p, t, jnp.zeros((2, 3)), **TINY), np.ones(4), np.arange(4.0))
    assert value == 0
    np.testing.assert_array_equal(gradients, np.zeros((2, 4)))


@pytest.mark.slow
def test_filters_may_differ_between_examples():
    (signals,) = draws((2, 2, 8))
    filters = np.abs(draws((2, 2, 3), seed=1)[0])
    each = [jloss.stft(*signals[:, i], filters[i], **TINY) for i in range(2)]
    np.testing.assert_allclose(jloss.stft(*signals, filters, **TINY, reduction="none"), each, rtol=1e-6)
    shared = np.mean([jloss.mel(*signals[:, i], filters[0], **TINY) for i in (0, 1)])
    np.testing.assert_allclose(jloss.mel(*signals, filters[0], **TINY), shared)


def test_the_phase_does_not_matter_to_magnitudes():
    (signal,) = draws((3,))
    assert LOSSES["stft"](signal, -signal) == 0
    assert LOSSES["mel"](signal, -signal) == 0
    assert LOSSES["complex_stft"](signal, -signal) > 0.1
    assert LOSSES["compressed_spectral"](signal, -signal) > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "stft: signals must have more than `fft_size` // 2 = 512 samples, .* got 8"),
        ({"fft_size": 16}, "more than `fft_size` // 2 = 8 samples, .* got 8"),
        ({"fft_size": 8, "hop_size": 0}, "`hop_size` must be 1 or more, got 8 and 0"),
        ({"fft_size": 8, "window_length": 9}, "`window_length` must be between 1 and `fft_size` = 8, got 9"),
        ({"fft_size": 8, "filters": np.ones((2, 4), np.float32)}, "a column for each of the fft_size // 2 \\+ 1 = 5 frequencies, got 4"),
    ],
)
def test_what_cannot_be_transformed(options, message):
    with pytest.raises(ValueError, match=message):
        jloss.stft(np.zeros(8), np.zeros(8), **options)


def test_resolutions_come_in_threes():
    with pytest.raises(ValueError, match="must have one number for each resolution, got \\(4, 8\\), \\(2,\\) and \\(4, 8\\)"):
        jloss.multi_resolution_stft(np.zeros(8), np.zeros(8), fft_sizes=(4, 8), hop_sizes=(2,), window_lengths=(4, 8))
    with pytest.raises(TypeError, match="`fft_sizes` is static and must be a Python tuple"):
        jloss.multi_resolution_stft(np.zeros(8), np.zeros(8), fft_sizes=[4], hop_sizes=(2,), window_lengths=(4,))


@pytest.mark.parametrize(("hop", "length"), [(1, 5), (2, 5), (5, 5), (7, 5), (3, 1)])
def test_frames(hop, length):
    signal, count = np.arange(40.0), (40 - 3 - length) // hop + 1
    wanted = [signal[3 + i * hop : 3 + i * hop + length] for i in range(count)]
    np.testing.assert_array_equal(frames(jnp.asarray(signal[3:]), count, hop, length), wanted)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 12, 16, 49, 600, 1024])
def test_products_of_matrices_are_the_transform(size):
    for left, length in ((0, size), (size // 3, size - size // 2)):
        (x,) = draws((4, length))
        padded = np.zeros((4, size))
        padded[:, left : left + length] = x
        wanted = np.fft.rfft(padded)
        np.testing.assert_allclose(by_matrices(jnp.asarray(x), left, size), wanted, atol=2e-6 * np.abs(wanted).max())


@pytest.fixture
def parts_are_small(monkeypatch):
    """Spectra of more than 8 samples come in parts."""
    monkeypatch.setattr(_fourier, "REAL", 8)


@pytest.mark.parametrize(("size", "counts"), [(8, [5]), (12, [3, 4]), (16, [4, 5]), (64, [16, 8, 4, 5]), (30, [16])])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 1.0])
def test_parts_have_each_frequency_once(parts_are_small, size, counts, share):
    (x,) = draws((3, max(1, int(share * size))))
    wanted = np.abs(np.fft.rfft(x, size))
    found = spectrum_in_parts(jnp.asarray(x), size)
    assert [part.shape for part in found] == [(3, n) for n in counts]
    for part, columns in zip(found, columns_in_parts(jnp.asarray(wanted), size), strict=True):
        np.testing.assert_allclose(np.abs(part), columns, atol=1e-5 * wanted.max())


@pytest.mark.slow
def test_what_lies_behind_a_frame_has_no_gradient(parts_are_small):
    def energy(x):
        return sum(jnp.sum(jnp.square(jnp.abs(z))) for z in spectrum_in_parts(x, 32))

    (x,) = draws((2, 11))
    wanted = jax.grad(lambda x: jnp.sum(jnp.square(jnp.abs(jnp.fft.rfft(x, 32)))))(jnp.asarray(x))
    np.testing.assert_allclose(jax.grad(energy)(jnp.asarray(x)), wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "hop", "window"), [("stft", 50, 240), ("filtered", 129, 512), ("mel", 128, None), ("mel", 700, 300), ("mel", 512, 511)]
)
def test_large_batches_have_spectra_in_parts(name, hop, window):
    """Value and gradients, also of the filters, are those of the examples alone, which are too small for that."""
    filters = np.abs(draws((7, 257), seed=3)[0]).astype(np.float64)
    options = {"fft_size": 512, "hop_size": hop, "window_length": window}
    loss = functools.partial(jloss.mel if name == "mel" else jloss.stft, **options)
    with jax.enable_x64(True):
        given = [s.astype(np.float64) for s in draws((2, 40000), (2, 40000))] + [filters] * (name != "stft")
        every = tuple(range(len(given)))
        value, gradients = jax.value_and_grad(loss, every)(*given)
        each = [jax.value_and_grad(loss, every)(*(s[i] for s in given[:2]), *given[2:]) for i in (0, 1)]
    np.testing.assert_allclose(value, np.mean([v for v, _ in each]), rtol=1e-9)
    for at, gradient in enumerate(gradients):
        alone = np.stack([g[at] for _, g in each]) / 2
        np.testing.assert_allclose(gradient, alone if at < 2 else alone.sum(axis=0), atol=1e-9 * np.abs(gradient).max())


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_examples_one_after_another_are_the_same(weighted):
    """Batches of half a megabyte come in blocks. Reduced to nothing they come at once, in stretches."""
    signals = draws((3, 70000), (3, 70000))
    weights = {"weights": jnp.array([0.5, 0.0, 2.0])} if weighted else {}

    def one_after_another(*signals):
        return jloss.multi_resolution_stft(*signals, **weights)

    def at_once(*signals):
        values = jloss.multi_resolution_stft(*signals, reduction="none")
        return jnp.sum(values * weights["weights"]) / 2.5 if weighted else jnp.mean(values)

    (value, gradients), (other, others) = (jax.value_and_grad(f, (0, 1))(*signals) for f in (one_after_another, at_once))
    np.testing.assert_allclose(value, other, rtol=1e-5)
    for gradient, wanted in zip(gradients, others, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stft", "complex_stft", "compressed_spectral"])
def test_large_batches_take_another_way_to_the_same_numbers(name):
    """On CPUs a transform of its own; value and gradient are those of the examples alone."""
    loss = functools.partial(getattr(jloss, name), fft_size=48, hop_size=20, window_length=31)
    with jax.enable_x64(True):
        signals = [s.astype(np.float64) for s in draws((2, 40000), (2, 40000))]
        value, gradient = jax.value_and_grad(loss)(*signals)
        each = [jax.value_and_grad(loss)(*(s[i] for s in signals)) for i in (0, 1)]
    np.testing.assert_allclose(value, np.mean([v for v, _ in each]), rtol=1e-10)
    np.testing.assert_allclose(gradient, np.stack([g for _, g in each]) / 2, atol=1e-10 * np.abs(gradient).max())


def test_long_signals_against_the_definition():
    signals = [s.astype(np.float64) for s in draws((700,), (700,))]
    options = {"fft_sizes": (128, 60), "hop_sizes": (50, 13), "window_lengths": (90, 60)}
    np.testing.assert_allclose(
        jloss.multi_resolution_stft(*(s.astype(np.float32) for s in signals), **options),
        oracles.multi_resolution_stft(*signals, **options),
        rtol=1e-5,
    )


@pytest.fixture
def signals_are_long(monkeypatch):
    """Those of 200 samples are cut into stretches."""
    monkeypatch.setattr(_distances, "STRETCH", 150)


@pytest.mark.slow
@pytest.mark.parametrize("length", [301, 449, 707])
def test_stretches_of_long_signals_are_the_definition(signals_are_long, length):
    """The last of 3, 3 or 5 holds frames that do not count."""
    predictions, targets = (s.astype(float) for s in draws((length,), (length,)))
    options = {"fft_sizes": (64, 60, 9), "hop_sizes": (50, 13, 9), "window_lengths": (40, 60, 9), "magnitude": 0.5}

    def loss(p, t):
        return jloss.multi_resolution_stft(p, t, **options)

    with jax.enable_x64(True):
        np.testing.assert_allclose(loss(predictions, targets), oracles.multi_resolution_stft(predictions, targets, **options), rtol=1e-9)
        direction = np.sin(np.arange(length))
        gradients = jax.grad(loss, (0, 1))(predictions, targets)
        for at, gradient in enumerate(gradients):
            ahead, back = ([s + sign * 1e-6 * direction * (i == at) for i, s in enumerate((predictions, targets))] for sign in (1, -1))
            slope = (oracles.multi_resolution_stft(*ahead, **options) - oracles.multi_resolution_stft(*back, **options)) / 2e-6
            np.testing.assert_allclose(np.vdot(gradient, direction), slope, rtol=1e-4)


@pytest.mark.slow
def test_stretches_keep_the_contract(signals_are_long):
    laws = ["masked_equals_absent", "parts_add_up", "shard_map_equals_one_device", "sharded_batch_gathers_nothing"]
    laws += ["batch_equals_one_by_one", "gradient_is_the_derivative", "transformations_compose"]
    report = check(jloss.stft, laws=laws)
    assert report, str(report)


@pytest.mark.slow
def test_bfloat16_is_widened_first():
    signals = [s.astype(jnp.bfloat16) for s in draws((64,), (64,))]
    for name, loss in LOSSES.items():
        value, gradient = jax.value_and_grad(loss)(*signals)
        np.testing.assert_allclose(value, loss(*(s.astype(np.float32) for s in signals)), rtol=1e-6, err_msg=name)
        assert (value.dtype, gradient.dtype) == (jnp.float32, jnp.bfloat16)


# ---------------------------------------------------------------- phases


def test_phases_by_hand():
    p, t = np.float32([[0.2, 0.5], [0.1, -3.0]]), np.float32([[0.0, 0.0], [0.0, 3.0]])
    turn = 2 * math.pi  # gaps 0.2 0.5 0.1 -6, along frequency 0.3 -6.1, along time -0.1 -6.5
    wanted = (0.8 + turn - 6) / 4 + (0.3 + turn - 6.1) / 2 + (0.1 + 6.5 - turn) / 2
    np.testing.assert_allclose(jloss.phase(p, t), wanted, rtol=1e-5)
    np.testing.assert_allclose(jloss.phase(p + 3 * turn, t - turn), wanted, rtol=1e-5)


def test_phases_at_half_a_turn_and_at_a_match():
    value, gradients = both(jloss.phase, [[math.pi]], [[0.0]])  # a single bin of a single frame: no slopes
    np.testing.assert_allclose(value, math.pi, rtol=1e-6)
    np.testing.assert_array_equal(np.abs(gradients), np.ones((2, 1, 1)))
    value, gradients = both(jloss.phase, np.ones((3, 4)), np.ones((3, 4)))
    assert value == 0
    np.testing.assert_array_equal(gradients, np.zeros((2, 3, 4)))
    assert jloss.phase(jnp.ones((1, 4)), jnp.zeros((1, 4))) == 1
    assert jloss.phase(jnp.ones((0, 4)), jnp.zeros((0, 4))) == 0


# ---------------------------------------------------------------- filters

LIBROSA = {  # 0.11.0, in float64
    ("slaney", True, 0.0, None): [
        [0, 0.0014287782, 0.0005348663, 0, 0, 0, 0, 0, 0],
        [0, 0, 0.0008510093, 0.0008647141, 0.0002341109, 0, 0, 0, 0],
        [0, 0, 0, 0.0002198463, 0.0005793526, 0.0005893094, 0.0003928729, 0.0001964365, 0],
    ],
    ("htk", False, 300.0, 3000.0): [
        [0, 0.5169068995, 0.4165662229, 0, 0, 0, 0, 0, 0],
        [0, 0, 0.5834337771, 0.6285363868, 0, 0, 0, 0, 0],
        [0, 0, 0, 0.3714636132, 0.9687931075, 0.4843965537, 0, 0, 0],
    ],
}


@pytest.mark.parametrize("setting", LIBROSA)
def test_filters_are_those_of_librosa(setting):
    scale, area, low, high = setting
    found = jloss.mel_filterbank(3, 16, 8000, low, high, scale, area)
    np.testing.assert_allclose(found, LIBROSA[setting], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("bands", "fft_size", "rate", "low", "high", "htk", "area"),
    [(80, 1024, 22050, 0.0, 8000.0, False, True), (128, 2048, 44100, 20.0, None, True, False), (5, 101, 16000, 50.0, 7000.0, False, False)],
)
def test_filters_beside_librosa(bands, fft_size, rate, low, high, htk, area):
    librosa = pytest.importorskip("librosa")
    wanted = librosa.filters.mel(
        sr=rate, n_fft=fft_size, n_mels=bands, fmin=low, fmax=high, htk=htk, norm="slaney" if area else None, dtype=np.float64
    )
    found = jloss.mel_filterbank(bands, fft_size, rate, low, high, "htk" if htk else "slaney", area)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * wanted.max())


def test_filters_with_height_1_cover_each_frequency_once():
    found = np.asarray(jloss.mel_filterbank(20, 1024, 16000, area=False)).sum(axis=0)
    peaks = np.flatnonzero(found > 1e-6)
    np.testing.assert_allclose(found[20:400], 1, atol=1e-5)
    assert peaks.min() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 16, 8000), "`bands` and `fft_size` must be 1 or more, got 0 and 16"),
        ((3, 16, 8000, 500.0, 400.0), "`low` < `high` must lie between 0 and half of `sample_rate`, got 500.0, 400.0 and 8000"),
        ((3, 16, 8000, 0.0, 5000.0), "half of `sample_rate`"),
        ((3, 16, 8000, 0.0, None, "mel"), '`scale` must be "slaney" or "htk", got \'mel\''),
    ],
)
def test_filters_that_are_not_there(arguments, message):
    with pytest.raises(ValueError, match=message):
        jloss.mel_filterbank(*arguments)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int16, jnp.float16, jnp.float32, jnp.int32])
def test_filters_take_settings_of_any_dtype(kind):
    """Also without promotion of dtypes or ranks, and where their product with an index would leave the dtype."""
    wanted = jloss.mel_filterbank(8, 1 << 18, 16000, 20, 7000)
    np.testing.assert_array_equal(jloss.mel_filterbank(np.int32(8), 1 << 18, kind(16000), low=kind(20), high=kind(7000)), wanted)
    np.testing.assert_array_equal(jloss.mel_filterbank(8, 16, kind(16000)), jloss.mel_filterbank(8, 16, 16000))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: jloss.mel_filterbank(8, 16, x), "`sample_rate` must be known while the program is traced"),
        (lambda x: jloss.mel_filterbank(8, 16, 16000, low=x), "`low` must be known"),
        (lambda x: jloss.mel_filterbank(8.0, 16, 16000), "`bands` is static and must be a Python int, got 8.0"),
        (lambda x: jloss.mel_filterbank(8, x, 16000), "`fft_size` is static and must be a Python int, got an array"),
    ],
)
def test_filters_name_a_setting_that_is_not_known(call, said):
    with pytest.raises(TypeError, match=f"^mel_filterbank: {said}"):
        jax.jit(call)(16.0)


# ---------------------------------------------------------------- peers


@pytest.fixture
def near():
    """A signal and one that resembles it, as of auraloss with an axis for channels."""
    target, noise = draws((1, 6000), (1, 6000), scale=0.3)
    return target + noise, target


def of_channels(theirs):
    return lambda p, t: theirs(p[:, None], t[:, None])


def test_auraloss(near):
    auraloss = pytest.importorskip("auraloss")
    agree(jloss.multi_resolution_stft, of_channels(auraloss.freq.MultiResolutionSTFTLoss()), *near, rtol=1e-4, atol=1e-5)
    weights = {"w_sc": 0.5, "w_log_mag": 2.0, "w_lin_mag": 0.25}
    ours = functools.partial(jloss.stft, hop_size=100, window_length=800, convergence=0.5, log_magnitude=2.0, magnitude=0.25)
    agree(ours, of_channels(auraloss.freq.STFTLoss(1024, 100, 800, **weights)), *near, rtol=1e-4, atol=1e-5)


def test_auraloss_in_mel_bands(near):
    auraloss = pytest.importorskip("auraloss")
    pytest.importorskip("librosa")
    filters = jloss.mel_filterbank(40, 1024, 16000)
    theirs = auraloss.freq.STFTLoss(scale="mel", n_bins=40, sample_rate=16000)
    agree(lambda p, t: jloss.stft(p, t, filters), of_channels(theirs), *near, rtol=1e-4, atol=1e-5)


def test_convergence_of_a_batch_is_where_auraloss_differs():
    """Theirs are both norms over the whole batch: of a loud and a quiet example the loud one decides."""
    auraloss = pytest.importorskip("auraloss")
    import torch

    target, noise = draws((2, 3000), (2, 3000), scale=0.3)
    target[1] /= 100
    found = jloss.stft(target + noise, target, log_magnitude=0.0, reduction="none")
    theirs = of_channels(auraloss.freq.STFTLoss(w_log_mag=0.0))(torch.tensor(target + noise), torch.tensor(target))
    assert found[1] > 30
    assert theirs < 2


@pytest.mark.slow
def test_torch(near):
    """The mel loss and the complex losses as one writes them with torch.stft."""
    torch = pytest.importorskip("torch")

    def stft(x, size=1024):
        return torch.stft(x, size, 256, window=torch.hann_window(size, dtype=x.dtype), return_complex=True)

    def magnitude(z, floor):
        return (z.real**2 + z.imag**2).clamp(min=floor).sqrt()

    filters = np.array(jloss.mel_filterbank(40, 1024, 16000), np.float64)

    def mel(p, t):
        logs = [(torch.tensor(filters) @ magnitude(stft(x), 1e-9)).clamp(min=1e-5).log() for x in (p, t)]
        return (logs[0] - logs[1]).abs().mean()

    def complex_stft(p, t):
        x, y = stft(p), stft(t)
        gap = magnitude(x, 1e-8) - magnitude(y, 1e-8)
        return ((x.real - y.real).abs() + (x.imag - y.imag).abs() + gap.abs()).mean()

    def compressed(p, t):
        x, y = stft(p, 512), stft(t, 512)
        a, b = magnitude(x, 1e-8), magnitude(y, 1e-8)
        turned = x / a * a**0.3 - y / b * b**0.3
        return (0.7 * (a**0.3 - b**0.3) ** 2 + 0.3 * (turned.real**2 + turned.imag**2)).mean()

    near = [s.astype(np.float64) for s in near]
    with jax.enable_x64(True):
        agree(lambda p, t: jloss.mel(p, t, filters), mel, *near, rtol=1e-8, atol=1e-12)
        agree(jloss.complex_stft, complex_stft, *near, rtol=1e-8, atol=1e-12)
        agree(jloss.compressed_spectral, compressed, *near, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("method", ["softmax", "contrast"])
def test_a_single_speaker_has_no_other_to_be_told_from(method):
    value, slope = jax.value_and_grad(jloss.ge2e)(jnp.array([[[1.0, 2.0], [0.5, -1.0]]]), method=method)
    assert value == 0
    assert not slope.any()


@pytest.mark.slow
def test_utterances_that_cancel_have_no_centroid():
    """Only the own one is left, which is opposite: log(exp(-15) + 2 exp(-5)) + 15. What rounding left of the others had a direction."""
    lengths = jnp.array([[1.1116332, -0.92589957], [0.5825384, -0.7828086], [-2.4938943, 0.49136826]])
    embeddings = jnp.stack([jnp.zeros((3, 2)), lengths], axis=-1)
    step = jax.jit(jax.value_and_grad(jloss.ge2e)).lower(embeddings)
    for compiled in (step.compile(), step.compile(AS_USERS)):
        value, gradient = compiled(embeddings)
        np.testing.assert_allclose(value, 10.6931699, rtol=1e-6)
        np.testing.assert_allclose(gradient, np.zeros((3, 2, 2)), atol=1e-5)
