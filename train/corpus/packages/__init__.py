"""A corpus out of software packages: download, unpack, filter, decontaminate, report."""
