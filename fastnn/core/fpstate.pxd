"""The floating-point environment of a call: default on entry, the caller's own afterwards, raised flags included.

With `flush`, subnormal operands and results count as zero: optimizer state that decays through them would otherwise
slow every step down several times. Where the processor's switch is not known here, subnormals are simply kept.
"""

cdef extern from *:
    """
    #if defined(__SSE2__) || defined(_M_X64)
      #include <xmmintrin.h>
      typedef unsigned int fastnn_fp_state;
      static inline fastnn_fp_state fastnn_fp_enter(int flush) {
          fastnn_fp_state saved = _mm_getcsr();
          _mm_setcsr(flush ? 0x9fc0u : 0x1f80u);      /* exceptions masked, round to nearest; FTZ, DAZ */
          return saved;
      }
      static inline void fastnn_fp_leave(fastnn_fp_state saved) { _mm_setcsr(saved); }
    #else
      #include <fenv.h>
      typedef fenv_t fastnn_fp_state;
      static inline fastnn_fp_state fastnn_fp_enter(int flush) {
          fastnn_fp_state saved;
          (void)flush;
          feholdexcept(&saved);
          return saved;
      }
      static inline void fastnn_fp_leave(fastnn_fp_state saved) { fesetenv(&saved); }
    #endif
    """
    ctypedef struct fastnn_fp_state:
        pass
    fastnn_fp_state fastnn_fp_enter(int flush) noexcept nogil
    void fastnn_fp_leave(fastnn_fp_state saved) noexcept nogil
