/* The floor: the least that a copy over TLS costs, in C on OpenSSL.
 *
 *     floor [--read-ahead] SOURCE_PORT SOURCE_TARGET SINK_PORT SINK_TARGET SIZE_BYTES
 *
 * One GET's body feeds one PUT's, record by record, both verified connections to localhost. It computes no
 * checksum, signs nothing, tries nothing again, and must not: what it leaves out is what it is there to show.
 * With --read-ahead OpenSSL fetches several records at once, which few clients let it do.
 * Trust comes from SSL_CERT_FILE.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD_BYTES = 16 * 1024, HEAD_BYTES = 8 * 1024, AHEAD_BYTES = 256 * 1024 };

static void give_up(const char *doing) {
    fprintf(stderr, "floor: %s failed\n", doing);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static SSL *connect_to(SSL_CTX *context, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0) give_up("connect");
    SSL *tls = SSL_new(context);
    if (!tls || !SSL_set1_host(tls, "localhost") || !SSL_set_tlsext_host_name(tls, "localhost")) give_up("TLS");
    SSL_set_fd(tls, connection);
    if (SSL_connect(tls) != 1) give_up("TLS handshake");
    return tls;
}

static void write_all(SSL *tls, const char *data, size_t size) {
    size_t written;
    if (size && !SSL_write_ex(tls, data, size, &written)) give_up("write");
}

/* Reads an answer's head and returns how many bytes of the body came along, moved to the buffer's front. */
static size_t read_head(SSL *tls, char *buffer, const char *expected_status) {
    size_t have = 0, count;
    char *end = NULL;
    while (!end) {
        if (have == HEAD_BYTES || !SSL_read_ex(tls, buffer + have, HEAD_BYTES - have, &count)) give_up("read of a head");
        have += count;
        buffer[have] = 0;
        end = strstr(buffer, "\r\n\r\n");
    }
    if (strncmp(buffer + 9, expected_status, 3) != 0) give_up("request");
    size_t body = have - (size_t)(end + 4 - buffer);
    memmove(buffer, end + 4, body);
    return body;
}

int main(int count, char **arguments) {
    int ahead = count > 1 && strcmp(arguments[1], "--read-ahead") == 0;
    char **given = arguments + 1 + ahead;
    if (count - ahead != 6) return fprintf(stderr, "floor: five arguments are needed\n"), 2;
    long long left = atoll(given[4]);
    static char buffer[RECORD_BYTES + 1], head[HEAD_BYTES + 1], answer[HEAD_BYTES + 1];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_default_verify_paths(context)) give_up("TLS context");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (ahead) {
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_default_read_buffer_len(context, AHEAD_BYTES);
    }
    SSL *source = connect_to(context, atoi(given[0])), *sink = connect_to(context, atoi(given[2]));
    int length = snprintf(head, HEAD_BYTES, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", given[1]);
    write_all(source, head, (size_t)length);
    size_t piece = read_head(source, head, "200");
    length = snprintf(answer, HEAD_BYTES,
                      "PUT %s HTTP/1.1\r\nHost: localhost\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"
                      "Content-Length: %lld\r\n\r\n", given[3], left);
    write_all(sink, answer, (size_t)length);
    write_all(sink, head, piece);
    for (left -= (long long)piece; left > 0; left -= (long long)piece) {
        if (!SSL_read_ex(source, buffer, RECORD_BYTES, &piece)) give_up("read");
        write_all(sink, buffer, piece);
    }
    read_head(sink, answer, "200");
    return 0;
}
