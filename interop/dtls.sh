#!/bin/bash
# DTLS with other people's stacks, on the loopback: a table of who talks to whom, and how.
#
#   interop/dtls.sh            all that is installed; what is missing is named and skipped
#   interop/dtls.sh CCM_8      only rows with this word
#   GROUPS_WANTED="gnutls_clients gnutls_servers" interop/dtls.sh    only these groups of rows
#
# Peers: openssl (Debian package openssl), gnutls-cli and gnutls-serv (gnutls-bin), coap-client-* and
# coap-server-* (libcoap3-bin), Scandium (Java 17; its jars are fetched once by Maven, see interop/scandium),
# Mbed TLS 2.28 (libmbedtls-dev) and 3.6 (the sources that the crate mbedtls-rs-sys bears are fetched once by
# cargo and compiled by cc, fifteen seconds on one core), both with the peer in interop/mbedtls.
# Nothing else is installed here. Every program started ends by itself, and the script's status tells
# whether every row that could run was good. `interop/run --only dtls` runs the groups side by side and
# puts the rows into docs/interop.md.
set -u
cd "$(dirname "$0")/.." || exit 2
only=${1:-}
cargo build --quiet --package dunlin-dtls --example echo || exit 2
echo_program=${CARGO_TARGET_DIR:-$(pwd)/target}/debug/examples/echo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
identity=device
key=secret
key_hex=736563726574
good=0 bad=0 skipped=0

certificates() {
    cd "$work" || exit 2
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key 2>/dev/null
    openssl req -x509 -new -key ca.key -subj "/CN=dunlin test authority" -days 30 -out ca.pem 2>/dev/null
    for who in server client; do
        openssl ecparam -name prime256v1 -genkey -noout -out $who.sec1 2>/dev/null
        openssl pkcs8 -topk8 -nocrypt -in $who.sec1 -out $who.key
        openssl req -new -key $who.key -subj "/CN=$who.example" -out $who.csr 2>/dev/null
        printf 'subjectAltName=DNS:%s.example\nextendedKeyUsage=%sAuth\n' $who $who >$who.ext
        openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
            -extfile $who.ext -out $who.pem 2>/dev/null
        openssl x509 -in $who.pem -outform DER -out $who.der
        openssl pkcs8 -topk8 -nocrypt -in $who.key -outform DER -out $who.key.der
        openssl pkey -in $who.key -pubout -out $who.pub.pem
    done
    openssl x509 -in ca.pem -outform DER -out ca.der
    cd - >/dev/null || exit 2
}

# row RESULT PEER DIRECTION WHAT
row() {
    printf '%-8s %-22s %-12s %s\n' "$1" "$2" "$3" "$4"
    case $1 in ok) good=$((good + 1)) ;; skipped) skipped=$((skipped + 1)) ;; *) bad=$((bad + 1)) ;; esac
}

wanted() { [ -z "$only" ] || [[ "$*" == *"$only"* ]]; }

