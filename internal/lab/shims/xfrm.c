/*
 * Preloaded into a daemon that installs IPsec SAs through NETLINK_XFRM, where the
 * kernel has no ESP: adding, updating and deleting an SA is reported as done
 * whatever the kernel says, and each is written as a line to $LAB_SA_LOG, with
 * its keys, so that a test can compare what both ends have installed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static int is_xfrm(int fd)
{
	int domain = 0, protocol = 0;
	socklen_t n = sizeof(int), m = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_NETLINK &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &m) == 0 && protocol == NETLINK_XFRM;
}

static int is_sa_request(int type)
{
	return type == XFRM_MSG_NEWSA || type == XFRM_MSG_UPDSA || type == XFRM_MSG_DELSA;
}

static void write_key(FILE *f, const char *what, const char *name, const void *key, unsigned bits)
{
	const unsigned char *k = key;

	fprintf(f, " %s=%s %skey=", what, name, what);
	for (unsigned i = 0; i < bits / 8; i++)
		fprintf(f, "%02x", k[i]);
}

static void write_sa(FILE *f, const struct nlmsghdr *h)
{
	const struct xfrm_usersa_info *sa = NLMSG_DATA(h);
	const struct xfrm_algo *plain;
	const struct xfrm_algo_aead *aead;
	const struct xfrm_algo_auth *trunc;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	int left = (int)h->nlmsg_len - (int)NLMSG_SPACE(sizeof(*sa));
	const char *p = (const char *)h + NLMSG_SPACE(sizeof(*sa));

	inet_ntop(sa->family, &sa->saddr, src, sizeof(src));
	inet_ntop(sa->family, &sa->id.daddr, dst, sizeof(dst));
	fprintf(f, "%s spi=%08x proto=%d src=%s dst=%s mode=%s", h->nlmsg_type == XFRM_MSG_NEWSA ? "add" : "update",
		ntohl(sa->id.spi), sa->id.proto, src, dst, sa->mode == XFRM_MODE_TUNNEL ? "tunnel" : "transport");
	while (left >= (int)sizeof(struct nlattr)) {
		const struct nlattr *a = (const void *)p;
		const void *v = p + NLA_HDRLEN;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > left)
			break;
		switch (a->nla_type & NLA_TYPE_MASK) {
		case XFRMA_ALG_CRYPT:
			plain = v;
			write_key(f, "enc", plain->alg_name, plain->alg_key, plain->alg_key_len);
			break;
		case XFRMA_ALG_AEAD:
			aead = v;
			write_key(f, "enc", aead->alg_name, aead->alg_key, aead->alg_key_len);
			fprintf(f, " icv=%u", aead->alg_icv_len);
			break;
		case XFRMA_ALG_AUTH_TRUNC:
			trunc = v;
			write_key(f, "auth", trunc->alg_name, trunc->alg_key, trunc->alg_key_len);
			fprintf(f, " icv=%u", trunc->alg_trunc_len);
			break;
		case XFRMA_ENCAP:
			fprintf(f, " encap=yes");
			break;
		}
		p += NLA_ALIGN(a->nla_len);
		left -= NLA_ALIGN(a->nla_len);
	}
	fputc('\n', f);
}

/* request looks at what goes to the kernel. */
static void request(int fd, const void *message, size_t length)
{
	const struct nlmsghdr *h = message;
	const struct xfrm_usersa_id *id = NLMSG_DATA(h);
	const char *path = getenv("LAB_SA_LOG");
	FILE *f;

	if (length < sizeof(*h) || h->nlmsg_len > length || !is_sa_request(h->nlmsg_type) || !is_xfrm(fd))
		return;
	if (!path || !(f = fopen(path, "a")))
		return;
	if (h->nlmsg_type == XFRM_MSG_DELSA)
		fprintf(f, "delete spi=%08x proto=%d\n", ntohl(id->spi), id->proto);
	else
		write_sa(f, h);
	fclose(f);
}

/* answer turns errors from the kernel into success. */
static ssize_t answer(int fd, void *message, ssize_t length)
{
	struct nlmsghdr *h = message;
	struct nlmsgerr *e = NLMSG_DATA(h);

	if (length >= (ssize_t)NLMSG_LENGTH(sizeof(*e)) && h->nlmsg_type == NLMSG_ERROR &&
	    is_sa_request(e->msg.nlmsg_type) && is_xfrm(fd))
		e->error = 0;
	return length;
}

ssize_t write(int fd, const void *b, size_t n)
{
	request(fd, b, n);
	return NEXT(write)(fd, b, n);
}

ssize_t send(int fd, const void *b, size_t n, int flags)
{
	request(fd, b, n);
	return NEXT(send)(fd, b, n, flags);
}

ssize_t sendto(int fd, const void *b, size_t n, int flags, const struct sockaddr *to, socklen_t len)
{
	request(fd, b, n);
	return NEXT(sendto)(fd, b, n, flags, to, len);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (m->msg_iovlen > 0)
		request(fd, m->msg_iov[0].iov_base, m->msg_iov[0].iov_len);
	return NEXT(sendmsg)(fd, m, flags);
}

ssize_t read(int fd, void *b, size_t n) { return answer(fd, b, NEXT(read)(fd, b, n)); }

ssize_t recv(int fd, void *b, size_t n, int flags) { return answer(fd, b, NEXT(recv)(fd, b, n, flags)); }

ssize_t recvfrom(int fd, void *b, size_t n, int flags, struct sockaddr *from, socklen_t *len)
{
	return answer(fd, b, NEXT(recvfrom)(fd, b, n, flags, from, len));
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = NEXT(recvmsg)(fd, m, flags);

	return m->msg_iovlen > 0 ? answer(fd, m->msg_iov[0].iov_base, n) : n;
}

/* What a compiler with -D_FORTIFY_SOURCE makes of the calls above. */
ssize_t __read_chk(int fd, void *b, size_t n, size_t room) { (void)room; return read(fd, b, n); }

ssize_t __recv_chk(int fd, void *b, size_t n, size_t room, int flags) { (void)room; return recv(fd, b, n, flags); }

ssize_t __recvfrom_chk(int fd, void *b, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *len)
{
	(void)room;
	return recvfrom(fd, b, n, flags, from, len);
}
