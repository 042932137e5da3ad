"""Settings of the verbs of `scattering`: names, units, bounds and one sentence each."""

from __future__ import annotations

from typing import Literal

from matterscope.core.settings import Settings, option


class DensitySettings(Settings):
    """Settings of `scattering density`."""

    dataset: str = option("", "Dataset inside an HDF5 or NPZ file; empty: its default.")
    mask: str = option("", "File with a mask of the frame's shape; other than 0 means measured.")
    dark: str = option("", "File with a dark frame; it is subtracted and its noise is counted.")
    flat: str = option("", "File with a flat field; frames are divided by it, its mean set to 1.")
    centre_y: float | None = option(None, "Row of q = 0; empty: found.", units="px")
    centre_x: float | None = option(None, "Column of q = 0; empty: found.", units="px")
    find_centre: bool = option(False, "Refine the centre also where it is given.")
    q_step: float | None = option(
        None, "q per pixel, where the file does not say it.", units="1/nm", gt=0
    )
    wavelength: float | None = option(None, "Wavelength.", units="nm", gt=0)
    energy: float | None = option(
        None, "Photon energy, instead of a wavelength.", units="keV", gt=0
    )
    distance: float | None = option(None, "From sample to detector.", units="m", gt=0)
    pixel: float | None = option(None, "Side of a detector pixel.", units="µm", gt=0)
    area: float | None = option(
        None,
        "Illuminated area, needed for a density, in nm² (or the square of the file's length unit).",
        gt=0,
    )
    area_error: float = option(0.0, "Relative standard error of the illuminated area.", ge=0, lt=1)
    width: float | None = option(
        None,
        "Largest width of the illuminated area; empty: from the area, else half the field.",
        gt=0,
    )
    size_law: Literal["auto", "equal", "normal", "broad"] = option(
        "auto",
        "Radii: equal, areas normal with 1/3 relative width, or a broad law; auto decides by evidence.",
    )
    estimator: Literal["auto", "moments", "features", "inversion"] = option(
        "auto", "What is asked: everything, or one estimator alone."
    )
    model: str = option("", "Classifier made by scattering train; empty: a shipped one that fits.")
    prior_n: tuple[int, ...] = option((1, 60), "Smallest and largest number of scatterers.")
    beta: float | None = option(None, "Speckle contrast of a known sample.", gt=0, le=1)
    read_noise: float = option(0.0, "Standard deviation of read-out noise.", units="counts", ge=0)
    gain: float | None = option(
        None, "Detector counts per photon; empty: 1, or read off the noise of the frame.", gt=0
    )
    effort: int = option(1, "Search effort; 2 doubles the starts.", ge=1, le=8)
    frames: str = option("", "Frames FIRST:LAST:STEP of a stack; empty: all.")
    movie: bool = option(False, "Answer for a stack as one movie: the number against time.")
    ablation: bool = option(False, "Answer again with each ring of q masked.", advanced=True)


class PlanSettings(Settings):
    """Settings of `scattering plan`."""

    n: int = option(12, "Expected number of disks.", ge=2, le=60)
    box: float = option(
        2000.0, "Side of the illuminated box, in nm with a geometry, else px.", gt=0
    )
    radius: float = option(90.0, "Radius of the law's reference disk, likewise.", gt=0)
    law: Literal["fixed", "constant-area", "normal", "lognormal", "schulz"] = option(
        "normal", "Law of the areas."
    )
    pixels: int = option(129, "Pixels per side of the detector.", ge=33, le=2049)
    wavelength: float | None = option(None, "Wavelength.", units="nm", gt=0)
    energy: float | None = option(
        None, "Photon energy, instead of a wavelength.", units="keV", gt=0
    )
    distance: float | None = option(None, "From sample to detector.", units="m", gt=0)
    pixel: float | None = option(None, "Side of a detector pixel.", units="µm", gt=0)
    beamstops: tuple[float, ...] = option(
        (7.0, 14.0, 21.0), "Radii of beam stops; the first is the one planned for.", units="px"
    )
    chance: float = option(0.9, "Chance of the exact number that is wanted.", gt=0.1, lt=1)
    structures: int = option(6, "Structures over which the limit is averaged.", ge=1, le=200)
    check: int = option(
        8, "Patterns simulated and answered at the limit; 0 for none.", ge=0, le=500
    )


