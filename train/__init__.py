"""Everything that runs: corpus, training, evaluation, release and search, each room importing only those below it."""
