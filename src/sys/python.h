/* CPython's limited API: functions only, so that one build serves every version from 3.9. The
 * allow-list in build.rs names nothing newer than 3.9, whatever this macro lets the header show. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030a0000
#include <Python.h>
