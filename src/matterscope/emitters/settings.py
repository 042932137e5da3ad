"""Settings of the verbs of `emitters`: names, units, bounds and one sentence each."""

from __future__ import annotations

from typing import Literal

from matterscope.core.settings import Settings, option


class G2Settings(Settings):
    """Settings of `emitters g2`."""

    channels: tuple[int, ...] = option(
        (), "The two channels to correlate, inputs from 1, SYNC is 0; empty: the two brightest."
    )
    excitation: Literal["auto", "continuous", "pulsed"] = option(
        "auto", "How the emitter was driven; auto looks for a train of peaks."
    )
    period: float | None = option(None, "Laser period, where it is known.", units="ns", gt=0)
    delay: float | None = option(
        None, "Cable delay, second channel − first; empty: found.", units="ns"
    )
    fix_delay: bool = option(False, "Hold the delay of the dip at the given one.", advanced=True)
    delay_error: float = option(
        0.5, "Standard error of the given delay, used for few coincidences.", units="ns", gt=0
    )
    estimator: Literal["auto", "likelihood", "posterior"] = option(
        "auto",
        "How the dip of continuous light is read: a fit, or the posterior that also serves few coincidences (auto: below 200 within ±100 ns).",
    )
    prior: Literal["flat", "population"] = option(
        "flat",
        "What the posterior takes for g2(0) beforehand: any value alike, or what a population of emitters gives.",
        advanced=True,
    )
    emitters_beforehand: float = option(
        1.0,
        "Mean of the Poisson law of emitters per spot, at least one; for the probability of a single one.",
        gt=0,
        le=10,
        advanced=True,
    )
    brightness_scatter: float = option(
        0.4,
        "Standard deviation of the logarithm of their brightness; wide: unequal pairs are likelier.",
        gt=0,
        le=2,
        advanced=True,
    )
    window: float = option(500.0, "Half width of the window that is searched.", units="ns", gt=0)
    fit_window: float = option(200.0, "Half width of the window that is fitted.", units="ns", gt=0)
    bin_width: float = option(0.25, "Bin width of the fitted histogram.", units="ns", ge=0.05)
    jitter: float = option(
        350.0, "Response of one detector, full width at half maximum.", units="ps", ge=0
    )
    signal_fraction: float | None = option(
        None, "Share of the counts that come from the emitter.", gt=0, le=1
    )
    signal_fraction_error: float = option(
        0.03,
        "Standard error of that share, for the probability of a single emitter.",
        ge=0,
        le=0.3,
        advanced=True,
    )
    bunching_terms: Literal["auto", "0", "1", "2"] = option(
        "auto", "Bunching exponentials in the model (two levels: 0, three levels: 1)."
    )
    state: Literal["", "bright", "dim", "each"] = option(
        "",
        "Blinking state that is analysed alone; empty: a stream as a whole, every state of a stored histogram.",
    )
    trace_bin: float = option(
        10.0, "Bin of the rate in which the states of a stream are found.", units="ms", gt=0
    )
    bootstrap: int = option(
        0,
        "Draws of a bootstrap over stretches of the stream: errors that include drift; 0: none.",
        ge=0,
        le=5000,
    )
    after_flash: bool = option(True, "Look for after-flash of the detectors and mask it.")
    mask: tuple[str, ...] = option((), "Delays left out, LOW:HIGH in ns (after-flash).")
    longest_lag: float = option(
        1.0, "Longest lag of the logarithmic g2; 0: none.", units="s", ge=0, le=1e4
    )
    sample: str = option(
        "", "Name of the sample that all files belong to: they are joined into one stream."
    )


class LifetimeSettings(Settings):
    """Settings of `emitters lifetime`."""

    channels: tuple[int, ...] = option((), "Channels that are added; empty: the brightest.")
    components: Literal["auto", "1", "2", "3"] = option("auto", "Number of exponentials.")
    response: str = option("", "File with a measured response of the laser (a histogram).")
    beats: Literal["auto", "on", "off"] = option(
        "auto", "Let the first component beat; auto: where exponentials leave a poor fit."
    )
    period: float | None = option(None, "Laser period, where it is known.", units="ns", gt=0)
    bin_width: float = option(0.0, "Bin of a folded stream; 0: 512 bins.", units="ns", ge=0)
    state: Literal["", "bright", "dim", "each"] = option(
        "", "Blinking state whose photons are taken; empty: all photons."
    )
    trace_bin: float = option(
        10.0, "Bin of the rate in which the states of a stream are found.", units="ms", gt=0
    )
    bootstrap: int = option(
        0,
        "Draws of a bootstrap over stretches of the stream: errors that include drift; 0: none.",
        ge=0,
        le=5000,
    )
    sample: str = option(
        "", "Name of the sample that all files belong to: they are joined into one stream."
    )


