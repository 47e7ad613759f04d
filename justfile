# Shortcuts for those who have just (https://just.systems). Each is one command that also works without it.

# Formatting, lints, and the tests that need no database; under a minute when warm.
check:
    scripts/check

# Everything but the load smoke.
test:
    scripts/test --quick

# Everything that must hold before a change lands.
test-all:
    scripts/test

# The service on http://127.0.0.1:8000.
run:
    cargo run --release

# The hot paths, measured; `just bench commit` measures some of them.
bench *names:
    cargo bench --bench hot_paths --bench commit -- {{ names }}
