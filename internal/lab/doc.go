// Package lab runs real IKE peers, real networks and a real IPsec kernel in tests.
// It works on Linux, mostly as root; a test that uses it has the build tag linux.
// Everywhere else, and where programs are missing, tests skip:
//
//	//go:build linux
//
//	func TestWithStrongSwan(t *testing.T) {
//		lab.Require(t, lab.StrongSwan)
//		a, b := lab.NewPair(t)                       // two hosts: a is ours, b is strongSwan's
//		peer := lab.StartStrongSwan(t, b.Namespace, lab.StrongSwanConfig{
//			PSK: "secret",
//			Conns: []lab.StrongSwanConn{{
//				Local: b.Outer.String(), LocalID: "b.lab", RemoteID: "a.lab",
//				Proposals: "aes128gcm16-prfsha256-x25519",
//				Children: []lab.StrongSwanChild{{
//					LocalTS: b.InnerNet.String(), RemoteTS: a.InnerNet.String(), Proposals: "aes128gcm16",
//				}},
//			}},
//		})
//		ike := a.ListenUDP(netip.AddrPortFrom(a.Outer, 500)) // sockets and a TUN device for our side
//		nat := a.ListenUDP(netip.AddrPortFrom(a.Outer, 4500))
//		dev := a.CreateTUN("tun0", 1400)
//		a.IP("route add " + b.InnerNet.String() + " dev tun0 src " + a.Inner.String())
//		...
//		a.MustPing(a.Inner, b.Inner)
//		peer.RekeyChild("net")
//		sas := peer.WaitSAs(...)
//	}
//
// All that is started ends with the test, and with the test binary however that
// ends. When a test fails, the peers' logs are printed.
//
// # Networks
//
// [NewPair] joins two sites directly, at the kernel's speed. A [Router] joins
// sites in userspace: it is a NAT with rebinding, and loses, delays and doubles
// packets. A [Site] has an outer address, for IKE and ESP, and an inner network
// behind it, for the traffic in the tunnel. [Namespace.Do] runs code with its
// sockets in a site's namespace; what has to be made there must be made within
// the call, not by goroutines that it starts. [Site.Sniff] shows what was on the
// wire.
//
// # Peers
//
// [StartStrongSwan] runs charon with its userspace ESP: traffic flows wherever
// there are TUN devices. That data plane knows ESP in UDP and tunnel mode only, so
// UDP encapsulation is forced from charon's side. [StartLibreswan] and
// [StartOpenIKED] have no data plane without a kernel that has IPsec: there SAs go
// to a pretended kernel, and InstalledSAs shows their SPIs and keys, to compare
// with the other side's. [StartVPNC] runs the open Cisco VPN client, which has ESP
// of its own, and [Namespace.IKEScan] asks as a scanner does. [StartWireGuardGo] is
// a yardstick for throughput.
//
// [StartKDC] makes a Kerberos realm with the KDC of MIT or of Heimdal, on a
// loopback port or in a namespace.
//
// What is worth knowing about them:
//
//   - strongSwan keeps a rekeyed Child SA for 5 seconds (Charon:
//     "delete_rekeyed_delay = 0" changes that), and its retransmissions take
//     minutes until it gives up (Charon: "retransmit_tries = 2\nretransmit_timeout = 0.5").
//   - With MOBIKE, strongSwan as a responder leaves it to the initiator to say that
//     its address has changed; without, it follows the peer behind a NAT.
//   - It asks for a cookie only while some SA is half-open:
//     StrongSwanConfig.DemandCookies sees to that.
//   - [Charon.Initiate] and [Pluto.Initiate] fail when there is no Child SA at the
//     end. OpenIKED starts by itself, 2 seconds after it is up, if Active; count its SAs.
//   - OpenIKED's Child SAs through PF_KEY are AES-CBC with SHA-1 in practice.
//   - strongSwan's userspace ESP makes both ends of IKEv1 believe in a NAT too. As a
//     client it does not take the mode-config payload of libreswan as a gateway, which
//     is padded with zeros and sent with the identifier 0.
//   - libreswan does not rekey SAs of IKEv1 when it is told to, but when their
//     lifetimes end, and does not delete the old Child SA before its end.
//   - vpnc offers XAuth with a pre-shared key whatever it is asked for, sets up its
//     interface before Quick Mode, wants 14 octets for each network of a
//     split-include, and in hybrid authentication the certificate unasked.
//   - MIT's KDC answers KRB_ERR_GENERIC when a TGT is under a key that it does not
//     know, and refers only requests whose name type is that of a host. Heimdal's
//     names no server in errors about servers that it does not know.
//   - ike-scan's key exchange values are random octets: half of them are not in the
//     subgroup.
//   - libreswan's route script is off: with Kernel, call [Site.RouteTo].
//
// # The kernel
//
// [InKernel] boots User Mode Linux in about three seconds and runs the test again
// in there, as root: with ESP, AH, IPComp, XFRM and PF_KEY, whatever the host's
// kernel has. The same networks and peers work inside; with Kernel set in their
// configuration they use the kernel's ESP. With KernelOptions.QEMU it is Debian's
// own kernel in an emulated PC, in about ten seconds: with XFRM interfaces, which
// User Mode Linux lacks.
//
// # Installation
//
// On Debian 12, .ci/install-peers.sh as root installs everything. Files that are
// compiled or unpacked are kept in RACOON_LAB_CACHE, by default racoon-lab in the
// user's cache folder. With RACOON_REQUIRE_PEERS=1 a missing peer is a failure.
package lab
