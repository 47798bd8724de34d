"""The parts of a metric's JSON form: field descriptors, readers, writers, errors."""
