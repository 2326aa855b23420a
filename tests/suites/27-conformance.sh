# Every item of LwM2M 1.0 in spec/lwm2m-1.0.toml: the tests it names exist, run and pass, and docs/conformance.md says so. The
# programs are those that the suite `unit` has built.
conformance() {
  cargo run --quiet -p dunlin-conformance -- check --workspace || return 1
  cargo run --quiet -p dunlin-conformance -- table --check
}
suite conformance 120 conformance "standard long full"
# Each item's recorded change of one line, in a copy of the tree: its test must fail.
mutants() { cargo run --quiet -p dunlin-conformance -- mutants; }
suite mutants 7200 mutants "mutants"
