/*
 * What Apache itself can do, so that the benchmark's figures have something to be held against: two handlers that run
 * no Python. `limit-answer` answers 12 bytes; `limit-round-trip` first sends 700 bytes over a persistent unix socket
 * to limit_echo.c and waits for them to come back, as a request to a daemon process must. bench.py compiles and loads
 * it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "http_protocol.h"
#include "apr_strings.h"

#define MESSAGE 700

static const char *socket_path;
/* Every thread of the child keeps its own connection. */
static __thread int connection = -1;

static int connected(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (connection >= 0)
        return 1;
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    apr_cpystrn(address.sun_path, socket_path, sizeof address.sun_path);
    return connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0;
}

static int round_trip(void)
{
    char message[MESSAGE];
    size_t got = 0;
    memset(message, 'x', sizeof message);
    if (!connected() || write(connection, message, sizeof message) != sizeof message)
        return 0;
    while (got < sizeof message) {
        ssize_t n = read(connection, message + got, sizeof message - got);
        if (n <= 0)
            return 0;
        got += (size_t)n;
    }
    return 1;
}

static int handler(request_rec *r)
{
    if (!r->handler)
        return DECLINED;
    if (strcmp(r->handler, "limit-round-trip") == 0) {
        if (!round_trip()) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, errno, r, "no round trip to %s", socket_path);
            return HTTP_SERVICE_UNAVAILABLE;
        }
    }
    else if (strcmp(r->handler, "limit-answer") != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, 12);
    ap_rwrite("Hello World!", 12, r);
    return OK;
}

static const char *set_socket(cmd_parms *cmd, void *config, const char *path)
{
    socket_path = path;
    return NULL;
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("LimitSocket", set_socket, NULL, RSRC_CONF, "the socket of limit_echo"),
    {NULL}
};

static void hooks(apr_pool_t *pool)
{
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(limit) = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, hooks};
