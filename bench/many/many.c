/*
 * Many connections at once, from one thread: 4 KiB random reads, so many outstanding on each.
 *
 *   many SOCKET CONNECTIONS DEPTH SECONDS DEVICES
 *
 * Connection i goes to the export "loopN", N = i modulo DEVICES. Prints one line: requests, seconds, p50 and p99 in
 * microseconds, and microseconds of its own CPU. NBD's fixed newstyle handshake with NBD_OPT_EXPORT_NAME, then simple replies (the
 * protocol document's "Newstyle negotiation" and "Transmission").
 */
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define MAX_DEPTH 64
#define REPLY (16 + BLOCK)
/* Of 2^(1/8) each: some 9 percent wide. */
#define BUCKETS 256

struct request {
  uint32_t magic;
  uint16_t flags, type;
  uint64_t cookie, offset;
  uint32_t length;
} __attribute__((packed));

struct connection {
  int fd;
  uint64_t blocks;
  /* Of the reply that is arriving. */
  size_t got;
  double since[MAX_DEPTH];
  char reply[REPLY];
};

static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  return seed ^= seed << 17;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void fail(const char *what) {
  fprintf(stderr, "many: %s: %s\n", what, errno ? strerror(errno) : "unexpected answer");
  exit(1);
}

static void put(int fd, const void *bytes, size_t length) {
  if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) fail("send");
}

static void get(int fd, void *bytes, size_t length) {
  if (recv(fd, bytes, length, MSG_WAITALL) != (ssize_t)length) fail("recv");
}

static void open_export(struct connection *c, const char *path, int device) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
  char greeting[18], name[16], answer[10];
  get(c->fd, greeting, sizeof greeting);
  int length = snprintf(name, sizeof name, "loop%d", device);
  uint32_t flags = htobe32(3), option[2] = { htobe32(1), htobe32(length) };
  uint64_t magic = htobe64(0x49484156454F5054ull);
  put(c->fd, &flags, 4);
  put(c->fd, &magic, 8);
  put(c->fd, option, 8);
  put(c->fd, name, length);
  get(c->fd, answer, sizeof answer);
  uint64_t size;
  memcpy(&size, answer, 8);
  c->blocks = be64toh(size) / BLOCK;
  if (c->blocks == 0) fail("the export's size");
}

static void ask(struct connection *c, uint64_t cookie) {
  struct request r = { htobe32(0x25609513), 0, 0, cookie, htobe64(random64() % c->blocks * BLOCK), htobe32(BLOCK) };
  c->since[cookie] = now();
  put(c->fd, &r, sizeof r);
}

static uint64_t histogram[BUCKETS];

static void count(double us) {
  int bucket = 0;
  for (double edge = 1; edge < us && bucket < BUCKETS - 1; edge *= 1.0905077326652577) bucket++;
  histogram[bucket]++;
}

static double percentile(uint64_t all, double share) {
  uint64_t sum = 0;
  double edge = 1;
  for (int i = 0; i < BUCKETS; i++, edge *= 1.0905077326652577)
    if ((sum += histogram[i]) >= share * all) return edge;
  return edge;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "many SOCKET CONNECTIONS DEPTH SECONDS DEVICES\n");
    return 2;
  }
  int connections = atoi(argv[2]), depth = atoi(argv[3]), devices = atoi(argv[5]);
  double seconds = atof(argv[4]);
  if (connections < 1 || depth < 1 || depth > MAX_DEPTH || devices < 1) return 2;
  struct connection *all = calloc(connections, sizeof *all);
  int poller = epoll_create1(0);
  for (int i = 0; i < connections; i++) {
    open_export(&all[i], argv[1], i % devices);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &all[i] };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) < 0) fail("epoll_ctl");
  }
  double began = now(), end = began + seconds * 1e6;
  for (int i = 0; i < connections; i++)
    for (int k = 0; k < depth; k++) ask(&all[i], k);
  uint64_t done = 0;
  double at = began;
  while (at < end) {
    struct epoll_event events[64];
    int ready = epoll_wait(poller, events, 64, 1000);
    if (ready <= 0) fail("no reply in a second");
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      for (;;) {
        ssize_t n = recv(c->fd, c->reply + c->got, REPLY - c->got, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) fail("recv");
        if ((c->got += n) < REPLY) continue;
        uint32_t head[2];
        uint64_t cookie;
        memcpy(head, c->reply, 8);
        memcpy(&cookie, c->reply + 8, 8);
        if (head[0] != htobe32(0x67446698) || head[1] != 0 || cookie >= (uint64_t)depth) fail("reply");
        c->got = 0;
        count(now() - c->since[cookie]);
        done++;
        ask(c, cookie);
      }
    }
    at = now();
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  printf("%llu %.3f %.0f %.0f %.0f\n", (unsigned long long)done, (at - began) / 1e6, percentile(done, 0.5),
         percentile(done, 0.99), cpu);
  return 0;
}
