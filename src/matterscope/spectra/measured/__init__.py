"""What a measured spectrum is worth: its edge, its axis, its normalised shape; spectra side by side."""
