"""Charged defects: formation energies, diagrams, neutrality, finite-size corrections, hosts."""
