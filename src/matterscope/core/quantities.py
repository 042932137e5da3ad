"""The names of answers: one literal table of quantity → (units, definition).

In: nothing. Out: the vocabulary; a test holds every estimate of the package to it.
"""

from __future__ import annotations

QUANTITIES: dict[str, tuple[str, str]] = {
    "verdict": (
        "1",
        "PASS, WARN or FAIL of a file; single, not single or cannot tell of an emitter",
    ),
    # spectra
    "coordination_number": (
        "1",
        "number of nearest neighbours of the absorber, within 1.25 × the nearest distance",
    ),
    "bond_length": ("Å", "mean distance to the nearest neighbours of the absorber"),
    "oxidation_state": ("1", "formal charge of the absorber"),
    "edge_position": ("eV", "first crossing of half of the post-edge level on the rising edge"),
    "axis_distortion": ("eV", "largest correction of the energy axis at an edge that was named"),
    "edges_named": ("1", "number of edges of the table that were recognised in a spectrum"),
    "thickness": (
        "1",
        "specimen thickness in inelastic mean free paths, t/λ = ln(total/zero loss)",
    ),
    "zero_loss_position": ("eV", "centre of the zero-loss peak on the axis as recorded"),
    "zero_loss_width": ("eV", "full width at half maximum of the zero-loss peak"),
    "refused_share": ("1", "share of the pixels (or rows) for which no answer is given"),
    "edge_name": (
        "1",
        "element and edge that a spectrum shows, by position, header and neighbours",
    ),
    "coordination_f1": ("1", "macro-averaged F1 of the coordination number on groups left out"),
    "bond_mae": ("Å", "mean absolute error of the bond length on groups left out"),
    # spectra: simulation
    "structures": ("1", "structures in a built set"),
    "files": ("1", "files written or read"),
    "failed_units": ("1", "units of work of a built set that gave no result"),
    "lithium_content": ("1", "lithium per transition metal"),
    "nickel_content": ("1", "share of nickel among the transition metals"),
    "manganese_content": ("1", "share of manganese among the transition metals"),
    "cobalt_content": ("1", "share of cobalt among the transition metals"),
    "nickel_oxidation_state": ("1", "mean formal charge of nickel"),
    "oxygen_vacancy": ("1", "probability that the region holds oxygen vacancies"),
    "antisite": ("1", "probability that the region holds lithium–nickel antisites"),
    "ten_dq": ("eV", "octahedral crystal-field splitting 10Dq"),
    "energy_shift": ("eV", "what is added to the energies of a spectrum to lay it on a reference"),
    "scale": ("1", "factor on a normalised spectrum that lays it on a reference"),
    "lorentzian_width": ("eV", "extra Lorentzian full width at half maximum"),
    "gaussian_width": ("eV", "extra Gaussian standard deviation"),
    "pearson_r": ("1", "correlation of two curves on their common window"),
    "rmse": ("1", "root mean square residual in edge steps"),
    "components": ("1", "number of species that a series of spectra needs"),
    "largest_fraction": ("1", "share of the most abundant reference in a mixture"),
    "scans_used": ("1", "number of scans in a merged spectrum"),
    # emitters
    "g2_zero": ("1", "second-order correlation at zero delay, background removed where stated"),
    "g2_zero_raw": ("1", "second-order correlation at zero delay, as measured"),
    "purity": ("1", "1 − g2(0)"),
    "antibunching_time": ("ns", "recovery time of the antibunching dip"),
    "second_emitter_share": ("1", "largest share of the light that a second emitter can have"),
    "delay": ("ns", "position of zero delay: second channel − first channel"),
    "laser_period": ("ns", "time between two laser pulses"),
    "bunching_1": ("1", "amplitude of the slower-than-dip bunching in g2"),
    "bunching_time_1": ("ns", "decay time of the bunching"),
    "bunching_2": ("1", "amplitude of the second bunching term in g2"),
    "bunching_time_2": ("ns", "decay time of the second bunching term"),
    "g2_zero_jitter_shift": ("1", "change of g2(0) with the assumed jitter of the detectors"),
    "emitters_in_stream": ("1", "number of emitters whose photons are in a stream"),
    "photons": ("counts", "number of detected events"),
    "total_rate": ("counts/s", "mean rate of all detected events"),
    "first_rate": ("counts/s", "mean count rate of the first channel"),
    "second_rate": ("counts/s", "mean count rate of the second channel"),
    # emitters: ions and arrays
    "projected_range": ("nm", "mean depth at which ions stop"),
    "range_straggle": ("nm", "standard deviation of the depth at which ions stop"),
    "lateral_straggle": ("nm", "root mean square sideways displacement along one axis"),
    "stopped_fraction": ("1", "share of ions that stop in the target layer"),
    "backscattered_fraction": ("1", "share of ions that leave through the surface"),
    "transmitted_fraction": ("1", "share of ions that leave through the back"),
    "vacancies_per_ion": ("1", "vacancies in the target layer per incident ion"),
    "optimal_film_thickness": ("nm", "thickness of the first film with the best capture"),
    "optimal_stopped_fraction": ("1", "capture in the target at the best film thickness"),
    "placement_scatter": ("", "root mean square distance from the site's centre, one axis"),
    "mask_leak": ("1", "share of ions that pass the closed mask and stop in the target"),
    "mask_opacity_thickness": ("nm", "mask thickness that about 1e-4 of the ions pass"),
    # emitters: ensembles
    "centre_mean": ("eV", "mean line centre of the population"),
    "centre_scatter": ("meV", "intrinsic scatter of the line centres, measurement errors removed"),
    "wavelength_mean": ("nm", "mean line centre of the population"),
    "wavelength_scatter": ("nm", "intrinsic scatter of the line centres"),
    "width_mean": ("meV", "mean full width of the population"),
    "width_scatter": ("meV", "intrinsic scatter of the full widths"),
    "width_mean_wavelength": ("nm", "mean full width of the population"),
    "emitters": ("1", "number of emitters"),
    "sub_populations": ("1", "number of sub-populations of line centres"),
    "scatter_over_width": ("1", "intrinsic scatter of the centres over the mean width"),
    "two_photon_visibility": ("1", "(ħ/T1)/Γ: interference visibility of two photons"),
    "spectrally_identical": ("1", "whether centres scatter less than one line width"),
    "width_law": ("1", "law of the width against temperature"),
    "residual_width": ("meV", "width of the line for T → 0"),
    "width_at_295": ("meV", "width of the line at 295 K by its law"),
    "debye_waller_cold": ("1", "e^(−S): the Debye–Waller factor for T → 0"),
    "delta_q": ("1", "mass-weighted displacement between ground and excited state, amu^½ Å"),
    "delta_r": ("Å", "displacement between ground and excited state"),
    "relaxation_energy": ("meV", "Σ S_k ħω_k"),
    # emitters: maps
    "sites_found": ("1", "spots that stand out of the noise, less the false ones expected"),
    "spot_width": ("", "standard deviation of the point-spread function"),
    "pitch": ("", "mean length of the two lattice vectors"),
    "lattice_rotation": ("deg", "angle of the first lattice vector against x"),
    "empty_sites": ("1", "sites of the array without an emitter"),
    "single_sites": ("1", "sites of the array with exactly one emitter"),
    "multiple_sites": ("1", "sites of the array with two or more emitters"),
    "single_brightness": ("counts", "median height of one emitter in the map"),
    "brightness_scatter": ("1", "standard deviation of the logarithm of one emitter's brightness"),
    "native_density": ("", "density of emitters between the sites"),
    "conversion_yield": ("1", "emitters per implanted ion that stopped in the flake"),
    # emitters: spectra
    "zpl_energy": ("eV", "centre of the zero-phonon line"),
    "zpl_wavelength": ("nm", "centre of the zero-phonon line, as a vacuum wavelength"),
    "zpl_width": ("meV", "full width at half maximum of the line, instrument removed"),
    "zpl_width_observed": ("meV", "full width at half maximum of the line as measured"),
    "lorentz_fraction": ("1", "Lorentzian share of the deconvolved full width"),
    "width_over_kt": ("1", "deconvolved full width over kT"),
    "thermal_verdict": ("1", "whether the line width is the thermal one"),
    "zpl_test": ("1", "whether the line is a zero-phonon line or a sideband"),
    "debye_waller": ("1", "share of the lineshape's area in the zero-phonon line"),
    "huang_rhys": ("1", "−ln of the Debye–Waller factor; the mean number of phonons for T → 0"),
    "line_jumps": ("1", "changes of the spectrum between successive frames"),
    "cosmic_pixels": ("1", "pixels masked because a cosmic ray struck them"),
    "best_dose": ("1/cm²", "dose with the largest probability of exactly one emitter"),
    "emitters_per_site": ("1", "mean number of emitters on a site"),
    "single_probability": ("1", "probability that a site holds exactly one emitter"),
    "sites_needed": ("1", "sites for the wanted number of single emitters"),
    # materials: perovskites
    "number_of_compounds": ("1", "compounds of the search"),
    "compounds_passing_by_value": ("1", "compounds whose predicted values pass every rule"),
    "compounds_expected_to_pass": ("1", "sum over the search of the probability of passing"),
    "compounds_passing_confidently": ("1", "compounds that pass with the probability asked for"),
    "compounds_suggested": ("1", "compounds to compute or make next"),
    "rows_audited": ("1", "rows that the rules were applied to"),
    "findings_error": ("1", "findings that are wrong"),
    "findings_warning": ("1", "findings that are probably wrong"),
    "findings_unexpected": ("1", "rows unlike what the others let expect"),
    "findings_information": ("1", "facts about the table worth knowing"),
    "slme": ("1", "spectroscopic limited maximum efficiency"),
    "shockley_queisser_limit": ("1", "efficiency of a step absorber with this gap under AM1.5G"),
    "short_circuit_current": ("mA/cm²", "current density at zero voltage"),
    "open_circuit_voltage": ("V", "voltage at zero current"),
    "fill_factor": ("1", "largest power over the product of J_sc and V_oc"),
    "band_gap": ("eV", "fundamental gap"),
    # materials: levels
    "transition_level": (
        "eV",
        "Fermi level at which two charge states have equal energy, above the valence-band maximum",
    ),
    "formation_energy": (
        "eV",
        "energy to form a defect at the stated Fermi level and chemical potentials",
    ),
    "fermi_level": ("eV", "Fermi level of the neutral crystal above the valence-band maximum"),
    "electron_density": ("1/cm³", "free electrons at the neutral point"),
    "hole_density": ("1/cm³", "free holes at the neutral point"),
    # scattering
    "disk_number": ("1", "number of disks (particles) in the illuminated area"),
    "number_density": ("", "number of particles per illuminated area"),
    "disk_radius": ("", "mean radius of the disks"),
    "polydispersity_index": ("1", "N Σr⁴/(Σr²)² = 1 + CV² of the areas"),
    "speckle_contrast": ("1", "⟨I²⟩/⟨I⟩² − 1 over rings of q, photon noise removed"),
    "patterns": ("1", "number of patterns made"),
    "accuracy": ("1", "share of exact answers on patterns of other seeds"),
    "baseline_accuracy": ("1", "the same share for the baseline"),
    "calibration_error": ("1", "expected calibration error of the likeliest class"),
    "area_fraction": ("1", "share of the box covered by disks"),
}
"""Units "" mean: in the units that the estimate states."""


def definition(name: str) -> str:
    """Return the definition of a quantity.

    Examples
    --------
    >>> definition("purity")
    '1 − g2(0)'
    """
    return QUANTITIES[name][1]
