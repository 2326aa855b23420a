# Every parser meets mutated bytes for a while (fuzz/README.md has the long, guided way).
fuzz() {
  local seconds=60
  [ "$mode" = long ] && seconds=1800
  cargo run --quiet --release -p dunlin-fuzz --bin fuzz-short -- "$seconds"
}
suite fuzz 420 fuzz "standard long full"
