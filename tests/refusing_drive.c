/* Preloaded into a process, this makes a folder behave like a drive that refuses.
 *
 * REFUSING_FOLDER is the folder; each other variable is the errno that a call below it fails with:
 * REFUSE_FOLDER_SYNC, REFUSE_CHMOD, REFUSE_SHARED_MEMORY. REFUSE_RENAMES is how many renames fail
 * with EACCES before one succeeds, LONGEST_NAME the most bytes that a file's name may have.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int number(const char *variable) {
    const char *value = getenv(variable);
    return value ? atoi(value) : 0;
}

static int is_below(const char *path) {
    const char *folder = getenv("REFUSING_FOLDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_open_below(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int fails(int error) {
    if (error) errno = error;
    return error != 0;
}

static int is_too_long(const char *path) {
    const char *slash = strrchr(path, '/');
    int longest = number("LONGEST_NAME");
    return longest && is_below(path) && slash && strlen(slash + 1) > (size_t)longest;
}

int fsync(int file) {
    struct stat status;
    int is_folder = fstat(file, &status) == 0 && S_ISDIR(status.st_mode);
    if (is_folder && is_open_below(file) && fails(number("REFUSE_FOLDER_SYNC"))) return -1;
    return REAL(fsync)(file);
}

int chmod(const char *path, mode_t mode) {
    if (is_below(path) && fails(number("REFUSE_CHMOD"))) return -1;
    return REAL(chmod)(path, mode);
}

int fchmod(int file, mode_t mode) {
    if (is_open_below(file) && fails(number("REFUSE_CHMOD"))) return -1;
    return REAL(fchmod)(file, mode);
}

int rename(const char *from, const char *to) {
    static int refused;
    if (is_below(to) && refused < number("REFUSE_RENAMES")) {
        refused++;
        errno = EACCES;
        return -1;
    }
    if (is_too_long(to) && fails(ENAMETOOLONG)) return -1;
    int result = REAL(rename)(from, to);
    if (result == 0 && is_below(to)) refused = 0;
    return result;
}

void *mmap(void *at, size_t size, int access, int flags, int file, off_t from) {
    int is_shared = file >= 0 && (flags & MAP_SHARED);
    if (is_shared && is_open_below(file) && fails(number("REFUSE_SHARED_MEMORY"))) return MAP_FAILED;
    return REAL(mmap)(at, size, access, flags, file, from);
}

void *mmap64(void *at, size_t size, int access, int flags, int file, off_t from) {
    return mmap(at, size, access, flags, file, from);
}

static int open_with(const char *symbol, const char *path, int flags, mode_t mode) {
    if (is_too_long(path) && fails(ENAMETOOLONG)) return -1;
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_with("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_with("open64", path, flags, mode);
}
