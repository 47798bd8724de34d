"""How people write CSV: what separates, what names the columns, how numbers are written."""
