# Random and mutated datagrams against a running Server: it keeps serving, in bounded memory and in
# silence. ./test sends 200 000, --long ten million.
hostile() {
  command -v setpriv >/dev/null || { skip "wants setpriv of util-linux"; return 77; }
  local datagrams=200000
  [ "$DUNLIN_TEST_MODE" != long ] || datagrams=10000000
  DUNLIN_HOSTILE_DATAGRAMS=$datagrams \
    cargo test --quiet --release -p dunlin --test hostile -- --ignored --nocapture
}
suite hostile 300 hostile "standard full"
suite hostile 3600 hostile "long"