class SaturationSettings(Settings):
    """Settings of `emitters saturation`."""

    power: str = option("", "Column with the power; empty: found by its name.")
    counts: str = option("", "Column with the counts; empty: found by its name.")
    fit_offset: bool = option(True, "Fit counts that do not depend on the power.")


class PolarizationSettings(Settings):
    """Settings of `emitters polarization`."""

    angle: str = option("", "Column with the angle in degrees; empty: found by its name.")
    counts: str = option("", "Column with the counts; empty: the first two after the angle.")
    half_wave_plate: bool = option(False, "The angle is that of a half-wave plate (turns twice).")


class ConvertSettings(Settings):
    """Settings of `emitters convert`."""

    format: Literal["h5", "npz", "csv", "ptu"] = option("h5", "Format that is written.")
    sample: str = option(
        "", "Name of the sample that all files belong to: they are joined into one stream."
    )


class TraceSettings(Settings):
    """Settings of `emitters trace`."""

    channels: tuple[int, ...] = option(
        (), "Channels of a stream that are added; empty: all inputs."
    )
    bin_width: float = option(
        10.0, "Bin of a stream that is turned into a trace.", units="ms", gt=0
    )
    states: Literal["auto", "1", "2", "3", "4"] = option("auto", "Number of levels.")
    sample: str = option(
        "", "Name of the sample that all files belong to: they are joined into one stream."
    )


class SimulateSettings(Settings):
    """Settings of `emitters simulate KIND`."""

    kind: Literal["stream", "array", "map", "spectra"] = option(
        "stream", "What is made.", positional=True
    )
    preset: Literal["hbn", "nv", "dot"] = option("hbn", "Rates to begin with.")
    pump: float | None = option(None, "Excitation rate k12.", units="1/s", gt=0)
    emission: float | None = option(None, "Emission rate k21.", units="1/s", gt=0)
    shelving: float | None = option(None, "Rate into the dark state k23.", units="1/s", ge=0)
    deshelving: float | None = option(None, "Rate out of the dark state k31.", units="1/s", gt=0)
    emitters: int = option(1, "Equal emitters seen together.", ge=1, le=100)
    brightness: tuple[float, ...] = option(
        (), "Relative brightness of the emitters seen together; empty: equal."
    )
    duration: float = option(0.5, "Length of the recording.", units="s", gt=0, le=3600)
    efficiency: float = option(0.05, "Share of emitted photons that are detected.", gt=0, lt=1)
    background: float = option(0.05, "Share of the counts that is background.", ge=0, lt=1)
    jitter: float = option(150.0, "Standard deviation of a detector.", units="ps", ge=0)
    dead_time: float = option(0.0, "Dead time of a detector.", units="ns", ge=0)
    after_flash: float = option(
        0.0, "Probability that a count makes the other detector count 46 ns later.", ge=0, le=0.5
    )
    delay: float = option(0.0, "Cable delay, channel 2 − channel 1.", units="ns")
    period: float = option(0.0, "Laser period; 0: continuous.", units="ns", ge=0)
    excitation: float = option(0.1, "Probability that a pulse excites.", gt=0, le=1)
    blink_on: float = option(0.0, "Mean bright dwell time; 0: no blinking.", units="s", ge=0)
    blink_off: float = option(0.0, "Mean dark dwell time.", units="s", ge=0)
    format: Literal["ptu", "npz", "h5", "csv"] = option("ptu", "File format.")
    rows: int = option(10, "Rows of a made array.", ge=2, le=200)
    columns: int = option(10, "Columns of a made array.", ge=2, le=200)
    pitch: float = option(2.4, "Distance of its sites.", units="µm", gt=0.5)
    rotation: float = option(0.0, "Rotation of the array against the scan.", units="deg")
    emitters_per_site: float = option(1.0, "Mean number of implanted emitters.", gt=0, le=10)
    native_density: float = option(0.0, "Emitters that were not implanted.", units="1/µm²", ge=0)
    peak: float = option(40.0, "Height of one emitter in the map.", units="counts", gt=0)
    spectra: int = option(
        6, "Number of made spectra; of an array, those of its first occupied sites.", ge=1, le=1000
    )
    streams: int = option(
        3, "Photon streams of the same sites of a made array; each lasts --duration.", ge=0, le=1000
    )
    centre: float = option(2.0989, "Mean line centre.", units="eV", gt=1.7, lt=2.25)
    centre_scatter: float = option(9.6, "Scatter of the centres.", units="meV", ge=0)
    width: float = option(25.2, "Lorentzian full width.", units="meV", gt=0, le=100)
    debye_waller: float = option(0.45, "Debye–Waller factor.", gt=0, lt=1)
    photons: float = option(1e5, "Photons of a made spectrum.", gt=0)
    cosmics: float = option(0.5, "Cosmic rays a frame.", ge=0, le=100)


