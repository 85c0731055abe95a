/* A copy with streaming stores, shared out over threads: what memory can do at best. bandwidth.py compiles it. */
#include <emmintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

struct part { const char *in; char *out; size_t bytes; atomic_int *waiting; };

static void *copy_part(void *given)
{
    const struct part *part = given;
    size_t i;
    atomic_fetch_sub(part->waiting, 1);
    while (atomic_load(part->waiting) > 0)      /* all begin at once */
        ;
    for (i = 0; i + 64 <= part->bytes; i += 64)
        for (int j = 0; j < 64; j += 16)
            _mm_stream_ps((float *)(part->out + i + j), _mm_loadu_ps((const float *)(part->in + i + j)));
    for (; i < part->bytes; i++)
        part->out[i] = part->in[i];
    _mm_sfence();
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Seconds; out is aligned to 64 bytes. Negative if a thread cannot be started. */
double streaming_copy(char *out, const char *in, size_t bytes, int threads)
{
    enum { MOST = 64 };
    struct part parts[MOST];
    pthread_t others[MOST];
    atomic_int waiting;
    double start;
    int i;
    threads = threads < 1 ? 1 : threads > MOST ? MOST : threads;
    atomic_init(&waiting, threads);
    size_t share = (bytes / threads + 63) & ~(size_t)63;
    for (i = 0; i < threads; i++) {
        size_t begin = share * i < bytes ? share * i : bytes;
        size_t end = begin + share < bytes ? begin + share : bytes;
        parts[i] = (struct part){in + begin, out + begin, end - begin, &waiting};
    }
    for (i = 1; i < threads; i++)
        if (pthread_create(&others[i], NULL, copy_part, &parts[i])) {
            atomic_store(&waiting, 0);
            while (--i > 0)
                pthread_join(others[i], NULL);
            return -1;
        }
    while (atomic_load(&waiting) > 1)
        ;
    start = now();
    copy_part(&parts[0]);
    for (i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    return now() - start;
}
