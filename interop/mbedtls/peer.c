/* Mbed TLS as a peer of ours: an echo server, or a client that wants its words back.
 *
 *   peer client|server PORT SUITE psk|x509 FOLDER [cid] [move] [resume] [lossy]
 *
 * Built by dtls.sh against Debian's Mbed TLS 2.28 and against 3.6, which has the Connection IDs of RFC 9146.
 * `move`: the second word leaves from another port. `resume`: it is said in a resumed session. `lossy`: every
 * third datagram that is sent and every fourth that is heard is thrown away. Everything ends after some seconds.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/timing.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#define SECONDS 9

static struct sockaddr_in to;
static int sock, lossy, with_cid, sent_datagrams, heard_datagrams;
static const char *folder;
static mbedtls_ctr_drbg_context chance;

static void must(int result, const char *what) {
    char text[128];
    if (result == 0) return;
    mbedtls_strerror(result, text, sizeof text);
    printf("error: %s: -0x%04x %s\n", what, (unsigned)-result, text);
    exit(1);
}

static void open_socket(int port) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(sock, (struct sockaddr *)&here, sizeof here) != 0) must(-1, "bind");
}

static int send_datagram(void *unused, const unsigned char *bytes, size_t length) {
    (void)unused;
    if (lossy && ++sent_datagrams % 3 == 0) return (int)length;
    return (int)sendto(sock, bytes, length, 0, (struct sockaddr *)&to, sizeof to);
}

static int receive_datagram(void *unused, unsigned char *bytes, size_t room, uint32_t timeout_ms) {
    struct pollfd one = {.fd = sock, .events = POLLIN};
    socklen_t size = sizeof to;
    (void)unused;
    do {
        if (poll(&one, 1, timeout_ms ? (int)timeout_ms : -1) <= 0) return MBEDTLS_ERR_SSL_TIMEOUT;
        int length = (int)recvfrom(sock, bytes, room, 0, (struct sockaddr *)&to, &size);
        if (length > 0 && !(lossy && ++heard_datagrams % 4 == 0)) return length;
    } while (1);
}

static void own_cid(mbedtls_ssl_context *ssl) {
    (void)ssl;
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
    if (with_cid) must(mbedtls_ssl_set_cid(ssl, MBEDTLS_SSL_CID_ENABLED, (const unsigned char *)"peer", 4), "cid");
#endif
}

static void tell(mbedtls_ssl_context *ssl) {
    printf("connected with %s\n", mbedtls_ssl_get_ciphersuite(ssl));
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
    unsigned char cid[MBEDTLS_SSL_CID_OUT_LEN_MAX];
    size_t length = 0;
    int enabled = 0;
    mbedtls_ssl_get_peer_cid(ssl, &enabled, cid, &length);
    if (with_cid && !enabled) must(-1, "no connection id was agreed");
    if (enabled) printf("our records bear a connection id of %zu bytes\n", length);
#endif
    fflush(stdout);
}

static int handshake(mbedtls_ssl_context *ssl, int server) {
    int result;
    while ((result = mbedtls_ssl_handshake(ssl)) != 0) {
        if (result == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED && server) {
            must(mbedtls_ssl_session_reset(ssl), "reset");
            must(mbedtls_ssl_set_client_transport_id(ssl, (unsigned char *)&to, sizeof to), "transport id");
            own_cid(ssl);
        } else if (result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE && result != MBEDTLS_ERR_SSL_TIMEOUT) {
            return result;
        }
    }
    tell(ssl);
    return 0;
}

/* Says a word until it comes back: nobody else repeats application data that was lost. */
static void say(mbedtls_ssl_context *ssl, const char *word) {
    char heard[64] = "";
    for (int round = 0; round < 12; round++) {
        mbedtls_ssl_write(ssl, (const unsigned char *)word, strlen(word));
        int length = mbedtls_ssl_read(ssl, (unsigned char *)heard, sizeof heard - 1);
        if (length <= 0) continue;
        heard[length] = 0;
        if (strcmp(heard, word) != 0) continue;
        printf("heard %s\n", heard);
        fflush(stdout);
        return;
    }
    must(-1, "no echo");
}

static void credentials(mbedtls_ssl_config *conf, const char *kind, const char *who) {
    static mbedtls_x509_crt own, authority;
    static mbedtls_pk_context key;
    char path[512];
    if (strcmp(kind, "psk") == 0) {
        must(mbedtls_ssl_conf_psk(conf, (const unsigned char *)"secret", 6, (const unsigned char *)"device", 6), "psk");
        return;
    }
    mbedtls_x509_crt_init(&own), mbedtls_x509_crt_init(&authority), mbedtls_pk_init(&key);
    snprintf(path, sizeof path, "%s/%s.pem", folder, who);
    must(mbedtls_x509_crt_parse_file(&own, path), path);
    snprintf(path, sizeof path, "%s/ca.pem", folder);
    must(mbedtls_x509_crt_parse_file(&authority, path), path);
    snprintf(path, sizeof path, "%s/%s.key", folder, who);
#if MBEDTLS_VERSION_MAJOR >= 3
    must(mbedtls_pk_parse_keyfile(&key, path, NULL, mbedtls_ctr_drbg_random, &chance), path);
#else
    must(mbedtls_pk_parse_keyfile(&key, path, NULL), path);
#endif
    must(mbedtls_ssl_conf_own_cert(conf, &own, &key), "own certificate");
    mbedtls_ssl_conf_ca_chain(conf, &authority, NULL);
}

