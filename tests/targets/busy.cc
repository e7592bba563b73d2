/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * busy.cc - not run: a source that makes a C++ compiler allocate from some thousand different stacks.
 * The ring that takes them out of the kernel has room for all of them, so that none is lost however
 * long seep waits for a CPU.
 */
template <int N> struct sum {
	enum { value = N + sum<N - 1>::value };
};

template <> struct sum<0> {
	enum { value = 0 };
};

struct shape {
	virtual ~shape() {}
	virtual int area(int scale) const = 0;
};

template <class Side> struct box : shape {
	Side side;

	int area(int scale) const override
	{
		return scale * static_cast<int>(sizeof(side)) + sum<7>::value;
	}
};

int area_or_none(const shape &shape)
{
	try {
		return shape.area(7);
	} catch (...) {
		return 0;
	}
}

int main()
{
	box<int> one;
	box<double> other;
	box<char> third;

	return area_or_none(one) + area_or_none(other) + area_or_none(third);
}
