/*
 * A FUSE file system that passes one directory through, with faults that a test sets while it is mounted.
 *
 *   passthrough ROOT MOUNTPOINT SETTINGS [writeback] [locks] [volatile] [TYPE]
 *
 * writeback: the kernel may keep written data back, as with virtiofsd --writeback or passthrough_ll -o writeback.
 * locks: F_SETLK and its kin are asked here; else the kernel keeps them itself.
 * volatile: what was not synced is lost, page by page or not, where it is unmounted with the setting `cut`.
 * TYPE: the table of mounts says fuse.TYPE.
 *
 * SETTINGS is a file of words, read anew at every request, so that what a test writes (by rename) holds from the next one on:
 *   OP=MS       each request of this kind takes so long; OP is getattr open read write fsync fallocate lseek lock truncate
 *   OP!ERRNO    fails with this number
 *   seek=enxio  SEEK_DATA is ENXIO always; seek=late: data begins 1 MiB later; seek=trunc: nothing lies behind the first 64 KiB
 *   epoch=N     what is opened is of this epoch (0 unless told)
 *   lost=N      what was opened in an epoch before this one can be neither read nor written: EBADFD
 *   cut=N       what `volatile` decides by, not 0
 *   lie=1       what is synced is lost at a cut all the same
 *   die=N       from the Nth request on that changes or syncs something, all of them fail with EIO and change nothing, as if the power
 *               had gone; without the word the count begins anew
 *   inode=N     is added to every inode number (0x for hexadecimal), modulo 2^64
 *
 * Where a file CUT_NOW in the topmost directory is removed, the power is cut at once.
 * SIGSTOP stops it as a server that hangs, SIGCONT lets it go on. Requests are served by several threads.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *root, *settings;
static int writeback;

/* The text behind `name` and `mark` among the settings, in `value`; 0 where it is not there. */
static int setting(const char *name, char mark, char *value, size_t size) {
  char text[1024];
  int fd = open(settings, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length < 0 ? 0 : length] = 0;
  char *rest = text, *word;
  while ((word = strtok_r(rest, " \n", &rest))) {
    size_t n = strlen(name);
    if (strncmp(word, name, n) || word[n] != mark) continue;
    snprintf(value, size, "%s", word + n + 1);
    return 1;
  }
  return 0;
}

/* Every request begins here: it takes its time, and is 0 or the -errno it is to fail with. */
static int begin(const char *operation) {
  char value[64];
  if (setting(operation, '=', value, sizeof value)) usleep(atoi(value) * 1000L);
  return setting(operation, '!', value, sizeof value) ? -atoi(value) : 0;
}

/* The same of what changes or syncs something: 0, or -EIO where the power has gone. */
static int begin_change(const char *operation) {
  static atomic_long changes;
  char value[64];
  int fault = begin(operation);
  if (!setting("die", '=', value, sizeof value)) changes = 0;
  else if (++changes >= atol(value)) return -EIO;
  return fault;
}

static char *real(const char *path, char *buffer) {
  snprintf(buffer, PATH_MAX, "%s%s", root, path);
  return buffer;
}

#define FAILED(operation) \
  int fault = begin(operation); \
  if (fault) return fault
#define FAILED_CHANGE(operation) \
  int fault = begin_change(operation); \
  if (fault) return fault
#define OR_ERRNO(result) ((result) < 0 ? -errno : 0)

/* A descriptor is in the low half of its handle, the epoch that it was opened in in the high one. */
#define DESCRIPTOR(fi) ((int)(uint32_t)(fi)->fh)

static uint64_t number_of(const char *name) {
  char value[64];
  return setting(name, '=', value, sizeof value) ? strtoull(value, NULL, 0) : 0;
}

#define LOST(fi) \
  if ((fi)->fh >> 32 < number_of("lost")) return -EBADFD

/* What a page of a file held when it was synced last; nothing where it has not been written since. */
#define PAGE 4096
struct saved {
  struct saved *next;
  ino_t inode;
  off_t position;
  char old[PAGE];
};
static int volatile_cache;
static struct saved *unsynced;
static pthread_mutex_t unsynced_lock = PTHREAD_MUTEX_INITIALIZER;

