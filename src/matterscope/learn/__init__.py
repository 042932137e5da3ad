"""Statistics shared by learned and fitted answers: splits, calibration, intervals, domain, persistence."""
