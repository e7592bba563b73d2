/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * busy.cc - not run: a source that keeps a C++ compiler allocating for a second or two.
 */
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <vector>

std::map<std::string, std::vector<int>> count_words(const std::string &text)
{
	static const std::regex word("[a-z]+([-'][a-z]+)*", std::regex::icase);
	std::map<std::string, std::vector<int>> seen;

	for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at)
		seen[at->str()].push_back(static_cast<int>(at->position()));
	return seen;
}

std::function<int(int)> adder(int amount)
{
	std::vector<std::string> names{ "one", "two", "three" };

	std::sort(names.begin(), names.end());
	return [amount, names](int value) { return value + amount + static_cast<int>(names.size()); };
}