static ino_t inode_of(int fd) {
  struct stat st;
  return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

/* Before a range of a file is changed. */
static void save(int fd, off_t offset, off_t length) {
  if (!volatile_cache) return;
  ino_t inode = inode_of(fd);
  pthread_mutex_lock(&unsynced_lock);
  for (off_t at = offset - offset % PAGE; at < offset + length; at += PAGE) {
    struct saved *one = unsynced;
    while (one && (one->inode != inode || one->position != at)) one = one->next;
    if (one || !(one = calloc(1, sizeof *one))) continue;
    one->inode = inode;
    one->position = at;
    if (pread(fd, one->old, PAGE, at) < 0) memset(one->old, 0, PAGE);
    one->next = unsynced;
    unsynced = one;
  }
  pthread_mutex_unlock(&unsynced_lock);
}

/* Of every file where the inode is 0. */
static void forget(ino_t inode) {
  pthread_mutex_lock(&unsynced_lock);
  for (struct saved **at = &unsynced; *at;) {
    struct saved *one = *at;
    if (inode && one->inode != inode) {
      at = &one->next;
      continue;
    }
    *at = one->next;
    free(one);
  }
  pthread_mutex_unlock(&unsynced_lock);
}

static void synced(int fd) {
  if (volatile_cache) forget(inode_of(fd));
}

/* A name is about to go: the number of its file may be another one's soon. */
static void leaving(const char *name) {
  struct stat st;
  if (volatile_cache && lstat(name, &st) == 0 && st.st_nlink == 1) forget(st.st_ino);
}

/* Each page that was not synced is what it was, or what it is. */
static void cut_power(uint64_t state) {
  for (struct saved *one = unsynced; one; one = one->next) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    if (state >> 63) continue;
    DIR *directory = opendir(root);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
      char name[PATH_MAX];
      struct stat st;
      snprintf(name, sizeof name, "%s/%s", root, entry->d_name);
      if (lstat(name, &st) < 0 || st.st_ino != one->inode || one->position >= st.st_size) continue;
      int fd = open(name, O_WRONLY | O_CLOEXEC);
      off_t rest = st.st_size - one->position;
      struct timespec times[2] = {st.st_atim, st.st_mtim};
      if (fd >= 0 && pwrite(fd, one->old, rest < PAGE ? rest : PAGE, one->position) < 0) perror(name);
      if (fd >= 0) futimens(fd, times);
      if (fd >= 0) close(fd);
    }
    if (directory) closedir(directory);
  }
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi) {
  char name[PATH_MAX], value[64];
  FAILED("getattr");
  if ((fi ? fstat(DESCRIPTOR(fi), st) : lstat(real(path, name), st)) < 0) return -errno;
  if (setting("inode", '=', value, sizeof value)) st->st_ino += strtoull(value, NULL, 0);
  return 0;
}

/* With write-back the kernel reads what it needs around a write, and does the appending itself. */
static int opened(const char *path, int flags, mode_t mode, struct fuse_file_info *fi) {
  char name[PATH_MAX];
  if (writeback && (flags & O_ACCMODE) == O_WRONLY) flags = (flags & ~O_ACCMODE) | O_RDWR;
  int fd = open(real(path, name), flags & ~(O_DIRECT | O_NONBLOCK | O_NOCTTY | (writeback ? O_APPEND : 0)), mode);
  if (fd < 0) return -errno;
  fi->fh = number_of("epoch") << 32 | (uint32_t)fd;
  return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi) {
  FAILED("open");
  return opened(path, fi->flags, 0, fi);
}

static int on_create(const char *path, mode_t mode, struct fuse_file_info *fi) {
  FAILED_CHANGE("open");
  return opened(path, fi->flags | O_CREAT, mode, fi);
}

static int on_read(const char *path, char *to, size_t length, off_t offset, struct fuse_file_info *fi) {
  FAILED("read");
  LOST(fi);
  ssize_t got = pread(DESCRIPTOR(fi), to, length, offset);
  return got < 0 ? -errno : got;
}

static int on_write(const char *path, const char *from, size_t length, off_t offset, struct fuse_file_info *fi) {
  FAILED_CHANGE("write");
  LOST(fi);
  save(DESCRIPTOR(fi), offset, length);
  ssize_t put = pwrite(DESCRIPTOR(fi), from, length, offset);
  return put < 0 ? -errno : put;
}

static int on_truncate(const char *path, off_t size, struct fuse_file_info *fi) {
  char name[PATH_MAX];
  FAILED_CHANGE("truncate");
  return OR_ERRNO(fi ? ftruncate(DESCRIPTOR(fi), size) : truncate(real(path, name), size));
}

static int on_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi) {
  char name[PATH_MAX];
  return OR_ERRNO(fi ? futimens(DESCRIPTOR(fi), times) : utimensat(AT_FDCWD, real(path, name), times, AT_SYMLINK_NOFOLLOW));
}

