#!/bin/bash
# Counts the instructions that refusing a forged CBC record costs, by what is wrong with it. They may
# differ by a handful (copying a few bytes more or less), not by the compression of a hash (some
# hundreds), which is what Lucky 13 listens for. Needs valgrind; installs nothing.
set -eu
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 0; }
cargo build --quiet --release --package dunlin-dtls --example constant_time
program=target/release/examples/constant_time
tolerance=100
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# instructions KIND COUNT: of the whole run.
instructions() {
    timeout 120 valgrind --tool=callgrind --callgrind-out-file="$out" "$program" "$1" "$2" 2>/dev/null
    sed -n 's/^\(summary\|totals\): *//p' "$out" | head -1
}

lowest= highest=
for kind in long-padding short-padding bad-padding no-padding; do
    each=$((($(instructions $kind 300) - $(instructions $kind 100)) / 200))
    printf '%-14s %6d instructions a record\n' $kind $each
    if [ -z "$lowest" ] || [ "$each" -lt "$lowest" ]; then lowest=$each; fi
    if [ -z "$highest" ] || [ "$each" -gt "$highest" ]; then highest=$each; fi
done
echo "they differ by $((highest - lowest)), $tolerance are allowed"
[ $((highest - lowest)) -le $tolerance ]
