#!/bin/sh
# Process 1 of the lab kernel (kernel.go), run as: sh STATE/init STATE MODULES
# with User Mode Linux first of all, with QEMU after kernel_qemu_init.sh.
# When it starts, / is the host's root, read-only. STATE is the only folder of the
# host that gets mounted writable; it holds "command", a script that runs the
# test, and takes "status", the test's exit status. MODULES is the folder with
# this kernel's modules. Everything else that is written stays in the kernel's
# own memory, over the host's files.

state=$1 modules=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

halt() {
	# (To reboot is the end of QEMU, and quicker there.)
	if [ -n "$uml" ]; then echo o; else echo b; fi >/proc/sysrq-trigger
	sleep 10 # the request is carried out in the background
}
die() {
	echo "lab init: $*"
	halt
}

if [ "$3" != inside ]; then
	mount -n -t proc proc /proc || die "no /proc"
	uml=$(grep hostfs /proc/filesystems)
	mount -n -t tmpfs -o size=75% tmpfs /mnt || die "no tmpfs"
	mkdir /mnt/upper /mnt/work /mnt/root
	[ -z "$uml" ] || insmod "$modules/kernel/fs/overlayfs/overlay.ko"
	mount -n -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root || die "no overlay"
	cd /mnt/root || die "no root"
	mkdir -p lib/modules run tmp .old
	ln -sfn "$modules" "lib/modules/$(uname -r)"
	mount -n -t devtmpfs devtmpfs dev || die "no /dev"
	mkdir -p dev/pts dev/shm dev/net
	mount -n -t devpts -o ptmxmode=666 devpts dev/pts
	mount -n -t tmpfs tmpfs dev/shm
	mount -n -t tmpfs tmpfs run
	mount -n -t sysfs sysfs sys
	if [ -n "$uml" ]; then
		mount -n -t hostfs -o "$state" none ".$state"
	else
		mount -n -t 9p -o trans=virtio,version=9p2000.L,msize=262144 state ".$state"
	fi || die "no state folder"
	pivot_root . .old || die "no pivot_root"
	exec chroot . /bin/sh "$state/init" "$state" "$modules" inside
fi

umount -l /.old
mount -n -t proc proc /proc || die "no /proc in the new root"
uml=$(grep hostfs /proc/filesystems)
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
ip link set lo up
# Crypto algorithms and the like are loaded when the kernel asks for them.
command -v modprobe >/proc/sys/kernel/modprobe
# (Few processes: starting one takes long in here.)
read -r modules <"$state/modules"
# shellcheck disable=SC2086 # a list
modprobe -q -a $modules
for module in $modules; do
	[ -d "/sys/module/$module" ] || echo "lab init: not in this kernel: $module"
done

if [ -z "$uml" ]; then
	setsid /bin/sh "$state/command" </dev/null >"$state/output" 2>&1
	echo $? >"$state/status"
	halt
fi
# A terminal that the host ties to a pipe.
stty -F /dev/tty1 raw -echo
setsid /bin/sh "$state/command" </dev/null >/dev/tty1 2>&1
status=$?
# A change of settings waits until the output is written.
stty -F /dev/tty1 cooked
echo "$status" >"$state/status"
halt
