"""The tables that a catalogue may lie in: SQLite and DynamoDB."""
