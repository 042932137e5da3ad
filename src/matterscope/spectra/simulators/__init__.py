"""Simulators of core-loss spectra behind one contract: FEFF10, multiplets, a surrogate, and decks."""
