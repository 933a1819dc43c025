package conf

import (
	"slices"
	"strings"
)

func (k *checker) kink() {
	o := &k.Kink
	for i, s := range o.Listen {
		k.addrPort(o, "listen", i, s, true)
	}
	if o.Principal != "" {
		k.principal(o, o.Principal)
	}
	if strings.ContainsAny(o.Realm, "@/ ") {
		k.bad(o, "realm", `write one such as "EXAMPLE.ORG"`, "is %q, which is not the name of a realm", clip(o.Realm))
	}
	for _, realm := range sortedKeys(o.KDCs) {
		if realm == "" || strings.ContainsAny(realm, "@/ ") {
			k.bad(o, "kdcs", `write one such as "EXAMPLE.ORG"`, "has %q, which is not the name of a realm", clip(realm))
		}
	}
	if slices.Contains(o.EncTypes, "des3-sha1") {
		k.warn(o, "enctypes", "use AES", "names the weak des3-sha1 (RFC 8429)")
	}
	if len(o.EncTypes) == 0 {
		k.bad(o, "enctypes", "leave it out", "is empty: no ticket could be used")
	}
}

// isName reports whether remote is the name of a host.
func isName(remote string) bool {
	host, _ := splitSocket(remote)
	return validHost(host) && !isAddressLike(host)
}

func (k *checker) principal(at any, s string) {
	name, realm, ok := strings.Cut(s, "@")
	if name == "" || ok && realm == "" || strings.Contains(realm, "@") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") {
		k.bad(at, "principal", `write one such as "kink/gw.example.org@EXAMPLE.ORG"`, "is %q, which is not a principal", clip(s))
	}
}

// kinkPeer is a peer whose keys come from Kerberos.
func (k *checker) kinkPeer(p *Peer) {
	for _, key := range ikeKeys {
		if k.written(p, key) {
			hint := `remove it, or write protocol = "ike"`
			if key == "remote-id" || key == "local-id" {
				hint = "write principal in [peer." + quoteKey(p.Name) + ".kink]"
			}
			k.bad(p, key, hint, "belongs to IKE, but protocol is \"kink\": both sides prove who they are to Kerberos")
			return
		}
	}
	switch {
	case p.Remote == "" && p.Kink.Principal == "":
		k.bad(p, "remote", "write remote, or principal in [peer."+quoteKey(p.Name)+".kink]", "is missing, and so is the peer's principal: nothing says who the peer is")
	case p.Kink.Principal != "":
		k.principal(&p.Kink, p.Kink.Principal)
	case !isName(p.Remote):
		k.bad(p, "remote", "write the host's name, or principal in [peer."+quoteKey(p.Name)+".kink]", "is an address, from which the peer's principal cannot be told")
	}
	if k.DataPlane.Kind == "userspace" && !k.DataPlane.Userspace.RawESP {
		k.bad(p, "protocol", "write raw-esp = true in [dataplane.userspace]", "is \"kink\", which has no ESP in UDP, but the data plane has nothing else")
	}
}
