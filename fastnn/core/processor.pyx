"""What the processor can do."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
      #include <cpuid.h>
    static int fastnn_supports_v2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("sse3") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1")
            && __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    }
    static int fastnn_supports_f16c(void) {             /* older compilers do not know its name */
        unsigned a, b, c, d;
        return __get_cpuid(1, &a, &b, &c, &d) && c >> 29 & 1;
    }
    static int fastnn_supports_v3(void) {
        /* __builtin_cpu_supports also asks the operating system whether it saves the wide registers */
        return fastnn_supports_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && fastnn_supports_f16c();
    }
    static int fastnn_supports_v4(void) {
        return fastnn_supports_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int fastnn_supports_v2(void) { return 0; }
    static int fastnn_supports_v3(void) { return 0; }
    static int fastnn_supports_v4(void) { return 0; }
    #endif
    """
    bint fastnn_supports_v2()
    bint fastnn_supports_v3()
    bint fastnn_supports_v4()

cdef extern from *:
    """
    #if defined(__x86_64__) || defined(__i386__)
      #include <cpuid.h>
      #define FASTNN_CPUID(leaf, index, r) __get_cpuid_count(leaf, index, r, r + 1, r + 2, r + 3)
    #elif defined(_M_X64)
      #include <intrin.h>
      static int fastnn_cpuid(unsigned leaf, unsigned index, unsigned *r) {
          __cpuid((int *)r, (int)(leaf & 0x80000000u));
          if (r[0] < leaf)
              return 0;
          __cpuidex((int *)r, (int)leaf, (int)index);
          return 1;
      }
      #define FASTNN_CPUID fastnn_cpuid
    #endif

    /* Bytes of the largest cache that a core shares in; 0 if the processor does not tell. */
    static long long fastnn_cache(void) {
        long long most = 0;
    #ifdef FASTNN_CPUID
        static const unsigned leaves[] = {4, 0x8000001d};       /* Intel's and AMD's, of one form */
        unsigned r[4], index;
        for (int i = 0; i < 2; i++)
            for (index = 0; index < 16 && FASTNN_CPUID(leaves[i], index, r) && (r[0] & 31); index++) {
                long long size = (long long)((r[1] >> 22) + 1) * (((r[1] >> 12) & 1023) + 1) * ((r[1] & 4095) + 1)
                                 * ((long long)r[2] + 1);
                if (size > most)
                    most = size;
            }
    #endif
        return most;
    }
    """
    long long fastnn_cache()


def supports(level):
    """Whether this processor runs code of the level "x86-64-v4", "x86-64-v3", "x86-64-v2" or "plain"."""
    if level == "x86-64-v4":
        return bool(fastnn_supports_v4())
    if level == "x86-64-v3":
        return bool(fastnn_supports_v3())
    if level == "x86-64-v2":
        return bool(fastnn_supports_v2())
    return level == "plain"


def last_level_cache():
    """Bytes of the last cache before memory, as far as one core reaches: what the processor says, else 32 MB.

    Not sysconf: glibc counts the caches of all dies of an AMD processor together.
    """
    return fastnn_cache() or 1 << 25
