"""A catalogue that is lost, made anew."""
