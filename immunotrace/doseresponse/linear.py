"""Small symmetric systems, many at once: matrices (n, n, problems), one NumPy call for all."""

import numpy as np


def scaled(matrix):
    """Symmetric matrices (n, n, problems) scaled to a unit diagonal, and the scale (n, problems)."""
    diagonal = np.einsum("iin->in", matrix)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return matrix * scale[:, None] * scale[None], scale


def cholesky(matrix):
    """Lower Cholesky factors of (n, n, problems); NaN where a matrix is not positive definite.

    What is above the diagonal means nothing.
    """
    factor = matrix.copy()
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for j in range(len(factor)):
            pivot = factor[j, j]
            pivot[~(pivot > 0)] = np.nan
            factor[j:, j] /= np.sqrt(pivot)
            for i in range(j + 1, len(factor)):
                factor[i:, i] -= factor[i:, j] * factor[i, j]
    return factor


def cholesky_solve(factor, right):
    """Solve with the factors of `cholesky`; `right` is (n, problems) or (n, m, problems)."""
    out = np.array(right, float)
    size = len(factor)
    wide = (slice(None),) + (None,) * (out.ndim - 2)
    with np.errstate(invalid="ignore", over="ignore"):
        for j in range(size):
            out[j] /= factor[j, j]
            out[j + 1 :] -= factor[j + 1 :, j][wide] * out[j]
        for j in reversed(range(size)):
            out[j] /= factor[j, j]
            out[:j] -= factor[j, :j][wide] * out[j]
    return out
