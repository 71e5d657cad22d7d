/*
 * The other end of mod_limit.c's round trip: an echo server on a unix socket, `limit_echo PATH`. Its 8 threads wait in
 * one epoll set, each connection one-shot, as the worker threads of a daemon process do. bench.py compiles it, starts
 * it and counts its CPU time with Apache's.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { THREADS = 8 };

static int listener, set;

static void watch(int operation, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
    if (epoll_ctl(set, operation, fd, &event) < 0)
        err(1, "epoll_ctl");
}

static void serve(int fd)
{
    char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0 || write(fd, buffer, (size_t)n) != n)
        close(fd);
    else
        watch(EPOLL_CTL_MOD, fd);
}

static void *work(void *unused)
{
    struct epoll_event event;
    for (;;) {
        if (epoll_wait(set, &event, 1, -1) != 1)
            continue;
        if (event.data.fd != listener) {
            serve(event.data.fd);
            continue;
        }
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            watch(EPOLL_CTL_ADD, fd);
        watch(EPOLL_CTL_MOD, listener);
    }
    return unused;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;
    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path)
        errx(2, "usage: limit_echo PATH");
    strcpy(address.sun_path, argv[1]);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 128) < 0)
        err(1, "%s", argv[1]);
    chmod(argv[1], 0666);
    watch(EPOLL_CTL_ADD, listener);
    for (int i = 1; i < THREADS; i++)
        pthread_create(&thread, NULL, work, NULL);
    work(NULL);
}
