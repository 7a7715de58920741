/* Tells callgrind whose instructions are counted: those of one stage at a time, without those of the stages it calls.
 *
 * call(stage, function, args, kwargs) calls the function as that stage; measure(stage) chooses which one is counted, and
 * told(name) writes what was counted since into a file of its own. Built by cost_stages.py, which also says why.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <valgrind/callgrind.h>

static long counted = -1; /* -1: none */
static long current = -2; /* -2: outside of every stage */

static PyObject *call(PyObject *Py_UNUSED(self), PyObject *const *given, Py_ssize_t Py_UNUSED(n))
{
    long before = current, stage = PyLong_AsLong(given[0]);
    int turns = (before == counted) != (stage == counted);
    current = stage;
    if (turns)
        CALLGRIND_TOGGLE_COLLECT;
    PyObject *answer = PyObject_Call(given[1], given[2], given[3]);
    if (turns)
        CALLGRIND_TOGGLE_COLLECT;
    current = before;
    return answer;
}

static PyObject *measure(PyObject *Py_UNUSED(self), PyObject *stage)
{
    counted = PyLong_AsLong(stage);
    Py_RETURN_NONE;
}

static PyObject *told(PyObject *Py_UNUSED(self), PyObject *name)
{
    CALLGRIND_DUMP_STATS_AT(PyUnicode_AsUTF8(name));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, "Call a function as a stage."},
    {"measure", measure, METH_O, "Choose the stage that is counted."},
    {"told", told, METH_O, "Write what was counted."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "stage_marks", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_stage_marks(void) { return PyModule_Create(&module); }
