/* Numbers of Python and scalars of NumPy, read and made without an array. */

#ifndef FASTNN_NUMBERS_H
#define FASTNN_NUMBERS_H

#include <Python.h>
#include <numpy/arrayscalars.h>

enum { FASTNN_NO_NUMBER, FASTNN_SINGLE, FASTNN_DOUBLE };

/* float32 scalars are single; float64 scalars, float and int, no subclass of them, double. Not an int that has no exact
   double. */
static inline int fastnn_number(PyObject *x, double *value)
{
    if (PyFloat_CheckExact(x)) {
        *value = PyFloat_AS_DOUBLE(x);
        return FASTNN_DOUBLE;
    }
    if (Py_TYPE(x) == &PyDoubleArrType_Type) {
        *value = PyArrayScalar_VAL(x, Double);
        return FASTNN_DOUBLE;
    }
    if (Py_TYPE(x) == &PyFloatArrType_Type) {
        *value = (double)PyArrayScalar_VAL(x, Float);
        return FASTNN_SINGLE;
    }
    if (PyLong_CheckExact(x)) {
        int overflow;
        long long i = PyLong_AsLongLongAndOverflow(x, &overflow);
        *value = (double)i;
        if (!overflow && -(1LL << 53) <= i && i <= 1LL << 53)
            return FASTNN_DOUBLE;
    }
    return FASTNN_NO_NUMBER;
}

/* New references, NULL with an exception where there is no memory. */

static inline PyObject *fastnn_float_scalar(float value)
{
    PyObject *made = PyArrayScalar_New(Float);
    if (made)
        PyArrayScalar_ASSIGN(made, Float, value);
    return made;
}

static inline PyObject *fastnn_double_scalar(double value)
{
    PyObject *made = PyArrayScalar_New(Double);
    if (made)
        PyArrayScalar_ASSIGN(made, Double, value);
    return made;
}

#endif
