"""The compiled model: intensity of disks at the measured pixels, with all its derivatives.

In: pixels, disks and a table of the form factor. Out: two arrays, filled.
"""

from __future__ import annotations

import numpy as np

from matterscope.physics.compiled import compiled


@compiled
def _turns(k, u):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    cosine, sine = np.empty((k.size, u.size)), np.empty((k.size, u.size))
    for i in range(k.size):
        for j in range(u.size):
            cosine[i, j], sine[i, j] = np.cos(k[i] * u[j]), np.sin(k[i] * u[j])
    return cosine, sine


@compiled
def _profile(q, disks, scale, per_step, table, parts):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Write the amplitude of each disk, its growth with the radius, and with ln q."""
    n = disks.shape[0]
    for j in range(n):
        r = disks[j, 2]
        if j > 0 and r == disks[j - 1, 2]:
            for k in range(3):
                parts[k, j] = parts[k, j - 1]
            continue
        t = q * r * per_step
        cell = min(int(t), table.shape[0] - 2)
        s = min(t - cell, 1.0)
        u = 1.0 - s
        wa, wb, da, db = u * u * (1.0 + 2.0 * s), s * s * (3.0 - 2.0 * s), s * u * u, -s * s * u
        low, high = table[cell], table[cell + 1]
        h = wa * low[0] + wb * high[0] + da * low[1] + db * high[1]
        j0 = wa * low[2] + wb * high[2] + da * low[3] + db * high[3]
        parts[0, j] = scale * r * r * h
        parts[1, j] = 2.0 * scale * r * j0
        parts[2, j] = 2.0 * scale * r * r * (j0 - h)


@compiled
def _fill_row(line, disks, k, parts, total, mode):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Write the derivatives of one pixel."""
    n = disks.shape[0]
    (fr, fi), (ky, kx) = total, k
    line[:] = 0.0
    line[0] = 2.0 * (fr * fr + fi * fi)
    oy, ox, slope = 0.0, 0.0, 0.0
    for j in range(n):
        turn = 2.0 * (fr * parts[4, j] - fi * parts[3, j]) * parts[0, j]
        along = 2.0 * (fr * parts[3, j] + fi * parts[4, j])
        line[1 + j] = -ky * turn
        line[1 + n + j] = -kx * turn
        oy += disks[j, 0] * turn
        ox += disks[j, 1] * turn
        slope += along * parts[2, j]
        line[1 + 2 * n + (j if mode & 2 else 0)] += along * parts[1, j]
    if mode & 4:
        q2 = max(ky * ky + kx * kx, 1e-12)
        line[-2] = oy - slope * ky / q2
        line[-1] = ox - slope * kx / q2


@compiled
def fill_model(index, axes, disks, tune, table, mode, intensity, jacobian):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Fill I = |F|² and its derivatives; mode 0 none, 1 one radius, 2 single radii, +4 the centre.

    disks (n, 3): y, x, radius; tune: scale, δy, δx, points of the table per unit; table (m, 4): h, h′, J₀, J₀′.
    Nothing comes from outside this file: machine code that is kept would not notice a change there.
    Columns of the Jacobian: ln scale, y₁…, x₁…, then the radius or radii, then the centre (y, x).
    d(r²h)/dr = 2rJ₀(qr), and q ∂h(qr)/∂q = 2(J₀ − h).
    """
    n = disks.shape[0]
    ky, kx = axes[0] - tune[1], axes[1] - tune[2]
    cosy, siny = _turns(ky, disks[:, 0])
    cosx, sinx = _turns(kx, disks[:, 1])
    # of each disk: amplitude, growth with the radius and with ln q, cosine and sine of its phase
    parts = np.empty((5, n))
    for p in range(index.shape[1]):
        a, b = index[0, p], index[1, p]
        _profile(np.sqrt(ky[a] ** 2 + kx[b] ** 2), disks, tune[0], tune[3], table, parts)
        fr, fi = 0.0, 0.0
        for j in range(n):
            parts[3, j] = cosy[a, j] * cosx[b, j] - siny[a, j] * sinx[b, j]
            parts[4, j] = cosy[a, j] * sinx[b, j] + siny[a, j] * cosx[b, j]
            fr += parts[0, j] * parts[3, j]
            fi += parts[0, j] * parts[4, j]
        intensity[p] = fr * fr + fi * fi
        if mode:
            _fill_row(jacobian[p], disks, (ky[a], kx[b]), parts, (fr, fi), mode)
