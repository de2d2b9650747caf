/* Remembers what a disk could still forget. Loaded into a service with LD_PRELOAD.
 *
 * POWER_LOSS_BELOW names folders, separated by colons; POWER_LOSS_MEMORY names an empty folder on the same file system.
 * Before anything below the former changes, what was there is appended to "journal" in the latter; what fsync,
 * fdatasync or the fsync of a directory makes durable is noted there too. Every file that is touched gets a second
 * name in the memory, its inode number, so that removed and replaced files can come back. tests/src/power.rs reads the
 * journal and undoes what was not durable: all of it, or any part.
 *
 * Nothing is really synced: to the service, this journal is the disk, and a slow one. What SQLite keeps in shared memory (-shm) is not
 * durable by design and not recorded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* A record: this head, then the text, then the bytes that were there.
 * 'w' `count` bytes of `file` from `at` on, `length` of them existing, are about to be written; its size was `size`
 * 't' the same, by cutting the file at `at`
 * 's' `file` is durable, as it was when the journal had `at` bytes
 * 'n' the name (text) is about to change; it stood for `file`, or for nothing (0)
 * 'r' text is two names: the first, for `file`, is about to replace the second, which stood for `at` or nothing
 * 'd' the names in the directory (text) are durable, as they were when the journal had `at` bytes */
struct head {
    uint32_t kind, text;
    uint64_t file, at, count, length, size;
};

/* Changes and their records are in one order. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static void broken(const char *what)
{
    dprintf(2, "power_loss: %s: %s\n", what, strerror(errno));
    abort();
}

static int is_watched(const char *path)
{
    const char *below = getenv("POWER_LOSS_BELOW");
    size_t length, end = strlen(path);
    if (end >= 4 && strcmp(path + end - 4, "-shm") == 0)
        return 0;
    for (; below && *below; below += length + (below[length] == ':')) {
        length = strcspn(below, ":");
        if (strncmp(path, below, length) == 0 && (path[length] == '/' || path[length] == 0))
            return 1;
    }
    return 0;
}

static void memory_path(char *out, const char *name)
{
    snprintf(out, PATH_MAX, "%s/%s", getenv("POWER_LOSS_MEMORY"), name);
}

static int journal(void)
{
    static int journal = -1;
    char path[PATH_MAX];
    if (journal < 0) {
        memory_path(path, "journal");
        journal = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    }
    return journal;
}

static void record(struct head head, const char *text, const void *bytes)
{
    struct iovec parts[] = {{&head, sizeof head}, {(void *)text, head.text}, {(void *)bytes, head.length}};
    if (REAL(writev)(journal(), parts, 3) != (ssize_t)(sizeof head + head.text + head.length))
        broken("journal");
}

/* The path of an open file. 0 when it is none of ours. */
static int path_of(int fd, char *path)
{
    char link[64];
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_watched(path);
}

/* The path of a name, with all links but the last resolved. 0 when it is none of ours. */
static int resolve(int folder, const char *name, char *path)
{
    char whole[PATH_MAX * 2], at[PATH_MAX] = ".", resolved[PATH_MAX], *last;
    char link[64];
    if (*name != '/' && folder != AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, at, sizeof at - 1);
        if (length < 0)
            return 0;
        at[length] = 0;
    }
    snprintf(whole, sizeof whole, *name == '/' ? "%s%s" : "%s/%s", *name == '/' ? "" : at, name);
    last = strrchr(whole, '/');
    *last = 0;
    if (!realpath(*whole ? whole : "/", resolved))
        return 0;
    return snprintf(path, PATH_MAX, "%s/%s", resolved, last + 1) < PATH_MAX && is_watched(path);
}

/* Gives a file its second name, and says its number. 0 when there is no such file. */
static uint64_t keep(const char *path)
{
    struct stat meta;
    char name[32], kept[PATH_MAX];
    if (lstat(path, &meta) != 0)
        return 0;
    if (S_ISREG(meta.st_mode) || S_ISSOCK(meta.st_mode)) {
        snprintf(name, sizeof name, "%llu", (unsigned long long)meta.st_ino);
        memory_path(kept, name);
        if (REAL(linkat)(AT_FDCWD, path, AT_FDCWD, kept, 0) != 0 && errno != EEXIST)
            broken(path);
    }
    return meta.st_ino;
}

/* `size` bytes from `at` on are about to change, or everything behind `at` is about to be cut off. */
static void before_content(int fd, uint32_t kind, off64_t at, size_t size)
{
    struct stat meta;
    char path[PATH_MAX], name[32];
    struct head head = {.kind = kind};
    void *bytes = NULL;
    int kept;
    if (!path_of(fd, path) || fstat(fd, &meta) != 0 || !S_ISREG(meta.st_mode))
        return;
    if (at < 0)
        at = fcntl(fd, F_GETFL) & O_APPEND ? meta.st_size : lseek64(fd, 0, SEEK_CUR);
    head.file = meta.st_ino;
    head.at = (uint64_t)at;
    head.count = size;
    head.size = (uint64_t)meta.st_size;
    if (kind == 't')
        head.length = head.size > head.at ? head.size - head.at : 0;
    else if (head.size > head.at)
        head.length = head.size - head.at < size ? head.size - head.at : size;
    if (head.length) {
        /* The descriptor may be open for writing only. */
        snprintf(name, sizeof name, "%llu", (unsigned long long)meta.st_ino);
        memory_path(path, name);
        kept = REAL(open)(path, O_RDONLY | O_CLOEXEC);
        bytes = malloc(head.length);
        if (!bytes || pread64(kept, bytes, head.length, at) != (ssize_t)head.length)
            broken("what was there");
        close(kept);
    }
    record(head, "", bytes);
    free(bytes);
}

