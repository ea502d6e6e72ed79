"""Data: from source files to the corpus folder, and from there to what the two stages of training read."""
