"""The items of a catalogue: their content, names and checksums."""
