"""Where the changes of an answer go."""
