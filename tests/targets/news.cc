/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * news.cc - operator new in its forms, each called by a function of its own.
 *
 * build: $CXX -std=c++17 -o $OUT/news $SRC
 * build: $CXX -std=c++17 -static-libstdc++ -static-libgcc -o $OUT/news-own-libstdcxx $SRC
 *
 * make_node <- handle_request <- main	6007 x 101
 * make_array		103 x 1009 (new[])
 * make_aligned		107 x 128 (new, align 64)
 * make_nothrow		109 x 1013
 * make_and_delete	2003 x 211, deleted: sized, unsized, array and aligned in turn
 * fill_vector		std::vector<char>, reserve(100003)
 */
#include <new>
#include <vector>

#include "target.h"

namespace web
{
struct node {
	char payload[101];
};
struct alignas(64) wide {
	char payload[128];
};

NOIPA node *make_node()
{
	node *made = static_cast<node *>(::operator new(sizeof(node)));
	HOLD(made);
	return made;
}

NOIPA void handle_request()
{
	make_node();
	NO_TAIL_CALL();
}

NOIPA void make_array()
{
	for (int i = 0; i < 103; i++) {
		char *made = new char[1009];
		HOLD(made);
	}
}

NOIPA void make_aligned()
{
	for (int i = 0; i < 107; i++) {
		wide *made = new wide;
		HOLD(made);
	}
}

NOIPA void make_nothrow()
{
	for (int i = 0; i < 109; i++) {
		void *made = ::operator new(1013, std::nothrow);
		HOLD(made);
	}
}

NOIPA void make_and_delete()
{
	for (int i = 0; i < 2003; i++) {
		void *made;

		switch (i % 4) {
		case 0:
			made = ::operator new(211);
			HOLD(made);
			::operator delete(made, std::size_t(211));
			break;
		case 1:
			made = ::operator new(211);
			HOLD(made);
			::operator delete(made);
			break;
		case 2:
			made = ::operator new[](211);
			HOLD(made);
			::operator delete[](made);
			break;
		default:
			made = ::operator new(211, std::align_val_t(64));
			HOLD(made);
			::operator delete(made, std::align_val_t(64));
		}
		NO_TAIL_CALL();
	}
}

NOIPA void fill_vector(std::vector<char> &bytes)
{
	bytes.reserve(100003);
	NO_TAIL_CALL();
}
} // namespace web

int main()
{
	std::vector<char> bytes;

	target_ready();
	for (int i = 0; i < 6007; i++)
		web::handle_request();
	web::make_array();
	web::make_aligned();
	web::make_nothrow();
	web::make_and_delete();
	web::fill_vector(bytes);
	target_done();
	return 0;
}