# have PROGRAM PEER DIRECTION WHAT: is the peer there? If not, says so in the table.
have() {
    command -v "$1" >/dev/null && return 0
    row skipped "$2" "$3" "$4 ($1 is not installed)"
    return 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# our_server OPTIONS...: starts it and sets $port; its log is $work/server.log.
our_server() {
    # Emptied here and not by the server's start, which may come after the first look for its port.
    : >"$work/server.log"
    timeout 20 "$echo_program" server --seconds 12 --psk $identity:$key "$@" >"$work/server.log" 2>&1 &
    server=$!
    for _ in $(seq 50); do
        port=$(sed -n 's/^listening 127.0.0.1://p' "$work/server.log")
        [ -n "$port" ] && return
        sleep 0.1
    done
    echo "our server did not start"
    exit 2
}

stop_server() {
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
}

# heard PATTERN: in the log of their client, and any word in ours.
heard() {
    { [ -z "$1" ] || grep -q "$1" "$work/client.log"; } && grep -q '^Data' "$work/server.log"
}

# foreign_client PEER WHAT PATTERN PROGRAM ARGUMENTS...: says hello to our server and wants it
# back; an empty pattern asks our log only.
foreign_client() {
    local peer=$1 what=$2 pattern=$3
    shift 3
    : >"$work/client.log"
    # It ends with its input, so that stays open until both sides have heard, or too long.
    # A machine that is busy with other things may take longer than the first try waits.
    for _ in 1 2; do
        { sleep 0.3; echo hello; for _ in $(seq 40); do heard "$pattern" && break; sleep 0.1; done; } |
            timeout 5 "$@" >"$work/client.log" 2>&1
        heard "$pattern" && break
    done
    if heard "$pattern"; then
        row ok "$peer" "to us" "$what"
    else
        row FAIL "$peer" "to us" "$what"
        { grep -iE 'error|alert|fail' "$work/client.log"; tail -2 "$work/server.log"; } | head -5 | sed 's/^/         /'
    fi
}

# our_client PEER WHAT OPTIONS...: against the server on $port.
our_client() {
    local peer=$1 what=$2
    shift 2
    if timeout 10 "$echo_program" client --to 127.0.0.1:"$port" --seconds 6 --psk $identity:$key "$@" \
        >"$work/client.log" 2>&1; then
        row ok "$peer" "from us" "$what"
    else
        row FAIL "$peer" "from us" "$what"
        { tail -2 "$work/client.log"; grep -iE 'error|alert' "$work/peer.log"; } | head -5 | sed 's/^/         /'
    fi
}

# foreign_server COMMAND...: on $port, for one row.
foreign_server() {
    # openssl s_server cannot echo DTLS: what it says comes from here.
    for _ in $(seq 20); do sleep 0.4; echo hello; done | timeout 9 "$@" >"$work/peer.log" 2>&1 &
    peer_process=$!
    sleep 0.7
}

stop_peer() {
    kill "$peer_process" 2>/dev/null
    wait "$peer_process" 2>/dev/null
}

psk_suites="CCM_8:PSK-AES128-CCM8 CCM:PSK-AES128-CCM GCM_SHA256:PSK-AES128-GCM-SHA256 CBC_SHA256:PSK-AES128-CBC-SHA256"
ecdsa_suites="CCM_8:ECDHE-ECDSA-AES128-CCM8 CCM:ECDHE-ECDSA-AES128-CCM GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256 CBC_SHA256:ECDHE-ECDSA-AES128-SHA256"
our_x509=(--key "$work/server.key.der" --certificate "$work/server.der" --anchor "$work/ca.der")
our_client_x509=(--key "$work/client.key.der" --certificate "$work/client.der" --anchor "$work/ca.der" --name server.example)

openssl_clients() {
    for pair in $psk_suites; do
        ours=TLS_PSK_WITH_AES_128_${pair%%:*} theirs=${pair##*:}
        wanted openssl "$ours" && have openssl openssl "to us" "$ours" || continue
        our_server --suite "$ours" --restart
        foreign_client openssl "$ours, restarted before each echo" '^hello' openssl s_client -dtls1_2 -connect 127.0.0.1:"$port" \
            -psk $key_hex -psk_identity $identity -cipher "$theirs@SECLEVEL=0"
        stop_server
    done
    for pair in $ecdsa_suites; do
        ours=TLS_ECDHE_ECDSA_WITH_AES_128_${pair%%:*} theirs=${pair##*:}
        wanted openssl "$ours" && have openssl openssl "to us" "$ours" || continue
        our_server --suite "$ours" "${our_x509[@]}" --restart
        foreign_client openssl "$ours, X.509 both ways" '^hello' openssl s_client -dtls1_2 -connect 127.0.0.1:"$port" \
            -cert "$work/client.pem" -key "$work/client.key" -CAfile "$work/ca.pem" -verify_return_error \
            -verify_hostname server.example -servername server.example -cipher "$theirs@SECLEVEL=0"
        stop_server
    done
    wanted openssl resumption && have openssl openssl "to us" resumption || return
    for ticket in "" -no_ticket; do
        our_server --suite TLS_PSK_WITH_AES_128_CCM_8
        connect=(openssl s_client -dtls1_2 -connect 127.0.0.1:"$port" -psk $key_hex -psk_identity $identity
            -cipher PSK-AES128-CCM8@SECLEVEL=0 $ticket)
        { sleep 1; } | timeout 8 "${connect[@]}" -sess_out "$work/session" >/dev/null 2>&1
        foreign_client openssl "resumption by $([ -n "$ticket" ] && echo id || echo ticket)" '^Reused' "${connect[@]}" -sess_in "$work/session"
        stop_server
    done
    our_server --suite TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 "${our_x509[@]}"
    foreign_client openssl "max_fragment_length 512" '^hello' openssl s_client -dtls1_2 -connect 127.0.0.1:"$port" \
        -cert "$work/client.pem" -key "$work/client.key" -CAfile "$work/ca.pem" -maxfraglen 512 \
        -cipher ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0
    stop_server
    our_server --suite TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 "${our_x509[@]}" --mtu 300
    foreign_client openssl "datagrams of 300 bytes" '^hello' openssl s_client -dtls1_2 -connect 127.0.0.1:"$port" \
        -cert "$work/client.pem" -key "$work/client.key" -CAfile "$work/ca.pem" -mtu 300 \
        -cipher ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0
    stop_server
}

openssl_servers() {
    for pair in $psk_suites; do
        ours=TLS_PSK_WITH_AES_128_${pair%%:*} theirs=${pair##*:}
        wanted openssl "$ours" && have openssl openssl "from us" "$ours" || continue
        port=$(free_port)
        foreign_server openssl s_server -dtls1_2 -accept 127.0.0.1:"$port" -nocert \
            -psk $key_hex -psk_identity $identity -cipher "$theirs@SECLEVEL=0"
        our_client openssl "$ours" --suite "$ours"
        stop_peer
    done
    for pair in $ecdsa_suites; do
        ours=TLS_ECDHE_ECDSA_WITH_AES_128_${pair%%:*} theirs=${pair##*:}
        wanted openssl "$ours" && have openssl openssl "from us" "$ours" || continue
        port=$(free_port)
        foreign_server openssl s_server -dtls1_2 -accept 127.0.0.1:"$port" \
            -cert "$work/server.pem" -key "$work/server.key" -CAfile "$work/ca.pem" -Verify 2 \
            -verify_return_error -cipher "$theirs@SECLEVEL=0"
        our_client openssl "$ours, X.509 both ways" --suite "$ours" "${our_client_x509[@]}"
        stop_peer
    done
    wanted openssl resumption && have openssl openssl "from us" resumption || return
    for ticket in "" -no_ticket; do
        port=$(free_port)
        foreign_server openssl s_server -dtls1_2 -accept 127.0.0.1:"$port" \
            -cert "$work/server.pem" -key "$work/server.key" -CAfile "$work/ca.pem" -Verify 2 \
            -verify_return_error -cipher ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0 $ticket
        our_client openssl "resumption by $([ -n "$ticket" ] && echo id || echo ticket)" --suite TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 \
            "${our_client_x509[@]}" --resume-once
        stop_peer
    done
}

gnutls_base="NONE:+VERS-DTLS1.2:+COMP-NULL:+SIGN-ECDSA-SHA256:+GROUP-SECP256R1:+CTYPE-X509"
gnutls_clients() {
    while read -r ours theirs what; do
        wanted gnutls "$ours" "$what" && have gnutls-cli gnutls "to us" "$ours $what" || continue
        our_server --suite "$ours" --restart
        foreign_client gnutls "$ours $what" '^hello' gnutls-cli --udp --port "$port" 127.0.0.1 --pskusername $identity \
            --pskkey $key_hex --priority "$gnutls_base:+PSK:$theirs"
        stop_server
    done <<'ROWS'
TLS_PSK_WITH_AES_128_CCM_8 +AES-128-CCM-8:+AEAD
TLS_PSK_WITH_AES_128_CCM_8 +AES-128-CCM-8:+AEAD:%NO_SESSION_HASH without extended master secret
TLS_PSK_WITH_AES_128_GCM_SHA256 +AES-128-GCM:+AEAD
TLS_PSK_WITH_AES_128_CBC_SHA256 +AES-128-CBC:+SHA256 encrypt-then-MAC
TLS_PSK_WITH_AES_128_CBC_SHA256 +AES-128-CBC:+SHA256:%NO_ETM MAC-then-encrypt
ROWS
    suite=TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8
    wanted gnutls $suite X.509 && have gnutls-cli gnutls "to us" "$suite, X.509" || return
    our_server --suite $suite "${our_x509[@]}"
    foreign_client gnutls "$suite, X.509 both ways" '^hello' gnutls-cli --udp --port "$port" 127.0.0.1 \
        --x509cafile "$work/ca.pem" --x509certfile "$work/client.pem" --x509keyfile "$work/client.key" \
        --verify-hostname server.example --priority "$gnutls_base:+ECDHE-ECDSA:+AES-128-CCM-8:+AEAD"
    stop_server
    our_server --suite $suite --key "$work/server.key.der" --raw
    foreign_client gnutls "$suite, raw public keys both ways" '^hello' gnutls-cli --udp --port "$port" 127.0.0.1 --no-ca-verification \
        --rawpkkeyfile "$work/client.key" --rawpkfile "$work/client.pub.pem" \
        --priority "$gnutls_base:+ECDHE-ECDSA:+AES-128-CCM-8:+AEAD:-CTYPE-X509:+CTYPE-RAWPK"
    stop_server
}

gnutls_servers() {
    suite=TLS_PSK_WITH_AES_128_CCM_8
    echo "$identity:$key_hex" >"$work/psk.txt"
    for what in "" "and without extended master secret"; do
        wanted gnutls $suite && have gnutls-serv gnutls "from us" "$suite $what" || return
        port=$(free_port)
        foreign_server gnutls-serv --udp --port "$port" --echo --pskpasswd "$work/psk.txt" \
            --priority "$gnutls_base:+PSK:+AES-128-CCM-8:+AEAD${what:+:%NO_SESSION_HASH}"
        our_client gnutls "$suite $what" --suite $suite
        stop_peer
    done
    suite=TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8
    port=$(free_port)
    foreign_server gnutls-serv --udp --port "$port" --echo --require-client-cert --verify-client-cert \
        --x509cafile "$work/ca.pem" --x509certfile "$work/server.pem" --x509keyfile "$work/server.key" \
        --priority "$gnutls_base:+ECDHE-ECDSA:+AES-128-CCM-8:+AEAD"
    our_client gnutls "$suite, X.509 both ways" --suite $suite "${our_client_x509[@]}"
    stop_peer
    port=$(free_port)
    foreign_server gnutls-serv --udp --port "$port" --echo --require-client-cert \
        --rawpkkeyfile "$work/server.key" --rawpkfile "$work/server.pub.pem" \
        --priority "$gnutls_base:+ECDHE-ECDSA:+AES-128-CCM-8:+AEAD:-CTYPE-X509:+CTYPE-RAWPK"
    our_client gnutls "$suite, raw public keys both ways" --suite $suite --key "$work/client.key.der" --raw
    stop_peer
}

libcoap() {
    for stack in openssl gnutls; do
        peer="libcoap $stack"
        if wanted libcoap $stack && have coap-client-$stack "$peer" "to us" "a CoAP request arrives"; then
            our_server --suite TLS_PSK_WITH_AES_128_CCM_8
            foreign_client "$peer" "a CoAP request arrives" '' coap-client-$stack -B 2 -u $identity -k $key \
                coaps://127.0.0.1:"$port"/time
            stop_server
        fi
        if wanted libcoap $stack && have coap-server-$stack "$peer" "from us" "CoAP ping"; then
            port=$(free_port)
            foreign_server coap-server-$stack -A 127.0.0.1 -p $((port - 1)) -k $key -h hint
            # An empty confirmable message; a server resets it (RFC 7252 §4.3).
            our_client "$peer" "CoAP ping" --suite TLS_PSK_WITH_AES_128_CCM_8 --say-hex 40000001 --any
            stop_peer
        fi
    done
}

scandium() {
    wanted scandium || return
    have java Scandium "" "everything" && have mvn Scandium "" "everything" || return
    jars=$(pwd)/interop/.cache/scandium-3.14.0
    if [ ! -d "$jars" ]; then
        rm -rf "$jars.partial"
        if ! mvn --quiet --batch-mode --file interop/scandium/pom.xml dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$jars.partial" >"$work/mvn.log" 2>&1; then
            row skipped Scandium "" "everything (it could not be fetched: $(grep -m1 ERROR "$work/mvn.log"))"
            return
        fi
        mv "$jars.partial" "$jars"
    fi
    javac -cp "$jars/*" -d "$work/classes" interop/scandium/Peer.java || exit 2
    while read -r suite kind options; do
        ours=()
        case $kind in
        x509) ours=("${our_x509[@]}") ;;
        rpk) ours=(--key "$work/server.key.der" --raw) ;;
        esac
        our_server --suite "$suite" "${ours[@]}" --restart
        [[ "$options" == *resume* ]] && { stop_server; our_server --suite "$suite" "${ours[@]}"; }
        # shellcheck disable=SC2086
        foreign_client Scandium "$suite $kind $options" '^heard hello' java -cp "$work/classes:$jars/*" Peer \
            client "$port" "$suite" "$kind" "$work" $options
        [[ "$options" == *resume* ]] && ! grep -q 'resumed: true' "$work/server.log" && row FAIL Scandium "to us" "the last one was not resumed"
        [[ "$options" == *cid* ]] && ! grep -q 'cid: Some' "$work/server.log" && row FAIL Scandium "to us" "the last one had no connection id"
        stop_server
        [[ "$options" == *resume* ]] && continue
        case $kind in
        x509) ours=("${our_client_x509[@]}") ;;
        rpk) ours=(--key "$work/client.key.der" --raw) ;;
        esac
        [[ "$options" == *cid* ]] && ours+=(--own-cid)
        port=$(free_port)
        # shellcheck disable=SC2086
        foreign_server java -cp "$work/classes:$jars/*" Peer server "$port" "$suite" "$kind" "$work" $options
        sleep 1
        our_client Scandium "$suite $kind $options" --suite "$suite" "${ours[@]}"
        stop_peer
    done <<'ROWS'
TLS_PSK_WITH_AES_128_CCM_8 psk cid
TLS_PSK_WITH_AES_128_CCM_8 psk
TLS_PSK_WITH_AES_128_CCM_8 psk no-ems cid
TLS_PSK_WITH_AES_128_CBC_SHA256 psk cid
TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 x509 cid
TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 rpk cid
TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 x509 cid
TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 rpk cid
TLS_PSK_WITH_AES_128_CCM_8 psk cid resume
TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 x509 cid resume
ROWS
}

# mbedtls_3 FOLDER: Mbed TLS 3.6 as a library, made once.
mbedtls_3() {
    [ -e "$1/libmbedtls.a" ] && return
    rm -rf "$1.partial" && mkdir -p "$1.partial/src" || return
    printf '[package]\nname = "sources"\nversion = "0.0.0"\n[workspace]\n[dependencies]\nmbedtls-rs-sys = { version = "=0.3.1", default-features = false }\n' \
        >"$1.partial/Cargo.toml"
    : >"$1.partial/src/lib.rs"
    (
        cd "$1.partial" || exit
        cargo fetch --quiet || exit
        sources=$(cargo metadata --format-version 1 --offline | python3 -c 'import json, os, sys
print(next(os.path.dirname(one["manifest_path"]) for one in json.load(sys.stdin)["packages"] if one["name"] == "mbedtls-rs-sys"))')/mbedtls
        cp -r "$sources/include" . &&
            find "$sources/library" -name '*.c' -print0 |
            xargs -0 -P 2 -I{} sh -c "cc -O1 -I '$sources/include' -I '$sources/library' -c {} -o \$(basename {} .c).o" &&
            ar rcs libmbedtls.a ./*.o && rm -f ./*.o
    ) >"$work/mbedtls.log" 2>&1 && rm -rf "$1" && mv "$1.partial" "$1"
}

# mbedtls_rows PEER PROGRAM CIDS: the rows of one version.
mbedtls_rows() {
    local peer=$1 program=$2 cids=$3 suite kind options ours
    while read -r suite kind options; do
        wanted mbedtls "$peer" "$suite" "$kind" "$options" || continue
        [[ "$options" == *cid* && $cids == no ]] && continue
        ours=() # Restarted before each echo, where that is not in the way of what is looked at.
        [ "$kind" = x509 ] && ours=("${our_x509[@]}")
        [[ "$options" == *resume* || "$options" == *lossy* || "$options" == *move* ]] || ours+=(--restart)
        our_server --suite "$suite" "${ours[@]}"
        # shellcheck disable=SC2086
        foreign_client "$peer" "$suite $kind $options" '^good' "$program" client "$port" "$suite" "$kind" "$work" $options
        [[ "$options" == *resume* ]] && ! grep -q 'resumed: true' "$work/server.log" && row FAIL "$peer" "to us" "the last one was not resumed"
        [[ "$options" == *move* ]] && ! grep -q '^Moved' "$work/server.log" && row FAIL "$peer" "to us" "the last one did not move"
        stop_server
        [[ "$options" == *resume* || "$options" == *move* ]] && continue
        ours=(--insist)
        [ "$kind" = x509 ] && ours+=("${our_client_x509[@]}")
        [[ "$options" == *cid* ]] && ours+=(--own-cid)
        port=$(free_port)
        # shellcheck disable=SC2086
        foreign_server "$program" server "$port" "$suite" "$kind" "$work" $options
        our_client "$peer" "$suite $kind $options" --suite "$suite" "${ours[@]}"
        [[ "$options" == *cid* ]] && ! grep -q 'bear a connection id' "$work/peer.log" && row FAIL "$peer" "from us" "the last one had no connection id"
        stop_peer
    done <<'ROWS'
TLS_PSK_WITH_AES_128_CCM_8 psk
TLS_PSK_WITH_AES_128_CCM_8 psk lossy
TLS_PSK_WITH_AES_128_CCM_8 psk resume
TLS_PSK_WITH_AES_128_CCM_8 psk cid
TLS_PSK_WITH_AES_128_CCM_8 psk cid move
TLS_PSK_WITH_AES_128_CCM_8 psk cid lossy
TLS_PSK_WITH_AES_128_GCM_SHA256 psk
TLS_PSK_WITH_AES_128_CBC_SHA256 psk
TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 x509
TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 x509 lossy
TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 x509 cid
TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 x509 cid lossy
TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 x509
ROWS
}

mbedtls() {
    have cc mbedtls "" "everything" || return
    if cc -O1 -o "$work/mbedtls-2" interop/mbedtls/peer.c -lmbedtls -lmbedx509 -lmbedcrypto 2>"$work/mbedtls.log"; then
        mbedtls_rows "mbedtls $("$work/mbedtls-2" version)" "$work/mbedtls-2" no
    else
        row skipped "mbedtls 2.28" "" "everything (libmbedtls-dev is not installed)"
    fi
    local folder
    folder=$(pwd)/interop/.cache/mbedtls-3.6
    if mbedtls_3 "$folder" && cc -O1 -I"$folder/include" -o "$work/mbedtls-3" interop/mbedtls/peer.c "$folder/libmbedtls.a" 2>>"$work/mbedtls.log"; then
        mbedtls_rows "mbedtls $("$work/mbedtls-3" version)" "$work/mbedtls-3" yes
    else
        row skipped "mbedtls 3.6" "" "everything (it could not be made: $(tail -1 "$work/mbedtls.log"))"
    fi
}

printf '%-8s %-22s %-12s %s\n' result peer direction what
if command -v openssl >/dev/null; then
    certificates
else
    echo "without openssl there are no certificates for the other peers either"
fi
for group in ${GROUPS_WANTED:-openssl_clients openssl_servers gnutls_clients gnutls_servers libcoap scandium mbedtls}; do
    "$group"
done
echo "$good good, $bad bad, $skipped skipped"
[ "$bad" = 0 ]
