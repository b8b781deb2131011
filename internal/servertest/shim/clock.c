/*
 * A clock that tests set: loaded in front of the C library (LD_PRELOAD), it shifts the time of day by the number of
 * nanoseconds in the file that SERVERTEST_CLOCK names, read anew at every look at the clock. The clocks that only
 * measure how much time passes stay as they are, as they do when the clock of a machine is set.
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

#define SECOND 1000000000LL

typedef int look(clockid_t, struct timespec *);

static const int64_t *shift; /* mapped; 0 before the constructor has run */
static look *truth;

__attribute__((constructor)) static void prepare(void) {
	const char *path = getenv("SERVERTEST_CLOCK");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0)
		abort(); /* a server with a wrong clock would prove nothing */
	void *page = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
	if (page == MAP_FAILED)
		abort();
	close(file);
	shift = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
	/* Looked for at the first use, which may be before the constructor; twice does no harm. */
	if (!truth)
		truth = (look *)dlsym(RTLD_NEXT, "clock_gettime");
	int failed = truth(clock, now);
	if (failed || !shift || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return failed;
	int64_t by = __atomic_load_n(shift, __ATOMIC_RELAXED);
	int64_t ns = now->tv_nsec + by % SECOND;
	now->tv_sec += by / SECOND + (ns >= SECOND) - (ns < 0);
	now->tv_nsec = ns + SECOND * ((ns < 0) - (ns >= SECOND));
	return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
	struct timespec precise;
	(void)zone; /* obsolete, and no server asks */
	if (clock_gettime(CLOCK_REALTIME, &precise))
		return -1;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *copy) {
	struct timespec now;
	if (clock_gettime(CLOCK_REALTIME, &now))
		return -1;
	if (copy)
		*copy = now.tv_sec;
	return now.tv_sec;
}
