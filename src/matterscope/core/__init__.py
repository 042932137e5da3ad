"""What everything speaks: measurements, units, estimates, flags, errors, seeds, pictures.

In: nothing of this package. Out: the nouns that every floor above uses.
The kinds of measurement stand in `schema`, the names of answers in `quantities`.
"""
