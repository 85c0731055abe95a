"""asv's suite: one file a subject, its parameters read from the catalogue, so that a new entry is timed without a change here."""
