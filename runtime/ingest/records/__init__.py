"""Records in other forms than a line of JSON or CSV each: documents, logs, line protocols."""
