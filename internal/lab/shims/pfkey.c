/*
 * Preloaded into a daemon that uses PF_KEY, where the kernel has none: its
 * PF_KEY sockets become connections to $LAB_PFKEY, a Unix socket where the
 * test plays the kernel (pfkey_server.go).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

int socket(int domain, int type, int protocol)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *path = getenv("LAB_PFKEY");
	int fd;

	if (domain != PF_KEY || !path)
		return NEXT(socket)(domain, type, protocol);
	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	/* Connected before it may be non-blocking. */
	fd = NEXT(socket)(AF_UNIX, SOCK_SEQPACKET | (type & SOCK_CLOEXEC), 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * A kernel has answered when write() returns, and OpenIKED waits for a
 * millisecond only: so wait for the answer here.
 */
static ssize_t answered(int fd, ssize_t n)
{
	int domain = 0, type = 0;
	socklen_t a = sizeof(int), b = sizeof(int);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (n > 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &a) == 0 && domain == AF_UNIX &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &b) == 0 && type == SOCK_SEQPACKET)
		poll(&p, 1, 1000);
	return n;
}

ssize_t write(int fd, const void *b, size_t n) { return answered(fd, NEXT(write)(fd, b, n)); }

ssize_t writev(int fd, const struct iovec *v, int n) { return answered(fd, NEXT(writev)(fd, v, n)); }

ssize_t send(int fd, const void *b, size_t n, int flags) { return answered(fd, NEXT(send)(fd, b, n, flags)); }

/* The bypass policy of a socket is the kernel's business too. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	if ((level == IPPROTO_IP && option == IP_IPSEC_POLICY) || (level == IPPROTO_IPV6 && option == IPV6_IPSEC_POLICY))
		return 0;
	return NEXT(setsockopt)(fd, level, option, value, length);
}