static int suite(const char *name) {
    char theirs[80];
    snprintf(theirs, sizeof theirs, "%s", name);
    for (char *at = theirs; *at; at++) if (*at == '_') *at = '-';
    return mbedtls_ssl_get_ciphersuite_id(theirs);
}

int main(int count, char **words) {
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    mbedtls_entropy_context entropy;
    mbedtls_ssl_cookie_ctx cookies;
    mbedtls_timing_delay_context timer;
    mbedtls_ssl_session session;
    int move = 0, resume = 0, suites[2] = {0, 0};
    if (count == 2 && strcmp(words[1], "version") == 0) return puts(MBEDTLS_VERSION_STRING) < 0;
    if (count < 6) return 2;
    alarm(SECONDS);
    int server = strcmp(words[1], "server") == 0, port = atoi(words[2]);
    folder = words[5];
    for (int at = 6; at < count; at++) {
        with_cid |= strcmp(words[at], "cid") == 0;
        move |= strcmp(words[at], "move") == 0;
        resume |= strcmp(words[at], "resume") == 0;
        lossy |= strcmp(words[at], "lossy") == 0;
    }
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
#if MBEDTLS_VERSION_MAJOR >= 3
    must(psa_crypto_init(), "psa");
#endif
    mbedtls_entropy_init(&entropy), mbedtls_ctr_drbg_init(&chance), mbedtls_ssl_config_init(&conf);
    mbedtls_ssl_init(&ssl), mbedtls_ssl_cookie_init(&cookies), mbedtls_ssl_session_init(&session);
    must(mbedtls_ctr_drbg_seed(&chance, mbedtls_entropy_func, &entropy, NULL, 0), "chance");
    must(mbedtls_ssl_config_defaults(&conf, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                     MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT), "defaults");
    mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &chance);
    mbedtls_ssl_conf_authmode(&conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_min_version(&conf, 3, 3);
    mbedtls_ssl_conf_read_timeout(&conf, 400);
    mbedtls_ssl_conf_handshake_timeout(&conf, 250, 1000);
    suites[0] = suite(words[3]);
    mbedtls_ssl_conf_ciphersuites(&conf, suites);
    credentials(&conf, words[4], words[1]);
    must(mbedtls_ssl_cookie_setup(&cookies, mbedtls_ctr_drbg_random, &chance), "cookies");
    if (server) mbedtls_ssl_conf_dtls_cookies(&conf, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &cookies);
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
    if (with_cid) must(mbedtls_ssl_conf_cid(&conf, 4, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE), "cid length");
#endif
    must(mbedtls_ssl_setup(&ssl, &conf), "setup");
    open_socket(server ? port : 0);
    mbedtls_ssl_set_bio(&ssl, NULL, send_datagram, NULL, receive_datagram);
    mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
    if (!server) {
        must(mbedtls_ssl_set_hostname(&ssl, "server.example"), "name");
        own_cid(&ssl);
        must(handshake(&ssl, 0), "handshake");
        say(&ssl, "hello0");
        if (move) close(sock), open_socket(0);
        if (resume) {
            must(mbedtls_ssl_get_session(&ssl, &session), "session");
            mbedtls_ssl_close_notify(&ssl);
            must(mbedtls_ssl_session_reset(&ssl), "reset");
            must(mbedtls_ssl_set_session(&ssl, &session), "session");
            own_cid(&ssl);
            must(handshake(&ssl, 0), "second handshake");
        }
        if (move || resume) say(&ssl, "hello1");
        puts("good");
        return 0;
    }
    puts("listening");
    fflush(stdout);
    while (1) {
        own_cid(&ssl);
        mbedtls_ssl_set_client_transport_id(&ssl, (unsigned char *)&to, sizeof to);
        int result = handshake(&ssl, 1);
        unsigned char bytes[1500];
        while (result >= 0 || result == MBEDTLS_ERR_SSL_TIMEOUT) {
            result = mbedtls_ssl_read(&ssl, bytes, sizeof bytes);
            if (result > 0) mbedtls_ssl_write(&ssl, bytes, (size_t)result);
            if (result == 0) break;
        }
        must(mbedtls_ssl_session_reset(&ssl), "reset");
    }
}
