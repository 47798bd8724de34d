"""Results: columns, proof, display and export."""
