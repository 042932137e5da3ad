"""Spectra: cosmic rays, the zero-phonon line, sidebands, many emitters together."""
