# Formatting, lints, documentation, and the rules of the house that a program can hold.
house() {
  cargo fmt --all --check || return 1
  cargo clippy --workspace --all-targets --quiet -- -D warnings || return 1
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet || return 1
}
suite house 300 house "quick standard long full"

no_std() {
  # The five crates that a device carries build without std (docs/decisions: no_std).
  local crate
  for crate in dunlin-coap dunlin-lwm2m dunlin-transport dunlin-client; do
    cargo check --quiet -p "$crate" --no-default-features --lib || return 1
  done
}
suite no_std 60 no_std "quick standard long full"
