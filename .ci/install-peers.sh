#!/bin/sh
# Installs on Debian 12 what the tests with real peers and kernels need (see
# internal/lab). Run as root. What the system already has is left as it is, and
# no daemon is started. libreswan cannot be installed beside strongSwan, so it is
# unpacked into ${RACOON_LAB_CACHE:-~/.cache/racoon-lab}/libreswan.
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
tools="iproute2 iputils-ping procps kmod gcc libc6-dev iperf3"

$apt update
# Packages whose daemons would start by themselves must not.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086 # lists
$apt install -y --no-install-recommends $tools $strongswan $kerberos openiked vpnc ike-scan user-mode-linux $libreswan

if [ ! -e "$cache/libreswan/usr/libexec/ipsec/pluto" ]; then
	new=$cache/libreswan.new
	rm -rf "$new"
	mkdir -p "$new"
	(cd "$new" && apt-get -q -o APT::Sandbox::User=root download libreswan && dpkg-deb -x libreswan_*.deb . && rm libreswan_*.deb)
	rm -rf "$cache/libreswan"
	mv "$new" "$cache/libreswan"
fi
