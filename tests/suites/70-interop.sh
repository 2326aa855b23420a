# Other people's Clients and Servers, in both directions, on the loopback: interop/run, page docs/interop.md.
interop() {
  # A person may go without the peers. In CI one that is not there has failed: nothing was tried with it.
  apt_install openjdk-17-jdk-headless maven libcoap3-bin python3 || { [ "${CI:-}" != true ] && return 77; return 1; }
  cargo build --quiet --package dunlin || return 1
  cargo build --quiet --package dunlin-net --example device || return 1
  timeout 280 "$root/interop/run" --dunlin "$target/debug/dunlin" --device "$target/debug/examples/device"
}
suite interop 300 interop "standard long full"
