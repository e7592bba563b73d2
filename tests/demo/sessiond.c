/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sessiond.c - the service of "make demo": HTTP/1.1 on 127.0.0.1, pages and visitors' sessions.
 *
 *	GET /page/N	a rendered page, from a cache of CACHE_BYTES
 *	GET /visit	the same after UPSTREAM_MS, as if a slow backend were asked
 *
 * Who sends no known "Cookie: sid=" gets a session; it ends when idle for SESSION_IDLE_MS. What its
 * memory does, and what a look at RSS cannot tell apart:
 *
 *	page_render()		a cache that fills to its bound, then exchanges its pages
 *	request_parse()		hot churn: a buffer per request, free a moment later
 *	log_append()		a sawtooth: LOG_LINES lines are kept, then written at once
 *	session_create()	the leak: a visitor who hangs up before his answer is ready goes
 *				through connection_hangup(), which takes the session out of
 *				table and idle list, where all find it, and does not free it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CACHE_BYTES	(24 << 20)
#define PAGE_BYTES_MIN	4000
#define PAGE_BYTES_SPAN 12000
#define LOG_LINES	4000
#define SESSION_IDLE_MS 1000
#define UPSTREAM_MS	20
#define TICK_MS		5
#define BUCKETS		4096 /* of each table; a power of two */
#define REQUEST_MAX	2048

struct session {
	LIST_ENTRY(session) by_id;
	TAILQ_ENTRY(session) by_idle;
	uint32_t id;
	int64_t used_ms;
	char cart[2000];
};

struct page {
	LIST_ENTRY(page) by_number;
	TAILQ_ENTRY(page) by_use;
	uint32_t number;
	size_t bytes;
	char text[];
};

struct log_line {
	STAILQ_ENTRY(log_line) next;
	size_t bytes;
	char text[];
};

struct connection {
	TAILQ_ENTRY(connection) by_due;
	int fd;
	bool waiting; /* for the upstream */
	int64_t due_ms;
	struct session *session; /* while waiting */
	uint32_t page;
	size_t got;
	char in[REQUEST_MAX];
};

struct request {
	char *head; /* the lines, cut apart */
	const char *path;
	uint32_t sid; /* 0: none */
};

struct server {
	int epoll_fd, listen_fd, log_fd;
	int64_t now_ms;
	uint32_t last_sid;
	size_t cache_bytes, log_count;
	LIST_HEAD(, session) sessions[BUCKETS];
	TAILQ_HEAD(, session) idle; /* longest first */
	LIST_HEAD(, page) pages[BUCKETS];
	TAILQ_HEAD(, page) recent; /* least recently used first */
	TAILQ_HEAD(, connection) waiting;
	STAILQ_HEAD(, log_line) log;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* ---- sessions ----------------------------------------------------------------------------------
 */

static struct session *session_create(struct server *server)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		die("calloc");
	session->id = ++server->last_sid;
	LIST_INSERT_HEAD(&server->sessions[session->id % BUCKETS], session, by_id);
	TAILQ_INSERT_TAIL(&server->idle, session, by_idle);
	return session;
}

static struct session *session_find(struct server *server, uint32_t id)
{
	struct session *session;

	LIST_FOREACH(session, &server->sessions[id % BUCKETS], by_id)
	if (session->id == id)
		return session;
	return NULL;
}

static void session_touch(struct server *server, struct session *session)
{
	session->used_ms = server->now_ms;
	TAILQ_REMOVE(&server->idle, session, by_idle);
	TAILQ_INSERT_TAIL(&server->idle, session, by_idle);
}

static void session_unlink(struct server *server, struct session *session)
{
	LIST_REMOVE(session, by_id);
	TAILQ_REMOVE(&server->idle, session, by_idle);
}

static void sessions_expire(struct server *server)
{
	struct session *session;

	while ((session = TAILQ_FIRST(&server->idle)) &&
	       server->now_ms - session->used_ms > SESSION_IDLE_MS) {
		session_unlink(server, session);
		free(session);
	}
}

/* ---- pages -------------------------------------------------------------------------------------
 */

static struct page *page_render(uint32_t number)
{
	size_t bytes = PAGE_BYTES_MIN + number * 7919UL % PAGE_BYTES_SPAN;
	struct page *page = malloc(sizeof(*page) + bytes);

	if (!page)
		die("malloc");
	page->number = number;
	page->bytes = bytes;
	memset(page->text, 'a' + number % 26, bytes);
	return page;
}

static void cache_evict(struct server *server)
{
	struct page *page = TAILQ_FIRST(&server->recent);

	TAILQ_REMOVE(&server->recent, page, by_use);
	LIST_REMOVE(page, by_number);
	server->cache_bytes -= page->bytes;
	free(page);
}

static struct page *cache_get(struct server *server, uint32_t number)
{
	struct page *page;

	LIST_FOREACH(page, &server->pages[number % BUCKETS], by_number)
	if (page->number == number)
		break;
	if (page) {
		TAILQ_REMOVE(&server->recent, page, by_use);
	} else {
		page = page_render(number);
		LIST_INSERT_HEAD(&server->pages[number % BUCKETS], page, by_number);
		server->cache_bytes += page->bytes;
	}
	TAILQ_INSERT_TAIL(&server->recent, page, by_use);
	while (server->cache_bytes > CACHE_BYTES)
		cache_evict(server);
	return page;
}

/* ---- log ---------------------------------------------------------------------------------------
 */

