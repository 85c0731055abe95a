# cython: cdivision=True
"""Smooth activations of exponentials, their integrals and their inverses: f, f' and f'' of each, side by side."""
from fastnn.core.sigmoidal cimport log1p_of_exp
from fastnn.core.vecmath cimport (absolute, at_least, at_most, exp_floor, exp_parts, exp_split_at, fma, lane,
                                  product_low, unscale, with_sign)


# exp(x), in two steps where it leaves the normal numbers

cdef inline lane exponential(lane x, const lane *h) noexcept nogil:
    cdef lane half = <lane>64 if lane is float else <lane>128
    cdef lane bias = (<lane>127 if lane is float else <lane>1023) + (half if x < <lane>0 else -half)
    cdef lane up = <lane>1.8446744073709552e19 if lane is float else <lane>3.402823669209385e38          # 2^64, 2^128
    cdef lane t
    cdef lane p = exp_split_at(at_most(at_least(x, exp_floor(x)), <lane>90 if lane is float else <lane>711), bias, &t)
    return fma(t, p, t) * (<lane>1 / up if x < <lane>0 else up)


cdef inline lane exponential_by_value(lane y, const lane *h) noexcept nogil:
    return y


# log-cosh: w/2 + w^2 L(w), w = x^2, up to 1, a - log(2) + log(1 + exp(-2a)) beyond;  f' = tanh(x)

cdef inline lane log_cosh_tail(lane w) noexcept nogil:
    """L(w): relative error 2^-27.1 (float), 2^-56.8 (double) of the result."""
    cdef lane q
    if lane is float:
        q = <lane>-2.610353658e-5
        q = fma(q, w, <lane>0.000177979513)
        q = fma(q, w, <lane>-0.0006820051349)
        q = fma(q, w, <lane>0.002163203666)
        q = fma(q, w, <lane>-0.006740545388)
        q = fma(q, w, <lane>0.02222161181)
        return fma(q, w, <lane>-0.08333331347)
    q = <lane>-2.30816714367577142e-9
    q = fma(q, w, <lane>2.45101407357550103e-8)
    q = fma(q, w, <lane>-1.3151395985867468e-7)
    q = fma(q, w, <lane>4.94159325984052609e-7)
    q = fma(q, w, <lane>-1.53050241945640781e-6)
    q = fma(q, w, <lane>4.33360373328397731e-6)
    q = fma(q, w, <lane>-0.0000119201870055389679)
    q = fma(q, w, <lane>0.0000327656392863511262)
    q = fma(q, w, <lane>-0.0000909858735910166615)
    q = fma(q, w, <lane>0.000256579826386670246)
    q = fma(q, w, <lane>-0.000738602858497494977)
    q = fma(q, w, <lane>0.0021869488444616089)
    q = fma(q, w, <lane>-0.00674603174554267663)
    q = fma(q, w, <lane>0.0222222222222089455)
    return fma(q, w, <lane>-0.0833333333333332038)


cdef inline lane log_cosh(lane x, const lane *h) noexcept nogil:
    cdef lane a = absolute(x)
    cdef lane w = a * a
    cdef lane near = fma(w * w, log_cosh_tail(w), <lane>0.5 * w)
    cdef lane low = <lane>-1.904654e-9 if lane is float else <lane>2.3190468138462996e-17      # of log(2)
    cdef lane far = (a - <lane>0.6931471805599453) + (log1p_of_exp(a + a) - low)
    return near if a < <lane>1 else far


# erf: x + x E(x^2) up to 0.85, 1 - erfc(a) beyond;  f' = 2/sqrt(pi) exp(-x^2);  f'' = -2x f'

cdef inline lane erf_core(lane w) noexcept nogil:
    """E(w): relative error of erf 2^-26.8 (float), 2^-56.1 (double)."""
    cdef lane q
    if lane is float:
        q = <lane>8.857742068e-5
        q = fma(q, w, <lane>-0.0008248971426)
        q = fma(q, w, <lane>0.005209681578)
        q = fma(q, w, <lane>-0.0268626269)
        q = fma(q, w, <lane>0.1128374934)
        q = fma(q, w, <lane>-0.3761263788)
        return fma(q, w, <lane>0.1283791661)
    q = <lane>-8.84034149827389302e-10
    q = fma(q, w, <lane>1.41908299912543252e-8)
    q = fma(q, w, <lane>-1.63007098022439924e-7)
    q = fma(q, w, <lane>1.6457697233694268e-6)
    q = fma(q, w, <lane>-0.0000149254513398608543)
    q = fma(q, w, <lane>0.000120553269803747929)
    q = fma(q, w, <lane>-0.00085483269040870604)
    q = fma(q, w, <lane>0.00522397762393538717)
    q = fma(q, w, <lane>-0.0268661706450189428)
    q = fma(q, w, <lane>0.112837916709546932)
    q = fma(q, w, <lane>-0.376126389031837483)
    return fma(q, w, <lane>0.128379167095512586)


