/* A disk with a fault. Loaded into a service with LD_PRELOAD.
 *
 * FAULT_FILE names a file whose content is the fault of this moment; FAULT_BELOW a folder: only files below it meet the
 * fault. An empty or missing file means none.
 *
 *   full         nothing more can be written (ENOSPC); reading and removing still work
 *   read-only    nothing can be written, made or removed (EROFS)
 *   write-error  writes fail (EIO)
 *   fsync-error  writes succeed, and fsync says that they were lost (EIO)
 *   read-error   reads fail (EIO) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum act { WRITE, CHANGE, SYNC, READ };

static int is_fault(const char *said, const char *name)
{
    return strcmp(said, name) == 0;
}

/* The error that the fault of this moment means for an act on a path, or 0. */
static int error_for(enum act act, const char *path)
{
    const char *file = getenv("FAULT_FILE"), *below = getenv("FAULT_BELOW");
    char said[32];
    ssize_t length;
    int fd, before = errno;
    if (!file || !below || strncmp(path, below, strlen(below)) != 0)
        return 0;
    fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        errno = before;
        return 0;
    }
    length = syscall(SYS_read, fd, said, sizeof said - 1);
    syscall(SYS_close, fd);
    errno = before;
    said[length < 0 ? 0 : length] = 0;
    if (act == WRITE && is_fault(said, "full"))
        return ENOSPC;
    if ((act == WRITE || act == CHANGE) && is_fault(said, "read-only"))
        return EROFS;
    if ((act == WRITE && is_fault(said, "write-error")) || (act == SYNC && is_fault(said, "fsync-error"))
        || (act == READ && is_fault(said, "read-error")))
        return EIO;
    return 0;
}

static int error_for_fd(enum act act, int fd)
{
    char link[64], path[PATH_MAX];
    ssize_t length;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    return error_for(act, path);
}

#define FAULTY(type, name, parameters, arguments, find)                \
    type name parameters                                               \
    {                                                                  \
        static type (*real) parameters;                                \
        int error = find;                                              \
        if (!real)                                                     \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                 \
        if (error) {                                                   \
            errno = error;                                             \
            return -1;                                                 \
        }                                                              \
        return real arguments;                                         \
    }
#define FD(act) error_for_fd(act, fd)

FAULTY(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), FD(WRITE))
FAULTY(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), FD(WRITE))
FAULTY(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), FD(WRITE))
FAULTY(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count), FD(WRITE))
FAULTY(int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), FD(WRITE))
FAULTY(int, ftruncate, (int fd, off_t size), (fd, size), FD(CHANGE))
FAULTY(int, ftruncate64, (int fd, off64_t size), (fd, size), FD(CHANGE))
FAULTY(int, fsync, (int fd), (fd), FD(SYNC))
FAULTY(int, fdatasync, (int fd), (fd), FD(SYNC))
FAULTY(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), FD(READ))
FAULTY(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at), FD(READ))
FAULTY(ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), FD(READ))
FAULTY(int, unlink, (const char *path), (path), error_for(CHANGE, path))
FAULTY(int, rename, (const char *from, const char *to), (from, to), error_for(CHANGE, to))

/* Opening is a change only when the file is to be written or made. */
#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...)                         \
    {                                                                  \
        static int (*real)(const char *, int, ...);                    \
        int mode = 0, error = 0;                                       \
        va_list rest;                                                  \
        va_start(rest, flags);                                         \
        if (flags & (O_CREAT | __O_TMPFILE))                           \
            mode = va_arg(rest, int);                                  \
        va_end(rest);                                                  \
        if (!real)                                                     \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                 \
        if (flags & (O_CREAT | O_WRONLY | O_RDWR))                     \
            error = error_for(CHANGE, path);                           \
        if (error) {                                                   \
            errno = error;                                             \
            return -1;                                                 \
        }                                                              \
        return real(path, flags, mode);                                \
    }

OPEN(open)
OPEN(open64)
