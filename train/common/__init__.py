"""What every room uses: configs, console, output folders, fingerprints, workers, the check of model folders."""
