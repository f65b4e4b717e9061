"""Schedules: Dagster starts a `kedro run` for each tick. No other room imports Dagster.

`__main__` is what `make schedule` starts: it watches over Dagster's processes. `housekeeping`
does what has to be done once, in a process that ends; `code_location` is what Dagster loads.
"""
