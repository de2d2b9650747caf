/* A wall clock that is wrong. Loaded into a service with LD_PRELOAD.
 *
 * CLOCK_OFFSET_FILE names a file with a number of seconds, which is added to the wall clock. The monotonic clocks, and
 * whatever asks the kernel directly, stay true. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void)
{
    const char *file = getenv("CLOCK_OFFSET_FILE");
    char said[32];
    ssize_t length;
    int fd, before = errno;
    if (!file)
        return 0;
    fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? 0 : syscall(SYS_read, fd, said, sizeof said - 1);
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = before;
    said[length < 0 ? 0 : length] = 0;
    return atol(said);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    int result;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static int (*real)(struct timeval *, void *);
    int result;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "gettimeofday");
    result = real(now, zone);
    if (result == 0)
        now->tv_sec += offset();
    return result;
}

time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
