/*
 * A clock that is wrong, for the program that loads this with LD_PRELOAD: by as many seconds as the file CLOCK_SHIFT says,
 * eight bytes, at each moment. Only the time of day is shifted: the monotonic clock goes on as on a real machine whose
 * clock is wrong. Left alone: waits until a time of day (pthread_cond_timedwait). Java waits by the monotonic clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_gettimeofday)(struct timeval *, void *);
static const int64_t right = 0;
static const volatile int64_t *shift = &right;

__attribute__((constructor)) static void begin(void) {
  real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
  real_gettimeofday = dlsym(RTLD_NEXT, "gettimeofday");
  const char *name = getenv("CLOCK_SHIFT");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file >= 0) {
    void *shared = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) shift = shared;
    close(file);
  }
}

int clock_gettime(clockid_t id, struct timespec *now) {
  /* Somebody else's constructor may run before ours. */
  if (!real_clock_gettime) begin();
  int answer = real_clock_gettime(id, now);
  if (answer == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *shift;
  return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  if (!real_gettimeofday) begin();
  int answer = real_gettimeofday(now, zone);
  if (answer == 0) now->tv_sec += *shift;
  return answer;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}
