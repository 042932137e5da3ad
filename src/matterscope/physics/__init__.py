"""Kernels without a capability's constants: plain arrays in and out, units in the signature."""
