"""Electron energy loss: zero loss, background, thickness, edges named on a repaired axis, compositions."""
