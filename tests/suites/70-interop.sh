# Other people's Clients, Servers and DTLS stacks, in both directions, on the loopback: interop/run, page docs/interop.md.

# A person may go without the peers. In CI one that is not there has failed: nothing was tried with it.
peers_or_skip() { apt_install "$@" || { [ "${CI:-}" != true ] && return 77; return 1; }; }

interop() {
  local pip=()
  python3 -m pip --version >/dev/null 2>&1 || pip=(python3-pip)
  peers_or_skip openjdk-17-jdk-headless maven libcoap3-bin python3 "${pip[@]}" || return
  cargo build --quiet --package dunlin || return 1
  cargo build --quiet --package dunlin-net --example device || return 1
  timeout 600 "$root/interop/run" --but dtls,secured --dunlin "$target/debug/dunlin" --device "$target/debug/examples/device"
}
suite interop 300 interop "standard long full"

secured_peers() {
  peers_or_skip openssl openjdk-17-jdk-headless maven libcoap3-bin python3 || return
  cargo build --quiet --package dunlin || return 1
  timeout 400 "$root/interop/run" --only secured --dunlin "$target/debug/dunlin" --device /bin/true
}
suite secured_peers 200 secured_peers "standard long full"

dtls_peers() {
  peers_or_skip openssl gnutls-bin libcoap3-bin openjdk-17-jdk-headless maven python3 gcc libc6-dev libmbedtls-dev || return
  cargo build --quiet --package dunlin-dtls --example echo || return 1
  # The first two are not asked by this suite.
  timeout 400 "$root/interop/run" --only dtls --dunlin /bin/true --device /bin/true
}
suite dtls_peers 180 dtls_peers "standard long full"
