"""The measurements behind `loadtest/run`: processes, load, rounds, scenarios and the report."""