class PlanSettings(Settings):
    """Settings of `emitters plan`."""

    ion: str = option("C", "Element that is implanted.")
    energies: tuple[float, ...] = option(
        (10.0,), "Ion energies; one plan each.", units="keV", min_length=1
    )
    layers: str = option(
        "C:17nm,hBN:30nm",
        "Films from the surface down, NAME:THICKNESS, density in g/cm³ after an @ where it is not known; the first is the film whose thickness is scanned.",
    )
    substrate: str = option("", "Material under the stack; empty: freestanding.")
    target: str = option("", "Layer that shall hold the emitters; empty: the last film.")
    displacement: tuple[str, ...] = option(
        (), "Displacement energies in eV that differ from the defaults, ELEMENT=eV."
    )
    strict_replacement: bool = option(
        False,
        "Count a replacement whenever the projectile is left with less than the displacement energy.",
        advanced=True,
    )
    scan: bool = option(True, "Scan the thickness of the first film for the best capture.")
    ions: int = option(2000, "Ions simulated per point.", ge=100, le=1_000_000)
    mask: str = option(
        "", "Film with the apertures on top of the stack, NAME:THICKNESS; empty: an ideal mask."
    )
    aperture_diameter: float = option(100.0, "Diameter of one aperture.", units="nm", gt=0)
    aperture_scatter: float = option(
        0.1, "Coefficient of variation of the aperture areas.", ge=0, le=2
    )
    dose: float | None = option(
        None, "Ion dose; empty: the one with the most single emitters.", units="1/cm²", gt=0
    )
    conversion_yield: float = option(
        0.01, "Emitters per ion stopped in the target, best guess.", gt=0, le=1
    )
    conversion_yield_scatter: float = option(
        0.5, "Relative uncertainty of the conversion yield.", ge=0, le=5
    )
    native_density: float = option(
        0.0, "Density of emitters that were there before.", units="1/µm²", ge=0
    )
    wanted_singles: int = option(100, "Sites with exactly one emitter that are wanted.", ge=1)
    confidence: float = option(0.9, "Probability with which they are reached.", gt=0, lt=1)


class SpectrumSettings(Settings):
    """Settings of `emitters spectrum`."""

    temperature: float | None = option(
        None, "Temperature of the emitter; without it no thermal verdict.", units="K", gt=0, le=1000
    )
    instrument_width: float | None = option(
        None, "Full width of the spectrometer's response.", units="nm", gt=0
    )
    instrument_pixels: float | None = option(
        None,
        "The same in pixels; default 1.3, the narrowest that a spectrometer draws.",
        units="px",
        gt=0.3,
        le=50,
    )
    remove_cosmics: bool = option(True, "Look for cosmic rays and mask them.")
    laser: float | None = option(
        None,
        "Wavelength of the exciting laser, where the axis is a Raman shift.",
        units="nm",
        gt=150,
        lt=3000,
    )


