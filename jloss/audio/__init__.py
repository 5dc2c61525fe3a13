"""Losses of sound: waveforms, spectrograms, embeddings of speakers.

A signal is ``(t)``, its numbers between -1 and 1; channels and sources are batch axes. Ratios are in decibels with the sign turned, so
that less is better. Silence is a legal signal: its loss and gradient are finite. Start with `si_sdr` to separate or denoise, and with
`multi_resolution_stft` to synthesise.
"""

from jloss.audio.spectrogram import angular_prototypical as angular_prototypical
from jloss.audio.spectrogram import complex_stft as complex_stft
from jloss.audio.spectrogram import compressed_spectral as compressed_spectral
from jloss.audio.spectrogram import deep_clustering as deep_clustering
from jloss.audio.spectrogram import ge2e as ge2e
from jloss.audio.spectrogram import mel as mel
from jloss.audio.spectrogram import mel_filterbank as mel_filterbank
from jloss.audio.spectrogram import multi_resolution_stft as multi_resolution_stft
from jloss.audio.spectrogram import phase as phase
from jloss.audio.spectrogram import stft as stft
from jloss.audio.waveform import ci_sdr as ci_sdr
from jloss.audio.waveform import dc_error as dc_error
from jloss.audio.waveform import esr as esr
from jloss.audio.waveform import pre_emphasis as pre_emphasis
from jloss.audio.waveform import sa_sdr as sa_sdr
from jloss.audio.waveform import sd_sdr as sd_sdr
from jloss.audio.waveform import si_sdr as si_sdr
from jloss.audio.waveform import snr as snr
