"""Operators on the determinants of an open 3d shell and a 2p hole: the algebra of multiplets.

In: a number of electrons. Out: sparse matrices, each to be multiplied by one parameter (a Slater
integral, a spin–orbit constant, an element of the crystal field). No element's constant stands here.

Orbitals are (m, spin) with m = −l … l for spin up, then down. With one 2p electron missing, the state
|h⟩ = a_h|2p⁶⟩ carries a†_i a_k = δ_ik − |k⟩⟨i|, so a hole is a 6-dimensional factor of a product space.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import factorial, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

D_ORBITALS = 10
P_ORBITALS = 6


def three_j(a: int, b: int, c: int, d: int, e: int, f: int) -> float:
    """Return the Wigner 3j symbol (a b c; d e f) for integers, by Racah's formula.

    Examples
    --------
    >>> round(three_j(1, 1, 2, 0, 0, 0) ** 2 * 15, 12)
    2.0
    """
    if d + e + f != 0 or c < abs(a - b) or c > a + b or abs(d) > a or abs(e) > b or abs(f) > c:
        return 0.0
    triangle = factorial(a + b - c) * factorial(a - b + c) * factorial(b + c - a)
    norm = sqrt(
        triangle
        / factorial(a + b + c + 1)
        * factorial(a + d) * factorial(a - d)
        * factorial(b + e) * factorial(b - e)
        * factorial(c + f) * factorial(c - f)
    )  # fmt: skip
    total = 0.0
    for t in range(a + b + c + 1):
        terms = (t, c - b + t + d, c - a + t - e, a + b - c - t, a - t - d, b - t + e)
        if min(terms) >= 0:
            total += (-1) ** t / np.prod([float(factorial(x)) for x in terms])
    return float((-1) ** (a - b - f) * norm * total)


def gaunt(k: int, angular: int, m: int, other: int, m2: int) -> float:
    """Return c^k(lm, l'm') = ⟨lm|C^k_{m−m'}|l'm'⟩ (Condon and Shortley), l = angular, l' = other.

    c^k = (−1)^m √((2l+1)(2l'+1)) (l k l'; 000) (l k l'; −m m−m' m')
    """
    factor = (-1) ** m * sqrt((2 * angular + 1) * (2 * other + 1))
    zero = three_j(angular, k, other, 0, 0, 0)
    return float(factor * zero * three_j(angular, k, other, -m, m - m2, m2))


@lru_cache(maxsize=128)
def tensor(k: int, q: int, angular: int, other: int) -> NDArray[np.float64]:
    """Return ⟨l m σ|C^k_q|l' m' σ⟩, shape (2(2l+1), 2(2l'+1)); not to be written to."""
    block = np.zeros((2 * angular + 1, 2 * other + 1))
    for m in range(-angular, angular + 1):
        if abs(m - q) <= other:
            block[m + angular, m - q + other] = gaunt(k, angular, m, other, m - q)
    made = np.asarray(np.kron(np.eye(2), block), dtype=np.float64)
    made.flags.writeable = False
    return made


def spin_orbit(angular: int) -> NDArray[np.float64]:
    """Return ⟨mσ|l·s|m'σ'⟩, shape (2(2l+1), 2(2l+1))."""
    size = 2 * angular + 1
    m = np.arange(-angular, angular + 1)
    raise_l = np.diag(np.sqrt(angular * (angular + 1) - m[:-1] * (m[:-1] + 1.0)), -1)
    up = np.kron(np.diag([0.5, -0.5]), np.diag(m.astype(float)))
    mixed = np.zeros((2 * size, 2 * size))
    mixed[size:, :size] = 0.5 * raise_l  # l₊s₋ takes up to down and m to m + 1
    return np.asarray(up + mixed + mixed.T, dtype=np.float64)


@lru_cache(maxsize=16)
def determinants(electrons: int) -> NDArray[np.int64]:
    """Return the bit patterns of all d^n determinants, ascending."""
    patterns = [sum(1 << i for i in c) for c in combinations(range(D_ORBITALS), electrons)]
    return np.array(sorted(patterns), dtype=np.int64)


_PARITY = np.array([(-1.0) ** bin(i).count("1") for i in range(1 << D_ORBITALS)])


def _sign(patterns: NDArray[np.int64], orbital: int) -> NDArray[np.float64]:
    signs: NDArray[np.float64] = _PARITY[patterns & ((1 << orbital) - 1)]
    return signs


@lru_cache(maxsize=16)
def creation(electrons: int) -> tuple[sparse.csr_matrix, ...]:
    """Return a†_j for each orbital j as matrices d^n → d^(n+1)."""
    before, after = determinants(electrons), determinants(electrons + 1)
    made = []
    for orbital in range(D_ORBITALS):
        free = np.flatnonzero((before >> orbital) & 1 == 0)
        rows = np.searchsorted(after, before[free] | (1 << orbital))
        signs = _sign(before[free], orbital)
        made.append(sparse.csr_matrix((signs, (rows, free)), shape=(len(after), len(before))))
    return tuple(made)


@lru_cache(maxsize=16)
def _hops(electrons: int) -> tuple[NDArray[np.int64], ...]:
    """Return (i, j, row, column, sign) of every non-zero ⟨row|a†_i a_j|column⟩ in d^n."""
    states = determinants(electrons)
    parts = []
    for j in range(D_ORBITALS):
        filled = np.flatnonzero((states >> j) & 1)
        without = states[filled] & ~(1 << j)
        first = _sign(states[filled], j)
        for i in range(D_ORBITALS):
            free = (without >> i) & 1 == 0
            rows = np.searchsorted(states, without[free] | (1 << i))
            signs = first[free] * _sign(without[free], i)
            tag = np.full(len(rows), i), np.full(len(rows), j)
            parts.append(np.array([*tag, rows, filled[free], signs], dtype=np.int64))
    return tuple(np.concatenate(parts, axis=1))


def one_body(electrons: int, matrix: NDArray[np.number]) -> sparse.csr_matrix:
    """Return Σ_ij matrix[i, j] a†_i a_j on d^n."""
    i, j, rows, columns, signs = _hops(electrons)
    values = matrix[i, j] * signs
    kept = values != 0
    size = len(determinants(electrons))
    return sparse.csr_matrix((values[kept], (rows[kept], columns[kept])), shape=(size, size))


def slater(electrons: int, f2: float, f4: float) -> sparse.csr_matrix:
    """Return F²·C²·C² + F⁴·C⁴·C⁴ over all pairs on d^n; nothing is computed where both vanish."""
    if f2 == 0.0 and f4 == 0.0:
        size = len(determinants(electrons))
        return sparse.csr_matrix((size, size))
    return f2 * repulsion(electrons, 2) + f4 * repulsion(electrons, 4)


@lru_cache(maxsize=32)
def repulsion(electrons: int, k: int) -> sparse.csr_matrix:
    """Return Σ_{pairs} C^k(1)·C^k(2) on d^n: the factor of F^k(dd).

    Σ_{pairs} = ½ Σ_q (−1)^q (T_q T_{−q} − one-body part of the product).
    """
    size = len(determinants(electrons))
    total = sparse.csr_matrix((size, size))
    for q in range(-k, k + 1):
        one, other = tensor(k, q, 2, 2), tensor(k, -q, 2, 2)
        product = one_body(electrons, one) @ one_body(electrons, other)
        total = total + (-1) ** q * (product - one_body(electrons, one @ other))
    return 0.5 * total


def hole_operator(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σ_ik matrix[i, k] a†_i a_k on the six states of the hole: trace − transpose."""
    return np.asarray(np.trace(matrix) * np.eye(P_ORBITALS) - matrix.T)


@lru_cache(maxsize=16)
def hole_direct(electrons: int, k: int) -> sparse.csr_matrix:
    """Return the factor of F^k(pd) on p⁵d^n (hole index first)."""
    size = P_ORBITALS * len(determinants(electrons))
    total = sparse.csr_matrix((size, size))
    for q in range(-k, k + 1):
        inner = one_body(electrons, tensor(k, -q, 2, 2))
        total = total + (-1) ** q * sparse.kron(hole_operator(tensor(k, q, 1, 1)), inner)
    return sparse.csr_matrix(total)


@lru_cache(maxsize=16)
def hole_exchange(electrons: int, k: int) -> sparse.csr_matrix:
    """Return the factor of G^k(pd) on p⁵d^n: −Σ c^k(i,l) c^k(k,j) (a†_i a_k)_p (a†_j a_l)_d.

    i, k run over 2p, j, l over 3d; spins pair as (i, l) and (j, k).
    """
    components = np.array([tensor(k, q, 1, 2) for q in range(-k, k + 1)])  # ⟨p|C^k_q|d⟩
    # m_i + m_j = m_l + m_h: the same component on both sides; [i, h, j, l] of (a†_i a_h)_p (a†_j a_l)_d
    matrix = -np.einsum("qhj,qil->ihjl", components, components)
    one, other, rows, columns, signs = _hops(electrons)
    count = len(determinants(electrons))
    size = P_ORBITALS * count
    parts = []
    for i, h in np.argwhere(np.abs(matrix).sum(axis=(2, 3)) > 0):
        values = matrix[i, h][one, other] * signs
        kept = np.flatnonzero(values)
        # a†_i a_h on the states of the hole is δ_ih − |h⟩⟨i|
        parts.append(np.array([-values[kept], h * count + rows[kept], i * count + columns[kept]]))
    entries = np.concatenate(parts, axis=1)
    places = entries[1:].astype(np.int64)
    hopped = sparse.csr_matrix((entries[0], (places[0], places[1])), shape=(size, size))
    shared = one_body(electrons, np.einsum("iijl->jl", matrix))
    return sparse.csr_matrix(hopped + sparse.kron(sparse.eye(P_ORBITALS), shared))


def blocks(matrix: sparse.csr_matrix) -> list[NDArray[np.int64]]:
    """Return the index sets that a Hamiltonian does not couple (its symmetry, found by itself)."""
    count, label = sparse.csgraph.connected_components(abs(matrix) > 1e-12, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1])
