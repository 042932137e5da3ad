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
from matterscope.learn.persist import Arrays, nested, prefixed
from matterscope.physics.curves import gaussian_smooth
from matterscope.spectra.learned.experts import Experts
from matterscope.spectra.learned.instruments import Instrument, fine_shapes, observe
from matterscope.spectra.measured.alignment import REFERENCE_TAIL, WINDOWS, aligned_shape
from matterscope.spectra.sets.trainingsets import COORDINATIONS

if TYPE_CHECKING:
    from matterscope.core.calls import Call
    from matterscope.spectra.measured.quality import Examined

Floats = NDArray[np.float64]

FAMILY = "aligned"
DRAWS = 24
"""Nuisance draws per spectrum: the answer is their mean, their spread joins the uncertainty."""
BROADENINGS = (0.5, 0.8, 1.1, 1.5)
"""eV; Gaussian widths tried for spectra that are sharper than theory (HERFD)."""
CALIBRATION_GRID = np.linspace(0.0, 1.0, 401)
EDGE = ("edge_tolerance", "edge_anchor")


@dataclass
class Calibration:
    """What was learned on left-out materials: temperatures, conformal scores, thresholds."""

    temperature: dict[str, float]
    floor: float
    """Å; added in quadrature to the disagreement of the experts."""
    centres: Floats
    """Å; mean bond of each coordination: doubt about the class is doubt about the bond."""
    scores: dict[str, Floats]
    """True coordination ("2" … "6", "all") → quantiles of |y − ŷ|/σ̂ on `CALIBRATION_GRID`."""
    factor: Floats
    """By which their mixture is scaled, on `CALIBRATION_GRID`, so that the pooled coverage is nominal."""
    shell_threshold: float
    """Probability of an oxygen shell below which the answer is refused."""
    doubt_threshold: float
    """Disagreement of the experts (Å) above which it is flagged."""
    edge_tolerance: float = float("inf")
    """eV; an edge further than this from where its shape puts it is flagged."""
    edge_anchor: float = float("nan")
    """eV; measured minus computed edges of the same shape, from standards; NaN where none were given."""

    def widths(self, shares: Floats, spread: Floats) -> Floats:
        """Return σ̂ (Å) from tempered class probabilities (n, k) and the disagreement (n,)."""
        middle = shares @ self.centres
        between = shares @ self.centres**2 - middle**2
        return np.asarray(np.sqrt(spread**2 + self.floor**2 + np.maximum(between, 0.0)))

    def by_class(self) -> Floats:
        """Return the quantiles of every coordination (k, grid)."""
        return np.array([self.scores.get(str(c), self.scores["all"]) for c in COORDINATIONS])

    def half_widths(self, shares: Floats, spread: Floats, level: float) -> Floats:
        """Return half widths (Å) of the intervals at `level`."""
        tables = [float(np.interp(level, CALIBRATION_GRID, t)) for t in self.by_class()]
        factor = float(np.interp(level, CALIBRATION_GRID, self.factor))
        return np.asarray(self.widths(shares, spread) * (shares @ np.array(tables)) * factor)

    def temper(self, name: str, probabilities: Floats) -> Floats:
        """Return probabilities sharpened or softened by the temperature of the head."""
        power = np.clip(probabilities, 1e-9, 1.0) ** (1.0 / self.temperature.get(name, 1.0))
        return np.asarray(power / power.sum(axis=-1, keepdims=True))

    def as_json(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "temperature": self.temperature,
            "floor": self.floor,
            "centres": self.centres.tolist(),
            "scores": {k: [round(float(x), 5) for x in v] for k, v in self.scores.items()},
            "factor": [round(float(x), 5) for x in self.factor],
            "shell_threshold": self.shell_threshold,
            "doubt_threshold": self.doubt_threshold,
            **{n: getattr(self, n) for n in EDGE if np.isfinite(getattr(self, n))},
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Calibration:
        """Return the calibration that was stored."""
        scores = {k: np.array(v) for k, v in entry["scores"].items()}
        return cls(
            entry["temperature"],
            float(entry["floor"]),
            np.array(entry["centres"]),
            scores,
            np.array(entry["factor"]),
            float(entry["shell_threshold"]),
            float(entry["doubt_threshold"]),
            **{n: float(entry[n]) for n in EDGE if n in entry},
        )


@dataclass
class WindowModel:
    """Experts, domain and calibration for one window."""

    window: str
    experts: Experts
    domain: Domain
    calibration: Calibration
    population_mean: Floats
    population_low: Floats
    population_high: Floats

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON data to be stored."""
        arrays, members = self.experts.pack()
        arrays |= prefixed(self.domain.as_arrays(), "domain")
        band = np.stack([self.population_mean, self.population_low, self.population_high])
        arrays["population"] = band.astype(np.float32)
        return arrays, {"members": members, "calibration": self.calibration.as_json()}

    @classmethod
    def unpack(cls, window: str, arrays: Arrays, meta: dict[str, Any]) -> WindowModel:
        """Return the model that was stored."""
        return cls(
            window,
            Experts.unpack(arrays, meta["members"], WINDOWS[window]),
            Domain.rebuild(nested(arrays, "domain")),
            Calibration.from_json(meta["calibration"]),
            *arrays["population"].astype(float),
        )


@dataclass
class Answer:
    """What the model says about one aligned shape."""

    window: str
    shape: Floats
    position: float
    coordination: Floats
    """Probabilities of CN 2 … 6."""
    bond: float
    spread: float
    """Å; disagreement of the experts and spread over the draws."""
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
    edge: float
    """eV; where the shape puts the edge, less the table, on the axis of the engine that the model was trained on."""


def window_for(seen: Examined, available: dict[str, WindowModel]) -> str:
    """Return the widest window that the spectrum covers, or an empty string."""
    reach = seen.energy[-1] - seen.position
    fitting = [w for w in available if reach >= WINDOWS[w][-1] - 2.0]
    return max(fitting, key=lambda w: float(WINDOWS[w][-1]), default="")


def answer(seen: Examined, model: WindowModel, call: Call, instrument: Instrument | None) -> Answer:
    """Return the model's answer for one examined spectrum, what the instrument may have done marginalised.

    The draws carry the unknown width, slope, self-absorption and alignment into the answer; the domain is
    judged at the width that suits it best.
    """
    assert seen.normalised is not None
    energy, mu = seen.normalised.energy, seen.normalised.mu
    shape, position = aligned_shape(energy, mu, model.window, seen.position)
    shape = _filled(shape)
    rows = shape[None, :]
    probes = rows
    if instrument is not None:
        near = energy >= seen.position - 30.0
        fine = fine_shapes(energy[None, near], mu[None, near])
        short = energy[-1] < seen.position + REFERENCE_TAIL[0] + 10.0
        draws = observe(
            np.repeat(fine, DRAWS, axis=0), call.rng("instrument"), model.window, instrument,
            level=1.0 if short else None,
        )  # fmt: skip
        rows = np.concatenate([rows, draws])
        broad = [
            aligned_shape(energy, gaussian_smooth(energy, mu, w), model.window, seen.position)[0]
            for w in BROADENINGS
        ]
        probes = np.array([shape, *[_filled(b) for b in broad]], dtype=np.float32)
    found = model.experts.predict(rows)
    bond, spread = found["bond"]
    coordination = model.calibration.temper("coordination", found["coordination"][0].mean(axis=0))
    valence = model.calibration.temper("valence", found["valence"][0].mean(axis=0))
    residual, distance = model.domain.percentiles(probes)
    best = int(np.argmin(np.maximum(residual, distance)))
    return Answer(
        model.window,
        shape,
        position,
        coordination,
        float(bond.mean()),
        float(np.sqrt(np.mean(spread**2) + np.var(bond))),
        valence,
        float(found["shell"][0][:, 1].mean()),
        float(residual[best]),
        float(distance[best]),
        float(spread.mean()),
        float(max(residual[0], distance[0])),
        float(found["edge"][0].mean()) if "edge" in found else float("nan"),
    )


def _filled(shape: Floats) -> Floats:
    """Hold the last value where a spectrum ends within the slack of its window."""
    known = np.isfinite(shape)
    return np.where(known, shape, shape[known][-1])
