"""Constants of Python as expressions take them, and what was probably meant by values of other kinds."""
