"""Ablations: grids of trainings that differ in named settings, measured and summed up beside the paper's figures."""
