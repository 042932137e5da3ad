"""Learned answers on one edge: features, models, training, inference, explanation."""
