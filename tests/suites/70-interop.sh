# Other people's Clients, Servers and DTLS stacks, in both directions, on the loopback: interop/run, page docs/interop.md.

# A person may go without the peers. In CI one that is not there has failed: nothing was tried with it.
peers_or_skip() { apt_install "$@" || { [ "${CI:-}" != true ] && return 77; return 1; }; }

# Runs `interop/run`, and leaves word of each peer that could not be had for the last lines of ./test.
with_peers() { # SECONDS ARGUMENTS
  local code=0 seconds=$1
  rm -f "$work/peers"
  shift
  timeout "$seconds" "$root/interop/run" --skipped "$work/peers" "$@" || code=$?
  [ ! -s "$work/peers" ] || sed 's/^/peer /' "$work/peers" >>"$left_out"
  return "$code"
}

interop() {
  local pip=() npm=()
  python3 -m pip --version >/dev/null 2>&1 || pip=(python3-pip)
  # Who has a node of another origin has its npm, and Debian's would stand beside it.
  command -v npm >/dev/null || npm=(nodejs npm)
  peers_or_skip openjdk-17-jdk-headless maven libcoap3-bin openssl python3 "${pip[@]}" "${npm[@]}" || return
  cargo build --quiet --package dunlin || return 1
  cargo build --quiet --package dunlin-net --example device || return 1
  with_peers 600 --but dtls,secured --dunlin "$target/debug/dunlin" --device "$target/debug/examples/device"
}
suite interop 300 interop "standard long full"

secured_peers() {
  peers_or_skip openssl openjdk-17-jdk-headless maven libcoap3-bin python3 || return
  cargo build --quiet --package dunlin || return 1
  with_peers 400 --only secured --dunlin "$target/debug/dunlin" --device /bin/true
}
suite secured_peers 200 secured_peers "standard long full"

dtls_peers() {
  peers_or_skip openssl gnutls-bin libcoap3-bin openjdk-17-jdk-headless maven python3 gcc libc6-dev libmbedtls-dev || return
  cargo build --quiet --package dunlin-dtls --example echo || return 1
  # The first two are not asked by this suite.
  with_peers 400 --only dtls --dunlin /bin/true --device /bin/true
}
suite dtls_peers 180 dtls_peers "standard long full"
