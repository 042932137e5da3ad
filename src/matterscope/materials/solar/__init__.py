"""Limits of solar cells: detailed balance and SLME."""