static int on_release(const char *path, struct fuse_file_info *fi) {
  close(DESCRIPTOR(fi));
  return 0;
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *fi) {
  FAILED_CHANGE("fsync");
  // What is lost at a cut need not be kept from one of the machine's.
  int result = volatile_cache ? 0 : data_only ? fdatasync(DESCRIPTOR(fi)) : fsync(DESCRIPTOR(fi));
  if (result == 0 && !number_of("lie")) synced(DESCRIPTOR(fi));
  return OR_ERRNO(result);
}

static int on_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi) {
  FAILED_CHANGE("fsyncdir");
  return 0;
}

static int on_fallocate(const char *path, int mode, off_t offset, off_t length, struct fuse_file_info *fi) {
  FAILED_CHANGE("fallocate");
  save(DESCRIPTOR(fi), offset, length);
  return OR_ERRNO(fallocate(DESCRIPTOR(fi), mode, offset, length));
}

static off_t on_lseek(const char *path, off_t offset, int whence, struct fuse_file_info *fi) {
  char lie[64];
  FAILED("lseek");
  if (!setting("seek", '=', lie, sizeof lie)) {
    off_t found = lseek(DESCRIPTOR(fi), offset, whence);
    return found < 0 ? -errno : found;
  }
  if (!strcmp(lie, "enxio")) return whence == SEEK_DATA ? -ENXIO : offset;
  if (!strcmp(lie, "late")) return offset + (whence == SEEK_DATA ? 1 << 20 : 2 << 20);
  if (whence == SEEK_HOLE) return 65536;
  return offset < 65536 ? offset : -ENXIO;
}

static int on_lock(const char *path, struct fuse_file_info *fi, int command, struct flock *lock) {
  FAILED("lock");
  if (command == F_GETLK) lock->l_type = F_UNLCK;
  return 0;
}

static int on_unlink(const char *path) {
  char name[PATH_MAX];
  if (!strcmp(path, "/CUT_NOW")) {
    cut_power(number_of("cut"));
    forget(0);
    return OR_ERRNO(unlink(real(path, name)));
  }
  FAILED_CHANGE("unlink");
  leaving(real(path, name));
  return OR_ERRNO(unlink(real(path, name)));
}

static int on_rename(const char *from, const char *to, unsigned int flags) {
  char old[PATH_MAX], new[PATH_MAX];
  FAILED_CHANGE("rename");
  if (!flags) leaving(real(to, new));
  return OR_ERRNO(renameat2(AT_FDCWD, real(from, old), AT_FDCWD, real(to, new), flags));
}

static int on_readdir(const char *path, void *into, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi,
                      enum fuse_readdir_flags flags) {
  char name[PATH_MAX];
  struct dirent *entry;
  DIR *directory = opendir(real(path, name));
  if (!directory) return -errno;
  while ((entry = readdir(directory))) fill(into, entry->d_name, NULL, 0, 0);
  closedir(directory);
  return 0;
}

static int on_statfs(const char *path, struct statvfs *st) {
  char name[PATH_MAX];
  return OR_ERRNO(statvfs(real(path, name), st));
}

static void *on_init(struct fuse_conn_info *connection, struct fuse_config *config) {
  if (writeback) connection->want |= connection->capable & FUSE_CAP_WRITEBACK_CACHE;
  config->use_ino = 1;
  config->attr_timeout = config->entry_timeout = 0;
  return NULL;
}

static struct fuse_operations operations = {
    .init = on_init, .getattr = on_getattr, .open = on_open, .create = on_create, .read = on_read, .write = on_write,
    .truncate = on_truncate, .utimens = on_utimens, .release = on_release, .fsync = on_fsync, .fsyncdir = on_fsyncdir,
    .fallocate = on_fallocate,    .lseek = on_lseek, .unlink = on_unlink, .rename = on_rename, .readdir = on_readdir, .statfs = on_statfs,
};

int main(int count, char **words) {
  char options[256] = "fsname=nbdloop-test";
  if (count < 4) return 2;
  root = words[1];
  settings = words[3];
  for (int i = 4; i < count; i++) {
    if (!strcmp(words[i], "writeback")) writeback = 1;
    else if (!strcmp(words[i], "locks")) operations.lock = on_lock;
    else if (!strcmp(words[i], "volatile")) volatile_cache = 1;
    else snprintf(options + strlen(options), sizeof options - strlen(options), ",subtype=%s", words[i]);
  }
  char *arguments[] = {words[0], words[2], "-f", "-o", options, NULL};
  int status = fuse_main(5, arguments, &operations, NULL);
  uint64_t cut = number_of("cut");
  if (cut) cut_power(cut);
  return status;
}
