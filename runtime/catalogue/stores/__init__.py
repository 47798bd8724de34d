"""Tables that store a catalogue: SQLite and DynamoDB."""
