/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * visitors.c - the load of "make demo": about REQUESTS_PER_S to sessiond on 127.0.0.1, for a time.
 *
 * REGULARS keep their connection and session and read pages. Every 6th request is a visitor who
 * hangs up before the answer comes; every 29th one who waits for it and leaves.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS_PER_S 1000
#define REGULARS       16
#define PAGES	       6000
#define ANSWER_MAX     65536
#define NS_PER_S       1000000000LL

struct regular {
	int fd;
	unsigned int sid;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long long clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int visit(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect to sessiond");
	return fd;
}

static void ask(int fd, const char *path, unsigned int sid)
{
	char text[256], cookie[32] = "";
	int bytes;

	if (sid)
		snprintf(cookie, sizeof(cookie), "Cookie: sid=%u\r\n", sid);
	bytes = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path,
			 cookie);
	if (send(fd, text, bytes, MSG_NOSIGNAL) != bytes)
		die("ask sessiond");
}

/* Read one answer to its end. Returns the session it names. */
static unsigned int hear(int fd)
{
	static char text[ANSWER_MAX];
	size_t got = 0, wanted = ANSWER_MAX - 1;
	unsigned int sid = 0;

	while (got < wanted) {
		ssize_t bytes = recv(fd, text + got, wanted - got, 0);
		char *body;

		if (bytes <= 0)
			die("hear sessiond");
		got += bytes;
		text[got] = 0;
		if (sid || !(body = strstr(text, "\r\n\r\n")))
			continue;
		sid = strtoul(strstr(text, "sid=") + 4, NULL, 10);
		wanted = body + 4 - text + strtoul(strstr(text, "Length: ") + 8, NULL, 10);
	}
	return sid;
}

static void read_page(struct regular *regular)
{
	char path[32];

	snprintf(path, sizeof(path), "/page/%d", rand() % PAGES);
	ask(regular->fd, path, regular->sid);
	regular->sid = hear(regular->fd);
}

static void hang_up(int port)
{
	int fd = visit(port);

	ask(fd, "/visit", 0);
	close(fd);
}

/* Start a visit; its answer is taken when the next one starts, long after it is due. */
static void wait_for_answer(int port, int *fd)
{
	if (*fd >= 0) {
		hear(*fd);
		close(*fd);
	}
	*fd = visit(port);
	ask(*fd, "/visit", 0);
}

static void load(int port, long long seconds)
{
	long long begin_ns = clock_ns(), total = seconds * REQUESTS_PER_S;
	struct regular regulars[REGULARS] = {0};
	int patient[3] = {-1, -1, -1};

	for (int i = 0; i < REGULARS; i++)
		regulars[i].fd = visit(port);
	for (long long i = 1; i <= total && clock_ns() < begin_ns + seconds * NS_PER_S; i++) {
		long long ahead_ns = begin_ns + i * (NS_PER_S / REQUESTS_PER_S) - clock_ns();

		if (i % 6 == 0)
			hang_up(port);
		else if (i % 29 == 0)
			wait_for_answer(port, &patient[i / 29 % 3]);
		else
			read_page(&regulars[i % REGULARS]);
		if (ahead_ns > 0)
			nanosleep(&(struct timespec){.tv_nsec = ahead_ns}, NULL);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: visitors PORT SECONDS\n");
		return 2;
	}
	load(atoi(argv[1]), atoi(argv[2]));
	return 0;
}
