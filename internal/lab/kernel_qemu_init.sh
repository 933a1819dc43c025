#!/bin/busybox sh
# shellcheck shell=dash
# Process 1 of the kernel in QEMU at first, in its initramfs (kernel_qemu.go), run
# as: /init STATE MODULES
# It mounts the host's root and goes on as in User Mode Linux, with
# kernel_init.sh.

bb=/bin/busybox
die() {
	echo "lab init: $*"
	echo b >/proc/sysrq-trigger
	$bb sleep 10
}

$bb mount -t proc proc /proc
for module in /modules/*; do
	$bb insmod "$module" || die "no module $module"
done
$bb mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose root /root || die "no root"
$bb umount /proc
exec $bb switch_root /root /bin/sh "$1/init" "$1" "$2"
