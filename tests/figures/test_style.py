"""Colours that can be told apart."""

import numpy as np
import pytest

from atonce.figures.style import DARK, LIGHT


def luminance(colour):
    """Relative luminance of a #rrggbb, as WCAG and CIE count it."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_equal_differences_of_weight_are_equal_differences_of_lightness(palette):
    lightness = [116 * np.cbrt(luminance(colour)) - 16 for colour in palette.ramp]
    steps = np.diff(lightness)
    assert np.sign(steps).tolist() == [np.sign(steps[0])] * len(steps)
    np.testing.assert_allclose(steps, steps.mean(), atol=1.0)
    assert abs(steps.sum()) > 75


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_words_and_numbers_stand_out(palette):
    assert contrast(palette.ink, palette.background) > 12
    assert contrast(palette.faint, palette.background) > 4.5
    for place, colour in enumerate(palette.ramp):
        high = place / (len(palette.ramp) - 1) >= palette.numbers_change_at
        assert contrast(palette.number_on_high if high else palette.number_on_low, colour) > 4
