/* What memory can do at best: a copy with streaming stores and plain loops that read one array and change others in
   place, as an optimizer's step does, both shared out over threads; and rows that are read twice, as a softmax does. */
#include <emmintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

enum { MOST_THREADS = 64, MOST_CHANGED = 6 };

struct job {
    void (*body)(const struct job *job, size_t begin, size_t end);      /* in bytes */
    const char *in;
    char *out;
    float *const *changed;
    int count, mask;
};
struct part { const struct job *job; size_t begin, end; atomic_int *waiting; };

static void copy(const struct job *job, size_t begin, size_t end)
{
    size_t i = begin;
    for (; i + 64 <= end; i += 64)
        for (int j = 0; j < 64; j += 16)
            _mm_stream_ps((float *)(job->out + i + j), _mm_loadu_ps((const float *)(job->in + i + j)));
    for (; i < end; i++)
        job->out[i] = job->in[i];
    _mm_sfence();
}

/* Numbers are read and written as they were, for the mask is 0; that the compiler does not know. */
#define CHANGE(count, lines)                                                                     \
    static void change_##count(const int *in, int *const *x, int mask, size_t begin, size_t end) \
    {                                                                                            \
        int *restrict a = x[0], *restrict b = count > 1 ? x[1] : 0, *restrict c = count > 2 ? x[2] : 0, \
            *restrict d = count > 3 ? x[3] : 0, *restrict e = count > 4 ? x[4] : 0, *restrict f = count > 5 ? x[5] : 0; \
        (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;                                    \
        for (size_t i = begin; i < end; i++) {                                                   \
            int g = in[i] & mask;                                                                \
            lines                                                                                \
        }                                                                                        \
    }
CHANGE(1, a[i] ^= g;)
CHANGE(2, a[i] ^= g; b[i] ^= g;)
CHANGE(3, a[i] ^= g; b[i] ^= g; c[i] ^= g;)
CHANGE(4, a[i] ^= g; b[i] ^= g; c[i] ^= g; d[i] ^= g;)
CHANGE(5, a[i] ^= g; b[i] ^= g; c[i] ^= g; d[i] ^= g; e[i] ^= g;)
CHANGE(6, a[i] ^= g; b[i] ^= g; c[i] ^= g; d[i] ^= g; e[i] ^= g; f[i] ^= g;)

static void change(const struct job *job, size_t begin, size_t end)
{
    static void (*const bodies[])(const int *, int *const *, int, size_t, size_t) = {
        change_1, change_2, change_3, change_4, change_5, change_6};
    bodies[job->count - 1]((const int *)job->in, (int *const *)job->changed, job->mask, begin / 4, end / 4);
}

static void *do_part(void *given)
{
    const struct part *part = given;
    atomic_fetch_sub(part->waiting, 1);
    while (atomic_load(part->waiting) > 0)      /* all begin at once */
        ;
    part->job->body(part->job, part->begin, part->end);
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static double shared(const struct job *job, size_t bytes, int threads)
{
    struct part parts[MOST_THREADS];
    pthread_t others[MOST_THREADS];
    atomic_int waiting;
    double start;
    int i;
    threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    atomic_init(&waiting, threads);
    size_t share = (bytes / threads + 63) & ~(size_t)63;
    for (i = 0; i < threads; i++) {
        size_t begin = share * i < bytes ? share * i : bytes;
        size_t end = begin + share < bytes ? begin + share : bytes;
        parts[i] = (struct part){job, begin, end, &waiting};
    }
    for (i = 1; i < threads; i++)
        if (pthread_create(&others[i], NULL, do_part, &parts[i])) {
            atomic_store(&waiting, 0);
            while (--i > 0)
                pthread_join(others[i], NULL);
            return -1;
        }
    while (atomic_load(&waiting) > 1)
        ;
    start = now();
    do_part(&parts[0]);
    for (i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    return now() - start;
}

/* Seconds; out is aligned to 64 bytes. Negative if a thread cannot be started. */
double streaming_copy(char *out, const char *in, size_t bytes, int threads)
{
    struct job job = {copy, in, out, NULL, 0, 0};
    return shared(&job, bytes, threads);
}

/* Seconds to read `in` and to read and write `count` other arrays, which stay as they are; each of `bytes` bytes, a
   multiple of 4. Negative if a thread cannot be started, or for a count that is not from 1 to MOST_CHANGED. */
double streams_in_place(const char *in, float *const *changed, int count, size_t bytes, int threads)
{
    static volatile int mask = 0;
    struct job job = {change, in, NULL, changed, count, mask};
    return count < 1 || count > MOST_CHANGED ? -1 : shared(&job, bytes, threads);
}

/* Read rows of `bytes` bytes, a multiple of 64, one after another, each twice. */
int read_twice(const char *x, size_t rows, size_t bytes)
{
    __m128i sums[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    for (size_t row = 0; row < rows; row++, x += bytes)
        for (int time = 0; time < 2; time++)
            for (size_t i = 0; i < bytes; i += 64)
                for (int j = 0; j < 4; j++)
                    sums[j] = _mm_add_epi64(sums[j], _mm_loadu_si128((const __m128i *)(x + i) + j));
    return _mm_cvtsi128_si32(_mm_add_epi64(_mm_add_epi64(sums[0], sums[1]), _mm_add_epi64(sums[2], sums[3])));
}
