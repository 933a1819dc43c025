/*
 * Preloaded into User Mode Linux (kernel.go) on processors with AMX.
 *
 * Debian's UML keeps the floating-point state of its processes in a buffer of
 * fixed size and passes that to PTRACE_SETREGSET. The host wants its whole
 * XSAVE area, which with AMX is larger, and answers EFAULT; UML then panics as
 * soon as it starts init. So: what UML passes is padded to the host's size, and
 * the states that are not in it are marked as being in their initial state.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NT_X86_XSTATE 0x202
#define XSTATE_BV 512       /* where the bit map of the states is */
#define UML_STATES 0x3ffULL /* x87 to AVX-512 and PKRU */

/* UML's kernel stacks are small, and it is a single thread. */
static uint8_t area[64 * 1024] __attribute__((aligned(64)));
static size_t host_size;

long ptrace(enum __ptrace_request request, ...)
{
	static long (*next)(enum __ptrace_request, ...);
	struct iovec host = { area, sizeof(area) }, *uml;
	uint64_t states;
	void *address, *data;
	va_list ap;
	pid_t pid;

	va_start(ap, request);
	pid = va_arg(ap, pid_t);
	address = va_arg(ap, void *);
	data = va_arg(ap, void *);
	va_end(ap);
	if (!next)
		next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
	if (request != PTRACE_SETREGSET || (uintptr_t)address != NT_X86_XSTATE)
		return next(request, pid, address, data);

	if (!host_size && next(PTRACE_GETREGSET, pid, address, &host) == 0)
		host_size = host.iov_len;
	uml = data;
	if (uml->iov_len >= host_size)
		return next(request, pid, address, data);
	memset(area, 0, host_size);
	memcpy(area, uml->iov_base, uml->iov_len);
	memcpy(&states, area + XSTATE_BV, sizeof(states));
	states &= UML_STATES;
	memcpy(area + XSTATE_BV, &states, sizeof(states));
	host.iov_len = host_size;
	return next(request, pid, address, &host);
}
