"""Callbacks of the stages' trainers."""
