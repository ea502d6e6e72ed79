"""From source files to the corpus folder: text of files, pairs of summary and function, splits."""
