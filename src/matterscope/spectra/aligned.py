"""The model family "aligned": ensembles on the aligned shape, calibrated on materials left out.

In: normalised spectra. Out: coordination, bond length and oxidation state with intervals, and the
gates that refuse what the model has never seen. A model holds weights only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.learn.domain import Domain
from matterscope.learn.ensembles import Ensemble
from matterscope.learn.kernelridge import KernelRidge
from matterscope.learn.networks import Network
from matterscope.learn.persist import Arrays, nested, prefixed
from matterscope.physics.curves import gaussian_smooth
from matterscope.spectra.alignment import WINDOWS, aligned_shape
from matterscope.spectra.features import Nuisance, perturb

if TYPE_CHECKING:
    from matterscope.core.calls import Call
    from matterscope.spectra.quality import Examined

Floats = NDArray[np.float64]

FAMILY = "aligned"
DRAWS = 24
"""Nuisance draws per spectrum: the answer is their mean, their spread joins the uncertainty."""
ALIGNMENT = 1.0
"""eV; standard deviation of E½ between theory and a measurement of the same atoms."""
BROADENINGS = (0.5, 0.8, 1.1, 1.5)
"""eV; Gaussian widths tried for spectra that are sharper than theory (HERFD)."""
CALIBRATION_GRID = np.linspace(0.0, 1.0, 401)


@dataclass
class Calibration:
    """What was learned on left-out materials: temperatures, conformal scores, thresholds."""

    temperature: dict[str, float]
    floor: float
    """Å; added in quadrature to the spread of the ensemble."""
    scores: dict[str, Floats]
    """Coordination ("2" … "6", "all") → quantiles of |y − ŷ|/σ̂ on `CALIBRATION_GRID`."""
    shell_threshold: float
    """Probability of an oxygen shell below which the answer is refused."""
    doubt_threshold: float
    """Disagreement of the members (Å) above which it is refused."""

    def half_width(self, sigma: float, category: str, level: float) -> float:
        """Return the half width (Å) of the interval at `level`."""
        table = self.scores.get(category, self.scores["all"])
        return float(np.interp(level, CALIBRATION_GRID, table)) * sigma

    def temper(self, name: str, probabilities: Floats) -> Floats:
        """Return probabilities sharpened or softened by the temperature of the head."""
        power = np.clip(probabilities, 1e-9, 1.0) ** (1.0 / self.temperature.get(name, 1.0))
        return np.asarray(power / power.sum(axis=-1, keepdims=True))

    def as_json(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "temperature": self.temperature,
            "floor": self.floor,
            "scores": {k: [round(float(x), 5) for x in v] for k, v in self.scores.items()},
            "shell_threshold": self.shell_threshold,
            "doubt_threshold": self.doubt_threshold,
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Calibration:
        """Return the calibration that was stored."""
        scores = {k: np.array(v) for k, v in entry["scores"].items()}
        return cls(
            entry["temperature"],
            float(entry["floor"]),
            scores,
            float(entry["shell_threshold"]),
            float(entry["doubt_threshold"]),
        )


@dataclass
class WindowModel:
    """The ensemble, domain and calibration for one window."""

    window: str
    ensemble: Ensemble
    domain: Domain
    calibration: Calibration
    population_mean: Floats
    population_low: Floats
    population_high: Floats
    machine: KernelRidge | None = None
    """Unlike partner of the networks; only in models made on the spot (it keeps training spectra)."""

    def predict(self, rows: NDArray[np.float32]) -> dict[str, tuple[Floats, Floats]]:
        """Return per head (mean, disagreement) of networks and kernel machine together."""
        return joined(self.ensemble, self.machine, rows)

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON data to be stored."""
        arrays = prefixed(self.domain.as_arrays(), "domain")
        for k, member in enumerate(self.ensemble.members):
            arrays |= prefixed(member.as_arrays(), f"member{k}")
        band = np.stack([self.population_mean, self.population_low, self.population_high])
        arrays["population"] = band.astype(np.float32)
        if self.machine is not None:
            arrays |= prefixed(self.machine.as_arrays(), "machine")
        members = [m.as_json() for m in self.ensemble.members]
        return arrays, {"members": members, "calibration": self.calibration.as_json()}

    @classmethod
    def unpack(cls, window: str, arrays: Arrays, meta: dict[str, Any]) -> WindowModel:
        """Return the model that was stored."""
        members = tuple(
            Network.rebuild(nested(arrays, f"member{k}"), m) for k, m in enumerate(meta["members"])
        )
        band = arrays["population"].astype(float)
        machine = nested(arrays, "machine")
        return cls(
            window,
            Ensemble(members),
            Domain.rebuild(nested(arrays, "domain")),
            Calibration.from_json(meta["calibration"]),
            band[0],
            band[1],
            band[2],
            KernelRidge.rebuild(machine) if machine else None,
        )


