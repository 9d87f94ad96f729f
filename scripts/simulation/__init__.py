"""Very many engine sessions with one controller: real sessions over real connections, and behind them no processes."""
