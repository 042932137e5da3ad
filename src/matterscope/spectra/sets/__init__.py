"""Sets of simulated spectra: enumerate, relax, label, simulate, assemble, search."""
