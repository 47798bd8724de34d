"""Results: columns, proof, and how they are shown and exported."""
