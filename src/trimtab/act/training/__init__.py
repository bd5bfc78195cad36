"""Training jobs: rows that ticks advance, and the processes behind them."""
