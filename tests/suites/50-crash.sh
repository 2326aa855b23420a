# The whole Server killed at random moments, on disks that lose and disks that are full: what was
# promised is there. ./test runs ten kill points of each kind, --long two hundred.
crash() {
  command -v setpriv >/dev/null && command -v prlimit >/dev/null || { skip "wants setpriv and prlimit of util-linux"; return 77; }
  # Without strace the test of the order of system calls says that it is skipped; the others run.
  command -v strace >/dev/null || apt_install strace || echo "no strace: $skip_reason"
  local rounds=10 secured=300
  [ "$DUNLIN_TEST_MODE" != long ] || rounds=200 secured=10000
  DUNLIN_CRASH_ROUNDS=$rounds DUNLIN_CRASH_SECURED_CLIENTS=$secured \
    cargo test --quiet --release -p dunlin --test crash -- --ignored --test-threads=1 --nocapture
}
suite crash 600 crash "standard full"
# The same function, with the time that two hundred kill points need.
suite crash 5400 crash "long"
