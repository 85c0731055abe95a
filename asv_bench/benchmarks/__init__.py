"""asv's suite: one file a subject, parameters read from the catalogue, so that a new entry is timed without a change."""
