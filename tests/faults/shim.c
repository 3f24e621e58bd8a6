/* Stands between a process and the files of one folder: LD_PRELOAD=shim.so SHIM_FOLDER=/folder

   It records what the process does to them (SHIM_LOG=file), and makes calls fail (shim_arm, by ctypes);
   both what SQLite calls and what Python does.
   SHIM_NO_SYNC=1 makes every sync a lie: it returns 0 and does nothing.

   A record is five little-endian 64-bit numbers (operation, descriptor, offset or flags, length of the
   data or new size, bytes that follow) and the bytes that follow: data, or a path. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, CLOSE, WRITE, TRUNCATE, SYNC, UNLINK, RENAME, READ, LINK,
       /* Not recorded. An open or a sync also counts as one of these. */
       OPEN_FOLDER, OPEN_NEW, OPEN_EXISTING, OPEN_PATH, SYNC_FOLDER, SYNC_FILE,
       LOCK, UNLOCK, FLOCK, MAP, STAT, LSTAT, FSTAT, ACCESS, STATVFS, READLINK, MKDIR, RMDIR,
       CHMOD, CHOWN, LIST, NEXT_NAME, EVENTFD, OPERATIONS };
enum { DESCRIPTORS = 65536, HANG = -1, ZEROS = -2, A_FILE = 1, A_FOLDER };

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_length;
static int log_descriptor = -1, syncs_are_lies;
static char is_ours[DESCRIPTORS];

/* What is armed: the nth call of an operation fails with an error, and with `sticky` all after it. */
static int armed_operation, armed_error, armed_sticky;
static long armed_nth, counts[OPERATIONS];

#define REAL(result, name, ...)                            \
    static result (*real_##name)(__VA_ARGS__);             \
    if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)

static ssize_t write_out(int descriptor, const void *data, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    return real_write(descriptor, data, length);
}

__attribute__((constructor)) static void start(void) {
    const char *log = getenv("SHIM_LOG");
    folder = getenv("SHIM_FOLDER");
    folder_length = folder ? strlen(folder) : 0;
    syncs_are_lies = getenv("SHIM_NO_SYNC") != NULL;
    if (log) {
        REAL(int, open64, const char *, int, ...);
        log_descriptor = real_open64(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_descriptor < 0) abort();
    }
}

static int in_folder(const char *path) {
    return folder && strncmp(path, folder, folder_length) == 0 &&
           (path[folder_length] == '/' || path[folder_length] == 0);
}

static int ours(int descriptor) {
    return descriptor >= 0 && descriptor < DESCRIPTORS && is_ours[descriptor];
}

static void record(int operation, int descriptor, int64_t offset, int64_t length,
                   const void *data, size_t following) {
    if (log_descriptor < 0) return;
    int64_t head[5] = {operation, descriptor, offset, length, (int64_t)following};
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, following}};
    if (writev(log_descriptor, parts, 2) != (ssize_t)(sizeof head + following)) abort();
}

void shim_arm(int operation, long nth, int error, int sticky) {
    pthread_mutex_lock(&order);
    memset(counts, 0, sizeof counts);
    armed_operation = operation, armed_nth = nth, armed_error = error, armed_sticky = sticky;
    pthread_mutex_unlock(&order);
}

long shim_count(int operation) { return counts[operation]; }

/* Holding the lock: whether this call has to fail; errno is set. A hang lasts for ever. */
static int fails(int operation) {
    long n = ++counts[operation];
    if (operation != armed_operation || !(n == armed_nth || (armed_sticky && n > armed_nth)))
        return 0;
    if (armed_error == HANG) {
        pthread_mutex_unlock(&order);
        for (;;) pause();
    }
    errno = armed_error;
    return 1;
}

/* With the lock. */
static int fails_now(int operation) {
    pthread_mutex_lock(&order);
    int failed = fails(operation);
    pthread_mutex_unlock(&order);
    return failed;
}

