"""How results are shown: tables of text, charts, and the forms of other tools."""
