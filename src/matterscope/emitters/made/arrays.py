"""Make an array of emitters, its map, spectra and photon streams, each with its truth beside it.

In: the settings of `emitters simulate`. Out: files (HDF5 map, NPZ spectra, photon streams, CSV truths)
and an estimate that states the truth.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.files import sha256_of
from matterscope.core.pictures import Panel, Picture, image, line, points
from matterscope.core.schema import measurement
from matterscope.emitters.made.sources import simulate_site
from matterscope.emitters.made.streams import (
    detection_of,
    excitation_of,
    levels_of,
    write_stream,
)
from matterscope.emitters.made.twin import (
    Array,
    Design,
    expected_spectrum,
    make_array,
    spectrum_axis,
    spectrum_frames,
)
from matterscope.io import write

if TYPE_CHECKING:
    import xarray as xr

    from matterscope.emitters.settings import SimulateSettings

MADE = "made by the simulation: exact"
STEP = 0.1
"""µm per pixel of a made map."""
INSTRUMENT = 0.3
"""nm, full width of the made spectrometer."""


def design_of(settings: SimulateSettings) -> Design:
    """Return the design of the settings; places in px of `STEP` µm."""
    return Design(
        rows=settings.rows,
        columns=settings.columns,
        pitch=settings.pitch / STEP,
        rotation=settings.rotation,
        emitters_per_site=settings.emitters_per_site,
        native_density=settings.native_density * STEP**2,
        peak=settings.peak,
        centre=settings.centre,
        centre_scatter=1e-3 * settings.centre_scatter,
        width=1e-3 * settings.width,
        debye_waller=settings.debye_waller,
    )


def array_map(array: Array) -> object:
    """Return the map of an array as a measurement, µm."""
    ny, nx = array.counts.shape
    return measurement(
        "map",
        {"y": (STEP * np.arange(ny), "µm"), "x": (STEP * np.arange(nx), "µm")},
        {"counts": (("y", "x"), array.counts.astype(float), "counts")},
        label="made array",
    )


def make_map(settings: SimulateSettings, call: Call) -> list[Estimate]:
    """Make the map of an array with the table of its sites."""
    array = make_array(design_of(settings), call.rng("array"))
    estimate = _array_answer(array, settings)
    _keep(estimate, call, "map.h5", array_map(array))
    _keep(estimate, call, "sites.csv", array.sites)
    estimate.pictures.append(_map_picture(array))
    return [estimate]


def make_whole(settings: SimulateSettings, call: Call) -> list[Estimate]:
    """Make the map of an array, and spectra and photon streams of its first occupied sites."""
    array = make_array(design_of(settings), call.rng("array"))
    estimate = _array_answer(array, settings)
    _keep(estimate, call, "map.h5", array_map(array))
    _keep(estimate, call, "sites.csv", array.sites)
    _keep(estimate, call, "emitters.csv", array.emitters)
    wavelength, rng, frames = spectrum_axis(), call.rng("spectra"), []
    sites = occupied_sites(array, max(settings.spectra, settings.streams))
    for k, site in enumerate(sites[: settings.spectra]):
        counts = site_frames(array, site, settings, rng)
        _keep(estimate, call, f"spectrum_{k:03d}_site_{site}.npz", (wavelength, counts))
        frames.append(counts)
    for k, site in enumerate(sites[: settings.streams]):
        path = call.artifact(f"stream_{k:03d}_site_{site}.{settings.format}")
        stream = site_stream(array, site, settings, call.rng(f"stream {site}"))
        write_stream(stream, path)
        _note(estimate, path)
        truth = {n: stream.attrs["truth"][n] for n in ("g2_zero", "g2_zero_ideal", "emitters")}
        estimate.diagnostics["truth"].setdefault("streams", {})[str(site)] = truth
        call.progress(k + 1, settings.streams, "streams")
    estimate.pictures += [_map_picture(array), _spectra_picture(wavelength, frames)]
    return [estimate]


def occupied_sites(array: Array, most: int) -> list[int]:
    """Return the first sites that hold at least one emitter."""
    held = array.sites.loc[array.sites["emitters"] > 0, "site"]
    return [int(s) for s in held.head(most)]


def site_frames(
    array: Array, site: int, settings: SimulateSettings, rng: np.random.Generator
) -> np.ndarray:
    """Return two frames of the light of all emitters of a site, counts of shape (2, pixels)."""
    mean = np.full(spectrum_axis().size, 600.0)
    for e in array.emitters[array.emitters["site"] == site].itertuples():
        photons = settings.photons * e.peak / settings.peak
        mean = mean + expected_spectrum(
            spectrum_axis(),
            e.centre,
            e.width,
            settings.debye_waller,
            photons,
            instrument=INSTRUMENT,
            offset=0.0,
        )
    return spectrum_frames(np.stack([mean / 2 + 300] * 2), rng, cosmics=settings.cosmics)[0]


def site_stream(
    array: Array, site: int, settings: SimulateSettings, rng: np.random.Generator
) -> xr.Dataset:
    """Return the photons of all emitters of a site, each as bright as in the map."""
    levels, light = levels_of(settings), excitation_of(settings)
    held = array.emitters.loc[array.emitters["site"] == site, "peak"]
    rate = settings.efficiency * levels.emission_rate()
    if light.period:
        rate = settings.efficiency * light.excitation / light.period
    share = settings.background
    return simulate_site(
        tuple(held / settings.peak),
        settings.duration,
        rng,
        rate=rate,
        background_rate=rate * share / (1 - share),
        levels=levels,
        detection=detection_of(settings),
        excitation=light,
    )


def make_spectra(settings: SimulateSettings, call: Call) -> list[Estimate]:
    """Make spectra of emitters drawn from the population, with their truth."""
    rng = call.rng("emitters")
    n = settings.spectra
    chosen = pd.DataFrame(
        {
            "site": np.arange(n),
            "centre": rng.normal(settings.centre, 1e-3 * settings.centre_scatter, n),
            "width": np.full(n, 1e-3 * settings.width),
        }
    )
    wavelength = spectrum_axis()
    frames = _spectra(wavelength, chosen, settings, call.rng("spectra"))
    estimate = Estimate("emitters simulate", InputRef("simulated", "spectra"))
    truth = {
        "zpl_energy": chosen["centre"].tolist(),
        "zpl_width": (1e3 * chosen["width"]).tolist(),
        "debye_waller": settings.debye_waller,
        "instrument_nm": INSTRUMENT,
    }
    estimate.diagnostics = {"truth": truth, "artifacts": []}
    estimate.quantities = {
        "emitters": Quantity(n, "1", reason=MADE),
        "centre_mean": Quantity(settings.centre, "eV", reason=MADE),
        "centre_scatter": Quantity(settings.centre_scatter, "meV", reason=MADE),
        "width_mean": Quantity(settings.width, "meV", reason=MADE),
        "debye_waller": Quantity(settings.debye_waller, "1", reason=MADE),
    }
    for k, counts in enumerate(frames):
        _keep(estimate, call, f"spectrum_{k:03d}.npz", (wavelength, counts))
    estimate.provenance = _provenance(settings)
    estimate.pictures.append(_spectra_picture(wavelength, frames))
    return [estimate]


def _spectra(
    wavelength: np.ndarray,
    chosen: pd.DataFrame,
    settings: SimulateSettings,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    found = []
    for _, emitter in chosen.iterrows():
        mean = expected_spectrum(
            wavelength,
            emitter["centre"],
            emitter["width"],
            settings.debye_waller,
            settings.photons,
            instrument=INSTRUMENT,
        )
        frames, _ = spectrum_frames(np.stack([mean / 2 + 300] * 2), rng, cosmics=settings.cosmics)
        found.append(frames)
    return found


def _array_answer(array: Array, settings: SimulateSettings) -> Estimate:
    estimate = Estimate("emitters simulate", InputRef("simulated", settings.kind))
    number = array.sites["emitters"].to_numpy()
    stated = {
        "emitters_per_site": (settings.emitters_per_site, "1"),
        "pitch": (settings.pitch, "µm"),
        "empty_sites": (int((number == 0).sum()), "1"),
        "single_sites": (int((number == 1).sum()), "1"),
        "multiple_sites": (int((number > 1).sum()), "1"),
        "single_brightness": (settings.peak, "counts"),
    }
    estimate.quantities = {n: Quantity(v, u, reason=MADE) for n, (v, u) in stated.items()}
    truth = {n: v for n, (v, _) in stated.items()}
    estimate.diagnostics = {"truth": truth, "artifacts": []}
    estimate.tables["sites"] = array.sites
    estimate.tables["sites"].attrs["units"] = {
        "site": "1",
        "row": "1",
        "column": "1",
        "x": "px",
        "y": "px",
        "emitters": "1",
    }
    estimate.provenance = _provenance(settings)
    return estimate


def _provenance(settings: SimulateSettings) -> dict[str, object]:
    return {
        "model": "Poisson numbers, lognormal brightness, Gaussian spots; Voigt line with optical sidebands",
        "settings": settings.model_dump(),
        "references": ["the project's own simulator"],
    }


def _keep(estimate: Estimate, call: Call, name: str, what: object) -> None:
    """Write one made file and note it with its digest."""
    path = call.artifact(name)
    if isinstance(what, pd.DataFrame):
        what.to_csv(path, index=False)
    elif isinstance(what, tuple):
        np.savez(path, wavelength=what[0], counts=what[1])
    else:
        write(what, path)
    _note(estimate, path)


def _note(estimate: Estimate, path: Path) -> None:
    estimate.diagnostics["artifacts"].append({"path": path.name, "sha256": sha256_of(path)})


def _map_picture(array: Array) -> Picture:
    ny, nx = array.counts.shape
    step = max(1, -(-max(ny, nx) // 300))
    shown = (
        array.counts[: ny // step * step, : nx // step * step]
        .reshape(ny // step, step, nx // step, step)
        .mean(axis=(1, 3))
    )
    occupied = array.sites[array.sites["emitters"] > 0]
    return Picture(
        "made-map",
        f"{len(array.sites)} sites, {int(array.sites['emitters'].sum())} implanted emitters",
        [
            Panel(
                [
                    image(shown, (0, STEP * nx), (0, STEP * ny)),
                    points(
                        STEP * occupied["x"],
                        STEP * occupied["y"],
                        "occupied",
                        "truth",
                        markersize=4,
                        hollow=True,
                    ),
                ],
                "x (µm)",
                "y (µm)",
                equal=True,
                color_label="counts",
            )
        ],
        caption="The made map with the sites that truly hold emitters.",
        height=5.2,
    )


def _spectra_picture(wavelength: np.ndarray, frames: list[np.ndarray]) -> Picture:
    layers = [
        line(wavelength, f.sum(axis=0), f"emitter {k + 1}", f"series{k}")
        for k, f in enumerate(frames[:6])
    ]
    return Picture(
        "made-spectra",
        f"{len(frames)} made spectra",
        [Panel(layers, "wavelength (nm)", "counts")],
        caption="Sum of two frames each; sharp spikes are cosmic rays.",
    )
