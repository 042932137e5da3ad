"""The digital twin: streams, arrays, maps and spectra with known truth."""
