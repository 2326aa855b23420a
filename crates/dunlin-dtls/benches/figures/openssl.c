/* The figures of figures.rs for OpenSSL: compiled and started by it, so that both stand in one run.
 *
 *   openssl handshakes SUITE COUNT [FOLDER]     the time inside the server's SSL, per handshake
 *   openssl memory SUITE COUNT [FOLDER]         what COUNT sessions of the server hold, by allocator and by RSS
 *   openssl version
 *
 * Both sides are in this process, and datagrams lie in two queues instead of sockets. Only the time inside the
 * server is counted, from SSL_new to the end of the handshake, the cookie round included. FOLDER has ca.der and
 * server|client.der and .key.der; without it the suite is a PSK one.
 */
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAMS 32
#define ROOM 2048

struct queue {
    int first, count, lengths[DATAGRAMS];
    unsigned char bytes[DATAGRAMS][ROOM];
};
struct wire {
    struct queue *in, *out;
};

static struct queue to_server, to_client;
static struct wire server_wire = {&to_server, &to_client}, client_wire = {&to_client, &to_server};
static size_t live;

static void *count_malloc(size_t size, const char *file, int line) {
    void *made = malloc(size);
    (void)file, (void)line;
    if (made) live += malloc_usable_size(made);
    return made;
}
static void count_free(void *old, const char *file, int line) {
    (void)file, (void)line;
    if (old) live -= malloc_usable_size(old);
    free(old);
}
static void *count_realloc(void *old, size_t size, const char *file, int line) {
    (void)file, (void)line;
    if (old) live -= malloc_usable_size(old);
    void *made = realloc(old, size);
    if (made) live += malloc_usable_size(made);
    return made;
}

static void give_up(const char *what) {
    fprintf(stderr, "%s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int wire_write(BIO *bio, const char *bytes, int length) {
    struct queue *out = ((struct wire *)BIO_get_data(bio))->out;
    if (out->count == DATAGRAMS || length > ROOM) return -1;
    int at = (out->first + out->count++) % DATAGRAMS;
    memcpy(out->bytes[at], bytes, length);
    return out->lengths[at] = length;
}
static int wire_read(BIO *bio, char *bytes, int room) {
    struct queue *in = ((struct wire *)BIO_get_data(bio))->in;
    BIO_clear_retry_flags(bio);
    if (in->count == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    int at = in->first, length = in->lengths[at] < room ? in->lengths[at] : room;
    memcpy(bytes, in->bytes[at], length);
    in->first = (in->first + 1) % DATAGRAMS, in->count--;
    return length;
}
static long wire_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_DGRAM_QUERY_MTU || command == BIO_CTRL_DGRAM_GET_FALLBACK_MTU) return 1200;
    return 0;
}
static BIO *wire_bio(BIO_METHOD *method, struct wire *wire) {
    BIO *bio = BIO_new(method);
    BIO_set_data(bio, wire), BIO_set_init(bio, 1);
    return bio;
}

static unsigned int client_psk(SSL *ssl, const char *hint, char *identity, unsigned int room, unsigned char *key, unsigned int size) {
    (void)ssl, (void)hint, (void)size;
    snprintf(identity, room, "urn:imei:123456789012345");
    memcpy(key, "0123456789abcdef", 16);
    return 16;
}
static unsigned int server_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned int size) {
    (void)ssl, (void)identity, (void)size;
    memcpy(key, "0123456789abcdef", 16);
    return 16;
}
static int make_cookie(SSL *ssl, unsigned char *cookie, unsigned int *length) {
    (void)ssl;
    memset(cookie, 7, *length = 16);
    return 1;
}
static int check_cookie(SSL *ssl, const unsigned char *cookie, unsigned int length) {
    (void)ssl;
    return length == 16 && cookie[0] == 7;
}

