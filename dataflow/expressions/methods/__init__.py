"""Methods of expressions, by what they take; ``Expr`` has them all."""