static void log_flush(struct server *server)
{
	struct log_line *line;

	while ((line = STAILQ_FIRST(&server->log))) {
		STAILQ_REMOVE_HEAD(&server->log, next);
		if (write(server->log_fd, line->text, line->bytes) < 0)
			die("log");
		free(line);
	}
	server->log_count = 0;
}

static void log_append(struct server *server, const char *path, uint32_t sid)
{
	char text[256];
	int bytes =
	    snprintf(text, sizeof(text), "%lld 127.0.0.1 sid=%u \"GET %.100s HTTP/1.1\" 200\n",
		     (long long)server->now_ms, sid, path);
	struct log_line *line = malloc(sizeof(*line) + bytes);

	if (!line)
		die("malloc");
	line->bytes = bytes;
	memcpy(line->text, text, bytes);
	STAILQ_INSERT_TAIL(&server->log, line, next);
	if (++server->log_count == LOG_LINES)
		log_flush(server);
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static void request_parse(struct request *request, const struct connection *connection)
{
	char *line, *rest;

	*request = (struct request){.head = malloc(connection->got + 1), .path = "/"};
	if (!request->head)
		die("malloc");
	memcpy(request->head, connection->in, connection->got);
	request->head[connection->got] = 0;
	line = strtok_r(request->head, "\r\n", &rest);
	if (line && !strncmp(line, "GET ", 4)) {
		request->path = line + 4;
		line[4 + strcspn(line + 4, " ")] = 0;
	}
	while ((line = strtok_r(NULL, "\r\n", &rest)))
		if (!strncmp(line, "Cookie: sid=", 12))
			request->sid = strtoul(line + 12, NULL, 10);
}

static void answer_send(struct server *server, struct connection *connection, uint32_t sid)
{
	struct page *page = cache_get(server, connection->page);
	char head[128];
	int bytes = snprintf(head, sizeof(head),
			     "HTTP/1.1 200 OK\r\nSet-Cookie: sid=%u\r\nContent-Length: %zu\r\n\r\n",
			     sid, page->bytes);

	/* a client that has gone, or does not read, loses its answer */
	if (send(connection->fd, head, bytes, MSG_NOSIGNAL | MSG_MORE) == bytes)
		send(connection->fd, page->text, page->bytes, MSG_NOSIGNAL);
}

static void request_handle(struct server *server, struct connection *connection)
{
	struct session *session = NULL;
	struct request request;

	request_parse(&request, connection);
	if (request.sid)
		session = session_find(server, request.sid);
	if (!session)
		session = session_create(server);
	session_touch(server, session);
	log_append(server, request.path, session->id);
	connection->page =
	    !strncmp(request.path, "/page/", 6) ? strtoul(request.path + 6, NULL, 10) : 0;
	if (strcmp(request.path, "/visit")) {
		answer_send(server, connection, session->id);
	} else {
		connection->waiting = true;
		connection->session = session;
		connection->due_ms = server->now_ms + UPSTREAM_MS;
		TAILQ_INSERT_TAIL(&server->waiting, connection, by_due);
	}
	connection->got = 0;
	free(request.head);
}

static void answers_due(struct server *server)
{
	struct connection *connection;

	while ((connection = TAILQ_FIRST(&server->waiting)) &&
	       connection->due_ms <= server->now_ms) {
		TAILQ_REMOVE(&server->waiting, connection, by_due);
		connection->waiting = false;
		answer_send(server, connection, connection->session->id);
	}
}

/* ---- connections -------------------------------------------------------------------------------
 */

static void connection_accept(struct server *server)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct connection *connection;
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	connection = malloc(sizeof(*connection));
	if (!connection)
		die("malloc");
	*connection = (struct connection){.fd = fd};
	event.data.ptr = connection;
	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void connection_hangup(struct server *server, struct connection *connection)
{
	if (connection->waiting) {
		/* the visitor left before the answer was ready: his session is of no more use */
		TAILQ_REMOVE(&server->waiting, connection, by_due);
		session_unlink(server, connection->session);
	}
	close(connection->fd);
	free(connection);
}

static void connection_read(struct server *server, struct connection *connection)
{
	ssize_t got =
	    read(connection->fd, connection->in + connection->got, REQUEST_MAX - connection->got);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 || connection->waiting) {
		connection_hangup(server, connection);
		return;
	}
	connection->got += got;
	if (memmem(connection->in, connection->got, "\r\n\r\n", 4))
		request_handle(server, connection);
}

/* ---- start -------------------------------------------------------------------------------------
 */

static void server_listen(struct server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN};
	socklen_t bytes = sizeof(address);

	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(server->listen_fd, (struct sockaddr *)&address, bytes) ||
	    listen(server->listen_fd, 128) ||
	    getsockname(server->listen_fd, (struct sockaddr *)&address, &bytes) ||
	    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listen_fd, &event))
		die("listen on 127.0.0.1");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
}

static void server_run(struct server *server)
{
	struct epoll_event events[64];

	for (;;) {
		int count = epoll_wait(server->epoll_fd, events, 64, TICK_MS);

		server->now_ms = clock_ms();
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				connection_read(server, events[i].data.ptr);
			else
				connection_accept(server);
		}
		answers_due(server);
		sessions_expire(server);
	}
}

int main(int argc, char **argv)
{
	static struct server server;

	if (argc != 2) {
		fprintf(stderr, "usage: sessiond ACCESS_LOG (prints its port)\n");
		return 2;
	}
	server.log_fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (server.log_fd < 0)
		die(argv[1]);
	TAILQ_INIT(&server.idle);
	TAILQ_INIT(&server.recent);
	TAILQ_INIT(&server.waiting);
	STAILQ_INIT(&server.log);
	server_listen(&server);
	server_run(&server);
}
