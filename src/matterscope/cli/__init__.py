"""The command line: thin over the catalogue of verbs; no science in it."""
