"""Screening and inverse design: rules, streams of compounds, fronts, what to make next."""
