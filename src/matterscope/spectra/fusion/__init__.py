"""Several edges at once: any subset of streams is a model."""
