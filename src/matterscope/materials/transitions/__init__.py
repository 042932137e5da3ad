"""Charge-transition levels of any defect in any host, from mixed fidelities."""