static void before_name(int folder, const char *name)
{
    char path[PATH_MAX];
    if (resolve(folder, name, path))
        record((struct head){.kind = 'n', .text = (uint32_t)strlen(path), .file = keep(path)}, path, NULL);
}

static void before_rename(int from_folder, const char *from, int to_folder, const char *to)
{
    char old[PATH_MAX], new[PATH_MAX], both[PATH_MAX * 2 + 1];
    if (!resolve(from_folder, from, old) || !resolve(to_folder, to, new))
        return;
    snprintf(both, sizeof both, "%s\n%s", old, new);
    record((struct head){.kind = 'r', .text = (uint32_t)strlen(both), .file = keep(old), .at = keep(new)}, both, NULL);
}

/* How long the disk takes: long enough that kills fall into it. */
#define SYNC_MICROSECONDS 4000

/* 1 when the file is one of ours, and durable now. Of directories also those count in which a watched folder lies. */
static int synced(int fd)
{
    struct stat meta;
    char path[PATH_MAX] = "";
    struct head head = {.kind = 's'};
    if (fstat(fd, &meta) != 0 || (!path_of(fd, path) && !S_ISDIR(meta.st_mode)))
        return 0;
    pthread_mutex_lock(&order);
    head.at = (uint64_t)lseek64(journal(), 0, SEEK_END);
    pthread_mutex_unlock(&order);
    usleep(SYNC_MICROSECONDS);
    if (S_ISDIR(meta.st_mode)) {
        head.kind = 'd';
        head.text = (uint32_t)strlen(path);
    } else {
        head.file = meta.st_ino;
    }
    pthread_mutex_lock(&order);
    record(head, path, NULL);
    pthread_mutex_unlock(&order);
    return 1;
}

static int opened(int folder, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    int watched = (flags & O_ACCMODE) != O_RDONLY && resolve(folder, name, path), there, fd;
    if (!watched)
        return REAL(openat)(folder, name, flags, mode);
    pthread_mutex_lock(&order);
    there = access(path, F_OK) == 0;
    if (!there && flags & O_CREAT)
        before_name(folder, name);
    /* Emptied below, once what it held has been recorded. */
    fd = REAL(openat)(folder, name, flags & ~O_TRUNC, mode);
    if (fd >= 0) {
        keep(path);
        if (there && flags & O_TRUNC) {
            before_content(fd, 't', 0, 0);
            if (REAL(ftruncate)(fd, 0) != 0)
                broken(path);
        }
    }
    pthread_mutex_unlock(&order);
    return fd;
}

#define OPEN(name, parameters, folder)                   \
    int name parameters                                  \
    {                                                    \
        mode_t mode = 0;                                 \
        if (flags & (O_CREAT | O_TMPFILE)) {             \
            va_list rest;                                \
            va_start(rest, flags);                       \
            mode = va_arg(rest, mode_t);                 \
            va_end(rest);                                \
        }                                                \
        return opened(folder, path, flags, mode);        \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int folder, const char *path, int flags, ...), folder)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder)

/* Notes what is about to change, and changes it. */
#define CHANGE(type, name, parameters, arguments, before) \
    type name parameters                                  \
    {                                                     \
        type result;                                      \
        int error;                                        \
        pthread_mutex_lock(&order);                       \
        before;                                           \
        result = REAL(name) arguments;                    \
        error = errno;                                    \
        pthread_mutex_unlock(&order);                     \
        errno = error;                                    \
        return result;                                    \
    }

static size_t total(const struct iovec *parts, int count)
{
    size_t size = 0;
    for (int part = 0; part < count; part++)
        size += parts[part].iov_len;
    return size;
}

CHANGE(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), before_content(fd, 'w', -1, size))
CHANGE(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at),
       before_content(fd, 'w', at, size))
CHANGE(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at),
       before_content(fd, 'w', at, size))
CHANGE(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count),
       before_content(fd, 'w', -1, total(parts, count)))
CHANGE(int, ftruncate, (int fd, off_t size), (fd, size), before_content(fd, 't', size, 0))
CHANGE(int, ftruncate64, (int fd, off64_t size), (fd, size), before_content(fd, 't', size, 0))
CHANGE(int, unlink, (const char *path), (path), before_name(AT_FDCWD, path))
CHANGE(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), before_name(folder, path))
CHANGE(int, mkdir, (const char *path, mode_t mode), (path, mode), before_name(AT_FDCWD, path))
CHANGE(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), before_name(folder, path))
CHANGE(int, link, (const char *from, const char *to), (from, to), before_name(AT_FDCWD, to))
CHANGE(int, linkat, (int from_folder, const char *from, int folder, const char *to, int flags),
       (from_folder, from, folder, to, flags), before_name(folder, to))
CHANGE(int, rename, (const char *from, const char *to), (from, to), before_rename(AT_FDCWD, from, AT_FDCWD, to))
CHANGE(int, renameat, (int from_folder, const char *from, int folder, const char *to), (from_folder, from, folder, to),
       before_rename(from_folder, from, folder, to))

#define SYNC(name)                              \
    int name(int fd)                            \
    {                                           \
        return synced(fd) ? 0 : REAL(name)(fd); \
    }
SYNC(fsync)
SYNC(fdatasync)