class SimulateSettings(Settings):
    """Settings of `scattering simulate`."""

    kind: Literal["disks"] = option("disks", "What is simulated.", positional=True)
    n: int = option(12, "Number of disks.", ge=1, le=400)
    n_last: int | None = option(None, "Largest number; the patterns run through n … n-last.", ge=1)
    patterns: int = option(1, "Number of patterns (per number of disks).", ge=1, le=200_000)
    box: float = option(2000.0, "Side of the illuminated box.", units="px", gt=0)
    radius: float = option(90.0, "Radius of the law's reference disk.", units="px", gt=0)
    law: Literal["fixed", "constant-area", "normal", "lognormal", "schulz"] = option(
        "normal", "Law of the areas, drawn anew for every pattern."
    )
    scatter: float = option(1.0 / 3.0, "Relative width of the law of areas.", gt=0, le=2)
    placement: Literal["rsa", "equilibrium"] = option(
        "rsa", "Random sequential addition, or hard-disk Monte Carlo."
    )
    engine: Literal["analytic", "raster"] = option(
        "analytic", "Closed form of each disk, or the exact transform of a hard-edged image."
    )
    pixels: Literal[65, 129, 257, 513] = option(129, "Pixels per side over the published q-range.")
    photons: float = option(10.0, "Mean counts per open pixel; 0 for no noise.", ge=0)
    beamstop: float = option(
        28.0, "Radius of the beam stop, in steps of the published 513-pixel frame.", ge=0, le=200
    )
    bar: float = option(0.0, "Width of the bar of the beam stop.", units="px", ge=0)
    gap: float = option(0.0, "Width of a dead stripe.", units="px", ge=0)
    offset: float = option(0.0, "Largest random shift of the centre.", units="px", ge=0)
    dead: int = option(0, "Dead pixels.", ge=0)
    hot: int = option(0, "Hot pixels.", ge=0)
    modes: int = option(1, "Incoherent source points.", ge=1, le=64)
    coherence: float = option(0.0, "Transverse coherence length; 0 is full.", units="px", ge=0)
    read_noise: float = option(0.0, "Standard deviation of read-out noise.", units="counts", ge=0)
    saturation: float = option(0.0, "Counts above are cut; 0 never.", units="counts", ge=0)
    file: str = option("patterns.h5", "Name of the file of patterns.")


class TrainSettings(Settings):
    """Settings of `scattering train`."""

    name: str = option("speckle", "Name of the model.", min_length=1)
    n: int = option(2, "Smallest number of disks.", ge=1)
    n_last: int = option(20, "Largest number of disks.", ge=2, le=200)
    each: int = option(250, "Training patterns per number.", ge=8, le=20_000)
    box: float = option(2000.0, "Side of the illuminated box.", units="px", gt=0)
    radius: float = option(90.0, "Radius of the law's reference disk.", units="px", gt=0)
    law: Literal["fixed", "constant-area", "normal", "lognormal", "schulz"] = option(
        "normal", "Law of the areas, drawn anew for every pattern."
    )
    pixels: Literal[65, 129, 257, 513] = option(129, "Pixels per side over the published q-range.")
    photons: tuple[float, ...] = option(
        (0.1, 20.0), "Lowest and highest mean counts per pixel, drawn between.", min_length=1
    )
    beamstop: float = option(
        28.0, "Radius of the beam stop, in steps of the published 513-pixel frame.", ge=0, le=200
    )
    offset: float = option(0.3, "Largest error of the centre.", units="px", ge=0)


class EvaluateSettings(Settings):
    """Settings of `scattering evaluate`."""

    study: Literal["none", "photons", "beamstop", "box", "rings", "training-size"] = option(
        "none", "Condition that is varied; rings masks one ring of q after the other."
    )
    training: int = option(
        80, "Most training patterns per number in the study of the training size.", ge=16, le=5000
    )
    n: int = option(2, "Smallest number of disks.", ge=1)
    n_last: int = option(20, "Largest number of disks.", ge=1, le=200)
    each: int = option(5, "Test patterns per number.", ge=1, le=10_000)
    box: float = option(2000.0, "Side of the illuminated box.", units="px", gt=0)
    radius: float = option(90.0, "Radius of the law's reference disk.", units="px", gt=0)
    law: Literal["fixed", "constant-area", "normal", "lognormal", "schulz"] = option(
        "normal", "Law of the areas."
    )
    radius_scatter: float = option(0.0, "Relative scatter put on every radius.", ge=0, le=0.2)
    engine: Literal["analytic", "raster"] = option("analytic", "Engine of the test patterns.")
    pixels: Literal[65, 129, 257, 513] = option(129, "Pixels per side over the published q-range.")
    photons: float = option(10.0, "Mean counts per open pixel; 0 for no noise.", ge=0)
    beamstop: float = option(
        28.0, "Radius of the beam stop, in steps of the published 513-pixel frame.", ge=0, le=200
    )
    offset: float = option(0.0, "Largest error of the centre; 0 tells it.", units="px", ge=0)
    dead: int = option(0, "Dead pixels.", ge=0)
    coherence: float = option(0.0, "Transverse coherence length; 0 is full.", units="px", ge=0)
    tell_box: bool = option(True, "Tell the answer the width of the box.")
    estimator: Literal["auto", "moments", "features", "inversion"] = option(
        "auto", "What is asked."
    )
    size_law: Literal["auto", "equal", "normal", "broad"] = option("auto", "Law that is told.")
