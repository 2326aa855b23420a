# Formatting, lints, documentation, and the rules of the house that a program can hold.
house() {
  cargo fmt --all --check || return 1
  cargo clippy --workspace --all-targets --quiet -- -D warnings || return 1
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet || return 1
  # Each bug that a real peer has found names the test that holds it.
  ! command -v python3 >/dev/null || python3 interop/held || return 1
}
suite house 300 house "quick standard long full"

no_std() {
  # The crates that a device carries build without std (ARCHITECTURE.md).
  local crate
  for crate in dunlin-coap dunlin-dtls dunlin-lwm2m dunlin-transport dunlin-client; do
    cargo check --quiet -p "$crate" --no-default-features --lib || return 1
  done
}
suite no_std 60 no_std "quick standard long full"

no_std_host() {
  # A program without std that links them: a Server understands what its Client sends.
  cargo run --quiet --manifest-path tests/no-std-host/Cargo.toml --target-dir "$target/no-std-host"
}
suite no_std_host 120 no_std_host "quick standard long full"
