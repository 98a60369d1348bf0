/* Preloaded, makes every flush to the disk take FLUSH_DELAY microseconds longer: a slower disk, for
 * scripts/bench. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int then_wait(int outcome) {
    long delay = atol(getenv("FLUSH_DELAY"));
    struct timespec time = {delay / 1000000, delay % 1000000 * 1000};
    nanosleep(&time, NULL);
    return outcome;
}

int fsync(int file) {
    int (*flush)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return then_wait(flush(file));
}

int fdatasync(int file) {
    int (*flush)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return then_wait(flush(file));
}
