# cython: cdivision=True
"""What GELU and its derivative take from the normal distribution, Phi its function and phi its density.

Near 0 Phi(x) is 1/2 + x (phi(0) + core(x^2)) and GELU'(x) is 1/2 + x (2 phi(0) + slope_core(x^2)). From |x| = a = 11/16 on
Phi(-a) is exp(-a^2/2) G(a), where a G = `tail` and phi(0) a - G = `slope_tail` are polynomials in u = (a - 11/16)/(a + c), which
goes from 0 to 1. The border was chosen for G, which is there within 2^-33 of a float. Errors: tools/polynomials.py.
"""
from fastnn.core.vecmath cimport exp_pieces, fma, HAS_FMA, lane, least, product_low


cdef inline lane normal_bound(lane a) noexcept nogil:
    """a >= 0, at most where Phi(-a) has vanished in the type of `a`; NaN becomes that, too."""
    return least(a, <lane>39 if lane is double else <lane>15)


cdef inline lane normal_weight(lane a, lane *t, lane *r) noexcept nogil:
    """t, r and, returned, q in 2^BIAS exp(-a^2/2) = t (1 + r + r^2 q), a^2 kept in two parts because exp multiplies its error."""
    cdef lane square = a * a
    return exp_pieces(<lane>-0.5 * square, <lane>-0.5 * product_low(a, a, square), t, r)


cdef inline lane density(lane like) noexcept nogil:
    """phi(0), rounded."""
    return <lane>0.3989422804014327


cdef inline lane half_plus_density(lane x, lane low) noexcept nogil:
    """1/2 + x (phi(0) + low), which cancels; phi(0) as it is rounded."""
    cdef lane y
    if HAS_FMA:
        return fma(x, low, fma(x, density(x), <lane>0.5))
    y = x * density(x)
    return (<lane>0.5 + y) + (product_low(x, density(x), y) + x * low)


cdef inline lane core(lane w) noexcept nogil:
    """With what phi(0) lost by its rounding."""
    cdef lane ww = w * w
    cdef lane q, odd
    if lane is not double:
        q = <lane>0.0001041563737
        q = fma(q, w, <lane>-0.001182356151)
        q = fma(q, w, <lane>0.009972640313)
        q = fma(q, w, <lane>-0.06649032235)
        return fma(q, w, <lane>-1.1335170e-8)
    else:
        q = <lane>-1.01011296214466498e-10
        odd = <lane>2.26099336563922043e-9
        q = fma(q, ww, <lane>-4.12192841085431805e-8)
        odd = fma(odd, ww, <lane>6.65966678311504936e-7)
        q = fma(q, ww, <lane>-9.44465565107836805e-6)
        odd = fma(odd, ww, <lane>0.000115434687530196369)
        q = fma(q, ww, <lane>-0.00118732821547331223)
        odd = fma(odd, ww, <lane>0.0099735570100355081)
        q = fma(q, ww, <lane>-0.0664903800669054412)
        q = fma(odd, w, q)
        return fma(q, w, <lane>-2.4923272e-17)


cdef inline lane slope_core(lane w) noexcept nogil:
    """With twice what phi(0) lost by its rounding."""
    cdef lane ww = w * w
    cdef lane q, odd
    if lane is not double:
        q = <lane>-9.862431762e-5
        q = fma(q, w, <lane>0.001144974842)
        q = fma(q, w, <lane>-0.009495747276)
        q = fma(q, w, <lane>0.05984092504)
        q = fma(q, w, <lane>-0.265961498)
        return fma(q, w, <lane>-2.2670340e-8)
    else:
        q = <lane>-2.00232937541124097e-9
        odd = <lane>4.06603205776812917e-8
        q = fma(q, ww, <lane>-6.59475591241633692e-7)
        odd = fma(odd, ww, <lane>9.32351783351863104e-6)
        q = fma(q, ww, <lane>-0.0001133358634475577)
        odd = fma(odd, ww, <lane>0.00115434687458143364)
        q = fma(q, ww, <lane>-0.00949862572371903274)
        odd = fma(odd, ww, <lane>0.0598413420602098636)
        q = fma(q, ww, <lane>-0.265961520267621709)
        q = fma(odd, w, q)
        return fma(q, w, <lane>-4.9846544e-17)


cdef inline lane shift(lane a) noexcept nogil:
    """a + c."""
    return a + (<lane>3 if lane is double else <lane>2)


