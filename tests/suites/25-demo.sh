# The command of the README, as a newcomer types it: five devices register, one is read, Ctrl-C ends it.
demo() {
  cargo build --release --quiet || return 1
  local log="$work/demo.log" url pid count=0 tries=0
  cargo run --release --quiet -- demo --http 127.0.0.1:0 >"$log" 2>&1 &
  pid=$!
  while [ $tries -lt 60 ]; do
    count=$(grep -c 'has registered' "$log")
    [ "$count" -ge 5 ] && break
    tries=$((tries + 1))
    sleep 0.5
  done
  url=$(sed -n 's/^dunlin demo: open \(http[^ ]*[0-9]\).*/\1/p' "$log")
  cat "$log"
  local failed=0
  [ "$count" -ge 5 ] || { echo "demo: only $count of 5 devices registered" >&2; failed=1; }
  DUNLIN_API=$url "$target/release/dunlin" list || failed=1
  DUNLIN_API=$url "$target/release/dunlin" read coffee-machine /31001/0 | grep -q 'Boiler Temperature' || failed=1
  DUNLIN_API=$url "$target/release/dunlin" events --after start --count 5 | grep -q registered || failed=1
  # The process that cargo started is the one to interrupt: it removes its data and says so.
  kill -INT "$(pgrep -n -f "$target/release/dunlin demo" || echo "$pid")"
  wait "$pid" || failed=1
  grep -q 'ended' "$log" || { echo "demo: it did not say that it ended" >&2; failed=1; }
  return $failed
}
suite demo 600 demo "standard long full"
