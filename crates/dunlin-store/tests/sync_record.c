/* A preload library that records what a power cut would leave: which files were created, which were
 * synced and how long they were then, which folders were synced. One line for each, written after
 * the call has succeeded, so that a kill in between errs on the side of the power cut.
 *
 *   created INODE FOLDER     synced INODE LENGTH     folder INODE     moved INODE FOLDER
 *
 * Files that were there before, and are not synced in this run, are not recorded and stay. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void record(const char *kind, unsigned long long a, unsigned long long b)
{
    static int out = -2;
    char line[100];
    if (out == -2) {
        const char *path = getenv("SYNC_RECORD");
        out = path ? (int)syscall(SYS_openat, AT_FDCWD, path,
                                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    }
    if (out >= 0) {
        int length = snprintf(line, sizeof line, "%s %llu %llu\n", kind, a, b);
        if (write(out, line, length) != length)
            abort();
    }
}

static unsigned long long folder_of(const char *path)
{
    char copy[PATH_MAX];
    struct stat s;
    snprintf(copy, sizeof copy, "%s", path);
    return stat(dirname(copy), &s) == 0 ? s.st_ino : 0;
}

static void synced(int fd)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return;
    if (S_ISDIR(s.st_mode))
        record("folder", s.st_ino, 0);
    else if (S_ISREG(s.st_mode))
        record("synced", s.st_ino, s.st_size);
}

int fsync(int fd)
{
    int done = (int)syscall(SYS_fsync, fd);
    if (done == 0)
        synced(fd);
    return done;
}

int fdatasync(int fd)
{
    int done = (int)syscall(SYS_fdatasync, fd);
    if (done == 0)
        synced(fd);
    return done;
}

static int open_recorded(const char *path, int flags, mode_t mode)
{
    struct stat s;
    int is_new = (flags & O_CREAT) && stat(path, &s) != 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    /* Truncating makes what was synced worthless, as creating does; the name stays. */
    if (fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) {
        if (is_new)
            record("created", s.st_ino, folder_of(path));
        else if (flags & O_TRUNC)
            record("synced", s.st_ino, 0);
    }
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return open_recorded(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return open_recorded(path, flags, mode);
}

int rename(const char *from, const char *to)
{
    struct stat s;
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (done == 0 && stat(to, &s) == 0)
        record("moved", s.st_ino, folder_of(to));
    return done;
}