cdef inline lane tail(lane a, lane *low) noexcept nogil:
    """a G(a), and as low what the last sum lost."""
    cdef lane start = <lane>0.214110866165516861
    cdef lane u = (a - <lane>0.6875) / shift(a)
    cdef lane y
    cdef lane q
    if lane is not double:
        q = <lane>0.006665215828
        q = fma(q, u, <lane>0.002244630828)
        q = fma(q, u, <lane>-0.03839026019)
        q = fma(q, u, <lane>0.01393099781)
        q = fma(q, u, <lane>0.01867102459)
        q = fma(q, u, <lane>0.07830295712)
        q = fma(q, u, <lane>-0.01030332316)
        q = fma(q, u, <lane>-0.3817459345)
        q = fma(q, u, <lane>0.4954734743)
    else:
        q = <lane>-0.00160720468954206937
        q = fma(q, u, <lane>0.0153392247950783073)
        q = fma(q, u, <lane>-0.0664738071631577887)
        q = fma(q, u, <lane>0.174053439194510967)
        q = fma(q, u, <lane>-0.310256268672743418)
        q = fma(q, u, <lane>0.402978180477987724)
        q = fma(q, u, <lane>-0.397032713217969957)
        q = fma(q, u, <lane>0.302579694230588891)
        q = fma(q, u, <lane>-0.181496940104441118)
        q = fma(q, u, <lane>0.087797242825351729)
        q = fma(q, u, <lane>-0.0313442521634959975)
        q = fma(q, u, <lane>0.00864432764734300758)
        q = fma(q, u, <lane>-0.00815541155672409)
        q = fma(q, u, <lane>-0.00528671221588493303)
        q = fma(q, u, <lane>0.00995770220307373374)
        q = fma(q, u, <lane>0.031731552019032605)
        q = fma(q, u, <lane>-0.000869858407303527106)
        q = fma(q, u, <lane>-0.121010888222229981)
        q = fma(q, u, <lane>-0.0361023714903466325)
        q = fma(q, u, <lane>0.603242250035405325)
        q = fma(q, u, <lane>-0.971692083906853243)
        q = fma(q, u, <lane>0.679836312618521732)
    y = fma(q, u, start)
    low[0] = fma(q, u, start - y)
    return y


cdef inline lane slope_tail(lane a) noexcept nogil:
    """phi(0) a - G(a)."""
    cdef lane u = (a - <lane>0.6875) / shift(a)
    cdef lane uu = u * u
    cdef lane odd
    cdef lane q
    if lane is not double:
        q = <lane>0.003683988703
        q = fma(q, u, <lane>-0.007268222515)
        q = fma(q, u, <lane>-0.001842923113)
        q = fma(q, u, <lane>-0.001376659959)
        q = fma(q, u, <lane>0.02506264858)
        q = fma(q, u, <lane>0.04464907572)
        q = fma(q, u, <lane>-0.2477352023)
        q = fma(q, u, <lane>0.5976010561)
        q = fma(q, u, <lane>-0.01382741146)
    else:
        q = <lane>-0.0000834674064903421381
        odd = <lane>0.000750773880811301435
        q = fma(q, uu, <lane>-0.0030546871149976485)
        odd = fma(odd, uu, <lane>0.00749914283099040006)
        q = fma(q, uu, <lane>-0.0125711250899001262)
        odd = fma(odd, uu, <lane>0.0154569380423403777)
        q = fma(q, uu, <lane>-0.014477005574803567)
        odd = fma(odd, uu, <lane>0.0104940896512414911)
        q = fma(q, uu, <lane>-0.0060925884026599977)
        odd = fma(odd, uu, <lane>0.00286762101536420155)
        q = fma(q, uu, <lane>-0.000805343857998055664)
        odd = fma(odd, uu, <lane>0.000447029214499893262)
        q = fma(q, uu, <lane>-0.000540309092292423914)
        odd = fma(odd, uu, <lane>-0.00128865794550545639)
        q = fma(q, uu, <lane>-0.000244279902134044141)
        odd = fma(odd, uu, <lane>0.00496452536556839848)
        q = fma(q, uu, <lane>0.00677615479707192533)
        odd = fma(odd, uu, <lane>-0.0200884695900887152)
        q = fma(q, uu, <lane>-0.0455149079480845833)
        odd = fma(odd, uu, <lane>0.210591309200320015)
        q = fma(q, uu, <lane>-0.339918156309279518)
        odd = fma(odd, uu, <lane>0.593851299891276163)
        q = fma(q, uu, <lane>-0.0100776052539275195)
        q = fma(odd, u, q)
    return q * shift(a)
