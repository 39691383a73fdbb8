/* TLS for null_s3.py, where a C compiler is at hand: whole buffers at a time instead of one record.
 *
 * Python's own ssl module answers record by record and takes the interpreter's lock for each, which makes the
 * server slower than the clients that it is to measure. It must not know what the bytes mean.
 */
#include <openssl/pem.h>
#include <openssl/ssl.h>

enum { AHEAD_BYTES = 256 * 1024 };

/* Returns a server's context for a certificate and its key, both PEM; NULL where they cannot be used. */
SSL_CTX *null_tls_context(const char *certificate_pem, const char *key_pem) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    BIO *certificate_bio = BIO_new_mem_buf(certificate_pem, -1), *key_bio = BIO_new_mem_buf(key_pem, -1);
    X509 *certificate = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    int good = context && certificate && key && SSL_CTX_use_certificate(context, certificate) == 1 &&
               SSL_CTX_use_PrivateKey(context, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(certificate_bio);
    BIO_free(key_bio);
    if (!good) return NULL;
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, AHEAD_BYTES);
    return context;
}

/* Shakes hands on a connected, blocking socket; NULL where the client would not. */
SSL *null_tls_accept(SSL_CTX *context, int descriptor) {
    SSL *tls = SSL_new(context);
    if (tls && SSL_set_fd(tls, descriptor) == 1 && SSL_accept(tls) == 1) return tls;
    SSL_free(tls);
    return NULL;
}

/* Reads until there are `at_least` bytes, and no more than `room`; returns fewer only at the end. */
long null_tls_read(SSL *tls, char *buffer, size_t room, size_t at_least) {
    size_t have = 0, count;
    while (have < at_least && SSL_read_ex(tls, buffer + have, room - have, &count)) have += count;
    return (long)have;
}

/* Writes everything; returns 0 where the client is gone. */
int null_tls_write(SSL *tls, const char *data, size_t size) {
    size_t count;
    return size == 0 || SSL_write_ex(tls, data, size, &count);
}

/* Says goodbye and frees. */
void null_tls_close(SSL *tls) {
    SSL_shutdown(tls);
    SSL_free(tls);
}
