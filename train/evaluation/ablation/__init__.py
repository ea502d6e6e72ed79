"""Ablations: grids of trainings that differ in named settings, measured and summarized beside the paper's results."""
