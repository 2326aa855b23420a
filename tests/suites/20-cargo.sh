# Every test that cargo alone can run: unit, property, lockstep, pair and contract tests.
unit() { cargo test --workspace --quiet --no-fail-fast; }
suite unit 300 unit "quick standard long full"