def joined(
    ensemble: Ensemble, machine: KernelRidge | None, rows: NDArray[np.float32]
) -> dict[str, tuple[Floats, Floats]]:
    """Return the mean of networks and machine: unlike models err differently.

    Half of their distance joins the networks' own disagreement on the bond.
    """
    found = ensemble.predict(rows)
    if machine is None:
        return found
    chances, bonds = machine.predict(rows)
    share, doubt = found["coordination"]
    bond, spread = found["bond"]
    apart = np.abs(bond - bonds) / 2
    return found | {
        "coordination": ((share + chances) / 2, doubt),
        "bond": ((bond + bonds) / 2, np.hypot(spread, apart)),
    }


@dataclass
class Answer:
    """What the model says about one aligned shape."""

    window: str
    shape: Floats
    position: float
    coordination: Floats
    """Probabilities of CN 2 … 6."""
    bond: float
    sigma: float
    category: str
    valence: Floats
    """Probabilities of oxidation state 1 … 3."""
    shell: float
    """Probability that the shell is oxygen."""
    residual: float
    distance: float
    """Shares of the training population closer than this spectrum (> 1: beyond all)."""
    disagreement: float
    as_measured: float
    """The larger of the two shares before any broadening was tried."""


def window_for(seen: Examined, available: dict[str, WindowModel]) -> str:
    """Return the widest window that the spectrum covers, or an empty string."""
    reach = seen.energy[-1] - seen.position
    fitting = [w for w in available if reach >= WINDOWS[w][-1] - 2.0]
    return max(fitting, key=lambda w: float(WINDOWS[w][-1]), default="")


def answer(seen: Examined, model: WindowModel, call: Call, nuisance: Nuisance | None) -> Answer:
    """Return the model's answer for one examined spectrum, nuisances marginalised.

    Theory and instrument place E½ on the same atoms differently by about 1 eV and differ in width; the
    draws carry both into the answer, and the domain is judged at the width that suits it best.
    """
    assert seen.normalised is not None
    energy, mu = seen.normalised.energy, seen.normalised.mu
    shape, position = aligned_shape(energy, mu, model.window, seen.position)
    shape = _filled(shape)
    rows = shape[None, :].astype(np.float32)
    probes = rows
    if nuisance is not None:
        rng = call.rng("nuisance")
        offsets = position + rng.normal(0.0, ALIGNMENT, DRAWS)
        moved = np.array([np.interp(o + WINDOWS[model.window], energy, mu) for o in offsets])
        rows = np.concatenate([rows, perturb(moved, rng, model.window, nuisance)])
        widths = [w for w in BROADENINGS if w <= 1.5 * nuisance.broadening]
        broad = [
            aligned_shape(energy, gaussian_smooth(energy, mu, w), model.window, seen.position)[0]
            for w in widths
        ]
        probes = np.array([shape, *[_filled(b) for b in broad]], dtype=np.float32)
    found = model.predict(rows)
    calibration = model.calibration
    bond, spread = found["bond"]
    coordination = calibration.temper("coordination", found["coordination"][0].mean(axis=0))
    valence = calibration.temper("valence", found["valence"][0].mean(axis=0))
    variance = float(np.mean(spread**2) + np.var(bond) + calibration.floor**2)
    residual, distance = model.domain.percentiles(probes)
    best = int(np.argmin(np.maximum(residual, distance)))
    return Answer(
        model.window,
        shape,
        position,
        coordination,
        float(bond.mean()),
        float(np.sqrt(variance)),
        str(int(np.argmax(coordination)) + 2),
        valence,
        float(found["shell"][0][:, 1].mean()),
        float(residual[best]),
        float(distance[best]),
        float(spread.mean()),
        float(max(residual[0], distance[0])),
    )


def _filled(shape: Floats) -> Floats:
    """Hold the last value where a spectrum ends within the slack of its window."""
    known = np.isfinite(shape)
    return np.where(known, shape, shape[known][-1])