static SSL_CTX *context(int server, const char *suite, const char *folder) {
    SSL_CTX *made = SSL_CTX_new(server ? DTLS_server_method() : DTLS_client_method());
    char path[600];
    SSL_CTX_set_min_proto_version(made, DTLS1_2_VERSION);
    SSL_CTX_set_security_level(made, 0);
    if (SSL_CTX_set_cipher_list(made, suite) != 1) give_up(suite);
    SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(made, SSL_OP_NO_QUERY_MTU | (server ? SSL_OP_COOKIE_EXCHANGE : 0));
    SSL_CTX_set_cookie_generate_cb(made, make_cookie), SSL_CTX_set_cookie_verify_cb(made, check_cookie);
    if (!folder) {
        if (server) SSL_CTX_set_psk_server_callback(made, server_psk);
        else SSL_CTX_set_psk_client_callback(made, client_psk);
        return made;
    }
    const char *who = server ? "server" : "client";
    snprintf(path, sizeof path, "%s/%s.der", folder, who);
    if (SSL_CTX_use_certificate_file(made, path, SSL_FILETYPE_ASN1) != 1) give_up(path);
    snprintf(path, sizeof path, "%s/%s.key.der", folder, who);
    if (SSL_CTX_use_PrivateKey_file(made, path, SSL_FILETYPE_ASN1) != 1) give_up(path);
    snprintf(path, sizeof path, "%s/ca.der", folder);
    FILE *file = fopen(path, "rb");
    X509 *authority = file ? d2i_X509_fp(file, NULL) : NULL;
    if (!authority || X509_STORE_add_cert(SSL_CTX_get_cert_store(made), authority) != 1) give_up(path);
    X509_free(authority), fclose(file);
    SSL_CTX_set1_groups_list(made, "P-256");
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return made;
}

static double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}
/* Seconds on a processor, as in figures.rs. */
static double processor(void) {
    unsigned long long nanoseconds = 0;
    FILE *file = fopen("/proc/self/schedstat", "r");
    if (file && fscanf(file, "%llu", &nanoseconds) != 1) nanoseconds = 0;
    if (file) fclose(file);
    return nanoseconds * 1e-9;
}
static long resident(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static double inside;

/* A whole handshake and one record each way; the server's side of it. */
static SSL *connected(SSL_CTX *servers, SSL_CTX *clients, BIO_METHOD *method) {
    unsigned char word[16];
    SSL *client = SSL_new(clients);
    BIO *bio = wire_bio(method, &client_wire);
    SSL_set_bio(client, bio, bio);
    SSL_set_connect_state(client), SSL_set_mtu(client, 1200);
    double begun = monotonic();
    SSL *server = SSL_new(servers);
    bio = wire_bio(method, &server_wire);
    SSL_set_bio(server, bio, bio);
    SSL_set_accept_state(server), SSL_set_mtu(server, 1200);
    inside += monotonic() - begun;
    for (int round = 0; round < 20 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server)); round++) {
        SSL_do_handshake(client);
        begun = monotonic();
        SSL_do_handshake(server);
        inside += monotonic() - begun;
    }
    SSL_do_handshake(client);
    if (!SSL_is_init_finished(client) || !SSL_is_init_finished(server)) give_up("the handshake hangs");
    SSL_write(client, "x", 1);
    if (SSL_read(server, word, sizeof word) != 1) give_up("no word came");
    SSL_free(client);
    ERR_clear_error();
    to_client.count = to_server.count = 0;
    return server;
}

int main(int count, char **words) {
    if (count == 2) return puts(OpenSSL_version(OPENSSL_VERSION)) < 0;
    if (count < 4) return 2;
    CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free);
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "queue");
    BIO_meth_set_write(method, wire_write), BIO_meth_set_read(method, wire_read), BIO_meth_set_ctrl(method, wire_ctrl);
    const char *folder = count > 4 ? words[4] : NULL;
    SSL_CTX *servers = context(1, words[2], folder), *clients = context(0, words[2], folder);
    int wanted = atoi(words[3]);
    for (int warm = 0; warm < 20; warm++) SSL_free(connected(servers, clients, method));
    if (strcmp(words[1], "memory") == 0) {
        SSL **sessions = calloc(wanted, sizeof *sessions);
        malloc_trim(0);
        long resident_before = resident();
        size_t live_before = live;
        for (int at = 0; at < wanted; at++) sessions[at] = connected(servers, clients, method);
        printf("%zu %ld\n", (live - live_before) / wanted, (resident() - resident_before) / wanted);
        return 0;
    }
    inside = 0;
    double begun = monotonic(), processor_begun = processor();
    for (int at = 0; at < wanted; at++) SSL_free(connected(servers, clients, method));
    double share = (processor() - processor_begun) / (monotonic() - begun);
    printf("%.0f\n", inside * (share < 1 ? share : 1) / wanted * 1e9);
    return 0;
}