class MapSettings(Settings):
    """Settings of `emitters map`."""

    dwell: float | None = option(
        None, "Time per pixel of a map in counts per second.", units="s", gt=0
    )
    spot: float | None = option(
        None,
        "Standard deviation of the point-spread function, in the map's units; empty: found.",
        gt=0,
    )
    false_share: float = option(0.05, "Share of false sites allowed.", gt=0, lt=0.5)
    lattice: bool = option(True, "Look for the lattice of an array.")
    rows: int | None = option(None, "Rows of the designed array.", ge=2)
    columns: int | None = option(None, "Columns of the designed array.", ge=2)
    reach: float | None = option(
        None,
        "A spot farther than this from its node does not belong to it, in the map's units.",
        gt=0,
        advanced=True,
    )
    aperture_scatter: float = option(
        0.0, "Coefficient of variation of the aperture areas.", ge=0, le=2
    )
    ions_per_site: float | None = option(
        None, "Ions that entered each aperture, dose times area; gives the conversion yield.", gt=0
    )
    stopped_fraction: float = option(1.0, "Share of them that stopped in the flake.", gt=0, le=1)


class EnsembleSettings(Settings):
    """Settings of `emitters ensemble`."""

    temperature: float | None = option(295.0, "Temperature of the emitters.", units="K", gt=0)
    instrument_width: float | None = option(
        None,
        "Full width of the spectrometer's response, where spectra are given.",
        units="nm",
        gt=0,
    )
    lifetime: float = option(
        3.0, "Lifetime T1 behind the two-photon visibility (ħ/T1)/Γ.", units="ns", gt=0
    )


class LinewidthSettings(Settings):
    """Settings of `emitters linewidth`."""


class LineshapeSettings(Settings):
    """Settings of `emitters lineshape`."""

    zpl: float = option(1.945, "Energy of the zero-phonon line.", units="eV", gt=0.1, le=10)
    temperature: float = option(0.0, "Temperature.", units="K", ge=0, le=2000)
    broadening: float = option(
        1.0, "Half width of the zero-phonon line in the calculated spectrum.", units="meV", gt=0
    )
    phonon_broadening: float = option(
        3.0, "Gaussian width with which modes are drawn in S(ħω).", units="meV", gt=0
    )


class IdentifySettings(Settings):
    """Settings of `emitters identify`."""

    library: str = option("", "Library of calculated defects: SQLite of the hBN database, or CSV.")
    zpl: float | None = option(None, "Zero-phonon line.", units="eV", gt=0)
    zpl_sigma: float = option(0.001, "Its measurement error.", units="eV", ge=0)
    zpl_theory: float = option(0.25, "Error of calculated lines.", units="eV", gt=0)
    huang_rhys: float | None = option(None, "Huang–Rhys factor.", gt=0)
    debye_waller: float | None = option(None, "Debye–Waller factor, in its place.", gt=0, lt=1)
    huang_rhys_sigma: float = option(0.0, "Measurement error of the Huang–Rhys factor.", ge=0)
    huang_rhys_theory: float = option(0.2, "Error of the logarithm of calculated factors.", gt=0)
    lifetime: float | None = option(None, "Radiative lifetime.", units="ns", gt=0)
    lifetime_sigma: float = option(0.0, "Its measurement error.", units="ns", ge=0)
    lifetime_theory: float = option(
        0.5, "Error of the logarithm of calculated lifetimes, non-radiative decay included.", gt=0
    )
    visibility: float | None = option(None, "Visibility of the emission polarisation.", ge=0, le=1)
    visibility_sigma: float = option(0.02, "Its measurement error.", ge=0)
    visibility_theory: float = option(0.1, "Error of calculated visibilities.", gt=0)
    misalignment: float | None = option(
        None, "Angle between excitation and emission polarisation.", units="deg", ge=0, le=90
    )
    misalignment_sigma: float = option(2.0, "Its measurement error.", units="deg", ge=0)
    misalignment_theory: float = option(10.0, "Error of calculated angles.", units="deg", gt=0)
    prior_none: float = option(
        0.3, "Probability beforehand that the library does not hold the defect.", gt=0, lt=1
    )
    levels: str = option("", "CSV with charge-transition levels by defect, joined to the ranking.")


class CardSettings(Settings):
    """Settings of `emitters card`."""

    name: str = option("", "Name of the emitter or array on the card.")
    each: Literal["all", "selector", "site"] = option(
        "all",
        "One card for all answers, one for each thing that they are about, or one for each site (the number after 'site' in the file's name) and one for the array.",
    )
