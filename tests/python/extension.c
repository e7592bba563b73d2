/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * extension.c - a C extension whose module function keep(size) keeps a block of malloc(), and whose
 * keep_object(size) keeps a bytes object. The plain function extension_keep() serves ctypes.
 */
#include <Python.h>
#include <stdlib.h>

static void *kept[4099];
static unsigned int kept_count;

__attribute__((noinline)) int extension_keep(size_t size)
{
	if (kept_count == sizeof(kept) / sizeof(*kept))
		return -1;
	kept[kept_count] = malloc(size);
	return kept[kept_count++] ? 0 : -1;
}

static PyObject *keep(PyObject *module, PyObject *size)
{
	(void)module;
	if (extension_keep(PyLong_AsSize_t(size)))
		return PyErr_NoMemory();
	Py_RETURN_NONE;
}

static PyObject *keep_object(PyObject *module, PyObject *size)
{
	(void)module;
	kept[kept_count++] = PyBytes_FromStringAndSize(NULL, PyLong_AsSsize_t(size));
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"keep", keep, METH_O, NULL},
	{"keep_object", keep_object, METH_O, NULL},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, .m_name = "extension", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_extension(void)
{
	return PyModule_Create(&module);
}
