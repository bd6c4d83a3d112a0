"""Radiographs made from physics, with the truth about them."""
