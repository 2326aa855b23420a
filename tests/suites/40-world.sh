# The seeded universe: Clients and Server of the product on a made network, disk and clock, held
# against global truths (crates/dunlin-sim/src/check.rs). A failing seed prints the end of its trace
# and the command that repeats it.
world() {
  local seeds=0..3 days=1 clients=200
  if [ "$mode" = long ]; then seeds=0..100 days=7 clients=1000; fi
  cargo run --release --quiet -p dunlin-sim --example world -- \
    --seeds "$seeds" --days "$days" --clients "$clients" --figures
}
world_budget=300
[ "$mode" = long ] && world_budget=14400
suite world "$world_budget" world "standard long full"
