/* A disk that is full while a file exists. Loaded into a service with LD_PRELOAD.
 *
 * While the file named by FULL_DISK_WHILE exists, nothing can be written to files below the folder named by
 * FULL_DISK_BELOW: every write fails with ENOSPC, as on a full file system. Reading and removing still work. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd)
{
    const char *flag = getenv("FULL_DISK_WHILE"), *below = getenv("FULL_DISK_BELOW");
    char link[64], path[PATH_MAX];
    ssize_t length;
    if (!flag || !below || access(flag, F_OK) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strncmp(path, below, strlen(below)) == 0;
}

#define FAULTY(type, name, parameters, arguments)                      \
    type name parameters                                               \
    {                                                                  \
        static type (*real) parameters;                                \
        if (!real)                                                     \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                 \
        if (is_full(fd)) {                                             \
            errno = ENOSPC;                                            \
            return -1;                                                 \
        }                                                              \
        return real arguments;                                         \
    }

FAULTY(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
FAULTY(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
FAULTY(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
FAULTY(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAULTY(int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
