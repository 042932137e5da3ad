"""Maps: where the emitters are, on which lattice, how many on each site."""