static int is_folder(int directory, const char *path) {
    struct stat status;
    REAL(int, fstatat, int, const char *, struct stat *, int);
    return real_fstatat(directory, path, &status, path[0] ? 0 : AT_EMPTY_PATH) == 0 &&
           S_ISDIR(status.st_mode);
}

static int kind_of_open(const char *path, int flags) {
    if (flags & O_PATH) return OPEN_PATH;
    if (flags & O_CREAT) return OPEN_NEW;
    return is_folder(AT_FDCWD, path) ? OPEN_FOLDER : OPEN_EXISTING;
}

static int opened(int descriptor, const char *path, int flags) {
    if (descriptor >= 0 && descriptor < DESCRIPTORS) {
        is_ours[descriptor] = is_folder(descriptor, "") ? A_FOLDER : A_FILE;
        record(OPEN, descriptor, flags, 0, path, strlen(path));
    }
    return descriptor;
}

#define OPENING(name)                                                     \
    int name(const char *path, int flags, ...) {                          \
        REAL(int, name, const char *, int, ...);                          \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                     \
        if (!in_folder(path)) return real_##name(path, flags, mode);      \
        pthread_mutex_lock(&order);                                       \
        int result = fails(OPEN) || fails(kind_of_open(path, flags)) ? -1             \
                     : opened(real_##name(path, flags, mode), path, flags);           \
        pthread_mutex_unlock(&order);                                     \
        return result;                                                    \
    }
OPENING(open)
OPENING(open64)

int close(int descriptor) {
    REAL(int, close, int);
    if (!ours(descriptor)) return real_close(descriptor);
    pthread_mutex_lock(&order);
    is_ours[descriptor] = 0;
    record(CLOSE, descriptor, 0, 0, NULL, 0);
    int result = real_close(descriptor);
    pthread_mutex_unlock(&order);
    return result;
}

#define WRITING(name, offset_type)                                                           \
    ssize_t name(int descriptor, const void *data, size_t length, offset_type offset) {       \
        REAL(ssize_t, name, int, const void *, size_t, offset_type);                          \
        if (!ours(descriptor)) return real_##name(descriptor, data, length, offset);          \
        pthread_mutex_lock(&order);                                                           \
        ssize_t result = -1;                                                                  \
        if (fails(WRITE)) {                                                                   \
            int error = errno; /* half of it reaches the file, as on a disk that fills up */  \
            real_##name(descriptor, data, length / 2, offset);                                \
            errno = error;                                                                    \
        } else if ((result = real_##name(descriptor, data, length, offset)) > 0)              \
            record(WRITE, descriptor, offset, result, data, result);                          \
        pthread_mutex_unlock(&order);                                                         \
        return result;                                                                        \
    }
WRITING(pwrite, off_t)
WRITING(pwrite64, off64_t)

ssize_t write(int descriptor, const void *data, size_t length) {
    if (!ours(descriptor)) return write_out(descriptor, data, length);
    pthread_mutex_lock(&order);
    ssize_t result = fails(WRITE) ? -1 : write_out(descriptor, data, length);
    if (result > 0)
        record(WRITE, descriptor, lseek(descriptor, 0, SEEK_CUR) - result, result, data, result);
    pthread_mutex_unlock(&order);
    return result;
}

#define READING(name, offset_type)                                                  \
    ssize_t name(int descriptor, void *data, size_t length, offset_type offset) {   \
        REAL(ssize_t, name, int, void *, size_t, offset_type);                      \
        if (ours(descriptor)) {                                                     \
            pthread_mutex_lock(&order);                                             \
            int failed = fails(READ);                                               \
            pthread_mutex_unlock(&order);                                           \
            if (failed) return -1;                                                  \
        }                                                                           \
        return real_##name(descriptor, data, length, offset);                       \
    }
READING(pread, off_t)
READING(pread64, off64_t)

#define TRUNCATING(name, offset_type)                                               \
    int name(int descriptor, offset_type size) {                                    \
        REAL(int, name, int, offset_type);                                          \
        if (!ours(descriptor)) return real_##name(descriptor, size);                \
        pthread_mutex_lock(&order);                                                 \
        int result = fails(TRUNCATE) ? -1 : real_##name(descriptor, size);          \
        if (result == 0) record(TRUNCATE, descriptor, 0, size, NULL, 0);            \
        pthread_mutex_unlock(&order);                                               \
        return result;                                                              \
    }
TRUNCATING(ftruncate, off_t)
TRUNCATING(ftruncate64, off64_t)

#define SYNCING(name)                                                               \
    int name(int descriptor) {                                                      \
        REAL(int, name, int);                                                       \
        if (!ours(descriptor)) return real_##name(descriptor);                      \
        if (syncs_are_lies) return 0;                                               \
        pthread_mutex_lock(&order);                                                 \
        int kind = is_ours[descriptor] == A_FOLDER ? SYNC_FOLDER : SYNC_FILE;       \
        int result = fails(SYNC) || fails(kind) ? -1 : real_##name(descriptor);     \
        if (result == 0) record(SYNC, descriptor, 0, 0, NULL, 0);                   \
        pthread_mutex_unlock(&order);                                               \
        return result;                                                              \
    }
SYNCING(fsync)
SYNCING(fdatasync)

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (!in_folder(path)) return real_unlink(path);
    pthread_mutex_lock(&order);
    int result = fails(UNLINK) ? -1 : real_unlink(path);
    if (result == 0) record(UNLINK, -1, 0, 0, path, strlen(path));
    pthread_mutex_unlock(&order);
    return result;
}

/* Both paths, with the NUL between them. */
static void record_both(int operation, const char *from, const char *to) {
    size_t length = strlen(from) + 1, all = length + strlen(to);
    char *both = malloc(all + 1);
    if (!both) abort();
    strcpy(both, from);
    strcpy(both + length, to);
    record(operation, -1, 0, (int64_t)length, both, all);
    free(both);
}

#define NAMING(name, operation)                                                         \
    int name(const char *from, const char *to) {                                        \
        REAL(int, name, const char *, const char *);                                    \
        if (!in_folder(from) && !in_folder(to)) return real_##name(from, to);           \
        pthread_mutex_lock(&order);                                                     \
        int result = fails(operation) ? -1 : real_##name(from, to);                     \
        if (result == 0) record_both(operation, from, to);                              \
        pthread_mutex_unlock(&order);                                                   \
        return result;                                                                  \
    }
NAMING(rename, RENAME)
NAMING(link, LINK)

/* How Python links. */
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    if (from_folder == AT_FDCWD && to_folder == AT_FDCWD) return link(from, to);
    return real_linkat(from_folder, from, to_folder, to, flags);
}

/* What is refused, and neither recorded nor changed otherwise. */

static int lock_kind(int command, const void *argument) {
    if (command != F_SETLK && command != F_SETLKW && command != F_GETLK && command != F_OFD_SETLK)
        return 0;
    return ((const struct flock *)argument)->l_type == F_UNLCK ? UNLOCK : LOCK;
}

#define CONTROLLING(name)                                                     \
    int name(int descriptor, int command, ...) {                              \
        REAL(int, name, int, int, ...);                                       \
        va_list rest;                                                         \
        va_start(rest, command);                                              \
        void *argument = va_arg(rest, void *);                                \
        va_end(rest);                                                         \
        int kind = ours(descriptor) ? lock_kind(command, argument) : 0;       \
        if (kind && fails_now(kind)) return -1;                               \
        return real_##name(descriptor, command, argument);                    \
    }
CONTROLLING(fcntl)
CONTROLLING(fcntl64)

/* Calls of a path in the folder, and calls of a descriptor that was opened there. */
#define OF_PATH(result, failure, operation, name, parameters, path, ...)      \
    result name parameters {                                                  \
        static result (*real)parameters;                                      \
        if (!real) real = dlsym(RTLD_NEXT, #name);                            \
        if (in_folder(path) && fails_now(operation)) return failure;          \
        return real(__VA_ARGS__);                                             \
    }
#define OF_DESCRIPTOR(result, failure, operation, name, parameters, descriptor, ...) \
    result name parameters {                                                  \
        static result (*real)parameters;                                      \
        if (!real) real = dlsym(RTLD_NEXT, #name);                            \
        if (ours(descriptor) && fails_now(operation)) return failure;         \
        return real(__VA_ARGS__);                                             \
    }

OF_PATH(int, -1, STAT, stat, (const char *p, struct stat *s), p, p, s)
OF_PATH(int, -1, STAT, stat64, (const char *p, struct stat64 *s), p, p, s)
OF_PATH(int, -1, LSTAT, lstat, (const char *p, struct stat *s), p, p, s)
OF_PATH(int, -1, LSTAT, lstat64, (const char *p, struct stat64 *s), p, p, s)
OF_PATH(int, -1, ACCESS, access, (const char *p, int mode), p, p, mode)
OF_PATH(ssize_t, -1, READLINK, readlink, (const char *p, char *to, size_t size), p, p, to, size)
OF_PATH(int, -1, MKDIR, mkdir, (const char *p, mode_t mode), p, p, mode)
OF_PATH(int, -1, RMDIR, rmdir, (const char *p), p, p)
OF_PATH(int, -1, CHMOD, chmod, (const char *p, mode_t mode), p, p, mode)
OF_PATH(int, -1, CHOWN, chown, (const char *p, uid_t u, gid_t g), p, p, u, g)
OF_DESCRIPTOR(int, -1, FSTAT, fstat, (int d, struct stat *s), d, d, s)
OF_DESCRIPTOR(int, -1, FSTAT, fstat64, (int d, struct stat64 *s), d, d, s)
OF_DESCRIPTOR(int, -1, CHMOD, fchmod, (int d, mode_t mode), d, d, mode)
OF_DESCRIPTOR(int, -1, CHOWN, fchown, (int d, uid_t u, gid_t g), d, d, u, g)
OF_DESCRIPTOR(int, -1, FLOCK, flock, (int d, int how), d, d, how)
OF_DESCRIPTOR(void *, MAP_FAILED, MAP, mmap, (void *a, size_t n, int pr, int fl, int d, off_t o), d,
              a, n, pr, fl, d, o)
OF_DESCRIPTOR(void *, MAP_FAILED, MAP, mmap64, (void *a, size_t n, int pr, int fl, int d, off64_t o), d,
              a, n, pr, fl, d, o)

/* ZEROS: a FUSE program that does not answer it. */
#define MEASURING(name, type)                                                 \
    int name(const char *path, struct type *status) {                         \
        REAL(int, name, const char *, struct type *);                         \
        if (!in_folder(path) || !fails_now(STATVFS)) return real_##name(path, status); \
        memset(status, 0, sizeof *status);                                    \
        return armed_error == ZEROS ? 0 : -1;                                 \
    }
MEASURING(statvfs, statvfs)
MEASURING(statvfs64, statvfs64)

/* An eventfd is of no folder. */
int eventfd(unsigned int count, int flags) {
    REAL(int, eventfd, unsigned int, int);
    return fails_now(EVENTFD) ? -1 : real_eventfd(count, flags);
}

/* One folder at a time is read. */
static DIR *listed;

DIR *opendir(const char *path) {
    REAL(DIR *, opendir, const char *);
    if (!in_folder(path)) return real_opendir(path);
    return fails_now(LIST) ? NULL : (listed = real_opendir(path));
}

struct dirent64 *readdir64(DIR *folder_stream) {
    REAL(struct dirent64 *, readdir64, DIR *);
    return folder_stream == listed && fails_now(NEXT_NAME) ? NULL : real_readdir64(folder_stream);
}

int closedir(DIR *folder_stream) {
    REAL(int, closedir, DIR *);
    if (folder_stream == listed) listed = NULL;
    return real_closedir(folder_stream);
}
