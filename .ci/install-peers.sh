#!/bin/sh
# Installs on Debian 12 what the tests with real peers and kernels need (see
# internal/lab). Run as root. What the system already has is left as it is, and
# no daemon is started. libreswan cannot be installed beside strongSwan, nor
# Heimdal beside MIT's Kerberos, nor is a kernel for QEMU to become the system's,
# so they are unpacked into ${RACOON_LAB_CACHE:-~/.cache/racoon-lab}.
set -eu

export DEBIAN_FRONTEND=noninteractive
cache=${RACOON_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/racoon-lab}
apt="apt-get -q -o DPkg::Lock::Timeout=300"

# strongSwan, its userspace ESP and its EAP and XAuth methods.
strongswan="strongswan-charon strongswan-swanctl libcharon-extra-plugins
	libcharon-extauth-plugins libstrongswan-standard-plugins libstrongswan-extra-plugins"
# What libreswan's programs are linked with, and NSS's tools for its keys.
libreswan="libnss3-tools libldns3 libunbound8 libcurl3-nss libevent-core-2.1-7
	libevent-pthreads-2.1-7 libcap-ng0 libldap-2.5-0 libaudit1 dns-root-data openssl"
# MIT Kerberos: KDC, its tools and a client.
kerberos="krb5-kdc krb5-admin-server krb5-user"
heimdal="heimdal-kdc heimdal-clients libasn1-8-heimdal libgssapi3-heimdal libhcrypto5-heimdal
	libhdb9-heimdal libheimbase1-heimdal libheimntlm0-heimdal libhx509-5-heimdal libkadm5clnt7-heimdal
	libkadm5srv8-heimdal libkafs0-heimdal libkdc2-heimdal libkrb5-26-heimdal libotp0-heimdal
	libroken19-heimdal libsl0-heimdal libwind0-heimdal"
# What Heimdal's programs are linked with besides.
heimdal_needs="libcap-ng0 libcrypt1 libcom-err2 libdb5.3 libedit2 libsqlite3-0"
tools="iproute2 iputils-ping procps kmod gcc libc6-dev iperf3 man-db"
# Of Debian's kernel, for QEMU: the kernel, and what of its modules the tests can use.
kernel_files="./boot/vmlinuz-* ./lib/modules/*/modules.* ./lib/modules/*/kernel/arch/*/crypto/*
	./lib/modules/*/kernel/crypto/* ./lib/modules/*/kernel/lib/* ./lib/modules/*/kernel/net/*
	./lib/modules/*/kernel/drivers/net/*.ko ./lib/modules/*/kernel/drivers/virtio/*
	./lib/modules/*/kernel/fs/9p/* ./lib/modules/*/kernel/fs/fscache/* ./lib/modules/*/kernel/fs/netfs/*
	./lib/modules/*/kernel/fs/overlayfs/*"

$apt update
# Packages whose daemons would start by themselves must not.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086 # lists
$apt install -y --no-install-recommends $tools $strongswan $kerberos $heimdal_needs openiked vpnc ike-scan xl2tpd ppp user-mode-linux qemu-system-x86 $libreswan

if [ ! -e "$cache/libreswan/usr/libexec/ipsec/pluto" ]; then
	new=$cache/libreswan.new
	rm -rf "$new"
	mkdir -p "$new"
	(cd "$new" && apt-get -q -o APT::Sandbox::User=root download libreswan && dpkg-deb -x libreswan_*.deb . && rm libreswan_*.deb)
	rm -rf "$cache/libreswan"
	mv "$new" "$cache/libreswan"
fi

if [ ! -e "$cache/heimdal/usr/lib/heimdal-servers/kdc" ]; then
	new=$cache/heimdal.new
	rm -rf "$new"
	mkdir -p "$new"
	# shellcheck disable=SC2086 # a list
	(cd "$new" && apt-get -q -o APT::Sandbox::User=root download $heimdal && for p in *.deb; do dpkg-deb -x "$p" .; done && rm ./*.deb)
	rm -rf "$cache/heimdal"
	mv "$new" "$cache/heimdal"
fi

if [ ! -e "$cache/linux/bin/busybox" ]; then
	new=$cache/linux.new
	rm -rf "$new"
	mkdir -p "$new"
	# linux-image-amd64 is a name for the newest.
	image=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9]\)/\1/p' | head -n 1)
	# shellcheck disable=SC2086 # a list
	(cd "$new" && apt-get -q -o APT::Sandbox::User=root download "$image" busybox-static &&
		dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x --wildcards --no-wildcards-match-slash $kernel_files &&
		dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -x ./bin/busybox && rm ./*.deb)
	depmod -b "$new" "$(ls "$new/lib/modules")"
	rm -rf "$cache/linux"
	mv "$new" "$cache/linux"
fi
