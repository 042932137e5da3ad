"""Photon statistics: coincidences, antibunching, lifetimes, blinking, saturation, polarisation."""
