#!/usr/bin/env python
"""Monte Carlo pricing of European and Asian options, for several strike prices and volatilities, as tasks.

Start a cluster (``ipcluster -n 4``), then run ``python mcpricer.py [paths]``.
"""

import math
import sys

from ipython1.kernel import client

PRICE, RATE, DAYS = 100.0, 0.05, 260
STRIKES = [90.0, 95.0, 100.0, 105.0, 110.0]
VOLATILITIES = [0.1, 0.2, 0.3]


def price_options(strike, volatility, paths, seed):
    """European call and put, Asian call and put, from so many random paths of the stock's price."""
    import math
    import random

    # These come from the engine's namespace, to which they are pushed once.
    price, rate, days = PRICE, RATE, DAYS
    draw = random.Random(seed).gauss
    step = 1.0 / days
    drift, spread = (rate - 0.5 * volatility**2) * step, volatility * math.sqrt(step)
    sums = [0.0] * 4
    for _ in range(paths):
        stock = total = price
        for _ in range(days):
            stock *= math.exp(drift + spread * draw(0, 1))
            total += stock
        average = total / (days + 1)
        gains = (stock - strike, strike - stock, average - strike, strike - average)
        sums = [so_far + max(gain, 0.0) for so_far, gain in zip(sums, gains)]
    return [math.exp(-rate) * so_far / paths for so_far in sums]


def main():
    paths = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    mec = client.MultiEngineClient()
    mec.push({"PRICE": PRICE, "RATE": RATE, "DAYS": DAYS})
    tc = client.TaskClient()

    asked = {}
    for strike in STRIKES:
        for volatility in VOLATILITIES:
            asked[tc.submit(price_options, strike, volatility, paths, 1)] = (strike, volatility)
    print("strike  volatility  European call, put     Asian call, put")
    found = {asked[pending]: pending.result() for pending in tc.as_completed(asked)}
    for (strike, volatility), prices in sorted(found.items()):
        print(f"{strike:6.1f}  {volatility:10.2f}  " + "  ".join(f"{price:9.3f}" for price in prices))

    # What is known without chance: a call less a put is the stock less the discounted strike.
    call, put = found[100.0, 0.1][:2]
    print(f"Call less put: {call - put:.1f}; it should be near {PRICE - 100.0 * math.exp(-RATE):.1f}")


if __name__ == "__main__":
    main()
