/* SPDX-License-Identifier: GPL-2.0-only */
/* demangle.h - C++ and Rust names as people write them. */
#ifndef SEEP_ELF_DEMANGLE_H
#define SEEP_ELF_DEMANGLE_H

#define DEMANGLED_MAX 4096 /* bytes; longer names are cut and end in "..." */

/*
 * A readable copy of a symbol's name: C++ (Itanium ABI) and Rust (legacy and v0) are demangled,
 * a version ("@GLIBC_2.2.5") is cut off, everything else stays as it is. Safe for hostile names
 * (recursion and output are bounded). The caller frees it; NULL only when memory is out.
 */
char *demangle(const char *name);

#endif
