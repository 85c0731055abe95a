/* Memory for large results, kept when its array dies and given to the next one of about its size.

   The first touch of fresh memory costs more than most kernels. At most 4 blocks and 256 MB lie idle; the one that has
   lain longest makes room, else the list fills with sizes that are no longer used.

   A thread that finds the list locked allocates without it: no thread waits. A block that lay idle at a fork belongs to
   both processes, copied where one of them writes; if another thread held the list just then, the child begins with an
   empty one.

   Under AddressSanitizer what lies idle may not be touched, nor what is behind the size that was asked for. */

#ifndef FASTNN_RECYCLING_H
#define FASTNN_RECYCLING_H

#include <stddef.h>

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

#ifdef __has_feature                                        /* clang's way to ask */
  #if __has_feature(address_sanitizer)
    #define FASTNN_ADDRESS_SANITIZER
  #endif
#elif defined(__SANITIZE_ADDRESS__)
  #define FASTNN_ADDRESS_SANITIZER
#endif
#ifdef FASTNN_ADDRESS_SANITIZER
  #include <sanitizer/asan_interface.h>
  enum { FASTNN_FENCE = 64 << 10 };                         /* bytes behind each block */
#else
  #define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
  #define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
  enum { FASTNN_FENCE = 0 };
#endif

enum { FASTNN_RECYCLES = 1, FASTNN_MOST_IDLE = 4, FASTNN_MOST_TRIES = 10000 };

static const size_t fastnn_most_idle_bytes = (size_t)256 << 20;
static const size_t fastnn_huge_page = (size_t)2 << 20;
static const size_t fastnn_page = (size_t)64 << 10;         /* a multiple of every system's page */

typedef struct {
    void *memory;
    size_t size;
} fastnn_block;

static struct {
    atomic_int taken;
    int count;
    fastnn_block blocks[FASTNN_MOST_IDLE + 1];              /* the one that has lain longest first */
} fastnn_idle;

static int fastnn_idle_take(void) { return !atomic_exchange_explicit(&fastnn_idle.taken, 1, memory_order_acquire); }

static void fastnn_idle_leave(void) { atomic_store_explicit(&fastnn_idle.taken, 0, memory_order_release); }

static fastnn_block fastnn_idle_remove(int i)
{
    fastnn_block block = fastnn_idle.blocks[i];
    fastnn_idle.count--;
    memmove(fastnn_idle.blocks + i, fastnn_idle.blocks + i + 1, (fastnn_idle.count - i) * sizeof block);
    return block;
}

/* Fresh memory that begins at a huge page, so that all of it but the end may lie in such pages. */
static fastnn_block fastnn_memory_map(size_t size)
{
    fastnn_block block = {NULL, (size + fastnn_page - 1) & -fastnn_page};
    size_t used = block.size + FASTNN_FENCE, mapped = used + fastnn_huge_page, head;
    char *start = (char *)mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == (char *)MAP_FAILED)
        return block;
    head = -(uintptr_t)start & (fastnn_huge_page - 1);
    if (head)
        munmap(start, head);
    munmap(start + head + used, fastnn_huge_page - head);
    block.memory = start + head;
#ifdef MADV_HUGEPAGE
    madvise(block.memory, block.size, MADV_HUGEPAGE);       /* advice: a kernel without huge pages may refuse it */
#endif
    return block;
}

static void fastnn_memory_unmap(fastnn_block block)
{
    ASAN_UNPOISON_MEMORY_REGION(block.memory, block.size + FASTNN_FENCE);
    munmap(block.memory, block.size + FASTNN_FENCE);
}

/* A block of at least `size` bytes; its memory is NULL where there is none. */
static fastnn_block fastnn_memory_get(size_t size)
{
    fastnn_block block;
    int i, best = -1;
    if (fastnn_idle_take()) {
        for (i = fastnn_idle.count - 1; i >= 0; i--)
            if (fastnn_idle.blocks[i].size >= size && fastnn_idle.blocks[i].size <= size + size / 4
                && (best < 0 || fastnn_idle.blocks[i].size < fastnn_idle.blocks[best].size))
                best = i;
        if (best >= 0)
            block = fastnn_idle_remove(best);
        fastnn_idle_leave();
    }
    if (best < 0)
        block = fastnn_memory_map(size);
    if (block.memory) {
        ASAN_UNPOISON_MEMORY_REGION(block.memory, size);
        ASAN_POISON_MEMORY_REGION((char *)block.memory + size, block.size - size + FASTNN_FENCE);
    }
    return block;
}

/* Take a block back: it lies idle from now on, or goes to the operating system. */
static void fastnn_memory_give(fastnn_block block)
{
    fastnn_block evicted[FASTNN_MOST_IDLE + 1];
    size_t total = 0;
    int i, count = 0;
    if (!fastnn_idle_take()) {
        fastnn_memory_unmap(block);
        return;
    }
    ASAN_POISON_MEMORY_REGION(block.memory, block.size);
    fastnn_idle.blocks[fastnn_idle.count++] = block;
    for (i = 0; i < fastnn_idle.count; i++)
        total += fastnn_idle.blocks[i].size;
    while (fastnn_idle.count > FASTNN_MOST_IDLE || total > fastnn_most_idle_bytes) {
        evicted[count] = fastnn_idle_remove(0);
        total -= evicted[count++].size;
    }
    fastnn_idle_leave();
    while (count--)
        fastnn_memory_unmap(evicted[count]);
}

/* Give all that lies idle to the operating system; the number of bytes. */
static size_t fastnn_memory_trim(void)
{
    fastnn_block blocks[FASTNN_MOST_IDLE];
    size_t total = 0;
    int tries, count;
    for (tries = 0; !fastnn_idle_take(); tries++)
        if (tries == FASTNN_MOST_TRIES)             /* its holder has lost its processor */
            return 0;
    count = fastnn_idle.count;
    memcpy(blocks, fastnn_idle.blocks, sizeof blocks);
    fastnn_idle.count = 0;
    fastnn_idle_leave();
    while (count--) {
        total += blocks[count].size;
        fastnn_memory_unmap(blocks[count]);
    }
    return total;
}

static void fastnn_memory_after_fork(void)      /* in the child; whoever held the list stayed behind */
{
    if (!fastnn_idle_take())
        fastnn_idle.count = 0;
    fastnn_idle_leave();
}

static void fastnn_memory_prepare(void)         /* once, at import */
{
    pthread_atfork(NULL, NULL, fastnn_memory_after_fork);
}

#else

enum { FASTNN_RECYCLES = 0 };

typedef struct {
    void *memory;
    size_t size;
} fastnn_block;

static fastnn_block fastnn_memory_get(size_t size) { fastnn_block none = {NULL, size}; return none; }
static void fastnn_memory_give(fastnn_block block) { (void)block; }
static size_t fastnn_memory_trim(void) { return 0; }
static void fastnn_memory_prepare(void) {}

#endif
#endif
