"""What a submission's runs say, pixel by pixel, for tests to compare with."""

import numpy as np


def decode_submission(text, height, width):
    """Return the mask, bool (height, width), of runs that increase and do not touch."""
    mask, before = np.zeros(height * width, bool), 0
    numbers = [int(word) for word in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        assert start > before + (before > 0)
        assert length > 0
        before = start + length - 1
        assert before <= mask.size
        mask[start - 1 : before] = True
    return mask.reshape(width, height).T
