"""Reading point files: opening, decoding, skipping what changes nothing, checking."""
