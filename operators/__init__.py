"""What can be computed: types, lawful aggregates and the loops behind them."""
