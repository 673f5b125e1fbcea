"""LogMelStatistics against NumPy and SciPy, one sound at a time."""

import numpy as np
import pytest
import scipy.fft
import torch

from gradatim.estimators.features import sound
from gradatim.estimators.features.sound import LogMelStatistics, cosine_basis


def sounds(lengths=(30, 1, 2, 55, 7), bands=12, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(bands, length)).astype(np.float32) for length in lengths]


def expected_row(values, cepstra=5, segments=3):
    moves = np.diff(values, axis=1) if values.shape[1] > 1 else np.zeros((len(values), 1))
    cosines = scipy.fft.dct(values, axis=0, norm="ortho")[:cepstra]
    turns = np.diff(cosines, axis=1) if values.shape[1] > 1 else np.zeros((cepstra, 1))
    parts = [values.mean(1), values.std(1), values.min(1), values.max(1)]
    parts += [np.percentile(values, q, axis=1) for q in (10, 50, 90)]
    parts += [np.abs(moves).mean(1), np.sqrt((moves**2).mean(1))]
    parts += [cosines.mean(1), cosines.std(1), np.sqrt((turns**2).mean(1))]
    frames = values.shape[1]
    for part in range(segments):
        first = frames * part // segments
        parts.append(cosines[:, first : max(frames * (part + 1) // segments, first + 1)].mean(1))
    return np.concatenate([*parts, [np.log(frames)]])


def test_statistics_equal_those_of_one_sound_alone():
    X = sounds()
    features = LogMelStatistics(cepstra=5).fit(X)
    raw = features.transform(X) * features.scales_ + features.means_
    for row, values in zip(raw, X):
        np.testing.assert_allclose(row, expected_row(values.astype(float)), atol=2e-5)
    assert len(features.get_feature_names_out()) == raw.shape[1]


def test_cosine_basis_is_scipy_s():
    X = np.random.default_rng(0).normal(size=(40, 3))
    np.testing.assert_allclose(cosine_basis(40, 13).numpy() @ X, scipy.fft.dct(X, axis=0, norm="ortho")[:13], atol=1e-5)


def test_padding_order_and_chunks_do_not_matter(monkeypatch):
    X = sounds()
    features = LogMelStatistics()
    rows = features.fit_transform(X)
    padded = np.full((5, 12, 80), 99.0, dtype=np.float32)
    for place, values in enumerate(X):
        padded[place, :, : values.shape[1]] = values
    batch = {"log_mel": torch.from_numpy(padded), "lengths": torch.tensor([30, 1, 2, 55, 7])}
    np.testing.assert_allclose(features.transform(batch), rows, atol=1e-5)
    monkeypatch.setattr(sound, "CHUNK_VALUES", 1)
    np.testing.assert_allclose(features.transform(X), rows, atol=1e-5)
    np.testing.assert_allclose(features.transform(X[3:4]), rows[3:4], atol=1e-5)


def test_missing_sounds_are_the_mean_and_do_not_move_it():
    X = sounds()
    features = LogMelStatistics().fit(X)
    others = LogMelStatistics().fit([None, *X])
    np.testing.assert_allclose(features.means_, others.means_, atol=1e-6)
    assert not features.transform([None, X[0]])[0].any()
    assert not LogMelStatistics().fit_transform([None, None]).any()


def test_other_bands_are_refused():
    features = LogMelStatistics().fit(sounds())
    with pytest.raises(ValueError, match="expected spectrograms of 12 bands, received 9"):
        features.transform(sounds(bands=9))
    with pytest.raises(ValueError, match="same bands"):
        features.fit([*sounds(), *sounds(bands=3)])
    with pytest.raises(ValueError, match="expected lengths"):
        features.transform({"log_mel": np.zeros((1, 12, 4), np.float32), "lengths": np.array([5])})