cdef inline lane erfc_far(lane t) noexcept nogil:
    """erfc(a) in t = 0.645 a - 1.548 from -1 to 1, for float: error 2^-26.1."""
    cdef lane q
    q = <lane>-0.0006103995838
    q = fma(q, t, <lane>0.0003613331355)
    q = fma(q, t, <lane>0.003569315886)
    q = fma(q, t, <lane>-0.00491957413)
    q = fma(q, t, <lane>-0.004751177039)
    q = fma(q, t, <lane>0.01785265654)
    q = fma(q, t, <lane>-0.01745481044)
    q = fma(q, t, <lane>-0.005488807335)
    q = fma(q, t, <lane>0.04278421775)
    q = fma(q, t, <lane>-0.07052161545)
    q = fma(q, t, <lane>0.06993822008)
    q = fma(q, t, <lane>-0.04643892497)
    q = fma(q, t, <lane>0.02050211467)
    q = fma(q, t, <lane>-0.005511051044)
    return fma(q, t, <lane>0.0006885119365)


cdef inline lane erfc_tail(lane u) noexcept nogil:
    """T in (a + 4) exp(a^2) erfc(a) = 1.096 + u T(u), u = (a - 4)/(a + 4): relative error 2^-58.5."""
    cdef lane q
    q = <lane>-1.1705019282664459e-8
    q = fma(q, u, <lane>1.10213807644304562e-9)
    q = fma(q, u, <lane>1.18396831977395639e-7)
    q = fma(q, u, <lane>-7.56208636924162069e-8)
    q = fma(q, u, <lane>-8.41431904159315472e-7)
    q = fma(q, u, <lane>1.42411716319810634e-6)
    q = fma(q, u, <lane>4.69203811671550728e-6)
    q = fma(q, u, <lane>-0.0000188607954375613476)
    q = fma(q, u, <lane>-3.63442709260570088e-6)
    q = fma(q, u, <lane>0.000176812778960244303)
    q = fma(q, u, <lane>-0.000455052831595395145)
    q = fma(q, u, <lane>-0.000280958856499183794)
    q = fma(q, u, <lane>0.00611205567379987085)
    q = fma(q, u, <lane>-0.0263700533414560345)
    q = fma(q, u, <lane>0.0763815149080236538)
    q = fma(q, u, <lane>-0.174010937239859248)
    q = fma(q, u, <lane>0.33085158787805774)
    q = fma(q, u, <lane>-0.540853831313237388)
    q = fma(q, u, <lane>0.773208702265236525)
    return fma(q, u, <lane>-0.976548729080881972)


cdef inline lane gauss(lane a, lane weight) noexcept nogil:
    """weight exp(-a^2), a >= 0 up to where it has vanished."""
    cdef lane square = a * a
    cdef lane t
    cdef lane p = exp_parts(-square, -product_low(a, a, square), &t)
    t = weight * t
    return fma(t, p, t) * unscale(a)


cdef inline lane gauss_bound(lane x) noexcept nogil:
    cdef lane most = <lane>11 if lane is float else <lane>28
    return at_most(at_least(x, -most), most)


cdef inline lane erf(lane x, const lane *h) noexcept nogil:
    cdef lane a = at_most(absolute(x), <lane>3.95 if lane is float else <lane>28)
    cdef lane near = fma(a, erf_core(a * a), a)
    cdef lane far, r, u
    if lane is float:
        far = <lane>1 - erfc_far(fma(a, <lane>0.6451612710952759, <lane>-1.548387050628662))
    else:
        r = <lane>1 / (a + <lane>4)
        u = (a - <lane>4) * r
        far = fma(-gauss(a, <lane>1), fma(u, erfc_tail(u), <lane>1.095995661000491) * r, <lane>1)
    return with_sign(far if a > <lane>0.85 else near, x)


cdef inline lane erf_d1(lane x, const lane *h) noexcept nogil:
    return gauss(absolute(gauss_bound(x)), <lane>1.1283791670955126)


cdef inline lane erf_d2(lane x, const lane *h) noexcept nogil:
    cdef lane b = gauss_bound(x)
    return gauss(absolute(b), <lane>-2.2567583341910251 * b)
