"""A store over HTTP: points come in, published queries are answered and followed."""
